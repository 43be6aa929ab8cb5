"""Log lines that appear at most once an hour."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable

__all__ = ["Once"]

_HOUR = 3600.0
# Generated segments (launch ids, UUIDs, hashes), and numbers.
_MADE = re.compile(r"(?<=/)(?:[0-9a-fA-F-]{8,}|[A-Za-z0-9_-]{22})(?=/|$)|[0-9]+")


class Once:
    """Remembers for an hour what has been logged, up to a limit, so that requests from strangers
    cannot fill memory or the log.

    Args:
        limit: the maximum number of different things to log in an hour.
    """

    def __init__(self, limit: int = 1000, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._limit = limit
        self._monotonic = monotonic
        # When each thing was logged, the oldest first.
        self._said: dict[object, float] = {}
        self._lock = threading.Lock()

    def first(self, thing: object) -> bool:
        """Whether to log this: it has not been logged in the last hour, and the limit is not
        reached."""
        with self._lock:
            now = self._monotonic()
            while self._said and now - next(iter(self._said.values())) >= _HOUR:
                del self._said[next(iter(self._said))]
            if thing in self._said or len(self._said) >= self._limit:
                return False
            self._said[thing] = now
            return True

    def first_like(self, path: str) -> bool:
        """``first`` for a path's pattern, in which ids and numbers are wildcards."""
        return self.first(_MADE.sub("*", path))
