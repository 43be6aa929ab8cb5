"""Things that are logged once."""

from __future__ import annotations

import re
import threading

__all__ = ["Once"]

# Segments that a program made (launch ids, UUIDs, hashes), and numbers.
_MADE = re.compile(r"(?<=/)(?:[0-9a-fA-F-]{8,}|[A-Za-z0-9_-]{22})(?=/|$)|[0-9]+")


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

    def first_like(self, path: str) -> bool:
        """``first`` for a path's pattern: ids and numbers do not make it another one."""
        return self.first(_MADE.sub("*", path))
