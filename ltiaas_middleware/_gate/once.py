"""Log lines that appear only once."""

from __future__ import annotations

import re
import threading

__all__ = ["Once"]

# Generated segments (launch ids, UUIDs, hashes), and numbers.
_MADE = re.compile(r"(?<=/)(?:[0-9a-fA-F-]{8,}|[A-Za-z0-9_-]{22})(?=/|$)|[0-9]+")


class Once:
    """Remembers what has been logged, up to a limit, so that requests from strangers cannot fill
    memory or the log.

    Args:
        limit: the maximum number of different things to log.
    """

    def __init__(self, limit: int = 1000) -> None:
        self._limit = limit
        self._said: set[object] = set()
        self._lock = threading.Lock()

    def first(self, thing: object) -> bool:
        """Whether to log this: it has not been logged yet, and the limit is not reached."""
        if thing in self._said:
            return False
        with self._lock:
            if thing in self._said or len(self._said) >= self._limit:
                return False
            self._said.add(thing)
            return True

    def first_like(self, path: str) -> bool:
        """``first`` for a path's pattern, in which ids and numbers are wildcards."""
        return self.first(_MADE.sub("*", path))
