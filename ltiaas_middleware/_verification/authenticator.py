"""Turns an ltik into a verified launch. The gate and the adapters use this module.

Theory of operation: ``peek`` looks into memory and never changes anything. ``use`` is for requests
that are authenticated for their launch. Nearly every request calls it, and it never blocks.
``verify`` (threads) and ``verify_async`` (tasks) wait for a *flight* (``flights``), which
``fetching`` carries out.

A launch that was verified before depends on none of these: the middleware serves it until its 24
hours are over.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable
from concurrent.futures import TimeoutError as FutureTimeout
from typing import Any, TypeVar

from .._crypto.keys import LaunchIds
from ..api.decoded import DecodedTokens
from ..settings import Settings
from .fetching import Fetching
from .flights import Flight, Flights, Outcome
from .id_tokens import IdTokenSource
from .launches import CachedLaunch, LaunchCache, Verification
from .shared import Shared
from .stats import Stats
from .stores import MemoryStore, StoreUnavailable
from .threads import run_in, wait_for
from .waiting import WaitingRoom

__all__ = ["Authenticator", "Outcome"]

_log = logging.getLogger("ltiaas_middleware")
_T = TypeVar("_T")

# How long (seconds) a request in a launch that was verified before waits for a slow LTIAAS.
_CACHED_TIMEOUT = 2.0


class Authenticator:
    """Turns an ltik into a verified launch.

    Attributes:
        peek: returns a launch from memory by its id, or None. It is a dictionary look-up that does
            not change, fetch or count anything, so it is safe before authentication.
        shares: whether workers share launches, so that ``recall`` and ``use_once`` may block.
    """

    def __init__(
        self,
        settings: Settings,
        source: IdTokenSource,
        ids: LaunchIds,
        *,
        shared: Shared | None = None,
        decoded: DecodedTokens | None = None,
        stats: Stats | None = None,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._ids = ids
        self._shared = shared
        self._monotonic = monotonic
        self._clock = clock
        self._began = monotonic()
        self.shares = shared is not None
        self.stats = stats or Stats()
        self._launches = LaunchCache(settings.max_launches, monotonic)
        self.peek = self._launches.get
        # One-time tokens that were used in this worker, and the jars if it shares nothing.
        self._own = Shared(MemoryStore(clock), settings, ids, self.stats, clock=clock)
        self._room = WaitingRoom(settings.max_blocked_threads, monotonic)
        times = {"clock": clock, "monotonic": monotonic}
        self._flights = Flights(
            settings,
            self._launches,
            self.stats,
            start=lambda flight: self._fetching.start(flight),
            **times,
        )
        decoded = decoded or DecodedTokens()
        self._fetching = Fetching(
            settings, source, self._flights, shared, decoded, self.stats, **times
        )

    def use(self, entry: CachedLaunch, binds: bool = False) -> CachedLaunch | None:
        """The launch to serve to a request that is authenticated for it, or None if LTIAAS must
        verify it first (``verify``). Never blocks.

        If the launch's cookie authenticated the request (``binds``), the path alone no longer opens
        the launch: in this worker immediately, in others at their next look-up.
        """
        if binds and not entry.cookie_bound:
            # Do this first: a request that has only the path and waits for LTIAAS checks again
            # afterward.
            entry = self._launches.replace(entry.id, cookie_bound=True) or entry
            self._own.drop_jar(entry.id)
            if self._shared is not None:
                self._fetching.in_background(self._shared.bind, entry)
        if self._monotonic() >= entry.check:
            current = self._look_again(entry)
            if current is None:
                return None
            entry = current
        self.stats.hit()
        return entry

    def recall(self, launch_id: str) -> CachedLaunch | None:
        """Like ``peek``, but first updates memory from the store that workers share. May block if
        ``shares``. If the store fails, this worker's own knowledge counts."""
        if self._shared is not None:
            with contextlib.suppress(StoreUnavailable):
                self._flights.learn(launch_id, self._shared.look(launch_id))
        return self.peek(launch_id)

    def find(self, launch_id: str) -> CachedLaunch | None:
        """A launch that is not over, from memory or by ``recall``."""
        if self.peek(launch_id) is None:
            self.recall(launch_id)
        return self._launches.mark_used(launch_id)

    def recall_with_jar(self, launch_id: str) -> tuple[CachedLaunch | None, bytes | None]:
        """``recall``, and the app's cookies if the launch's browser blocks cookies."""
        entry = self.recall(launch_id)
        return entry, self._of_jars(lambda jars: jars.jar(launch_id))

    def change_jar(self, entry: CachedLaunch, change: Callable[[bytes | None], bytes]) -> None:
        """Change the jar that ``recall_with_jar`` returns, unless the launch has become
        cookie-bound. May block."""
        if not (self.peek(entry.id) or entry).cookie_bound:
            self._of_jars(lambda jars: jars.change_jar(entry, change))

    def _of_jars(self, call: Callable[[Shared], _T]) -> _T | None:
        """Use the jars that all workers share, or this worker's own if the store fails."""
        for jars in filter(None, (self._shared, self._own)):
            with contextlib.suppress(StoreUnavailable):
                return call(jars)
        return None

    def use_once(self, token: str, made_at: float) -> bool:
        """Whether this is the first use of a one-time token that was created at ``made_at``
        (seconds since the epoch). May block if ``shares``. If the store fails, whether it is the
        first use in this worker of a token that was created after the worker started. If the store
        is read-only, the answer is always False, because the token may have been used already."""
        try:
            if not self._own.mark_used(token):
                return False
            if self._shared is not None:
                return self._shared.use_once(token, made_at)
        except StoreUnavailable as error:
            if error.read_only:
                return False
        # Somebody may have set the wall clock since.
        return made_at >= self._clock() - (self._monotonic() - self._began)

    def end(self, launch_id: str) -> None:
        """End a launch. This worker stops serving it immediately, and others after their next look
        into the store. May block if ``shares``."""
        self._flights.end(launch_id)
        self._own.drop_jar(launch_id)
        if self._shared is not None:
            with contextlib.suppress(StoreUnavailable):
                self._shared.end(launch_id)

    async def run_async(self, call: Callable[[], _T]) -> _T:
        """Run a blocking call in one of the middleware's threads, in the request's context. For
        asyncio and trio."""
        return await run_in(self._fetching.threads, call)

    def verify(self, ltik: str, launch_id: str | None = None, **more: Any) -> Outcome:
        """Verify an ltik, and wait for LTIAAS if necessary. For threads. At most
        ``Settings.max_blocked_threads`` of them wait for longer than half a second.

        See ``Verification`` for the arguments. A page gets a result within
        ``Settings.waiting_page_after`` seconds, and ``Waiting`` instead of a temporary error.
        """
        verification = Verification(ltik, launch_id or self._ids.of(ltik), **more)
        found = self._join(verification)
        if isinstance(found, Flight) and not found.done():
            seconds = self._timeout(found, verification)
            with (
                self._room.seat(seconds, authenticated=found.authenticated) as seconds,
                contextlib.suppress(FutureTimeout),
            ):
                found.result(seconds)
        return self._outcome(verification, found)

    async def verify_async(self, ltik: str, launch_id: str | None = None, **more: Any) -> Outcome:
        """``verify`` for asyncio or trio tasks. Any number of them may wait without blocking the
        event loop, and canceling one does not affect the others."""
        verification = Verification(ltik, launch_id or self._ids.of(ltik), **more)
        found = self._join(verification)
        if isinstance(found, Flight):
            await wait_for(found, self._timeout(found, verification))
        return self._outcome(verification, found)

    def close(self, *, wait: bool = True) -> None:
        """Stop the threads. Known launches keep working, but nothing new can be verified. With
        ``wait``, running calls get two seconds to finish."""
        self._fetching.close(wait=wait)
        self._flights.close()

    def _look_again(self, entry: CachedLaunch) -> CachedLaunch | None:
        now = self._monotonic()
        # The launch may have been refreshed, rejected or evicted since the caller looked.
        current = self._launches.mark_used(entry.id)
        if current is None or now >= current.trusted:
            return None
        if now >= current.refresh:
            self._flights.join(Verification(current.ltik, current.id), background=True)
        return current

    def _join(self, verification: Verification) -> Outcome | Flight:
        """The known outcome for an ltik, or the flight to wait for."""
        cached = self.peek(verification.launch_id)
        used = None if cached is None else self.use(cached, binds=verification.binds)
        if used is not None:
            return used
        found = self._flights.join(verification)
        if isinstance(found, CachedLaunch):
            # It has just landed.
            return self.use(found, binds=verification.binds) or found
        return found

    def _timeout(self, flight: Flight, verification: Verification) -> float:
        most = self._settings.timeout + 1.0
        if flight.previous is not None:
            return min(most, _CACHED_TIMEOUT)
        return min(most, self._settings.waiting_page_after) if verification.page else most

    def _outcome(self, verification: Verification, found: Outcome | Flight) -> Outcome:
        if isinstance(found, Flight):
            found = found.result() if found.done() else self._flights.gave_up(found)
        if verification.binds and isinstance(found, CachedLaunch):
            # The flight may have landed cookie-bound, without ``use``.
            self._own.drop_jar(verification.launch_id)
        if not verification.page:
            return found
        if isinstance(found, CachedLaunch) or not found.temporary:
            self._room.verified(verification.launch_id)
            return found
        self.stats.count("waiting")
        return self._room.ask_again(verification.launch_id, found)
