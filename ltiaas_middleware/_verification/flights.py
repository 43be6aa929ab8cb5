"""Single-flight: verifies a launch once, however many requests ask for it at the same time.

A *flight* is a future that all requests for the same launch wait for. If one of them gives up,
disconnects or is canceled, the others are not affected. A flight *lands* with an outcome: a value,
not an exception, because an exception object that two hundred threads raise would collect two
hundred tracebacks.

While LTIAAS fails, the middleware keeps serving a launch that was verified before (stale-if-error,
RFC 5861 section 4) until its 24 hours are over.
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
from .launches import ENDED, REJECTED_FOR, CachedLaunch, LaunchCache, Verification, launch_end
from .limits import PATH, client_of
from .shared import Seen
from .stats import Stats

__all__ = ["Flight", "Flights", "Outcome", "over", "rejected"]

_log = logging.getLogger("ltiaas_middleware")

Outcome: TypeAlias = CachedLaunch | ApiError

# After a failed refresh, the maximum time (seconds) to serve a launch before asking LTIAAS again. A
# random part of it spreads the retries of launches that failed at the same time.
_GRACE = 15.0
# Any refusal other than a rejected ltik lasts until somebody changes the account or the LMS. How
# long (seconds), and for how many launches, to repeat it without a call.
_PERMANENT_KEPT = 30.0
_PERMANENT_MOST = 1_000
# After this many timeouts, a flight counts as lost (a DNS look-up has no timeout), and another one
# may start.
_LOST_AFTER = 3


class Flight(Future[Outcome]):
    """A verification in progress, and everyone who waits for it.

    Attributes:
        launch_id: the launch's id.
        ltik: the token itself, a secret.
        previous: the launch as verified before, which is served if the flight fails, or None.
        since: when the flight began (monotonic).
        ends_at: ``launch_end`` of the ltik.
        client: the client for the limits.
        binds: whether any waiting request has the launch's cookie.
        authenticated: whether any waiting request is authenticated.
        context: the context of the request that began the flight.
    """

    def __init__(
        self,
        of: Verification,
        previous: CachedLaunch | None,
        since: float,
        ends_at: float | None = None,
    ) -> None:
        super().__init__()
        self.ltik, self.launch_id, self.binds, authenticated, _, address = of
        self.previous = previous
        self.since = since
        self.ends_at = ends_at
        self.authenticated = authenticated or previous is not None
        # For authenticated requests, the limits treat each launch as a client.
        self.client = self.launch_id if self.authenticated else client_of(address)
        # When it began to wait for its turn, and whether the limits count it as a stranger's.
        self.queued_at = since
        self.counted = False
        # Whether other workers know that its cookie has come back.
        self.stored_bound = True
        self.context = copy_context()
        # A waiter cannot cancel a running future.
        self.set_running_or_notify_cancel()


class Flights:
    """The flights in one process, and their results in memory. ``start`` starts a new flight, and
    must not block."""

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
        # A separate, bounded cache, so that refusals never evict a launch.
        self._permanent: TTLCache[str, ApiError] = TTLCache(
            _PERMANENT_MOST, _PERMANENT_KEPT, timer=lambda: self._monotonic()
        )
        # Protects the cache and the flights in progress, which change together.
        self._lock = threading.Lock()
        self._under_way: dict[str, Flight] = {}

    def under_way(self) -> list[Flight]:
        """All flights that have not landed."""
        with self._lock:
            return list(self._under_way.values())

    def join(self, verification: Verification, *, background: bool = False) -> Outcome | Flight:
        """The flight to wait for: the one in progress or a new one. Or an outcome, if no flight is
        needed. ``background`` is an early refresh, for which nobody waits."""
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
            wall = self._clock()
            ends_at = launch_end(verification.ltik, wall)
            if ends_at is not None and ends_at <= wall:
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
            flight = self._under_way[launch_id] = Flight(verification, current, now, ends_at)
        if lost is not None:
            _log.error(
                "launch %s could not be verified: the call did not finish in time", launch_id
            )
            lost.set_result(UpstreamError("no response in time", path=PATH))
        self._start(flight)
        return flight

    def land(self, flight: Flight, outcome: Outcome) -> None:
        """Store the outcome of a flight, then pass it to everyone who waits. Does nothing if the
        flight has already landed."""
        with self._lock:
            if self._under_way.get(flight.launch_id) is not flight:
                return
            if isinstance(outcome, CachedLaunch):
                # The cookie may have come back since the outcome was made.
                self._launches.put(outcome, cookie_bound=flight.binds)
                # If LTIAAS rejected the launch in the meantime, it is not in the cache.
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
        """The outcome for a request that has waited long enough."""
        with self._lock:
            entry = self._serve_on(flight.launch_id)
        return entry or UpstreamError("no response yet", path=PATH, retry_after=2)

    def learn(self, launch_id: str, seen: Seen) -> None:
        """Update memory with what other workers know."""
        with self._lock:
            local = self._launches.get(launch_id)
            if seen.over is not None:
                lately = abs(self._clock() - seen.over) < REJECTED_FOR or seen.over == ENDED
                if lately if local is None else local.verified_at <= seen.over:
                    self._launches.reject(launch_id, seen.over)
            elif seen.entry is not None and (
                local is None or local.verified_at < seen.entry.verified_at
            ):
                # Keep the entry however old it is, because it can be served if LTIAAS fails.
                self._launches.put(seen.entry)
                if local is None and launch_id not in self._under_way:
                    self._stats.count("shared_hits")
            if seen.bound:
                self._launches.replace(launch_id, cookie_bound=True)

    def end(self, launch_id: str) -> None:
        """End a launch permanently."""
        with self._lock:
            self._launches.reject(launch_id, ENDED)

    def close(self) -> None:
        """Land all flights in progress."""
        for flight in self.under_way():
            self.land(flight, UpstreamError("this worker is shutting down", path=PATH))

    def _serve_on(self, launch_id: str) -> CachedLaunch | None:
        now = self._monotonic()
        entry = self._launches.get(launch_id)
        if entry is None:
            return None
        grace = min(_GRACE, self._settings.ttl) * random.uniform(0.6, 1)  # noqa: S311 - no secret
        again = now + grace
        # A failed early refresh does not shorten the time in which the entry is trusted.
        trusted = max(entry.trusted, again)
        served = self._launches.replace(launch_id, refresh=again, trusted=trusted)
        if served is not None and now >= entry.trusted:
            self._stats.count("stale_served")
        return served


def rejected() -> LaunchExpired:
    """The outcome for an ltik that LTIAAS rejected recently."""
    return LaunchExpired(
        "LTIAAS recently rejected the launch, or the app ended it", status=401, path=PATH
    )


def over() -> LaunchExpired:
    """The error for a launch whose 24 hours are over."""
    return LaunchExpired("the launch's 24 hours are over", path=PATH)
