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
from dataclasses import replace
from typing import TypeAlias

from cachetools import TTLCache

from ..errors import ApiError, ApiKeyRejected, LaunchExpired, UpstreamError
from ..settings import Settings
from .failure_log import FailureLog
from .launches import CachedLaunch, Freshness
from .ltik_times import DAY, launch_end
from .memory import LaunchCache
from .stats import Stats
from .store import Found
from .upstream import PATH, Answer, Failure, Reply

__all__ = ["Flight", "Flights", "Outcome", "refused"]

_log = logging.getLogger("ltiaas_middleware")

Outcome: TypeAlias = CachedLaunch | ApiError

# After a failed refresh a launch is served on for this long (seconds) before LTIAAS is asked again:
# at most, and a random part of it, so that what failed together is not asked for together.
_GRACE = 15.0
# A refusal that is no expired ltik lasts until somebody changes the account or the LMS.
# It is told again, without a call, for so long (seconds), to so many launches.
_REFUSAL_KEPT = 30.0
_REFUSALS_KEPT = 1_000
# After so many deadlines a flight is given up for lost (a look-up in the DNS has no timeout), and
# another one may start.
_LOST_AFTER = 3


class Flight(Future[Outcome]):
    """One verification under way, and everyone who waits for it.

    Attributes:
        launch_id: of the launch.
        ltik: the token itself, a secret.
        known: the launch as it was verified before, served on should the flight fail; or None.
        since: when it began (monotonic).
        confirms: whether anyone who waits has the launch's cookie.
        context: of the request that began it.
        address: of the client that began it, as the server tells it.
    """

    def __init__(
        self,
        launch_id: str,
        ltik: str,
        known: CachedLaunch | None,
        since: float,
        address: str = "",
    ) -> None:
        super().__init__()
        self.launch_id = launch_id
        self.ltik = ltik
        self.known = known
        self.since = since
        self.address = address
        self.confirms = False
        self.context = copy_context()
        # A future that is running cannot be cancelled by one of its waiters.
        self.set_running_or_notify_cancel()


class Flights:
    """The flights of one process, and what they leave in its memory.

    Args:
        settings: limits and times.
        launches: the memory.
        freshness: makes entries.
        stats: counters.
        start: gets a new flight under way; must not block.
        confirmed: told of a launch that landed with its cookie; must not block.
        clock: seconds since the epoch.
        monotonic: seconds of a clock that nobody sets.
    """

    def __init__(
        self,
        settings: Settings,
        launches: LaunchCache,
        freshness: Freshness,
        stats: Stats,
        *,
        start: Callable[[Flight], None],
        confirmed: Callable[[CachedLaunch], None],
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._launches = launches
        self._freshness = freshness
        self._stats = stats
        self._start = start
        self._confirmed = confirmed
        self._clock = clock
        self._monotonic = monotonic
        self._failure_log = FailureLog(monotonic)
        self._lost_after = _LOST_AFTER * settings.deadline
        # Bounded apart, so that refusals push no launch out.
        self._refusals: TTLCache[str, ApiError] = TTLCache(
            _REFUSALS_KEPT, _REFUSAL_KEPT, timer=lambda: self._monotonic()
        )
        # What is in memory and what is under way change together.
        self._lock = threading.Lock()
        self._under_way: dict[str, Flight] = {}

    def under_way(self) -> list[Flight]:
        """All flights that have not landed."""
        with self._lock:
            return list(self._under_way.values())

    def is_lost(self, flight: Flight) -> bool:
        """Whether a flight has taken so long that another may start."""
        return self._monotonic() - flight.since > self._lost_after

    def join(
        self,
        launch_id: str,
        ltik: str,
        *,
        confirms: bool = False,
        background: bool = False,
        address: str = "",
    ) -> Outcome | Flight:
        """The flight to wait for: the one under way, or a new one; or an outcome, where none is
        needed.

        Args:
            launch_id: of the ltik.
            ltik: a token of the right shape.
            confirms: whether it came in the launch's cookie.
            background: whether nobody waits: the launch is to be refreshed ahead of its time.
            address: of the client, as the server tells it.
        """
        lost = None
        with self._lock:
            flight = self._under_way.get(launch_id)
            if flight is not None and not self.is_lost(flight):
                flight.confirms |= confirms
                if not background:
                    self._stats.count("coalesced")
                return flight
            if self._launches.find(launch_id).refused:
                self._stats.count("refused")
                return refused()
            now = self._monotonic()
            current = self._launches.get(launch_id)
            # Another flight may have landed since the caller looked.
            if current is not None and now < (current.refresh if background else current.trusted):
                return current
            if current is None and launch_id in self._refusals:
                self._stats.count("refused")
                return _copy(self._refusals[launch_id])
            if not background:
                self._stats.count("misses")
            lost, flight = flight, Flight(launch_id, ltik, current, now, address)
            flight.confirms = confirms
            self._under_way[launch_id] = flight
        if lost is not None:
            _log.error("launch %s: LTIAAS has not answered, not even with an error", launch_id)
            lost.set_result(UpstreamError("no answer in time", path=PATH))
        self._start(flight)
        return flight

    def complete(self, flight: Flight, reply: Reply) -> None:
        """Land a flight with what LTIAAS replied."""
        self.land(flight, self.outcome(flight, reply))

    def outcome(self, flight: Flight, reply: Reply) -> Outcome:
        """What came of a flight: for other workers to be told, and for it to be landed with."""
        if isinstance(reply, Failure):
            self._note(flight, reply.error, reply.kind)
            return reply.error
        outcome = self._entry(flight, reply)
        if isinstance(outcome, CachedLaunch):
            # Confirmed from the moment in which it is known, whoever is there to be answered.
            return replace(outcome, confirmed=flight.confirms)
        self._stats.count("refused")
        return outcome

    def fail(self, flight: Flight, error: ApiError, kind: str) -> None:
        """Count and log a failure, and land the flight with it."""
        self._note(flight, error, kind)
        self.land(flight, error)

    def land(self, flight: Flight, outcome: Outcome) -> None:
        """Keep what came of a flight, then tell everyone who waits for it. Does nothing where it
        has landed before."""
        newly_confirmed = None
        with self._lock:
            if self._under_way.get(flight.launch_id) is not flight:
                return
            if isinstance(outcome, CachedLaunch):
                # The cookie may have come back since the outcome was made.
                self._launches.put(replace(outcome, confirmed=outcome.confirmed or flight.confirms))
                # What was refused in the meantime is not kept.
                kept = self._launches.get(flight.launch_id)
                if kept is not None and kept.confirmed and not outcome.confirmed:
                    newly_confirmed = kept
                outcome = kept or refused()
            elif isinstance(outcome, LaunchExpired):
                self._launches.refuse(flight.launch_id, self._clock())
            else:
                if not outcome.temporary:
                    self._refusals[flight.launch_id] = _copy(outcome)
                outcome = self._serve_on(flight.launch_id) or outcome
            del self._under_way[flight.launch_id]
        if newly_confirmed is not None:
            self._confirmed(newly_confirmed)
        flight.set_result(outcome)

    def gave_up(self, flight: Flight) -> Outcome:
        """What to tell someone who has waited long enough."""
        with self._lock:
            entry = self._serve_on(flight.launch_id)
        return entry or UpstreamError("no answer yet", path=PATH, retry_after=2)

    def learn(self, launch_id: str, found: Found) -> None:
        """Bring the memory up to what other workers know."""
        with self._lock:
            local = self._launches.get(launch_id)
            if found.refused_at is not None and (
                found.refused if local is None else local.verified_at < found.refused_at
            ):
                self._launches.refuse(launch_id, found.refused_at)
            elif local is None and found.entry is not None:
                # However old: it is what is served should LTIAAS fail.
                self._launches.put(found.entry)
                if launch_id not in self._under_way:
                    self._stats.count("shared_hits")
            elif local is not None and found.confirmed and not local.confirmed:
                self._launches.confirm(local)

    def guard(self, flight: Flight, step: Callable[[], object]) -> None:
        """Run a step of a flight, and land the flight should the step raise."""
        try:
            step()
        except BaseException as error:  # noqa: BLE001 - a flight that never lands hangs its waiters
            _log.error("launch %s: %s on the way", flight.launch_id, type(error).__name__)
            self.land(flight, UpstreamError("the fetch failed", path=PATH))

    def close(self) -> None:
        """Land what is still under way."""
        for flight in self.under_way():
            self.land(flight, UpstreamError("this worker is shutting down", path=PATH))

    def _note(self, flight: Flight, error: ApiError, kind: str) -> None:
        if isinstance(error, LaunchExpired):
            self._stats.count("refused")
            return
        self._stats.upstream_error(kind)
        if isinstance(error, ApiKeyRejected):
            _log.error(
                "LTIAAS refuses the API key of %s: no launch can work until it is set right",
                self._settings.url,
            )
        else:
            self._failure_log.failed(kind, flight.launch_id, error)

    def _serve_on(self, launch_id: str) -> CachedLaunch | None:
        now = self._monotonic()
        entry = self._launches.get(launch_id)
        if entry is None or now >= entry.ends:
            return None
        if now >= entry.trusted:
            self._stats.count("stale_served")
        grace = min(_GRACE, self._settings.ttl) * random.uniform(0.6, 1)  # noqa: S311 - no secret
        again = now + grace
        # A refresh that failed ahead of its time takes no trust away.
        return self._launches.replace(launch_id, refresh=again, trusted=max(entry.trusted, again))

    def _entry(self, flight: Flight, answer: Answer) -> Outcome:
        wall = self._clock()
        ends_at = launch_end(flight.ltik, wall)
        if ends_at is None:
            before = self._launches.get(flight.launch_id)
            ends_at = before.ends_at if before is not None else wall + DAY
        if ends_at <= wall:
            return LaunchExpired("the launch's 24 hours are over", path=PATH)
        return self._freshness.entry(
            id=flight.launch_id,
            ltik=flight.ltik,
            claims=answer.claims,
            ends_at=ends_at,
            verified_at=answer.asked_at,
        )


def refused() -> LaunchExpired:
    """What is told of an ltik that LTIAAS refused a moment ago."""
    return LaunchExpired("LTIAAS refused it a moment ago", status=401, path=PATH)


def _copy(error: ApiError) -> ApiError:
    """An error without its traceback, which holds the locals of the call."""
    return type(error)(
        error.description,
        status=error.status,
        code=error.code,
        method=error.method,
        path=error.path,
        retry_after=error.retry_after,
    )
