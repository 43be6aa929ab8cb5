"""Things that the log is told once."""

from __future__ import annotations

import threading

__all__ = ["Once"]


class Once:
    """Remembers what has been said, up to a limit: strangers choose what comes, and must be able to
    fill neither the memory nor the log.

    Args:
        limit: how many different things are said at most.
    """

    def __init__(self, limit: int = 1000) -> None:
        self._limit = limit
        self._said: set[object] = set()
        self._lock = threading.Lock()

    def first(self, thing: object) -> bool:
        """Whether this has not been said yet, and still may be."""
        if thing in self._said:
            return False
        with self._lock:
            if thing in self._said or len(self._said) >= self._limit:
                return False
            self._said.add(thing)
            return True
