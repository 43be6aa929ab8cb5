"""Warnings that do not flood the log: an outage in the morning can fail thousands of launches."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

__all__ = ["RareLog"]

_log = logging.getLogger("ltiaas_middleware")
_MINUTE = 60.0


class RareLog:
    """Limits how many lines of one kind are logged per minute. The next line says how many were
    skipped. Thread-safe.

    Args:
        most: the maximum number of lines of one kind per minute.
    """

    def __init__(self, most: int, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._most = most
        self._monotonic = monotonic
        self._lock = threading.Lock()
        # For each kind: since when, and how often.
        self._kinds: dict[str, tuple[float, int]] = {}

    def warning(self, kind: str, text: str, *values: object) -> None:
        """Log a line.

        Args:
            kind: lines of the same kind count together; there are few kinds.
            text: the line, with ``values``; both must be safe to log.
        """
        with self._lock:
            now = self._monotonic()
            since, times = self._kinds.get(kind, (now, 0))
            left_out = 0
            if now - since >= _MINUTE:
                left_out, since, times = max(0, times - self._most), now, 0
            self._kinds[kind] = since, times + 1
        if times < self._most:
            more = f" (and {left_out} more since, for the same reason)" if left_out else ""
            _log.warning(f"{text}%s", *values, more)
