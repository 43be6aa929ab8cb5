"""Warnings about LTIAAS, a few a minute: an outage at eight in the morning fails thousands of
launches."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

__all__ = ["FailureLog"]

_log = logging.getLogger("ltiaas_middleware")

# So many lines of one kind in so many seconds; the next one says how many were left out.
_MOST = 5
_SECONDS = 60.0


class _Kind:
    __slots__ = ("since", "times")

    def __init__(self, since: float) -> None:
        self.since = since
        self.times = 0


class FailureLog:
    """Safe to use from many threads.

    Args:
        monotonic: seconds of a clock that nobody sets.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._kinds: dict[str, _Kind] = {}

    def failed(self, kind: str, launch_id: str, error: Exception) -> None:
        """Log a launch that could not be verified.

        Args:
            kind: what is counted together; a name of ours, of which there are few.
            launch_id: safe to log.
            error: safe to log.
        """
        left_out = 0
        with self._lock:
            now = self._monotonic()
            of_kind = self._kinds.get(kind)
            if of_kind is None or now - of_kind.since >= _SECONDS:
                if of_kind is not None:
                    left_out = max(0, of_kind.times - _MOST)
                of_kind = self._kinds[kind] = _Kind(now)
            of_kind.times += 1
            if of_kind.times > _MOST:
                return
        _log.warning(
            "launch %s could not be verified: %s%s",
            launch_id,
            error,
            f" (and {left_out} more since, for the same reason)" if left_out else "",
        )
