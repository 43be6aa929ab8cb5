"""Calls to LTIAAS, behind a bulkhead and a circuit breaker.

At most ``max_calls`` are under way at once; others wait for their turn, but not for long, and turns
are shared out between the addresses that ask (``clients``). What is refused here without a call is
a ``Failure`` like any other.

Each address has a breaker of its own. LTIAAS as a whole is left alone only for what launches show
that were verified before, or several addresses: somebody who makes up ltiks shuts out nobody else.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable
from contextvars import Context
from functools import partial
from typing import NamedTuple, TypeAlias

from ..errors import ApiError, ApiKeyRejected, PlatformInactive, RateLimited, UpstreamError
from ..settings import Settings
from .breaker import Breaker
from .clients import KNOWN, Client, Clients, address_of
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
# Of the failures in a row that one address has, so many say something of LTIAAS as a whole; and it
# is left alone when it asks so many addresses for that.
_COUNTED_OF_ONE = 2
_ASKED_TO_HOLD = 3


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
    __slots__ = ("client", "context", "done", "ltik", "queued_at")

    # Set when it is queued.
    client: Client[_Call]

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
        self._breaker = self._new_breaker()
        self._clients: Clients[_Call] = Clients(
            settings.max_calls, settings.max_wait, self._new_breaker, monotonic
        )
        # Whether a call that is paced will be looked for again.
        self._will_look = False
        # The addresses that calls failed for since the last that did not, with how often; and
        # those that were asked to come back later.
        self._failed: dict[str, int] = {}
        self._held: set[str] = set()

    @property
    def under_way(self) -> int:
        """Calls that are being made or wait for their turn."""
        with self._lock:
            return len(self._clients)

    def comes_last(self, address: str) -> bool:
        """Whether most ltiks that an address brought lately were refused."""
        with self._lock:
            return self._clients.comes_last(address_of(address))

    def fetch(
        self,
        ltik: str,
        done: Callable[[Reply], object],
        context: Context,
        *,
        address: str = "",
        known: bool = False,
    ) -> None:
        """Fetch an ltik's ID token in the background.

        Args:
            ltik: a token of the right shape.
            done: called once, in a thread in which it may block, unless there is no thread at all.
            context: that of the request, for the call to LTIAAS to be made in.
            address: of the client, as the server tells it.
            known: whether the ltik was verified before, so that its address does not matter.
        """
        call = _Call(ltik, done, context, self._monotonic())
        with self._lock:
            queued = self._clients.add(KNOWN if known else address_of(address), call)
            if queued is not None:
                call.client, full = queued
        if queued is None:
            self._tell_busy(call)
            return
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

    def _new_breaker(self) -> Breaker:
        return Breaker(
            failures=_FAILURES,
            pause=_PAUSE,
            longest=_LONGEST_PAUSE,
            probe_for=self._settings.deadline,
            monotonic=self._monotonic,
        )

    def _withdraw(self, call: _Call) -> bool:
        with self._lock:
            return self._clients.withdraw(call.client, call)

    def _turn_away(self, call: _Call) -> None:
        if self._withdraw(call):
            self._tell_busy(call)

    def _tell_busy(self, call: _Call) -> None:
        try:
            self._aside.submit(call.done, _busy())
        except RuntimeError:
            call.done(_busy())

    def _work(self) -> None:
        while (call := self._take()) is not None:
            try:
                call.done(self._reply(call))
            finally:
                with self._lock:
                    self._clients.ended(call.client, call)

    def _take(self) -> _Call | None:
        with self._lock:
            call = self._clients.take()
            if call is not None:
                return call
            seconds = self._clients.seconds_to_next()
            if seconds is None or self._will_look:
                return None
            self._will_look = True
        self._timer.call(seconds, self._look_again)
        return None

    def _look_again(self) -> None:
        """Go on with calls that are paced. Called by the timer."""
        with self._lock:
            self._will_look = False
        # Without a thread they are turned away in time.
        with contextlib.suppress(RuntimeError):
            self._pool.submit(self._work)

    def _reply(self, call: _Call) -> Reply:
        if self._monotonic() - call.queued_at > self._settings.max_wait:
            return _busy()
        probes = self._breaker.is_open
        wait = self._wait(call, probes)
        if wait is not None:
            # Because it failed, or because it asked for it.
            error = UpstreamError(
                "LTIAAS is left alone for a moment", path=PATH, retry_after=max(1.0, wait)
            )
            return Failure(error, "CircuitOpen", asked=False)
        self._stats.count("fetches")
        asked_at = self._clock()
        try:
            claims = call.context.run(self._source.id_token, call.ltik)
        except ApiError as error:
            self._judge(call.client, error, probes)
            return Failure(error, type(error).__name__)
        except BaseException as error:  # noqa: BLE001 - whoever waits has to be told
            _log.error("%s in a call to LTIAAS", type(error).__name__)
            failed = UpstreamError("the fetch failed", path=PATH)
            self._judge(call.client, failed, probes)
            return Failure(failed, type(failed).__name__)
        with self._lock:
            call.client.count(refused=False, now=self._monotonic())
        self._answered(call.client)
        return Answer(claims, asked_at)

    def _wait(self, call: _Call, probes: bool) -> float | None:
        """How long a call has to wait, because LTIAAS fails or has asked for it; None if it may be
        made."""
        client = call.client
        # Who brings ltiks that are refused tells nothing by a probe.
        with self._lock:
            last = client.comes_last(self._monotonic())
        if self._breaker.wait() > 0 or (probes and last):
            return self._breaker.wait()
        # Its own first: a probe that is let through and not made holds up all others.
        if not client.breaker.enter():
            return client.breaker.wait()
        return None if self._breaker.enter() else self._breaker.wait()

    def _judge(self, client: Client[_Call], error: ApiError, probes: bool) -> None:
        """What an error says of LTIAAS. An answer is an answer, even to an ltik that is over, where
        one LMS's claims are nonsense (status 200), or where something before LTIAAS refuses what
        somebody made up (4xx)."""
        limited = isinstance(error, RateLimited)
        failed = isinstance(error, UpstreamError) and (error.status is None or error.status >= 500)
        if error.retry_after is not None and (limited or isinstance(error, UpstreamError)):
            seconds = min(error.retry_after, _LONGEST_HOLD)
            client.breaker.hold(seconds)
            with self._lock:
                self._held.add(client.address)
                enough = len(self._held) >= _ASKED_TO_HOLD
            if probes or enough or client.address == KNOWN:
                self._breaker.hold(seconds)
        elif limited or failed:
            client.breaker.failed()
            with self._lock:
                count = self._failed[client.address] = self._failed.get(client.address, 0) + 1
            if probes or count <= _COUNTED_OF_ONE or client.address == KNOWN:
                self._breaker.failed()
        elif _refuses_ltik(error):
            with self._lock:
                client.count(refused=True, now=self._monotonic())
                last = client.comes_last(self._monotonic())
            client.breaker.succeeded()
            if not last:
                self._answered(client)
        else:
            self._answered(client)

    def _answered(self, client: Client[_Call]) -> None:
        client.breaker.succeeded()
        with self._lock:
            self._failed.clear()
            self._held.clear()
        self._breaker.succeeded()


def _refuses_ltik(error: ApiError) -> bool:
    """Whether an error says something of the ltik, and not of the account or the LMS."""
    if isinstance(error, ApiKeyRejected | PlatformInactive):
        return False
    return error.status is not None and 400 <= error.status < 500


def _busy() -> Failure:
    error = UpstreamError("too many launches at once", path=PATH, retry_after=2)
    return Failure(error, "Busy", asked=False)
