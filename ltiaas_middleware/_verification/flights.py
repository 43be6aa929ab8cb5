"""Single-flight: however many ask for a launch at once, it is verified once.

A *flight* is a future that everyone who asks for the same launch waits on together. Nobody who
gives up, disconnects or is cancelled takes it from the others. It *lands* with an outcome: a value,
not an exception, because one exception object raised in two hundred threads would collect two
hundred tracebacks.

While LTIAAS fails, a launch that was verified before is served on (stale-if-error, RFC 5861
section 4) until its 24 hours are over.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextvars import copy_context
from copy import copy
from typing import TypeAlias

from cachetools import TTLCache

from ..errors import ApiError, LaunchExpired, UpstreamError
from ..settings import Settings
from .launches import ENDED, REJECTED_FOR, CachedLaunch, LaunchCache, Verification, has_ended
from .limits import PATH, client_of
from .shared import Seen
from .stats import Stats

__all__ = ["Flight", "Flights", "Outcome", "over", "rejected"]

_log = logging.getLogger("ltiaas_middleware")

Outcome: TypeAlias = CachedLaunch | ApiError

# After a failed refresh a launch is served on for this long (seconds) before LTIAAS is asked again:
# at most, and a random part of it, so that what failed together is not asked for together.
_GRACE = 15.0
# A refusal that is no expired ltik lasts until somebody changes the account or the LMS.
# It is told again, without a call, for so long (seconds), to so many launches.
_PERMANENT_KEPT = 30.0
_PERMANENT_MOST = 1_000
# After so many deadlines a flight is given up for lost (a look-up in the DNS has no timeout), and
# another one may start.
_LOST_AFTER = 3


class Flight(Future[Outcome]):
    """One verification under way, and everyone who waits for it.

    Attributes:
        launch_id: of the launch.
        ltik: the token itself, a secret.
        previous: the launch as it was verified before, served on should the flight fail; or None.
        since: when it began (monotonic).
        client: whom the limits count it for.
        binds: whether anyone who waits has the launch's cookie.
        authenticated: whether anyone who waits is.
        context: of the request that began it.
    """

    def __init__(self, of: Verification, previous: CachedLaunch | None, since: float) -> None:
        super().__init__()
        self.ltik, self.launch_id, self.binds, authenticated, _, address = of
        self.previous = previous
        self.since = since
        self.authenticated = authenticated or previous is not None
        # The limits know who is authenticated by the launch: one of many.
        self.client = self.launch_id if self.authenticated else client_of(address)
        # Since when it waits for its turn, and whether the limits count it as a stranger's.
        self.queued_at = since
        self.counted = False
        # Whether other workers were told that its cookie has come back.
        self.stored_bound = True
        self.context = copy_context()
        # A future that is running cannot be cancelled by one of its waiters.
        self.set_running_or_notify_cancel()


class Flights:
    """The flights of one process, and what they leave in its memory.

    Args:
        launches: the memory.
        start: gets a new flight under way; must not block.
    """

    def __init__(
        self,
        settings: Settings,
        launches: LaunchCache,
        stats: Stats,
        *,
        start: Callable[[Flight], None],
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._launches = launches
        self.peek = launches.get
        self.is_rejected = launches.is_rejected
        self._stats = stats
        self._start = start
        self._clock = clock
        self._monotonic = monotonic
        self._lost_after = _LOST_AFTER * settings.timeout
        # Bounded apart, so that refusals push no launch out.
        self._permanent: TTLCache[str, ApiError] = TTLCache(
            _PERMANENT_MOST, _PERMANENT_KEPT, timer=lambda: self._monotonic()
        )
        # What is in memory and what is under way change together.
        self._lock = threading.Lock()
        self._under_way: dict[str, Flight] = {}

    def under_way(self) -> list[Flight]:
        """All flights that have not landed."""
        with self._lock:
            return list(self._under_way.values())

    def join(self, verification: Verification, *, background: bool = False) -> Outcome | Flight:
        """The flight to wait for: the one under way, or a new one; or an outcome, where none is
        needed.

        Args:
            verification: what is to be verified.
            background: whether nobody waits: the launch is to be refreshed ahead of its time.
        """
        launch_id = verification.launch_id
        with self._lock:
            lost = self._under_way.get(launch_id)
            now = self._monotonic()
            if lost is not None and now - lost.since <= self._lost_after:
                lost.binds |= verification.binds
                lost.authenticated |= verification.authenticated
                if not background:
                    self._stats.count("coalesced")
                return lost
            if self._launches.is_rejected(launch_id):
                self._stats.count("rejected")
                return rejected()
            if has_ended(verification.ltik, self._clock()):
                return over()
            current = self._launches.get(launch_id)
            # Another flight may have landed since the caller looked.
            if current is not None and now < (current.refresh if background else current.trusted):
                return current
            if current is None and launch_id in self._permanent:
                self._stats.count("rejected")
                return copy(self._permanent[launch_id])
            if not background:
                self._stats.count("misses")
            flight = self._under_way[launch_id] = Flight(verification, current, now)
        if lost is not None:
            _log.error(
                "launch %s could not be verified: the call did not finish in time", launch_id
            )
            lost.set_result(UpstreamError("no response in time", path=PATH))
        self._start(flight)
        return flight

    def land(self, flight: Flight, outcome: Outcome) -> None:
        """Keep what came of a flight, then tell everyone who waits for it. Does nothing if it has
        landed before."""
        with self._lock:
            if self._under_way.get(flight.launch_id) is not flight:
                return
            if isinstance(outcome, CachedLaunch):
                # The cookie may have come back since the outcome was made.
                self._launches.put(outcome, cookie_bound=flight.binds)
                # What was rejected in the meantime is not kept.
                outcome = self._launches.get(flight.launch_id) or rejected()
            elif isinstance(outcome, LaunchExpired):
                self._launches.reject(flight.launch_id, self._clock())
            else:
                if not outcome.temporary:
                    # A copy has no traceback, which holds the locals of the call.
                    self._permanent[flight.launch_id] = copy(outcome)
                outcome = self._serve_on(flight.launch_id) or outcome
            del self._under_way[flight.launch_id]
        flight.set_result(outcome)

    def gave_up(self, flight: Flight) -> Outcome:
        """What to tell someone who has waited long enough."""
        with self._lock:
            entry = self._serve_on(flight.launch_id)
        return entry or UpstreamError("no answer yet", path=PATH, retry_after=2)

    def learn(self, launch_id: str, seen: Seen) -> None:
        """Bring the memory up to what other workers know."""
        with self._lock:
            local = self._launches.get(launch_id)
            if seen.over is not None:
                lately = abs(self._clock() - seen.over) < REJECTED_FOR or seen.over == ENDED
                if lately if local is None else local.verified_at <= seen.over:
                    self._launches.reject(launch_id, seen.over)
            elif seen.entry is not None and (
                local is None or local.verified_at < seen.entry.verified_at
            ):
                # However old: it is what is served should LTIAAS fail.
                self._launches.put(seen.entry)
                if local is None and launch_id not in self._under_way:
                    self._stats.count("shared_hits")
            if seen.bound:
                self._launches.replace(launch_id, cookie_bound=True)

    def end(self, launch_id: str) -> None:
        """End a launch for good."""
        with self._lock:
            self._launches.reject(launch_id, ENDED)

    def close(self) -> None:
        """Land what is still under way."""
        for flight in self.under_way():
            self.land(flight, UpstreamError("this worker is shutting down", path=PATH))

    def _serve_on(self, launch_id: str) -> CachedLaunch | None:
        now = self._monotonic()
        entry = self._launches.get(launch_id)
        if entry is None:
            return None
        grace = min(_GRACE, self._settings.ttl) * random.uniform(0.6, 1)  # noqa: S311 - no secret
        again = now + grace
        # A refresh that failed ahead of its time takes no trust away.
        trusted = max(entry.trusted, again)
        served = self._launches.replace(launch_id, refresh=again, trusted=trusted)
        if served is not None and now >= entry.trusted:
            self._stats.count("stale_served")
        return served


def rejected() -> LaunchExpired:
    """What is told of an ltik that LTIAAS rejected a moment ago."""
    return LaunchExpired("LTIAAS rejected it a moment ago, or it was ended", status=401, path=PATH)


def over() -> LaunchExpired:
    """What is told of a launch that has lasted for 24 hours."""
    return LaunchExpired("the launch's 24 hours are over", path=PATH)
