"""Warnings that do not drown a log: an outage in the morning fails thousands of launches."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

__all__ = ["RareLog"]

_log = logging.getLogger("ltiaas_middleware")
_MINUTE = 60.0


class RareLog:
    """So many lines of one kind in a minute; the next one says how many were left out. Safe to use
    from many threads.

    Args:
        most: lines of one kind in a minute.
    """

    def __init__(self, most: int, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._most = most
        self._monotonic = monotonic
        self._lock = threading.Lock()
        # Of each kind, since when and how often.
        self._kinds: dict[str, tuple[float, int]] = {}

    def warning(self, kind: str, text: str, *values: object) -> None:
        """Log a line.

        Args:
            kind: what is counted together; there are few.
            text: and its ``values``: safe to log.
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
