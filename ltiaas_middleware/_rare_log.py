"""Warnings that neither an outage nor strangers can flood the log with."""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Callable

_log = logging.getLogger("ltiaas_middleware")
# Generated segments (launch ids, UUIDs, hashes), and numbers.
_MADE = re.compile(r"(?<=/)(?:[0-9a-fA-F-]{8,}|[A-Za-z0-9_-]{22})(?=/|$)|[0-9]+")


def pattern_of(path: str) -> str:
    """A path's pattern, in which ids and numbers are wildcards."""
    return _MADE.sub("*", path)


class RareLog:
    """Limits how often lines of one kind are logged: once an hour by default. The next line says
    how many were skipped. Thread-safe.

    Args:
        most: the maximum number of lines of one kind per period.
        seconds: the period.
        kinds: the maximum number of kinds per period, because strangers choose some.
    """

    def __init__(
        self,
        most: int = 1,
        seconds: float = 3600.0,
        kinds: int = 1000,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._most = most
        self._seconds = seconds
        self._limit = kinds
        self._monotonic = monotonic
        self._lock = threading.Lock()
        # For each kind: since when, and how often. The oldest first.
        self._kinds: dict[object, tuple[float, int]] = {}

    def warning(self, kind: object, text: str, *values: object) -> None:
        """Log a line.

        Args:
            kind: lines of the same kind count together.
            text: the line, with ``values``; both must be safe to log.
        """
        with self._lock:
            now = self._monotonic()
            if kind not in self._kinds and len(self._kinds) >= self._limit:
                oldest, (since, _) = next(iter(self._kinds.items()))
                if now - since < self._seconds:
                    return
                del self._kinds[oldest]
            since, times = self._kinds.get(kind, (now, 0))
            skipped = 0
            if now - since >= self._seconds:
                del self._kinds[kind]
                skipped, since, times = max(0, times - self._most), now, 0
            self._kinds[kind] = since, times + 1
        if times < self._most:
            more = f" (and {skipped} more since, for the same reason)" if skipped else ""
            _log.warning(f"{text}%s", *values, more)
