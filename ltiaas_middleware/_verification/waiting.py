"""Waiting for a launch's verification: limits how many threads may wait, and tells pages when to
reload."""

from __future__ import annotations

import random
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from cachetools import TTLCache

from ..errors import ApiError, UpstreamError
from .limits import PATH

__all__ = ["Waiting", "WaitingRoom"]

# How long a thread may wait if all seats are taken (seconds). A healthy LTIAAS responds faster.
_STANDING = 0.5
# When a page stops reloading (seconds): if a launch still does not work, there is an outage.
_GIVES_UP = 180.0
# Longer than any pause between two reloads (seconds), so that a launch stays remembered while its
# page reloads.
_REMEMBERED = 120.0
_REMEMBERED_MOST = 20_000
# The first reload comes after one second plus a random part of two seconds. Every hundred waiting
# pages spread the reloads over another second, up to this.
_SPREAD_MOST = 15.0


class Waiting(UpstreamError):
    """The launch is not verified yet. The page should reload after ``retry_after`` seconds.
    Verification continues in the meantime."""


class WaitingRoom:
    """Limits how many threads may wait as long as they want: as many as there are ``seats``.
    Thread-safe."""

    def __init__(self, seats: int, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._seats = threading.BoundedSemaphore(seats)
        # Additional seats for authenticated requests.
        self._reserved = threading.BoundedSemaphore(max(1, seats // 4))
        self._monotonic = monotonic
        self._lock = threading.Lock()
        # When each launch's page first asked.
        self._asked_first: TTLCache[str, float] = TTLCache(
            _REMEMBERED_MOST, _REMEMBERED, timer=monotonic
        )

    @contextmanager
    def seat(self, seconds: float, *, authenticated: bool) -> Iterator[float]:
        """How long a thread may actually wait if it wants to wait ``seconds``."""
        if _threads_are_greenlets():
            # Each request has its own greenlet, like tasks under ASGI.
            yield seconds
            return
        may_take = [self._seats, self._reserved] if authenticated else [self._seats]
        seat = next((seat for seat in may_take if seat.acquire(blocking=False)), None)
        try:
            yield min(seconds, _STANDING) if seat is None else seconds
        finally:
            if seat is not None:
                seat.release()

    def verified(self, launch_id: str) -> None:
        """Record that a launch's page no longer waits."""
        with self._lock:
            self._asked_first.pop(launch_id, None)

    def ask_again(self, launch_id: str, error: ApiError) -> ApiError:
        """What a page gets instead of a temporary error: ``Waiting``, until it has waited long
        enough."""
        now = self._monotonic()
        with self._lock:
            # Assigned each time to renew the entry's lifetime.
            first = self._asked_first[launch_id] = self._asked_first.get(launch_id, now)
            pages = len(self._asked_first)
        if now - first > _GIVES_UP:
            return error
        spread = min(_SPREAD_MOST, 2 + pages / 100)
        pause = min(error.retry_after or 1.0, 60 - spread)
        pause += random.uniform(0, spread)  # noqa: S311 - no secret
        return Waiting("not verified yet", path=PATH, retry_after=pause)


def _threads_are_greenlets() -> bool:
    monkey = sys.modules.get("gevent.monkey")
    return monkey is not None and bool(monkey.is_module_patched("threading"))
