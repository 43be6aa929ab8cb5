"""From an ltik to a verified launch: what the gate and the adapters ask.

Theory of operation. ``peek`` looks into memory and changes nothing, whoever asks. ``use`` is for a
request that has proved its launch, and never waits: it is what nearly every request calls.
``verify`` (threads) and ``verify_async`` (tasks) wait for a *flight* (``flights``), whose call to
LTIAAS runs in threads of the middleware's own (``upstream``), so that the event loop never waits
for a socket. With a shared store, flights go by way of it (``sharing``).

A launch that was verified before depends on none of these: it is served until its 24 hours are
over.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import TimeoutError as FutureTimeout
from functools import partial
from typing import TypeVar

from .._crypto.keys import LaunchIds
from ..errors import LaunchExpired
from ..settings import Settings
from .event_loops import run_in, wait_for
from .flights import Flight, Flights, Outcome
from .id_tokens import IdTokenSource
from .launches import CachedLaunch, Freshness
from .ltik_times import launch_end
from .memory import LaunchCache
from .pool import Pool
from .sharing import Sharing
from .stats import Stats
from .store import SharedStore
from .timer import Timer
from .upstream import PATH, Reply, Upstream
from .waiting import WaitingRoom

__all__ = ["Authenticator", "Outcome"]

_T = TypeVar("_T")

# So long (seconds) a request of a launch that was verified before waits for a slow LTIAAS.
_KNOWN_PATIENCE = 2.0
# Threads that wait for a shared store. Each call takes a millisecond, or the store's timeout.
_STORE_THREADS = 16


class Authenticator:
    """From an ltik to a verified launch.

    Args:
        settings: limits and times.
        source: asked for ID tokens, in threads.
        ids: from an ltik to its launch id.
        shared: a store that workers share, or None.
        stats: counters; new ones by default.
        clock: seconds since the epoch.
        monotonic: seconds of a clock that nobody sets.

    Attributes:
        peek: a launch from memory, or None, by its id. One look-up in a dictionary; nothing is
            changed, fetched or counted, so that a request may ask before it has proved anything.
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
        self._ids = ids
        self._clock = clock
        self._monotonic = monotonic
        self.stats = stats or Stats()
        self._freshness = Freshness(settings.ttl, clock, monotonic)
        self._launches = LaunchCache(settings.max_launches, monotonic)
        self.peek = self._launches.get
        self._room = WaitingRoom(settings.max_waiting, monotonic)
        self._timer = Timer()
        # A pool beside that of the calls to LTIAAS, so that a slow LTIAAS holds up nobody who only
        # looks into the store.
        self._pool = Pool(_STORE_THREADS, "ltiaas-store")
        times = {"clock": clock, "monotonic": monotonic}
        self._upstream = Upstream(settings, source, self._pool, self._timer, self.stats, **times)
        self._flights = Flights(
            settings,
            self._launches,
            self._freshness,
            self.stats,
            start=self._start,
            confirmed=self._tell_confirmed,
            **times,
        )
        self.shares = shared is not None
        self._sharing: Sharing | None = None
        if shared is not None:
            self._sharing = Sharing(
                settings,
                shared,
                self._flights,
                self._launches,
                self._upstream,
                self._pool,
                self._timer,
                self.stats,
                **times,
            )

    def use(self, entry: CachedLaunch, *, confirms: bool = False) -> CachedLaunch | None:
        """The launch to serve a request with that has proved it, or None where LTIAAS has to be
        asked first (``verify``). Never waits.

        Args:
            entry: as ``peek`` gave it.
            confirms: whether the proof was the launch's cookie: the path alone opens the launch no
                more, in this worker from now on, in others as soon as they hear of it.
        """
        if self._monotonic() >= entry.check:
            current = self._look_again(entry)
            if current is None:
                return None
            entry = current
        if confirms and not entry.confirmed:
            entry = self._launches.replace(entry.id, confirmed=True) or entry
            self._tell_confirmed(entry)
        self.stats.hit()
        return entry

    def needs_no_look(self, entry: CachedLaunch) -> bool:
        """Whether ``use`` would give an entry back as it is, were it not for counting the hit."""
        return entry.confirmed and self._monotonic() < entry.check

    def seconds_left(self, entry: CachedLaunch) -> float:
        """How long the launch still lasts; 0 or less where it is over."""
        return entry.ends - self._monotonic()

    def recall(self, launch_id: str) -> CachedLaunch | None:
        """``peek``, after the memory was brought up to what all workers know, confirmations too.
        May wait where ``shares``; where the store fails, what this worker knows is the answer."""
        if self._sharing is not None:
            self._sharing.recall(launch_id)
        return self.peek(launch_id)

    def use_once(self, token: str) -> bool:
        """Whether this is the first use of a handoff token. May wait where ``shares``; where the
        store fails, the first in this worker."""
        if not self._launches.use_once(token):
            return False
        return self._sharing is None or self._sharing.use_once(token)

    async def run_async(self, call: Callable[[], _T]) -> _T:
        """Run a call that may wait, in a thread of the middleware's own and in the context of the
        request. Under asyncio or trio."""
        return await run_in(self._pool, call)

    def verify(
        self,
        ltik: str,
        launch_id: str | None = None,
        *,
        confirms: bool = False,
        page: bool = False,
        address: str = "",
    ) -> Outcome:
        """Verify an ltik, waiting for LTIAAS where it has to be asked. For threads, of which at
        most ``Settings.max_waiting`` wait.

        Args:
            ltik: a token of the right shape.
            launch_id: the id to keep it under; ``LaunchIds.of(ltik)`` by default.
            confirms: whether it came in the launch's cookie; see ``use``. Noted with the launch
                itself, so that it does not depend on who waits for the answer.
            page: whether a page can wait instead, by reloading itself. It is answered within
                ``Settings.patience`` seconds, and with ``Waiting`` in place of what is temporary.
            address: of the client, as the server tells it; calls are shared out between addresses.
        """
        launch_id = launch_id or self._ids.of(ltik)
        found = self._join(ltik, launch_id, confirms, address)
        if isinstance(found, Flight):
            flight = found
            # Somebody whose ltiks are refused leaves seats for others.
            last = flight.known is None and self._upstream.comes_last(address)
            with self._room.seat(last=last) as may_wait:
                try:
                    found = flight.result(self._patience_for(flight, page) if may_wait else 0)
                except FutureTimeout:
                    found = self._flights.gave_up(flight)
        return self._for_page(launch_id, found) if page else found

    async def verify_async(
        self,
        ltik: str,
        launch_id: str | None = None,
        *,
        confirms: bool = False,
        page: bool = False,
        address: str = "",
    ) -> Outcome:
        """``verify`` for tasks of asyncio or trio, any number of which may wait: the event loop
        goes on, and a cancelled waiter cancels nobody."""
        launch_id = launch_id or self._ids.of(ltik)
        found = self._join(ltik, launch_id, confirms, address)
        if isinstance(found, Flight):
            flight = found
            done = await wait_for(flight, self._patience_for(flight, page))
            found = flight.result() if done else self._flights.gave_up(flight)
        return self._for_page(launch_id, found) if page else found

    def close(self, *, wait: bool = True) -> None:
        """Stop the threads. What is known is served on; nothing new is verified.

        Args:
            wait: for calls under way.
        """
        self._timer.close(wait=wait)
        self._pool.shutdown(wait=wait, cancel_futures=True)
        self._upstream.close(wait=wait)
        self._flights.close()
        if self._sharing is not None:
            self._sharing.close()

    def _look_again(self, entry: CachedLaunch) -> CachedLaunch | None:
        now = self._monotonic()
        # It may have been refreshed, refused or pushed out since the caller looked.
        current = self._launches.mark_used(entry.id)
        if current is None or now >= current.trusted:
            return None
        if now >= current.ends:
            self._launches.remove(entry.id)
            return None
        if now >= current.refresh:
            self._flights.join(current.id, current.ltik, background=True)
        return current

    def _join(
        self, ltik: str, launch_id: str, confirms: bool, address: str = ""
    ) -> Outcome | Flight:
        """What is known of an ltik, or the flight to wait for."""
        now = self._clock()
        ends_at = launch_end(ltik, now)
        if ends_at is not None and ends_at <= now:
            return LaunchExpired("the launch's 24 hours are over", path=PATH)
        known = self.peek(launch_id)
        if known is not None and self.seconds_left(known) <= 0:
            self._launches.remove(launch_id)
        elif known is not None:
            used = self.use(known, confirms=confirms)
            if used is not None:
                return used
        found = self._flights.join(launch_id, ltik, confirms=confirms, address=address)
        if isinstance(found, CachedLaunch):
            # It landed in this moment.
            return self.use(found, confirms=confirms) or found
        return found

    def _start(self, flight: Flight) -> None:
        if self._sharing is not None:
            self._sharing.start(flight)
            return

        def done(reply: Reply) -> None:
            self._flights.guard(flight, partial(self._flights.complete, flight, reply))

        self._upstream.fetch(
            flight.ltik,
            done,
            flight.context,
            address=flight.address,
            known=flight.known is not None,
        )

    def _tell_confirmed(self, entry: CachedLaunch) -> None:
        if self._sharing is not None:
            self._sharing.confirm(entry)

    def _patience(self) -> float:
        return self._settings.deadline + 1.0

    def _patience_for(self, flight: Flight, page: bool) -> float:
        if flight.known is not None:
            return min(self._patience(), _KNOWN_PATIENCE)
        return min(self._patience(), self._settings.patience) if page else self._patience()

    def _for_page(self, launch_id: str, outcome: Outcome) -> Outcome:
        if isinstance(outcome, CachedLaunch) or not outcome.temporary:
            self._room.verified(launch_id)
            return outcome
        self.stats.count("waiting")
        return self._room.ask_again(launch_id, outcome)
