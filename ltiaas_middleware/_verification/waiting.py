"""Who waits for a launch to be verified: threads, of which only some may, and pages, which ask
again."""

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

# Seconds that a thread may wait when as many wait as may. A healthy LTIAAS answers within it.
_STANDING = 0.5
# A page stops asking after so long (seconds): what does not work by then is an outage.
_GIVES_UP = 180.0
# Longer than any pause between two reloads (seconds), so that a launch whose page still asks is
# not forgotten.
_REMEMBERED = 120.0
_REMEMBERED_MOST = 20_000
# The first reload comes after one second and a random part of two; each further hundred pages that
# wait spread the reloads over another second, up to this.
_SPREAD_MOST = 15.0


class Waiting(UpstreamError):
    """The launch is not verified yet. Whoever shows a page reloads it after ``retry_after``
    seconds; the verification goes on meanwhile."""


class WaitingRoom:
    """Safe to use from many threads.

    Args:
        seats: how many threads may wait at once for as long as they like.
    """

    def __init__(self, seats: int, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._seats = threading.BoundedSemaphore(seats)
        # Further ones, for those who are authenticated.
        self._reserved = threading.BoundedSemaphore(max(1, seats // 4))
        self._monotonic = monotonic
        self._lock = threading.Lock()
        # When the page of a launch asked first.
        self._asked_first: TTLCache[str, float] = TTLCache(
            _REMEMBERED_MOST, _REMEMBERED, timer=monotonic
        )

    @contextmanager
    def seat(self, seconds: float, *, authenticated: bool) -> Iterator[float]:
        """How long a thread may wait that would wait so many seconds."""
        if _threads_are_greenlets():
            # A server has as many as there are requests, as it has tasks under ASGI.
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
        """The page of a launch waits no more."""
        with self._lock:
            self._asked_first.pop(launch_id, None)

    def ask_again(self, launch_id: str, error: ApiError) -> ApiError:
        """What to tell a page instead of a temporary error: ``Waiting``, until it has asked for
        long enough."""
        now = self._monotonic()
        with self._lock:
            # Each time anew, so that it is remembered from now on.
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
