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
from .upstream import PATH

__all__ = ["Waiting", "WaitingRoom"]

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
        seats: how many threads may wait at once.
        monotonic: seconds of a clock that nobody sets.
    """

    def __init__(self, seats: int, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._seats = threading.BoundedSemaphore(seats)
        # Those who come last have a part of them.
        self._seats_of_last = threading.BoundedSemaphore(max(1, seats // 4))
        self._monotonic = monotonic
        self._lock = threading.Lock()
        # When the page of a launch asked first.
        self._asked_first: TTLCache[str, float] = TTLCache(
            _REMEMBERED_MOST, _REMEMBERED, timer=monotonic
        )

    @contextmanager
    def seat(self, *, last: bool = False) -> Iterator[bool]:
        """Whether this thread may wait, for as long as the block lasts.

        Args:
            last: whether it is somebody's who comes last.
        """
        if _threads_are_greenlets():
            # A server has as many as there are requests, as it has tasks under ASGI.
            yield True
            return
        wanted = [self._seats_of_last, self._seats] if last else [self._seats]
        taken: list[threading.BoundedSemaphore] = []
        for seats in wanted:
            if not seats.acquire(blocking=False):
                break
            taken.append(seats)
        try:
            yield len(taken) == len(wanted)
        finally:
            for seats in taken:
                seats.release()

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
        pause = max(1.0, error.retry_after or 0) + random.uniform(0, spread)  # noqa: S311
        return Waiting("not verified yet", path=PATH, retry_after=pause)


def _threads_are_greenlets() -> bool:
    monkey = sys.modules.get("gevent.monkey")
    return monkey is not None and bool(monkey.is_module_patched("threading"))
