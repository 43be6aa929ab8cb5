"""A verified launch as it is kept, and how old it is."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn

from .ltik_times import DAY

__all__ = ["CachedLaunch", "Freshness"]

# Background refresh starts when this much of the ttl is over.
_REFRESH_AT = 0.8
# How far the clocks of two machines may be apart (seconds) before a time that the other one noted
# is not believed.
_CLOCKS_APART = 60.0


@dataclass(frozen=True, slots=True, kw_only=True, repr=False, eq=False)
class CachedLaunch:
    """One verified launch. It never changes: ``LaunchCache.replace`` puts a changed copy in its
    place, so that a request that holds one sees one state of it.

    All times but ``ends_at`` and ``verified_at`` are seconds of the monotonic clock, so that a jump
    of the wall clock moves nothing.

    Attributes:
        id: the launch id.
        ltik: the token itself, a secret.
        claims: the ID token that LTIAAS sent, as JSON; encoded again, so that the same values may
            be spelled differently. Kept as bytes: a tenth of the memory of objects, and what a
            request does to its copy of the claims reaches no other.
        ends_at: seconds since the epoch: 24 h after the launch.
        ends: ``ends_at`` on the monotonic clock.
        refresh: from when on the claims are fetched again in the background.
        trusted: until when the claims are served without asking LTIAAS again.
        verified_at: seconds since the epoch: when LTIAAS was asked for these claims.
        confirmed: whether the browser has sent the launch's cookie back.
        check: until then a hit has nothing to look at. Set by the ``LaunchCache``.
    """

    id: str
    ltik: str
    claims: bytes
    ends_at: float
    ends: float
    refresh: float
    trusted: float
    verified_at: float = 0.0
    confirmed: bool = False
    check: float = 0.0

    def __repr__(self) -> str:
        return f"<CachedLaunch {self.id}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a CachedLaunch holds its ltik and is not pickled")


class Freshness:
    """Makes entries from what LTIAAS sent or another process noted.

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
