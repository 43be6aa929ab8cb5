"""From an ltik to a verified launch: the cache, one flight per launch, freshness.

Theory of operation. ``known`` answers from memory and never waits; it is what every request of a
launch calls. ``verify`` (threads) and ``verify_async`` (tasks) ask LTIAAS, through a *flight*: a
future that everyone who asks for the same launch waits on together. The call itself runs in a pool
of the middleware's own, so that nobody who gives up, disconnects or is cancelled can take it from
the others, and the event loop never waits for a socket.

With a shared store a flight first looks there, then asks for the launch's *lease*: the worker that
has it calls LTIAAS, the others come back every tenth of a second and find its result. The lease is
renewed while the call is under way, so that it outlasts any call and, by its length, a killed
worker. Where the store fails, a flight goes on without it.

LTIAAS is called by at most ``max_calls`` threads, and behind a breaker. A launch that was verified
before does not depend on either: it is served on until its 24 hours are over.

Outcomes are values, a ``CachedLaunch`` or an ``ApiError``: one exception object raised in two
hundred threads would collect two hundred tracebacks.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import random
import threading
import time
from base64 import urlsafe_b64decode
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from functools import partial
from typing import Any, Protocol, TypeVar

from .._crypto.keys import LaunchIds
from ..errors import ApiError, ApiKeyRejected, LaunchExpired, RateLimited, UpstreamError
from ..settings import Settings
from .breaker import Breaker
from .memory import (
    DAY,
    REFUSED_FOR,
    CachedLaunch,
    Found,
    Freshness,
    LaunchCache,
    Lease,
    SharedStore,
    StoreUnavailable,
)
from .stats import Stats
from .timer import Later

__all__ = ["DAY", "Authenticator", "Outcome", "launch_end", "launch_start"]

_log = logging.getLogger("ltiaas_middleware")
_T = TypeVar("_T")

Outcome = CachedLaunch | ApiError

_PATH = "/api/idtoken"
# How far LTIAAS's clock and ours may be apart before its times are not believed.
_SKEW = 3600.0
# After a failed refresh a launch is served on for this long before LTIAAS is asked again: at most,
# and a part of it by chance, so that what failed together is not asked for together.
_GRACE = 15.0
# A request of a launch that was verified before waits so long (seconds) for a slow LTIAAS.
_KNOWN_PATIENCE = 2.0
# LTIAAS is left alone after so many failures in a row, for so long (seconds), at most so long.
_FAILURES = 5
_PAUSE = 1.0
_LONGEST_PAUSE = 30.0
# The longest Retry-After that is believed (seconds): a mistaken one must not last a day.
_LONGEST_HOLD = 3600.0
# Threads that wait for a shared store. Each call takes a millisecond, or the store's timeout.
_STORE_THREADS = 16
# Seconds between two looks at what a worker that holds the lease has found, at least and at most.
_LOOK_AGAIN = (0.05, 0.15)
# What a worker that waited is told of the holder's failure; anything else is an UpstreamError.
_FAILURES_BY_NAME: dict[str, type[ApiError]] = {
    kind.__name__: kind for kind in (ApiKeyRejected, RateLimited)
}


class IdTokenSource(Protocol):
    """Where ID tokens come from; ``api.Api`` is the one there is."""

    def id_token(self, ltik: str) -> bytes: ...


class Authenticator:
    """From an ltik to a verified launch.

    Args:
        settings: limits and times.
        source: asked for ID tokens, in the pool's threads.
        ids: from an ltik to its launch id.
        shared: a store that workers share, or None.
        stats: counters; new ones by default.
        clock: seconds since the epoch.
        monotonic: seconds of a clock that nobody sets.

    Attributes:
        shares: whether launches are shared with other workers, so that ``recall`` and ``use_once``
            may wait.
        stats: counters.
    """

    def __init__(
        self,
        settings: Settings,
        source: IdTokenSource,
        ids: LaunchIds,
        *,
        shared: SharedStore | None = None,
        stats: Stats | None = None,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._source = source
        self._ids = ids
        self._shared = shared
        self.shares = shared is not None
        self._clock = clock
        self._monotonic = monotonic
        self._freshness = Freshness(settings.ttl, clock, monotonic)
        self._launches = LaunchCache(settings.max_launches, monotonic)
        self._get = self._launches.get
        self._flights: dict[str, _Flight] = {}
        self._lock = threading.Lock()
        # Two pools, so that a slow LTIAAS holds up nobody who only looks into the store. Both begin
        # their threads when they are needed: a server may fork before.
        self._calls = ThreadPoolExecutor(settings.max_calls, thread_name_prefix="ltiaas")
        self._pool = ThreadPoolExecutor(_STORE_THREADS, thread_name_prefix="ltiaas-store")
        self._later = Later()
        self._under_way = 0
        self._breaker = Breaker(
            failures=_FAILURES,
            pause=_PAUSE,
            longest=_LONGEST_PAUSE,
            probe_for=settings.deadline,
            monotonic=monotonic,
        )
        self.stats = stats or Stats()

    def known(self, launch_id: str) -> CachedLaunch | None:
        """A verified launch from memory, or None. Never waits.

        A launch whose ttl is over is returned as well, marked as ``stale``: LTIAAS is to be asked
        again once the request has proved that it may have it.
        """
        entry = self._get(launch_id)
        if entry is None:
            return None
        if self._monotonic() < entry.check:
            self.stats.hits += 1
            return entry
        return self._look(entry)

    def _look(self, entry: CachedLaunch) -> CachedLaunch | None:
        now = self._monotonic()
        if now >= entry.ends:
            self._launches.remove(entry.id)
            return None
        self._launches.mark_used(entry, now)
        if now < entry.trusted:
            self.stats.hits += 1
            if entry.refresh <= now:
                self._flight(entry.id, entry.ltik, entry, background=True)
        return entry

    def seconds_left(self, entry: CachedLaunch) -> float:
        """How long the launch still lasts."""
        return entry.ends - self._monotonic()

    def confirm(self, entry: CachedLaunch) -> None:
        """Note that the browser keeps this launch's cookie: its path alone opens it no more.

        Never waits: in memory it is noted at once, in a shared store in the background.
        """
        entry.confirmed = True
        self._launches.confirm(entry)
        shared = self._shared
        if shared is not None:
            self._in_background(lambda: shared.confirm(entry))

    def recall(self, launch_id: str) -> CachedLaunch | None:
        """A launch as all workers together know it: from memory, or the shared store, and with its
        confirmation, whoever noted it. May wait where ``shares``; where the store fails, what this
        worker knows is the answer."""
        shared = self._shared
        if shared is not None:
            with contextlib.suppress(StoreUnavailable):
                self._take_note(launch_id, shared.find(launch_id))
            self._listen()
        return self.known(launch_id)

    def use_once(self, token: str) -> bool:
        """Whether this is the first use of a handoff token. May wait where ``shares``; where the
        store fails, the first in this worker."""
        if not self._launches.use_once(token):
            return False
        if self._shared is None:
            return True
        try:
            return self._shared.use_once(token)
        except StoreUnavailable:
            return True

    async def run_async(self, call: Callable[[], _T]) -> _T:
        """Run a call that may wait, in a thread of the middleware's own."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, call)

    def verify(self, ltik: str, launch_id: str | None = None, *, confirms: bool = False) -> Outcome:
        """Verify an ltik, waiting for LTIAAS where it has to be asked. For threads.

        Args:
            ltik: a token of the right shape.
            launch_id: the id to keep it under; ``LaunchIds.of(ltik)`` by default.
            confirms: whether it came in the launch's cookie; see ``confirm``. Noted with the launch
                itself, so that it does not depend on who waits for the answer.
        """
        found = self._start(ltik, launch_id, confirms)
        if not isinstance(found, _Flight):
            return found
        try:
            return found.result(timeout=self._patience_for(found))
        except FutureTimeout:
            return self._gave_up(found)

    async def verify_async(
        self, ltik: str, launch_id: str | None = None, *, confirms: bool = False
    ) -> Outcome:
        """``verify`` for tasks: the event loop goes on, and a cancelled waiter cancels nobody."""
        found = self._start(ltik, launch_id, confirms)
        if not isinstance(found, _Flight):
            return found
        try:
            # A flight is marked as running, so that a cancelled waiter cannot cancel it.
            return await asyncio.wait_for(asyncio.wrap_future(found), self._patience_for(found))
        except (asyncio.TimeoutError, FutureTimeout):
            return self._gave_up(found)

    def close(self) -> None:
        """Stop the threads. Calls under way are waited for."""
        self._later.close()
        for pool in (self._pool, self._calls):
            pool.shutdown(wait=True, cancel_futures=True)
        for flight in list(self._flights.values()):
            self._land(flight, UpstreamError("this worker is shutting down"))
        if self._shared is not None:
            self._shared.close()

    # -- flights ----------------------------------------------------------------------------------

    def _start(self, ltik: str, launch_id: str | None, confirms: bool) -> Outcome | _Flight:
        """What is known of an ltik, or the flight to wait for."""
        launch_id = launch_id or self._ids.of(ltik)
        ends_at = launch_end(ltik, self._clock())
        if ends_at is not None and ends_at <= self._clock():
            return LaunchExpired("the launch's 24 hours are over", path=_PATH)
        entry = self._get(launch_id)
        if entry is not None and self._monotonic() >= entry.ends:
            self._launches.remove(launch_id)
            entry = None
        return self._flight(launch_id, ltik, entry, confirms=confirms)

    def _flight(
        self,
        launch_id: str,
        ltik: str,
        entry: CachedLaunch | None,
        *,
        background: bool = False,
        confirms: bool = False,
    ) -> Outcome | _Flight:
        with self._lock:
            flight = self._flights.get(launch_id)
            if flight is not None:
                flight.confirms |= confirms
                if not background:
                    self.stats.coalesced += 1
                return flight
            if self._launches.find(launch_id).refused:
                self.stats.refused += 1
                return _refused()
            now = self._monotonic()
            current = self._get(launch_id)
            # A flight may have landed since the caller looked.
            if current is not None and current is not entry and now < current.trusted:
                return current
            if current is not None and now < current.refresh:
                return current
            if not background:
                self.stats.misses += 1
            flight = self._flights[launch_id] = _Flight(launch_id, ltik, current, now)
            flight.confirms = confirms
        if self._shared is None:
            self._queue(flight)
        else:
            self._submit(self._pool, self._share, flight)
        return flight

    def _share(self, flight: _Flight) -> None:
        """One step of a flight across workers: take what there is, or the lease, or come back."""
        shared = self._shared
        assert shared is not None
        self._listen()
        try:
            if not flight.looked:
                flight.looked = True
                if self._settle(flight, shared.find(flight.launch_id)):
                    return
            turn = shared.begin(flight.launch_id)
        except StoreUnavailable:
            self._queue(flight)
            return
        if self._settle(flight, turn.found):
            flight.lease = turn.lease
            self._give_back(flight, None)
        elif turn.lease is not None:
            flight.lease = turn.lease
            self._later.call(shared.lease / 3, partial(self._renew, flight))
            self._queue(flight)
        elif turn.failure is not None:
            self.stats.coalesced += 1
            kind = _FAILURES_BY_NAME.get(turn.failure, UpstreamError)
            self._land(flight, kind("it failed for another worker a moment ago", path=_PATH))
        elif self._monotonic() - flight.since > self._settings.deadline:
            error = UpstreamError("no answer to another worker in time", path=_PATH)
            self._failed(flight, error, "Waited")
            self._land(flight, error)
        else:
            pause = random.uniform(*_LOOK_AGAIN)  # noqa: S311 - no secret
            again = partial(self._submit, self._pool, self._share, flight)
            self._later.call(pause, again)

    def _settle(self, flight: _Flight, found: Found) -> bool:
        """Land a flight with what other workers know, if that will do."""
        self._take_note(flight.launch_id, found)
        if found.refused:
            self.stats.refused += 1
            self._land(flight, _refused())
            return True
        entry = found.entry
        if entry is None:
            return False
        # A refresh wants what is younger than that which it is to replace.
        good_until = entry.trusted if flight.entry is None else entry.refresh
        if self._monotonic() >= good_until:
            return False
        self.stats.shared_hits += 1
        self._land(flight, entry)
        return True

    def _take_note(self, launch_id: str, found: Found) -> None:
        """Bring what this worker has in memory up to what all know."""
        with self._lock:
            local = self._get(launch_id)
            if found.refused_at is not None and (
                found.refused if local is None else local.verified_at < found.refused_at
            ):
                self._launches.refuse(launch_id, found.refused_at)
                return
            if local is None and found.entry is not None:
                # However old: it is what is served should LTIAAS fail.
                self._launches.put(found.entry)
                if launch_id not in self._flights:
                    self.stats.shared_hits += 1
            elif local is not None and found.confirmed and not local.confirmed:
                self._launches.confirm(local)

    def _renew(self, flight: _Flight) -> None:
        """Keep a lease while its flight is under way. Called by ``Later``."""
        shared, lease = self._shared, flight.lease
        # A call is bounded by the deadline. One that is not, for whatever reason, may not keep all
        # workers from asking for ever.
        too_long = self._monotonic() - flight.since > 3 * self._settings.deadline
        if shared is None or lease is None or flight.done() or too_long:
            return

        def renew() -> None:
            if flight.lease is not None and not flight.done() and not shared.renew(lease):
                self.stats.lost_leases += 1

        self._in_background(renew)
        self._later.call(shared.lease / 3, partial(self._renew, flight))

    def _queue(self, flight: _Flight) -> None:
        """Wait for one of the threads that call LTIAAS, but not for long."""
        with self._lock:
            flight.queued = self._monotonic()
            full = self._under_way >= self._settings.max_calls
            self._under_way += 1
        try:
            call = self._calls.submit(self._guarded, self._call, flight)
        except RuntimeError:
            self._left()
            self._land(flight, UpstreamError("this worker is shutting down"))
            return
        if full:
            self._later.call(self._settings.max_wait, partial(self._unqueue, flight, call))

    def _unqueue(self, flight: _Flight, call: Future[None]) -> None:
        if call.cancel():
            self._left()
            self._submit(self._pool, self._turn_away, flight)

    def _turn_away(self, flight: _Flight) -> None:
        error = UpstreamError("too many launches at once", path=_PATH, retry_after=2)
        self._failed(flight, error, "Busy")
        self._land(flight, error)
        self._give_back(flight, None)

    def _left(self) -> None:
        with self._lock:
            self._under_way -= 1

    def _call(self, flight: _Flight) -> None:
        try:
            if self._monotonic() - flight.queued > self._settings.max_wait:
                self._turn_away(flight)
            elif not self._breaker.enter():
                wait = max(1.0, self._breaker.wait())
                error = UpstreamError("it has failed too often", path=_PATH, retry_after=wait)
                self._failed(flight, error, "CircuitOpen")
                self._land(flight, error)
                self._give_back(flight, None)
            else:
                self._fetch(flight)
        finally:
            self._left()

    def _fetch(self, flight: _Flight) -> None:
        outcome: Outcome
        asked_at = self._clock()
        self.stats.fetches += 1
        try:
            outcome = self._entry(flight, self._source.id_token(flight.ltik), asked_at)
        except ApiError as error:
            outcome = error
        except BaseException as error:  # noqa: BLE001 - the lease has to be given back
            _log.error("launch %s: %s in the fetch", flight.launch_id, type(error).__name__)
            outcome = UpstreamError("the fetch failed", path=_PATH)
        self._judge(outcome)
        if isinstance(outcome, LaunchExpired):
            self.stats.refused += 1
        elif isinstance(outcome, ApiError):
            self._failed(flight, outcome)
        self._land(flight, outcome)
        self._publish(flight, outcome)

    def _judge(self, outcome: Outcome) -> None:
        """What an outcome says of LTIAAS as a whole. An answer is an answer, even to an ltik that
        is over, where one LMS's claims are nonsense (status 200), or where something before LTIAAS
        refuses what somebody made up (4xx)."""
        wait = outcome.retry_after if isinstance(outcome, ApiError) else None
        limited = isinstance(outcome, RateLimited)
        if wait is not None and (limited or isinstance(outcome, UpstreamError)):
            self._breaker.hold(min(wait, _LONGEST_HOLD))
        elif limited or (
            isinstance(outcome, UpstreamError) and (outcome.status is None or outcome.status >= 500)
        ):
            self._breaker.failed()
        else:
            self._breaker.succeeded()

    def _land(self, flight: _Flight, outcome: Outcome) -> None:
        """Keep what came of a flight, then tell everyone who waits for it."""
        with self._lock:
            if self._flights.get(flight.launch_id) is not flight:
                return
            confirms = False
            if isinstance(outcome, CachedLaunch):
                confirms = flight.confirms and not outcome.confirmed
                outcome.confirmed |= flight.confirms
                self._launches.put(outcome)
            elif isinstance(outcome, LaunchExpired):
                self._launches.refuse(flight.launch_id, self._clock())
            else:
                outcome = self._serve_on(flight.launch_id, self._monotonic()) or outcome
            del self._flights[flight.launch_id]
        if confirms and isinstance(outcome, CachedLaunch):
            self.confirm(outcome)
        flight.set_result(outcome)

    def _publish(self, flight: _Flight, outcome: Outcome) -> None:
        """Tell the other workers what came of a fetch."""
        shared = self._shared
        if shared is None:
            return
        failure = None
        if isinstance(outcome, CachedLaunch):
            self._ignoring(lambda: shared.put(outcome))
        elif isinstance(outcome, LaunchExpired):
            self._ignoring(lambda: shared.refuse(flight.launch_id, self._clock()))
        else:
            failure = type(outcome).__name__
        self._give_back(flight, failure)

    def _give_back(self, flight: _Flight, failure: str | None) -> None:
        shared, lease = self._shared, flight.lease
        if shared is not None and lease is not None:
            # First, so that no renewal takes it again.
            flight.lease = None
            self._ignoring(lambda: shared.release(lease, failure))

    def _failed(self, flight: _Flight, error: ApiError, kind: str | None = None) -> None:
        self.stats.upstream_error(error, kind)
        if isinstance(error, ApiKeyRejected):
            _log.error(
                "LTIAAS refuses the API key of %s: no launch can work until it is set right",
                self._settings.url,
            )
        else:
            _log.warning("launch %s could not be verified: %s", flight.launch_id, error)

    def _serve_on(self, launch_id: str, now: float) -> CachedLaunch | None:
        """A launch verified before is served while LTIAAS fails, and asked again after a while."""
        entry = self._get(launch_id)
        if entry is None or now >= entry.ends:
            return None
        if now >= entry.trusted:
            self.stats.stale_served += 1
        grace = min(_GRACE, self._settings.ttl) * random.uniform(0.6, 1)  # noqa: S311 - no secret
        entry.refresh = entry.trusted = max(entry.trusted, now + grace)
        self._launches.mark_used(entry, now)
        return entry

    def _entry(self, flight: _Flight, claims: bytes, asked_at: float) -> CachedLaunch:
        wall = self._clock()
        ends_at = launch_end(flight.ltik, wall)
        if ends_at is None:
            before = self._get(flight.launch_id)
            ends_at = before.ends_at if before is not None else wall + DAY
        if ends_at <= wall:
            raise LaunchExpired("the launch's 24 hours are over", path=_PATH)
        return self._freshness.entry(
            id=flight.launch_id,
            ltik=flight.ltik,
            claims=claims,
            ends_at=ends_at,
            verified_at=asked_at,
        )

    def _patience(self) -> float:
        return self._settings.deadline + 1.0

    def _patience_for(self, flight: _Flight) -> float:
        if flight.entry is None:
            return self._patience()
        return min(self._patience(), _KNOWN_PATIENCE)

    def _gave_up(self, flight: _Flight) -> Outcome:
        with self._lock:
            entry = self._serve_on(flight.launch_id, self._monotonic())
        return entry or UpstreamError("no answer in time", path=_PATH)

    # -- other workers ----------------------------------------------------------------------------

    def _listen(self) -> None:
        if self._shared is not None:
            self._shared.listen(self._heard, self._missed)

    def _heard(self, kind: str, launch_id: str, at: float) -> None:
        if kind == "over":
            # What is not in memory may be on its way there, read from the store a moment before.
            lately = abs(self._clock() - at) < REFUSED_FOR
            self._take_note(launch_id, Found(None, lately, False, at))
        elif kind == "confirmed":
            self._take_note(launch_id, Found(None, False, True))

    def _missed(self) -> None:
        """Ask about all that is in memory what may have been told while nobody listened."""
        launch_ids = self._launches.ids()
        assert self._shared is not None
        try:
            for launch_id, found in zip(launch_ids, self._shared.marks(launch_ids), strict=True):
                self._take_note(launch_id, found)
        except StoreUnavailable:
            # The store is gone again, and with it the connection that this was called for.
            pass

    def _in_background(self, call: Callable[[], object]) -> None:
        # Closed: there is nobody left to tell it for.
        with contextlib.suppress(RuntimeError):
            self._pool.submit(self._ignoring, call)

    @staticmethod
    def _ignoring(call: Callable[[], object]) -> None:
        """Make a call whose failure changes nothing here; the store has counted it."""
        with contextlib.suppress(StoreUnavailable):
            call()

    def _submit(
        self, pool: ThreadPoolExecutor, step: Callable[[_Flight], None], flight: _Flight
    ) -> None:
        try:
            pool.submit(self._guarded, step, flight)
        except RuntimeError:
            self._land(flight, UpstreamError("this worker is shutting down"))

    def _guarded(self, step: Callable[[_Flight], None], flight: _Flight) -> None:
        """Run a step of a flight, and land the flight should the step come to nothing."""
        try:
            step(flight)
        except BaseException as error:  # noqa: BLE001 - a flight that never lands hangs its waiters
            _log.error("launch %s: %s on the way", flight.launch_id, type(error).__name__)
            self._land(flight, UpstreamError("the fetch failed", path=_PATH))


class _Flight(Future[Outcome]):
    """One call to LTIAAS under way, and everyone who waits for it."""

    def __init__(self, launch_id: str, ltik: str, entry: CachedLaunch | None, since: float) -> None:
        super().__init__()
        self.launch_id = launch_id
        self.ltik = ltik
        #: What is known already, and served on should the flight fail.
        self.entry = entry
        self.since = since
        self.queued = since
        self.looked = False
        self.lease: Lease | None = None
        #: Whether anyone who waits has the launch's cookie.
        self.confirms = False
        self.set_running_or_notify_cancel()


def _refused() -> LaunchExpired:
    return LaunchExpired("LTIAAS refused it a moment ago", status=401, path=_PATH)


def launch_end(ltik: str, now: float) -> float | None:
    """When a launch ends by its ltik's own ``iat`` and ``exp`` (seconds since the epoch).

    They are hints (wire.md, "The launch redirect"): None where they are missing or implausible.
    LTIAAS alone says whether the ltik is good; these can only make a launch end earlier.

    Args:
        ltik: the token.
        now: seconds since the epoch.
    """
    issued, ends = _hints(ltik)
    if issued is not None and issued > now + _SKEW:
        return None
    if issued is not None:
        return min(ends, issued + DAY) if ends is not None and ends > issued else issued + DAY
    if ends is not None and ends <= now + DAY + _SKEW:
        return ends
    return None


def launch_start(ltik: str, now: float) -> float | None:
    """When a launch began by its ltik's own ``iat`` (seconds since the epoch); None where it is
    missing or in the future. A hint, as in ``launch_end``.

    Args:
        ltik: the token.
        now: seconds since the epoch.
    """
    issued, _ = _hints(ltik)
    return None if issued is None or issued > now + _SKEW else issued


def _hints(ltik: str) -> tuple[float | None, float | None]:
    try:
        payload = ltik.split(".")[1]
        hints = json.loads(urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        return _moment(hints.get("iat")), _moment(hints.get("exp"))
    except (ValueError, IndexError, AttributeError, RecursionError):
        return None, None


def _moment(value: Any) -> float | None:
    """A time in seconds since the epoch, if it can be one: LTI 1.3 is younger than 2015."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value) if 1_420_070_400 <= value <= 32_503_680_000 else None
