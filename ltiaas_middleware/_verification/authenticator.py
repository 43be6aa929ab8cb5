"""From an ltik to a verified launch: what the gate and the adapters ask.

Theory of operation. ``peek`` looks into memory and changes nothing, whoever asks. ``use`` is for a
request that is authenticated for its launch, and never waits: it is what nearly every request
calls. ``verify`` (threads) and ``verify_async`` (tasks) wait for a *flight* (``flights``), which
``fetching`` gets to land.

A launch that was verified before depends on none of these: it is served until its 24 hours are
over.
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

# So long (seconds) a request of a launch that was verified before waits for a slow LTIAAS.
_CACHED_TIMEOUT = 2.0


class Authenticator:
    """From an ltik to a verified launch.

    Args:
        source: asked for ID tokens, in threads.
        shared: what workers share, or None.
        decoded: given what was fetched, so that its launch need not decode it again.

    Attributes:
        peek: a launch from memory, or None, by its id. One look-up in a dictionary; nothing is
            changed, fetched or counted, so that a request may ask before it is authenticated.
        shares: whether launches are shared with other workers, so that ``recall`` and ``use_once``
            may wait.
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
        self._clock = clock
        self._monotonic = monotonic
        self._began = clock()
        self.shares = shared is not None
        self.stats = stats or Stats()
        self._launches = LaunchCache(settings.max_launches, monotonic)
        self.peek = self._launches.get
        # One-time tokens that this worker has seen used, and the jars if it is alone.
        self._own = Shared(MemoryStore(clock), settings, ids, self.stats, clock=clock)
        self._room = WaitingRoom(settings.max_blocked_threads, monotonic)
        times = {"clock": clock, "monotonic": monotonic}
        self._flights = Flights(settings, self._launches, self.stats, start=self._start, **times)
        decoded = decoded or DecodedTokens()
        self._fetching = Fetching(
            settings, source, self._flights, shared, decoded, self.stats, **times
        )
        self._upstream = self._fetching.upstream

    def use(self, entry: CachedLaunch, *, binds: bool = False) -> CachedLaunch | None:
        """The launch to serve a request with that is authenticated for it, or None if LTIAAS has
        to be asked first (``verify``). Never waits.

        Args:
            entry: as ``peek`` gave it.
            binds: whether it was authenticated by the launch's cookie: the path alone opens the
                launch no more, in this worker from now on, in others when they look next.
        """
        if binds and not entry.cookie_bound:
            # First: whoever has only the path and waits for LTIAAS looks again afterwards.
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
        """``peek``, after the memory was brought up to what all workers know. May wait where
        ``shares``; if the store fails, what this worker knows is the answer."""
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
        """``recall``, and the app's cookies of a launch whose browser keeps none."""
        entry = self.recall(launch_id)
        return entry, self._of_jars(lambda jars: jars.jar(launch_id))

    def change_jar(self, entry: CachedLaunch, change: Callable[[bytes | None], bytes]) -> None:
        """Change what ``recall_with_jar`` gives, unless the launch is cookie-bound by now. May
        wait."""
        if not (self.peek(entry.id) or entry).cookie_bound:
            self._of_jars(lambda jars: jars.change_jar(entry, change))

    def _of_jars(self, call: Callable[[Shared], _T]) -> _T | None:
        """Where all workers have them; if the store fails, each has its own."""
        for jars in filter(None, (self._shared, self._own)):
            with contextlib.suppress(StoreUnavailable):
                return call(jars)
        return None

    def use_once(self, token: str, made_at: float) -> bool:
        """Whether this is the first use of a one-time token. May wait where ``shares``; if the
        store fails, the first in this worker, of a token that was made since it began. If the store
        can be read but not written, no token is used: it might have been.

        Args:
            token: the token.
            made_at: when it was made (seconds since the epoch).
        """
        try:
            if not self._own.mark_used(token):
                return False
            if self._shared is not None:
                return self._shared.use_once(token, made_at)
        except StoreUnavailable as error:
            if error.read_only:
                return False
        return made_at >= self._began

    def end(self, launch_id: str) -> None:
        """End a launch: this worker serves it no more, and no other one beyond its next look into
        the store. May wait where ``shares``."""
        self._flights.end(launch_id)
        self._own.drop_jar(launch_id)
        if self._shared is not None:
            with contextlib.suppress(StoreUnavailable):
                self._shared.end(launch_id)

    async def run_async(self, call: Callable[[], _T]) -> _T:
        """Run a call that may wait, in a thread of the middleware's own and in the context of the
        request. Under asyncio or trio."""
        return await run_in(self._fetching.threads, call)

    def verify(self, ltik: str, launch_id: str | None = None, **more: Any) -> Outcome:
        """Verify an ltik, waiting for LTIAAS if it has to be asked. For threads, of which at most
        ``Settings.max_blocked_threads`` wait for longer than half a second.

        Args:
            ltik: a token of the right shape.
            launch_id: the id to keep it under; ``LaunchIds.of(ltik)`` by default.
            more: see ``Verification``. A page is answered within ``Settings.waiting_page_after``
                seconds, with ``Waiting`` in place of what is temporary.
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
        """``verify`` for tasks of asyncio or trio, any number of which may wait: the event loop
        goes on, and a cancelled waiter cancels nobody."""
        verification = Verification(ltik, launch_id or self._ids.of(ltik), **more)
        found = self._join(verification)
        if isinstance(found, Flight):
            await wait_for(found, self._timeout(found, verification))
        return self._outcome(verification, found)

    def close(self, *, wait: bool = True) -> None:
        """Stop the threads. What is known is served on; nothing new is verified.

        Args:
            wait: for calls under way, for two seconds at most.
        """
        self._fetching.close(wait=wait)
        self._flights.close()

    def _start(self, flight: Flight) -> None:
        self._fetching.start(flight)

    def _look_again(self, entry: CachedLaunch) -> CachedLaunch | None:
        now = self._monotonic()
        # It may have been refreshed, rejected or pushed out since the caller looked.
        current = self._launches.mark_used(entry.id)
        if current is None or now >= current.trusted:
            return None
        if now >= current.refresh:
            self._flights.join(Verification(current.ltik, current.id), background=True)
        return current

    def _join(self, verification: Verification) -> Outcome | Flight:
        """What is known of an ltik, or the flight to wait for."""
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
            # It may have landed bound, without ``use``.
            self._own.drop_jar(verification.launch_id)
        if not verification.page:
            return found
        if isinstance(found, CachedLaunch) or not found.temporary:
            self._room.verified(verification.launch_id)
            return found
        self.stats.count("waiting")
        return self._room.ask_again(verification.launch_id, found)
