"""A flight across workers that share a store.

A flight first looks into the store, then asks for the launch's *lease*. The worker that has it
calls LTIAAS; the others look again every tenth of a second and find its result. The lease is
renewed while the call is under way, so that it outlasts any call and, by its length, a killed
worker. Where the store fails, a flight goes on without it.
"""

from __future__ import annotations

import contextlib
import enum
import random
import time
from collections.abc import Callable
from functools import partial

from ..errors import (
    AccessForbidden,
    AnonymousLaunch,
    ApiError,
    ApiKeyRejected,
    LaunchExpired,
    PlatformInactive,
    RateLimited,
    UpstreamError,
)
from ..settings import Settings
from .flights import Flight, Flights, refused
from .launches import CachedLaunch
from .memory import LaunchCache
from .pool import Pool
from .stats import Stats
from .store import REFUSED_FOR, Found, Lease, SharedStore, StoreUnavailable
from .timer import Timer
from .upstream import PATH, Failure, Reply, Upstream

__all__ = ["Sharing"]

# Seconds between two looks at what a worker that holds the lease has found, at least and at most.
_LOOK_AGAIN = (0.05, 0.15)
# What a worker that waited is told of the holder's failure; anything else is an UpstreamError.
_FAILURES_BY_NAME: dict[str, type[ApiError]] = {
    kind.__name__: kind
    for kind in (AccessForbidden, AnonymousLaunch, ApiKeyRejected, PlatformInactive, RateLimited)
}


class _State(enum.Enum):
    #: The store has not been asked yet.
    LOOKING = enum.auto()
    #: Another worker has the lease.
    WAITING = enum.auto()
    #: The lease is ours, and LTIAAS is being asked.
    HOLDING = enum.auto()
    #: The store failed, and LTIAAS is being asked without a lease.
    ALONE = enum.auto()
    #: The flight has landed, and the lease, if it was ours, is given back.
    DONE = enum.auto()


class _Journey:
    """Where a flight stands between the workers."""

    __slots__ = ("flight", "lease", "state")

    def __init__(self, flight: Flight) -> None:
        self.flight = flight
        self.state = _State.LOOKING
        self.lease: Lease | None = None


class Sharing:
    """What other workers know, and what they are told.

    Args:
        settings: limits and times.
        shared: the store.
        flights: the flights of this process.
        launches: the memory of this process.
        upstream: calls to LTIAAS.
        pool: threads that may wait for the store.
        timer: for looking again and for renewing leases.
        stats: counters.
        clock: seconds since the epoch.
        monotonic: seconds of a clock that nobody sets.
    """

    def __init__(
        self,
        settings: Settings,
        shared: SharedStore,
        flights: Flights,
        launches: LaunchCache,
        upstream: Upstream,
        pool: Pool,
        timer: Timer,
        stats: Stats,
        *,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._shared = shared
        self._flights = flights
        self._launches = launches
        self._upstream = upstream
        self._pool = pool
        self._timer = timer
        self._stats = stats
        self._clock = clock
        self._monotonic = monotonic

    def start(self, flight: Flight) -> None:
        """Get a flight under way. Does not block."""
        self._go_on(_Journey(flight))

    def recall(self, launch_id: str) -> None:
        """Bring the memory up to what all workers know of a launch. May wait for the store; where
        that fails, nothing changes."""
        with contextlib.suppress(StoreUnavailable):
            self._flights.learn(launch_id, self._shared.find(launch_id))
        self._listen()

    def confirm(self, entry: CachedLaunch) -> None:
        """Tell all workers that a launch's cookie came back. Does not block."""
        self._in_background(partial(self._shared.confirm, entry))

    def use_once(self, token: str) -> bool:
        """Whether no worker has used a handoff token before. May wait for the store; True where
        that fails."""
        try:
            return self._shared.use_once(token)
        except StoreUnavailable:
            return True

    def close(self) -> None:
        """Stop listening, and close what the store opened."""
        self._shared.close()

    # -- a flight ---------------------------------------------------------------------------------

    def _go_on(self, journey: _Journey) -> None:
        flight = journey.flight
        try:
            self._pool.submit(self._flights.guard, flight, partial(self._step, journey))
        except RuntimeError:
            # Without a thread to wait for the store in, or shut down.
            self._fetch(journey, _State.ALONE)

    def _step(self, journey: _Journey) -> None:
        shared, flight = self._shared, journey.flight
        self._listen()
        try:
            if journey.state is _State.LOOKING and self._settle(
                journey, shared.find(flight.launch_id)
            ):
                return
            turn = shared.begin(flight.launch_id)
        except StoreUnavailable:
            self._fetch(journey, _State.ALONE)
            return
        journey.lease = turn.lease
        if self._settle(journey, turn.found):
            self._give_back(journey, None)
        elif turn.lease is not None:
            self._timer.call(shared.lease / 3, partial(self._renew, journey))
            self._fetch(journey, _State.HOLDING)
        elif turn.failure is not None:
            journey.state = _State.DONE
            self._stats.count("coalesced")
            kind = _FAILURES_BY_NAME.get(turn.failure, UpstreamError)
            error = kind("it failed for another worker a moment ago", path=PATH)
            self._flights.land(flight, error)
        elif self._monotonic() - flight.since > self._settings.deadline:
            journey.state = _State.DONE
            error = UpstreamError("no answer to another worker in time", path=PATH)
            self._flights.fail(flight, error, "Waited")
        else:
            journey.state = _State.WAITING
            pause = random.uniform(*_LOOK_AGAIN)  # noqa: S311 - no secret
            self._timer.call(pause, partial(self._go_on, journey))

    def _settle(self, journey: _Journey, found: Found) -> bool:
        """Land a flight with what other workers know, if that will do."""
        flight = journey.flight
        self._flights.learn(flight.launch_id, found)
        if found.refused:
            self._stats.count("refused")
            self._flights.land(flight, refused())
        elif found.entry is None:
            return False
        else:
            # A refresh wants what is younger than that which it is to replace.
            entry, refreshing = found.entry, flight.known is not None
            if self._monotonic() >= (entry.refresh if refreshing else entry.trusted):
                return False
            self._stats.count("shared_hits")
            self._flights.land(flight, entry)
        journey.state = _State.DONE
        return True

    def _fetch(self, journey: _Journey, state: _State) -> None:
        journey.state = state
        flight = journey.flight
        self._upstream.fetch(flight.ltik, partial(self._fetched, journey), flight.context)

    def _fetched(self, journey: _Journey, reply: Reply) -> None:
        """Land a flight with LTIAAS's reply, then tell the other workers."""
        flight = journey.flight

        def land_and_tell() -> None:
            outcome = self._flights.complete(flight, reply)
            failure = None
            if isinstance(outcome, CachedLaunch):
                self._ignoring(partial(self._shared.put, outcome))
            elif isinstance(outcome, LaunchExpired):
                self._ignoring(partial(self._shared.refuse, flight.launch_id, self._clock()))
            elif isinstance(reply, Failure) and reply.asked:
                failure = type(outcome).__name__
            self._give_back(journey, failure)

        self._flights.guard(flight, land_and_tell)

    def _renew(self, journey: _Journey) -> None:
        """Keep a lease while its flight is under way. Called by the timer."""
        flight, lease = journey.flight, journey.lease
        # A lost flight may not keep all workers from asking for ever.
        if lease is None or flight.done() or self._flights.is_lost(flight):
            return

        def renew() -> None:
            if journey.lease is not None and not flight.done() and not self._shared.renew(lease):
                self._stats.count("lost_leases")

        self._in_background(renew)
        self._timer.call(self._shared.lease / 3, partial(self._renew, journey))

    def _give_back(self, journey: _Journey, failure: str | None) -> None:
        # The lease is taken from the journey first, so that no renewal takes it again.
        lease, journey.lease = journey.lease, None
        journey.state = _State.DONE
        if lease is not None:
            self._ignoring(partial(self._shared.release, lease, failure))

    # -- news -------------------------------------------------------------------------------------

    def _listen(self) -> None:
        self._shared.listen(self._heard, self._missed)

    def _heard(self, kind: str, launch_id: str, at: float) -> None:
        if kind == "over":
            # What is not in memory may be on its way there, read from the store a moment before.
            lately = abs(self._clock() - at) < REFUSED_FOR
            self._flights.learn(launch_id, Found(None, lately, False, at))
        elif kind == "confirmed":
            self._flights.learn(launch_id, Found(None, False, True))

    def _missed(self) -> None:
        """Ask about all that is in memory what may have been told while nobody listened."""
        launch_ids = self._launches.ids()
        try:
            for launch_id, found in zip(launch_ids, self._shared.marks(launch_ids), strict=True):
                self._flights.learn(launch_id, found)
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
