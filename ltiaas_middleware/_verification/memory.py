"""Verified launches: what is kept of one, the contract of what keeps them, and the memory of one
process.

An entry holds the ID token as the JSON that LTIAAS sent, not as objects: a tenth of the memory, and
what one request does to its copy of the claims can never reach another.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, NoReturn, Protocol

from cachetools import TTLCache

__all__ = [
    "DAY",
    "REFUSED_FOR",
    "USED_FOR",
    "CachedLaunch",
    "Found",
    "Freshness",
    "LaunchCache",
    "LaunchStore",
    "Lease",
    "SharedStore",
    "StoreUnavailable",
    "Turn",
]

#: An ltik stops working 24 hours after the launch (wire.md, "The launch redirect").
DAY = 86_400.0
#: A refused ltik is not asked for again for this long (seconds).
REFUSED_FOR = 60.0
#: Longer than a handoff is good for, so that none is forgotten before it is over (seconds).
USED_FOR = 120.0
# What one process remembers at most of the two.
_REFUSED_MOST = 10_000
_USED_MOST = 100_000
# How long a hit may go without being marked as used. Marking takes the lock; a hit in between is
# one look-up in a dictionary. The order of eviction is exact to this many seconds.
_USED_EVERY = 30.0
# Background refresh starts when this much of the ttl is over.
_REFRESH_AT = 0.8
# How far the clocks of two machines may be apart before what one noted tells the other nothing.
_CLOCKS_APART = 60.0


class CachedLaunch:
    """One verified launch. All times but ``ends_at`` and ``verified_at`` are seconds of the
    monotonic clock, so that a jump of the wall clock moves nothing.

    Attributes:
        id: the launch id.
        ltik: the token itself, a secret.
        claims: the ID token, JSON.
        ends_at: seconds since the epoch: 24 h after the launch.
        verified_at: seconds since the epoch: when LTIAAS was asked for these claims.
        ends: ``ends_at`` on the monotonic clock.
        refresh: from when on the claims are fetched again in the background.
        trusted: until when the claims are served without asking again.
        check: the next moment at which anything has to be looked at; before it, a hit is a hit.
        stale: whether ``trusted`` was over when last looked at; ``check`` keeps it up to date.
        confirmed: whether the browser has sent the launch's cookie back.
    """

    __slots__ = (
        "check",
        "claims",
        "confirmed",
        "ends",
        "ends_at",
        "id",
        "ltik",
        "refresh",
        "stale",
        "trusted",
        "verified_at",
    )

    def __init__(
        self,
        *,
        id: str,
        ltik: str,
        claims: bytes,
        ends_at: float,
        ends: float,
        refresh: float,
        trusted: float,
        verified_at: float = 0.0,
        confirmed: bool = False,
    ) -> None:
        self.id = id
        self.ltik = ltik
        self.claims = claims
        self.ends_at = ends_at
        self.verified_at = verified_at
        self.ends = ends
        self.refresh = refresh
        self.trusted = trusted
        self.check = 0.0
        self.stale = False
        self.confirmed = confirmed

    def __repr__(self) -> str:
        return f"<CachedLaunch {self.id}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a CachedLaunch holds its ltik and is not pickled")


class Freshness:
    """How old a launch is, here and now: makes entries from what LTIAAS sent, or another process
    noted.

    Args:
        ttl: seconds for which claims are trusted.
        clock: seconds since the epoch, the only time that two processes share.
        monotonic: seconds of a clock that nobody sets, the only time that an entry is judged by.
    """

    def __init__(
        self,
        ttl: float,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ttl = ttl
        self._clock = clock
        self._monotonic = monotonic

    def entry(
        self,
        *,
        id: str,
        ltik: str,
        claims: bytes,
        ends_at: float,
        verified_at: float,
        confirmed: bool = False,
    ) -> CachedLaunch:
        """An entry for this process. Wall time becomes monotonic time here and nowhere else: once
        made, no jump of the clock makes an entry live longer."""
        now, wall = self._monotonic(), self._clock()
        age = wall - verified_at
        if age < -_CLOCKS_APART:
            # From the future: one of the clocks was set. LTIAAS is asked rather than guessed for.
            age = self._ttl
        age = max(age, 0.0)
        return CachedLaunch(
            id=id,
            ltik=ltik,
            claims=claims,
            ends_at=ends_at,
            verified_at=verified_at,
            ends=now + min(ends_at - wall, DAY),
            refresh=now + self._ttl * _REFRESH_AT - age,
            trusted=now + self._ttl - age,
            confirmed=confirmed,
        )


class Found(NamedTuple):
    """What a store knows of a launch id.

    Attributes:
        entry: the launch, however old; None where there is none, or it is over.
        refused: LTIAAS refused it a moment ago and is not asked again yet.
        confirmed: the browser has sent the launch's cookie back, to whichever worker.
        refused_at: when LTIAAS refused it last (seconds since the epoch), as far as remembered.
    """

    entry: CachedLaunch | None
    refused: bool
    confirmed: bool
    refused_at: float | None = None


class StoreUnavailable(Exception):
    """A shared store gave no usable answer; it has been counted and logged. Never leaves the
    authenticator, which goes on with the memory of its process."""


class LaunchStore(Protocol):
    """What keeps launches. ``LaunchCache`` and ``RedisStore`` pass one contract suite.

    Refusal and confirmation only ever grow: no entry put later or again takes them back, but one
    that LTIAAS gave after it had refused.
    """

    def find(self, launch_id: str) -> Found:
        """What is known of a launch."""

    def put(self, entry: CachedLaunch) -> None:
        """Keep an entry in the place of an older one."""

    def refuse(self, launch_id: str, at: float) -> None:
        """LTIAAS refused the launch at that time (seconds since the epoch): it is over."""

    def confirm(self, entry: CachedLaunch) -> None:
        """The browser has sent the launch's cookie back."""

    def use_once(self, token: str) -> bool:
        """Whether this is the first use of a token within ``USED_FOR`` seconds."""


class Lease(NamedTuple):
    """The right to ask LTIAAS about one launch, until it runs out."""

    launch_id: str
    token: str


class Turn(NamedTuple):
    """What came of asking for a lease.

    Attributes:
        found: what is known of the launch now.
        lease: ours, or None where another worker has it.
        failure: how the last holder's call failed, a moment ago: the name of an exception.
    """

    found: Found
    lease: Lease | None
    failure: str | None


class SharedStore(LaunchStore, Protocol):
    """A store that workers share. Every call may wait, and may raise ``StoreUnavailable``.

    Attributes:
        lease: seconds that a lease lasts unless it is renewed.
    """

    lease: float

    def marks(self, launch_ids: Sequence[str]) -> Iterable[Found]:
        """``find`` for many, without the entries."""

    def begin(self, launch_id: str) -> Turn:
        """Ask for the lease of a launch, and look once more at what is known of it."""

    def renew(self, lease: Lease) -> bool:
        """Make a lease last from now; False where another worker has it."""

    def release(self, lease: Lease, failure: str | None = None) -> None:
        """Give a lease back, if it is ours still."""

    def listen(self, heard: Callable[[str, str, float], None], missed: Callable[[], None]) -> None:
        """Hear what other workers tell. Returns at once."""

    def close(self) -> None:
        """Stop listening, and close what was opened."""


class LaunchCache:
    """The memory of one process: at most ``size`` launches, the least recently used going first.

    Reading takes no lock: ``get`` is one look-up in a dictionary. ``mark_used`` is called by
    whoever finds ``entry.check`` past, and does the rest. Refused tokens are remembered apart, so
    that they can never push a launch out.

    Args:
        size: launches.
        monotonic: seconds of a clock that nobody sets.
    """

    def __init__(self, size: int, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._size = size
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._entries: OrderedDict[str, CachedLaunch] = OrderedDict()
        self._refused: TTLCache[str, float] = TTLCache(_REFUSED_MOST, REFUSED_FOR, timer=monotonic)
        self._used: TTLCache[str, bool] = TTLCache(_USED_MOST, USED_FOR, timer=monotonic)
        self.get = self._entries.get

    def __len__(self) -> int:
        return len(self._entries)

    def ids(self) -> list[str]:
        """The ids of all launches kept."""
        with self._lock:
            return list(self._entries)

    def find(self, launch_id: str) -> Found:
        """See ``LaunchStore``."""
        with self._lock:
            entry = self._entries.get(launch_id)
            if entry is not None and self._monotonic() >= entry.ends:
                entry = None
            confirmed = entry is not None and entry.confirmed
            refused_at = self._refused.get(launch_id)
            return Found(entry, refused_at is not None, confirmed, refused_at)

    def put(self, entry: CachedLaunch) -> None:
        """See ``LaunchStore``."""
        with self._lock:
            now = self._monotonic()
            if entry.verified_at < self._refused.get(entry.id, entry.verified_at):
                return
            older = self._entries.get(entry.id)
            if older is not None:
                entry.confirmed = entry.confirmed or older.confirmed
                # The wall clock may have been set since; the end that was fixed first stands.
                entry.ends = min(entry.ends, older.ends)
            self._entries[entry.id] = entry
            self._entries.move_to_end(entry.id)
            self._schedule(entry, now)
            while self._entries and (
                len(self._entries) > self._size or next(iter(self._entries.values())).ends <= now
            ):
                # A launch that is over leaves at the next opportunity: it holds a person's name.
                self._entries.popitem(last=False)

    def refuse(self, launch_id: str, at: float) -> None:
        """See ``LaunchStore``."""
        with self._lock:
            self._entries.pop(launch_id, None)
            self._refused[launch_id] = at

    def confirm(self, entry: CachedLaunch) -> None:
        """See ``LaunchStore``."""
        with self._lock:
            entry.confirmed = True
            kept = self._entries.get(entry.id)
            if kept is not None:
                # It may have been refreshed since the request was let in.
                kept.confirmed = True

    def use_once(self, token: str) -> bool:
        """See ``LaunchStore``."""
        with self._lock:
            if token in self._used:
                return False
            self._used[token] = True
        return True

    def mark_used(self, entry: CachedLaunch, now: float) -> None:
        """Note that ``entry`` was used, for the order of eviction."""
        with self._lock:
            if self._entries.get(entry.id) is entry:
                self._entries.move_to_end(entry.id)
            self._schedule(entry, now)

    def remove(self, launch_id: str) -> None:
        """Forget a launch; nothing happens where it is not known."""
        with self._lock:
            self._entries.pop(launch_id, None)

    @staticmethod
    def _schedule(entry: CachedLaunch, now: float) -> None:
        marks = [entry.ends, now + _USED_EVERY]
        marks += [mark for mark in (entry.refresh, entry.trusted) if mark > now]
        entry.check = min(marks)
        entry.stale = entry.trusted <= now
