"""A flight across workers that share a store.

A flight looks into the store and asks for the launch's *lease*, in one round trip. The worker that
has it calls LTIAAS and puts the result into the store before it answers anyone, so that the next
request finds it in any worker; the others look again every tenth of a second. The lease is renewed
while the call is under way, so that it outlasts any call and, by its length, a killed worker.

Where the store fails, a flight goes on alone. Where it takes longer than two of its timeouts, too:
a client that waits and retries as it likes holds up a thread, and no launch.
"""

from __future__ import annotations

import contextlib
import enum
import random
import threading
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
from .flights import Flight, Flights, Outcome, refused
from .launches import CachedLaunch
from .memory import LaunchCache
from .pool import Pool
from .stats import Stats
from .store import REFUSED_FOR, Found, Lease, SharedStore, Standing, StoreUnavailable, Turn
from .timer import Timer
from .upstream import PATH, Failure, Reply, Upstream

__all__ = ["Sharing"]

# Seconds between two looks at what a worker that holds the lease has found, at least and at most.
_LOOK_AGAIN = (0.05, 0.15)
# What a worker that waited is told of the holder's failure; anything else is an UpstreamError.
_FAILURES_BY_NAME: dict[str, type[ApiError]] = {
    kind.__name__: kind
    for kind in (
        AccessForbidden,
        AnonymousLaunch,
        ApiError,
        ApiKeyRejected,
        PlatformInactive,
        RateLimited,
    )
}


class _State(enum.Enum):
    #: The store is being asked.
    LOOKING = enum.auto()
    #: Another worker has the lease; the store will be asked again.
    WAITING = enum.auto()
    #: The lease is ours, and LTIAAS is being asked.
    HOLDING = enum.auto()
    #: The store failed or is slow, and LTIAAS is being asked all the same.
    ALONE = enum.auto()
    #: The flight has landed, and the lease, if it was ours, is given back.
    DONE = enum.auto()


class _Journey:
    """Where a flight stands between the workers."""

    __slots__ = ("asked", "flight", "lease", "looks", "state")

    def __init__(self, flight: Flight) -> None:
        self.flight = flight
        self.state = _State.LOOKING
        self.lease: Lease | None = None
        # How often the store was to be asked, and how often a thread came to do it.
        self.looks = 0
        self.asked = 0


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
        # The states and leases of all journeys.
        self._lock = threading.Lock()

    def start(self, flight: Flight) -> None:
        """Get a flight under way. Does not block."""
        self._look(_Journey(flight))

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
        that cannot be asked."""
        self._listen()
        try:
            return self._shared.use_once(token)
        except StoreUnavailable:
            return True

    def close(self) -> None:
        """Stop listening, and close what the store opened."""
        self._shared.close()

    # -- a flight ---------------------------------------------------------------------------------

    def _look(self, journey: _Journey) -> None:
        flight = journey.flight
        with self._lock:
            journey.state = _State.LOOKING
            journey.looks += 1
            number = journey.looks
        patience = 2 * self._settings.cache_timeout
        self._timer.call(patience, partial(self._overdue, journey, number))
        try:
            self._pool.submit(self._flights.guard, flight, partial(self._looked, journey))
        except RuntimeError:
            # Without a thread to wait for the store in, or shut down.
            self._go_alone(journey, number)

    def _overdue(self, journey: _Journey, number: int) -> None:
        """Go on without the store, where a look at it has not ended. Called by the timer."""
        if self._go_alone(journey, number) and journey.asked == number:
            self._shared.overdue()

    def _go_alone(self, journey: _Journey, number: int) -> bool:
        with self._lock:
            if journey.state is not _State.LOOKING or journey.looks != number:
                return False
            journey.state = _State.ALONE
        self._fetch(journey)
        return True

    def _looked(self, journey: _Journey) -> None:
        """Look into the store, and go on by what it says."""
        self._listen()
        flight = journey.flight
        journey.asked = number = journey.looks
        try:
            turn = self._begin(flight, anyway=False)
            will_do = self._will_do(flight, turn.found)
            if turn.standing is Standing.KNOWN and not will_do:
                # What is known is old, or was not put there by us.
                turn = self._begin(flight, anyway=True)
                will_do = self._will_do(flight, turn.found)
        except StoreUnavailable:
            self._go_alone(journey, number)
            return
        with self._lock:
            journey.lease = turn.lease
            looking = journey.state is _State.LOOKING
            if looking:
                journey.state = _next_state(turn, will_do)
        if will_do:
            self._land(journey, turn.found)
        elif turn.standing is Standing.OURS:
            # Where LTIAAS is being asked already, the other workers wait for that.
            self._timer.call(self._shared.lease / 3, partial(self._renew, journey))
            if looking:
                self._fetch(journey)
            elif flight.done():
                self._in_background(partial(self._give_back, journey))
        elif looking and journey.state is _State.ALONE:
            self._fetch(journey)
        elif looking:
            self._wait(journey, turn)

    def _begin(self, flight: Flight, *, anyway: bool) -> Turn:
        turn = self._shared.begin(flight.launch_id, anyway=anyway)
        # However old: it is what is served should LTIAAS fail.
        self._flights.learn(flight.launch_id, turn.found)
        return turn

    def _wait(self, journey: _Journey, turn: Turn) -> None:
        """Another worker has the lease, or had it a moment ago."""
        flight = journey.flight
        if turn.standing is Standing.FAILED:
            self._stats.count("coalesced")
            kind = _FAILURES_BY_NAME.get(turn.failure or "", UpstreamError)
            error = kind("it failed for another worker a moment ago", path=PATH)
            self._flights.land(flight, error)
        elif self._monotonic() - flight.since > self._settings.deadline:
            error = UpstreamError("no answer to another worker in time", path=PATH)
            self._flights.fail(flight, error, "Waited")
        else:
            pause = random.uniform(*_LOOK_AGAIN)  # noqa: S311 - no secret
            self._timer.call(pause, partial(self._look, journey))

    def _will_do(self, flight: Flight, found: Found) -> bool:
        """Whether a flight can land with what other workers know."""
        if found.entry is None or found.refused:
            return found.refused
        # A refresh wants what is younger than that which it is to replace.
        refreshing = flight.known is not None
        return self._monotonic() < (found.entry.refresh if refreshing else found.entry.trusted)

    def _land(self, journey: _Journey, found: Found) -> None:
        self._stats.count("shared_hits" if found.entry is not None else "refused")
        self._flights.land(journey.flight, found.entry or refused())
        self._give_back(journey)

    def _fetch(self, journey: _Journey) -> None:
        flight = journey.flight
        self._upstream.fetch(
            flight.ltik,
            partial(self._fetched, journey),
            flight.context,
            address=flight.address,
            known=flight.known is not None,
        )

    def _fetched(self, journey: _Journey, reply: Reply) -> None:
        """Tell the other workers what LTIAAS replied, and land the flight with it: afterwards, so
        that the next request finds it in whichever worker, or when the store has had its time."""
        flight = journey.flight

        def go_on() -> None:
            outcome = self._flights.outcome(flight, reply)
            land = partial(self._flights.land, flight, outcome)
            tell = partial(self._tell, journey, reply, outcome)
            if journey.state is _State.HOLDING:
                self._timer.call(self._settings.cache_timeout, land)
            else:
                land()
            try:
                # Not in this thread: it is one of those that LTIAAS is called in.
                self._pool.submit(self._flights.guard, flight, partial(_in_order, tell, land))
            except RuntimeError:
                land()

        self._flights.guard(flight, go_on)

    def _tell(self, journey: _Journey, reply: Reply, outcome: Outcome) -> None:
        launch_id = journey.flight.launch_id
        if isinstance(outcome, CachedLaunch):
            self._ignoring(partial(self._shared.put, outcome, self._done(journey)))
        elif isinstance(outcome, LaunchExpired):
            refuse = partial(self._shared.refuse, launch_id, self._clock(), self._done(journey))
            self._ignoring(refuse)
        else:
            asked = isinstance(reply, Failure) and reply.asked
            self._give_back(journey, type(outcome).__name__ if asked else None)

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

    def _give_back(self, journey: _Journey, failure: str | None = None) -> None:
        lease = self._done(journey)
        if lease is not None:
            self._ignoring(partial(self._shared.release, lease, failure))

    def _done(self, journey: _Journey) -> Lease | None:
        """Take the lease from a journey that has ended, to be given back by the caller: first, so
        that no renewal takes it again."""
        with self._lock:
            lease, journey.lease = journey.lease, None
            journey.state = _State.DONE
        return lease

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
        elif kind == "used":
            self._launches.use_once(launch_id)

    def _missed(self) -> None:
        """Look up, for all that is in memory, what may have been told while nobody listened.

        Raises:
            StoreUnavailable: to be called again.
        """
        launch_ids = self._launches.ids()
        for launch_id, found in zip(launch_ids, self._shared.marks(launch_ids), strict=True):
            self._flights.learn(launch_id, found)

    def _in_background(self, call: Callable[[], object]) -> None:
        # Closed: there is nobody left to tell it for.
        with contextlib.suppress(RuntimeError):
            self._pool.submit(self._ignoring, call)

    @staticmethod
    def _ignoring(call: Callable[[], object]) -> None:
        """Make a call whose failure changes nothing here; the store has counted it."""
        with contextlib.suppress(StoreUnavailable):
            call()


def _next_state(turn: Turn, will_do: bool) -> _State:
    if will_do or turn.standing is Standing.FAILED:
        return _State.DONE
    by_standing = {Standing.OURS: _State.HOLDING, Standing.NOBODYS: _State.ALONE}
    return by_standing.get(turn.standing, _State.WAITING)


def _in_order(*calls: Callable[[], object]) -> None:
    for call in calls:
        call()
