"""Calls to LTIAAS, behind a bulkhead and a circuit breaker.

At most ``max_calls`` are under way at once; others wait for their turn, but not for long. What is
refused here without a call is a ``Failure`` like any other.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from contextvars import Context
from functools import partial
from typing import NamedTuple, TypeAlias

from ..errors import ApiError, RateLimited, UpstreamError
from ..settings import Settings
from .breaker import Breaker
from .id_tokens import IdTokenSource
from .pool import Pool
from .stats import Stats
from .timer import Timer

__all__ = ["PATH", "Answer", "Failure", "Reply", "Upstream"]

_log = logging.getLogger("ltiaas_middleware")

#: The endpoint that is asked (wire.md, "The ID token").
PATH = "/api/idtoken"
# LTIAAS is left alone after so many failures in a row, for so long (seconds), at most so long.
_FAILURES = 5
_PAUSE = 1.0
_LONGEST_PAUSE = 30.0
# The longest Retry-After that is believed (seconds); then one call tries.
_LONGEST_HOLD = 60.0


class Answer(NamedTuple):
    """An ID token from LTIAAS.

    Attributes:
        claims: JSON.
        asked_at: when LTIAAS was asked (seconds since the epoch).
    """

    claims: bytes
    asked_at: float


class Failure(NamedTuple):
    """Why there is no ID token.

    Attributes:
        error: what to tell whoever waits.
        kind: what to count it as.
        asked: whether LTIAAS was asked; False where a call was refused here.
    """

    error: ApiError
    kind: str
    asked: bool = True


Reply: TypeAlias = Answer | Failure


class _Call:
    __slots__ = ("context", "done", "ltik", "queued_at")

    def __init__(
        self, ltik: str, done: Callable[[Reply], object], context: Context, queued_at: float
    ) -> None:
        self.ltik = ltik
        self.done = done
        self.context = context
        self.queued_at = queued_at


class Upstream:
    """Safe to use from many threads.

    Args:
        settings: limits and times.
        source: asked for ID tokens, in threads of this object's own.
        aside: threads for what may block and is no call to LTIAAS.
        timer: for calls that wait for their turn.
        stats: counters.
        clock: seconds since the epoch.
        monotonic: seconds of a clock that nobody sets.
    """

    def __init__(
        self,
        settings: Settings,
        source: IdTokenSource,
        aside: Pool,
        timer: Timer,
        stats: Stats,
        *,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._source = source
        self._aside = aside
        self._timer = timer
        self._stats = stats
        self._clock = clock
        self._monotonic = monotonic
        self._pool = Pool(settings.max_calls, "ltiaas")
        self._lock = threading.Lock()
        self._waiting: deque[_Call] = deque()
        self._running = 0
        self._breaker = Breaker(
            failures=_FAILURES,
            pause=_PAUSE,
            longest=_LONGEST_PAUSE,
            probe_for=settings.deadline,
            monotonic=monotonic,
        )

    @property
    def under_way(self) -> int:
        """Calls that are being made or wait for their turn."""
        with self._lock:
            return self._running + len(self._waiting)

    def fetch(self, ltik: str, done: Callable[[Reply], object], context: Context) -> None:
        """Fetch an ltik's ID token in the background.

        Args:
            ltik: a token of the right shape.
            done: called once, in a thread in which it may block, unless there is no thread at all.
            context: that of the request, for the call to LTIAAS to be made in.
        """
        call = _Call(ltik, done, context, self._monotonic())
        with self._lock:
            full = self._running + len(self._waiting) >= self._settings.max_calls
            self._waiting.append(call)
        try:
            self._pool.submit(self._work)
        except RuntimeError as error:
            if self._withdraw(call):
                _log.error("no call to LTIAAS can be made: %s", error)
                refused = UpstreamError("no thread to ask in", path=PATH, retry_after=2)
                done(Failure(refused, "NoThread", asked=False))
            return
        if full:
            self._timer.call(self._settings.max_wait, partial(self._turn_away, call))

    def close(self, *, wait: bool = True) -> None:
        """Make no more calls.

        Args:
            wait: for calls under way.
        """
        self._pool.shutdown(wait=wait, cancel_futures=True)

    def _withdraw(self, call: _Call) -> bool:
        with self._lock:
            if call not in self._waiting:
                return False
            self._waiting.remove(call)
            return True

    def _turn_away(self, call: _Call) -> None:
        if self._withdraw(call):
            try:
                self._aside.submit(call.done, _busy())
            except RuntimeError:
                call.done(_busy())

    def _work(self) -> None:
        with self._lock:
            if not self._waiting:
                return
            call = self._waiting.popleft()
            self._running += 1
        try:
            call.done(self._reply(call))
        finally:
            with self._lock:
                self._running -= 1

    def _reply(self, call: _Call) -> Reply:
        if self._monotonic() - call.queued_at > self._settings.max_wait:
            return _busy()
        if not self._breaker.enter():
            wait = max(1.0, self._breaker.wait())
            error = UpstreamError("it has failed too often", path=PATH, retry_after=wait)
            return Failure(error, "CircuitOpen", asked=False)
        self._stats.count("fetches")
        asked_at = self._clock()
        try:
            claims = call.context.run(self._source.id_token, call.ltik)
        except ApiError as error:
            self._judge(error)
            return Failure(error, type(error).__name__)
        except BaseException as error:  # noqa: BLE001 - whoever waits has to be told
            _log.error("%s in a call to LTIAAS", type(error).__name__)
            failed = UpstreamError("the fetch failed", path=PATH)
            self._judge(failed)
            return Failure(failed, type(failed).__name__)
        self._breaker.succeeded()
        return Answer(claims, asked_at)

    def _judge(self, error: ApiError) -> None:
        """What an error says of LTIAAS as a whole. An answer is an answer, even to an ltik that is
        over, where one LMS's claims are nonsense (status 200), or where something before LTIAAS
        refuses what somebody made up (4xx)."""
        limited = isinstance(error, RateLimited)
        if error.retry_after is not None and (limited or isinstance(error, UpstreamError)):
            self._breaker.hold(min(error.retry_after, _LONGEST_HOLD))
        elif limited or (
            isinstance(error, UpstreamError) and (error.status is None or error.status >= 500)
        ):
            self._breaker.failed()
        else:
            self._breaker.succeeded()


def _busy() -> Failure:
    error = UpstreamError("too many launches at once", path=PATH, retry_after=2)
    return Failure(error, "Busy", asked=False)
