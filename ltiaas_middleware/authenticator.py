"""From an ltik to a verified launch: the cache, one flight per launch, freshness.

Theory of operation. ``known`` answers from memory and never waits; it is what every request of a
launch calls. ``verify`` (threads) and ``verify_async`` (tasks) ask LTIAAS, through a *flight*: a
future that everyone who asks for the same launch waits on together. The call itself runs in a pool
of the middleware's own, so that nobody who gives up, disconnects or is cancelled can take it from
the others, and the event loop never waits for a socket.

Outcomes are values, a ``CachedLaunch`` or an ``ApiError``: one exception object raised in two
hundred threads would collect two hundred tracebacks.
"""

from __future__ import annotations

import asyncio
import json
import logging
import threading
import time
from base64 import urlsafe_b64decode
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from typing import Any, Protocol

from cachetools import TTLCache

from .cache import CachedLaunch, LaunchCache
from .errors import ApiError, ApiKeyRejected, LaunchExpired, UpstreamError
from .keys import LaunchIds
from .settings import Settings
from .stats import Stats

__all__ = ["Authenticator", "Outcome", "launch_end"]

_log = logging.getLogger("ltiaas_middleware")

Outcome = CachedLaunch | ApiError

#: An ltik stops working 24 hours after the launch (wire.md, "The launch redirect").
DAY = 86_400.0
# How far LTIAAS's clock and ours may be apart before its times are not believed.
_SKEW = 3600.0
# A refused ltik is not asked for again for this long (seconds), and at most so many are remembered.
_REFUSED_FOR = 60.0
_REFUSED_MOST = 10_000
_USED_FOR = 120.0
_USED_MOST = 100_000
# Background refresh starts when this much of the ttl is over.
_REFRESH_AT = 0.8
# After a failed refresh a launch is served on for this long before LTIAAS is asked again.
_GRACE = 15.0


class IdTokenSource(Protocol):
    """Where ID tokens come from; ``api.Api`` is the one there is."""

    def id_token(self, ltik: str) -> bytes: ...


class Authenticator:
    """From an ltik to a verified launch.

    Args:
        settings: limits and times.
        source: asked for ID tokens, in the pool's threads.
        ids: from an ltik to its launch id.
        clock: seconds since the epoch.
        monotonic: seconds of a clock that nobody sets.
    """

    def __init__(
        self,
        settings: Settings,
        source: IdTokenSource,
        ids: LaunchIds,
        *,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._source = source
        self._ids = ids
        self._clock = clock
        self._monotonic = monotonic
        self._launches = LaunchCache(settings.max_launches)
        self._get = self._launches.get
        self._refused: TTLCache[str, ApiError] = TTLCache(
            _REFUSED_MOST, _REFUSED_FOR, timer=monotonic
        )
        # Longer than a handoff is good for, so that none is forgotten before it is over.
        self._used: TTLCache[str, bool] = TTLCache(_USED_MOST, _USED_FOR, timer=monotonic)
        self._flights: dict[str, _Flight] = {}
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(settings.max_calls, thread_name_prefix="ltiaas")
        self.stats = Stats()

    def known(self, launch_id: str) -> CachedLaunch | None:
        """A verified launch from memory, or None. Never waits.

        A launch whose ttl is over is returned as well: whether it needs asking again is told by
        ``needs_asking``, once the request has proved that it may have it.
        """
        entry = self._get(launch_id)
        if entry is None or self._monotonic() < entry.check:
            return entry
        return self._look(entry)

    def _look(self, entry: CachedLaunch) -> CachedLaunch | None:
        now = self._monotonic()
        if now >= entry.ends:
            self._launches.remove(entry.id)
            return None
        self._launches.mark_used(entry, now)
        if entry.refresh <= now < entry.trusted:
            self._flight(entry.id, entry.ltik, entry)
        return entry

    def needs_asking(self, entry: CachedLaunch) -> bool:
        """Whether the ttl of ``entry`` is over, so that LTIAAS has to be asked again."""
        return self._monotonic() >= entry.trusted

    def seconds_left(self, entry: CachedLaunch) -> float:
        """How long the launch still lasts."""
        return entry.ends - self._monotonic()

    def confirm(self, entry: CachedLaunch) -> None:
        """Note that the browser keeps this launch's cookie: its path alone opens it no more."""
        entry.confirmed = True

    #: Whether launches are shared with other workers.
    shares = False

    def recall(self, launch_id: str) -> CachedLaunch | None:
        """A launch as all workers together know it. May wait; for use off the event loop."""
        return self.known(launch_id)

    async def run_async(self, call: Callable[[], Any]) -> Any:
        """Run a call that may wait, in a thread of the pool."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, call)

    def use_once(self, token: str) -> bool:
        """Whether this is the first use of a handoff token."""
        with self._lock:
            if token in self._used:
                return False
            self._used[token] = True
        return True

    def verify(self, ltik: str, launch_id: str | None = None) -> Outcome:
        """Verify an ltik, waiting for LTIAAS where it has to be asked. For threads.

        Args:
            ltik: a token of the right shape.
            launch_id: the id to keep it under; ``LaunchIds.of(ltik)`` by default.
        """
        found = self._start(ltik, launch_id)
        if not isinstance(found, _Flight):
            return found
        try:
            return found.result(timeout=self._patience())
        except FutureTimeout:
            return self._gave_up(found)

    async def verify_async(self, ltik: str, launch_id: str | None = None) -> Outcome:
        """``verify`` for tasks: the event loop goes on, and a cancelled waiter cancels nobody."""
        found = self._start(ltik, launch_id)
        if not isinstance(found, _Flight):
            return found
        try:
            # A flight is marked as running, so that a cancelled waiter cannot cancel it.
            return await asyncio.wait_for(asyncio.wrap_future(found), self._patience())
        except (asyncio.TimeoutError, FutureTimeout):
            return self._gave_up(found)

    def close(self) -> None:
        """Stop the pool. Calls under way are waited for."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _start(self, ltik: str, launch_id: str | None) -> Outcome | _Flight:
        """What is known of an ltik, or the flight to wait for."""
        launch_id = launch_id or self._ids.of(ltik)
        ends_at = launch_end(ltik, self._clock())
        if ends_at is not None and ends_at <= self._clock():
            return LaunchExpired("the launch's 24 hours are over", path="/api/idtoken")
        return self._flight(launch_id, ltik, self.known(launch_id))

    def _flight(self, launch_id: str, ltik: str, entry: CachedLaunch | None) -> Outcome | _Flight:
        with self._lock:
            flight = self._flights.get(launch_id)
            if flight is not None:
                self.stats.coalesced += 1
                return flight
            refused = self._refused.get(launch_id)
            if refused is not None:
                self.stats.refused += 1
                return refused
            # A flight may have landed since the caller looked.
            current = self._get(launch_id)
            if current is not None and current is not entry:
                return current
            if current is not None and self._monotonic() < current.refresh:
                return current
            self.stats.misses += 1
            flight = self._flights[launch_id] = _Flight(launch_id, ltik, self._monotonic())
        try:
            self._pool.submit(self._fly, flight)
        except RuntimeError:
            self._land(flight, UpstreamError("this worker is shutting down"))
        return flight

    def _fly(self, flight: _Flight) -> None:
        outcome: Outcome
        try:
            if self._monotonic() - flight.since > self._settings.deadline:
                # Everyone who asked has given up by now; LTIAAS need not be bothered.
                raise UpstreamError("too many launches at once", path="/api/idtoken")
            self.stats.fetches += 1
            outcome = self._entry(flight, self._source.id_token(flight.ltik))
        except ApiError as error:
            outcome = error
        except BaseException as error:  # noqa: BLE001 - a flight that never lands hangs its waiters
            _log.error("launch %s: %s in the fetch", flight.launch_id, type(error).__name__)
            outcome = UpstreamError("the fetch failed", path="/api/idtoken")
        self._land(flight, outcome)

    def _land(self, flight: _Flight, outcome: Outcome) -> None:
        """Keep what came of a flight, then tell everyone."""
        now = self._monotonic()
        with self._lock:
            if isinstance(outcome, CachedLaunch):
                self._launches.put(outcome, now)
            elif isinstance(outcome, LaunchExpired):
                self._launches.remove(flight.launch_id)
                self._refused[flight.launch_id] = outcome
                self.stats.refused += 1
            else:
                self._failed(flight, outcome)
                outcome = self._serve_on(flight.launch_id, now) or outcome
            del self._flights[flight.launch_id]
        flight.set_result(outcome)

    def _failed(self, flight: _Flight, error: ApiError) -> None:
        self.stats.upstream_error(error)
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
        self.stats.stale += 1
        entry.refresh = entry.trusted = max(entry.trusted, now + _GRACE)
        self._launches.mark_used(entry, now)
        return entry

    def _entry(self, flight: _Flight, claims: bytes) -> CachedLaunch:
        now, wall = self._monotonic(), self._clock()
        ends_at = launch_end(flight.ltik, wall)
        before = self._get(flight.launch_id)
        if ends_at is None:
            ends_at = before.ends_at if before is not None else wall + DAY
        if ends_at <= wall:
            raise LaunchExpired("the launch's 24 hours are over", path="/api/idtoken")
        ends = now + (ends_at - wall)
        if before is not None:
            # The wall clock may have been set since; the end that was fixed first stands.
            ends = min(ends, before.ends)
        ttl = self._settings.ttl
        return CachedLaunch(
            id=flight.launch_id,
            ltik=flight.ltik,
            claims=claims,
            ends_at=ends_at,
            ends=ends,
            refresh=now + ttl * _REFRESH_AT,
            trusted=now + ttl,
        )

    def _patience(self) -> float:
        return self._settings.deadline + 1.0

    def _gave_up(self, flight: _Flight) -> Outcome:
        with self._lock:
            entry = self._serve_on(flight.launch_id, self._monotonic())
        return entry or UpstreamError("no answer in time", path="/api/idtoken")


class _Flight(Future[Outcome]):
    """One call to LTIAAS under way, and everyone who waits for it."""

    def __init__(self, launch_id: str, ltik: str, since: float) -> None:
        super().__init__()
        self.launch_id = launch_id
        self.ltik = ltik
        self.since = since
        self.set_running_or_notify_cancel()


def launch_end(ltik: str, now: float) -> float | None:
    """When a launch ends by its ltik's own ``iat`` and ``exp`` (seconds since the epoch).

    They are hints (wire.md, "The launch redirect"): None where they are missing or implausible.
    LTIAAS alone says whether the ltik is good; these can only make a launch end earlier.

    Args:
        ltik: the token.
        now: seconds since the epoch.
    """
    try:
        payload = ltik.split(".")[1]
        hints = json.loads(urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        issued, ends = _moment(hints.get("iat")), _moment(hints.get("exp"))
    except (ValueError, IndexError, AttributeError, RecursionError):
        return None
    if issued is not None and issued > now + _SKEW:
        return None
    if issued is not None:
        return min(ends, issued + DAY) if ends is not None and ends > issued else issued + DAY
    if ends is not None and ends <= now + DAY + _SKEW:
        return ends
    return None


def _moment(value: Any) -> float | None:
    """A time in seconds since the epoch, if it can be one: LTI 1.3 is younger than 2015."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value) if 1_420_070_400 <= value <= 32_503_680_000 else None
