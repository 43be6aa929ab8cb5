"""Carries out flights: asks other workers, takes the launch's lease, waits for a turn, and calls
LTIAAS.

A flight looks into the shared store, if there is one, and takes the launch's *lease*. The worker
with the lease asks LTIAAS, and stores the result before it responds to anyone, so that the next
request finds it in any worker. The other workers look again every tenth of a second. A worker
renews its lease during the flight, so that the lease outlasts any call. If a worker is killed, its
lease expires. If the store fails, a flight continues without it.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable
from typing import Any

from .._rare_log import RareLog
from ..api.decoded import Decoded, DecodedTokens
from ..errors import (
    AnonymousLaunch,
    ApiError,
    ApiKeyRejected,
    Forbidden,
    LaunchExpired,
    PlatformInactive,
    RateLimited,
    UpstreamError,
)
from ..settings import Settings
from .flights import Flight, Flights, Outcome, over, rejected
from .id_tokens import IdTokenSource
from .launches import DAY, CachedLaunch, make_entry
from .limits import PATH
from .shared import Lease, Seen, Shared
from .stats import Stats
from .stores import StoreUnavailable
from .threads import Threads, Ticker
from .upstream import Upstream

__all__ = ["Fetching"]

_log = logging.getLogger("ltiaas_middleware")

# Threads in addition to those that call LTIAAS. They wait for a shared store, for a millisecond or
# up to the store's timeout.
_STORE_THREADS = 16
# Seconds between checks for the result of the worker that has the lease.
_TICK = 0.1
# The errors that a waiting worker gets if the worker with the lease fails; anything else becomes an
# UpstreamError.
_FAILURES: dict[str, type[ApiError]] = {
    kind.__name__: kind
    for kind in (
        AnonymousLaunch,
        ApiError,
        ApiKeyRejected,
        Forbidden,
        PlatformInactive,
        RateLimited,
    )
}


class Fetching:
    """Carries out flights until they land."""

    def __init__(
        self,
        settings: Settings,
        source: IdTokenSource,
        flights: Flights,
        shared: Shared | None,
        decoded: DecodedTokens,
        stats: Stats,
        *,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._flights = flights
        self._shared = shared
        self._decoded = decoded
        self._stats = stats
        self._clock = clock
        self._monotonic = monotonic
        self._rare_log = RareLog(5, 60, monotonic=monotonic)
        # Threads start with the first call, because a server may fork before that.
        self.threads = Threads(settings.max_concurrent_calls + _STORE_THREADS, "ltiaas")
        self.upstream = Upstream(
            settings,
            source,
            stats,
            self.threads,
            run=lambda flight: self._guarded(flight, self._fetch),
            refuse=self._refused,
            monotonic=monotonic,
        )
        self._lock = threading.Lock()
        self._waiting: list[Flight] = []
        self._leases: dict[Flight, Lease] = {}
        self._ticker = Ticker(_TICK, self._tick, "ltiaas-leases")

    def start(self, flight: Flight) -> None:
        """Start a flight. Does not block."""
        if self._shared is not None:
            # If there is no thread to wait for the store, continue without the store.
            with contextlib.suppress(RuntimeError):
                self.threads.submit(self._guarded, flight, self._look)
                return
        self.upstream.submit(flight)

    def in_background(self, call: Callable[..., object], *values: Any) -> None:
        """Call the store in the background. Failures do not matter here; the store has counted
        them."""
        # The threads are closed, so nobody needs the result any more.
        with contextlib.suppress(RuntimeError):
            self.threads.submit(self._ignoring, call, *values)

    def close(self, *, wait: bool = True) -> None:
        """Stop the threads."""
        self.upstream.close()
        self.threads.close(wait=wait)
        for flight in list(self._leases):
            self._release(flight)
        if self._shared is not None:
            self._shared.close()

    # -- among workers ----------------------------------------------------------------------------

    def _look(self, flight: Flight) -> None:
        """Land with what other workers know, ask LTIAAS, or look again later."""
        shared = self._shared
        assert shared is not None
        try:
            seen = shared.look(flight.launch_id)
            if self._landed(flight, seen):
                return
            # The launch was verified before.
            flight.authenticated |= seen.entry is not None
            age = self._monotonic() - flight.since
            if seen.failure is not None and self._clock() - seen.failed_at <= age:
                self._land_failed(flight, seen.failure)
                return
            lease = None if seen.leased else shared.take_lease(flight.launch_id)
            if lease is None:
                self._wait(flight)
                return
            with self._lock:
                self._leases[flight] = lease
            self._ticker.wake()
            # The previous owner stored the launch before it gave the lease back.
            if self._landed(flight, shared.look(flight.launch_id)):
                self._release(flight)
                return
        except (StoreUnavailable, RuntimeError):
            pass
        self.upstream.submit(flight, here=True)

    def _wait(self, flight: Flight) -> None:
        """Another worker has the lease."""
        if self._monotonic() - flight.since > self._settings.timeout:
            error = UpstreamError("another worker got no response in time", path=PATH)
            self._fail(flight, error, "Waited")
            return
        with self._lock:
            self._waiting.append(flight)
        self._ticker.wake()

    def _tick(self) -> bool:
        with self._lock:
            waiting, self._waiting = self._waiting, []
            leases = list(self._leases.items())
        for flight in waiting:
            if not flight.done():
                self.start(flight)
        for flight, lease in leases:
            if flight.done():
                # The flight was lost. Do not keep other workers from asking forever.
                self._release(flight)
            elif self._shared is not None and (
                lease.until - self._monotonic() < self._shared.lease * 2 / 3
            ):
                self._ignoring(self._renew, flight, lease)
        return bool(waiting or leases)

    def _renew(self, flight: Flight, lease: Lease) -> None:
        assert self._shared is not None
        if not self._shared.renew(lease):
            with self._lock:
                held = self._leases.pop(flight, None)
            if held is not None:
                self._stats.count("lost_leases")

    def _release(self, flight: Flight, failure: str | None = None) -> None:
        with self._lock:
            lease = self._leases.pop(flight, None)
        if lease is not None and self._shared is not None:
            self._ignoring(self._shared.release, lease, failure)

    def _landed(self, flight: Flight, seen: Seen) -> bool:
        """Land the flight with what other workers know, if possible. Returns whether it landed."""
        self._flights.learn(flight.launch_id, seen)
        if self._flights.is_rejected(flight.launch_id):
            self._stats.count("rejected")
            self._flights.land(flight, rejected())
            return True
        # A refresh needs an entry that is newer than the one it replaces.
        entry, now = seen.entry, self._monotonic()
        if entry is None or now >= (entry.trusted if flight.previous is None else entry.refresh):
            return False
        self._stats.count("shared_hits")
        flight.stored_bound = seen.bound
        self._land(flight, entry)
        return True

    def _land_failed(self, flight: Flight, name: str) -> None:
        self._stats.count("coalesced")
        kind = _FAILURES.get(name, UpstreamError)
        self._flights.land(flight, kind("another worker's call has just failed", path=PATH))

    # -- LTIAAS -----------------------------------------------------------------------------------

    def _fetch(self, flight: Flight) -> None:
        """Ask LTIAAS, store the result for the other workers, and land. It is this flight's
        turn."""
        if flight.done():
            return
        asked_at = self._clock()
        found = self.upstream.ask(flight)
        outcome = found if isinstance(found, ApiError) else self._entry(flight, asked_at, found)
        if isinstance(outcome, ApiError):
            self._note(flight, outcome, type(outcome).__name__)
        # Store it before the flight lands, so that the next request finds it in any worker.
        failure = None
        if self._shared is not None:
            if isinstance(outcome, CachedLaunch):
                flight.stored_bound = outcome.cookie_bound
                self._ignoring(self._shared.put, outcome)
            elif isinstance(outcome, LaunchExpired):
                self._ignoring(self._reject, flight)
            else:
                failure = type(outcome).__name__
        self._release(flight, failure)
        self._land(flight, outcome)

    def _land(self, flight: Flight, outcome: Outcome) -> None:
        self._flights.land(flight, outcome)
        kept = self._flights.peek(flight.launch_id)
        # The cookie may have come back to this worker, or meanwhile.
        is_newly_bound = kept is not None and kept.cookie_bound and not flight.stored_bound
        if self._shared is not None and kept is not None and is_newly_bound:
            self.in_background(self._shared.bind, kept)

    def _reject(self, flight: Flight) -> None:
        assert self._shared is not None
        was_verified = flight.authenticated or flight.previous is not None
        self._shared.reject(flight.launch_id, self._clock(), was_verified=was_verified)

    def _entry(self, flight: Flight, asked_at: float, found: Decoded) -> Outcome:
        wall = self._clock()
        ends_at = flight.ends_at
        if ends_at is None:
            before = self._flights.peek(flight.launch_id)
            ends_at = before.ends_at if before is not None else wall + DAY
        entry = make_entry(
            ttl=self._settings.ttl,
            wall=wall,
            now=self._monotonic(),
            id=flight.launch_id,
            ltik=flight.ltik,
            claims=found.claims,
            ends_at=ends_at,
            verified_at=asked_at,
            # Bound as soon as the launch is known, even if the client has disconnected.
            cookie_bound=flight.binds,
        )
        if entry is None:
            return over()
        self._decoded.keep(flight.launch_id, found)
        return entry

    def _refused(self, flight: Flight, error: ApiError, kind: str) -> None:
        """The limits prevented the call. Another worker may succeed."""
        self._release(flight)
        self._fail(flight, error, kind)

    def _fail(self, flight: Flight, error: ApiError, kind: str) -> None:
        self._note(flight, error, kind)
        self._flights.land(flight, error)

    def _note(self, flight: Flight, error: ApiError, kind: str) -> None:
        if isinstance(error, LaunchExpired):
            self._stats.count("rejected")
            return
        self._stats.upstream_error(kind)
        if isinstance(error, ApiKeyRejected):
            _log.error(
                "LTIAAS rejects the API key of %s, so no launch works: correct LTIAAS_API_KEY",
                self._settings.url,
            )
        else:
            text = "launch %s could not be verified: %s"
            self._rare_log.warning(kind, text, flight.launch_id, error)

    def _guarded(self, flight: Flight, step: Callable[[Flight], None]) -> None:
        try:
            step(flight)
        except BaseException as error:  # noqa: BLE001 - a flight that never lands hangs its waiters
            _log.error(
                "launch %s could not be verified: internal error (%s)",
                flight.launch_id,
                type(error).__name__,
            )
            self._release(flight)
            self._flights.land(flight, UpstreamError("the fetch failed", path=PATH))

    @staticmethod
    def _ignoring(call: Callable[..., object], *values: Any) -> None:
        with contextlib.suppress(StoreUnavailable):
            call(*values)
