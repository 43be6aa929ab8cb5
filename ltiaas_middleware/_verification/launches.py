"""Verified launches, those that one process remembers, and how long an ltik says that they last."""

from __future__ import annotations

import json
import threading
import time
from base64 import urlsafe_b64decode
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, fields
from operator import attrgetter
from typing import Any, NamedTuple, NoReturn

from cachetools import TTLCache

__all__ = [
    "DAY",
    "ENDED",
    "REJECTED_FOR",
    "CachedLaunch",
    "LaunchCache",
    "Verification",
    "has_ended",
    "launch_end",
    "launch_start",
    "make_entry",
]

#: An ltik stops working 24 hours after the launch (wire.md, "The launch redirect").
DAY = 86_400.0
#: A rejected ltik is not asked for again for this long (seconds): the negative cache.
REJECTED_FOR = 60.0
#: In the place of the time at which a launch was rejected: it was ended, for good.
ENDED = float("inf")
# Background refresh starts when this much of the ttl is over.
_REFRESH_AT = 0.8
# How far the clocks of two machines may be apart (seconds) before a time that the other one noted
# is not believed.
_CLOCKS_APART = 60.0
# How far LTIAAS's clock and ours may be apart (seconds) before an ltik's times are not believed.
_SKEW = 3600.0
# How many rejected ltiks, and ended launches, one process remembers at most.
_REJECTED_MOST = 10_000
# How long a hit may go without being marked as used (seconds). Marking takes the lock; a hit in
# between is one look-up in a dictionary.
_USED_EVERY = 30.0


class Verification(NamedTuple):
    """A launch to verify, and for whom. In a ``Flow`` of the gate: what is sent back is the launch,
    or an ``ApiError``.

    Attributes:
        ltik: a token of the right shape.
        launch_id: the id to keep it under.
        binds: whether the ltik came in the launch's cookie. The launch is then cookie-bound as soon
            as it is known, even if nobody is left to be answered.
        authenticated: whether the request's path names this very launch, so that limits for
            strangers do not count it: only the middleware, which has verified it before, makes the
            id of an ltik.
        page: whether a page can wait for the launch, by reloading itself.
        address: of the client, as the server tells it.
    """

    ltik: str
    launch_id: str
    binds: bool = False
    authenticated: bool = False
    page: bool = False
    address: str = ""

    def __repr__(self) -> str:
        return f"<Verification {self.launch_id}>"


@dataclass(slots=True, repr=False, eq=False)
class CachedLaunch:
    """One verified launch. Nobody changes it: ``LaunchCache`` puts a changed copy in its place, so
    that a request that holds one sees one state of it. (Not frozen: that costs a new launch more
    than all else in here.)

    All times but ``ends_at`` and ``verified_at`` are seconds of the monotonic clock, so that a jump
    of the wall clock moves nothing.

    Attributes:
        id: the launch id.
        ltik: the token itself, a secret.
        claims: the ID token that LTIAAS sent, as JSON. Kept as bytes: a tenth of the memory of
            objects, and what a request does to its copy of the claims reaches no other.
        ends_at: seconds since the epoch: 24 h after the launch.
        ends: ``ends_at`` on the monotonic clock.
        refresh: from when on the claims are fetched again in the background.
        trusted: until when the claims are served without asking LTIAAS again.
        verified_at: seconds since the epoch: when LTIAAS was asked for these claims.
        cookie_bound: whether the browser has sent the launch's cookie back.
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
    cookie_bound: bool = False
    check: float = 0.0

    def changed(self, **changes: Any) -> CachedLaunch:
        """A copy with other values."""
        copied = CachedLaunch(*_values(self))
        for name, value in changes.items():
            setattr(copied, name, value)
        return copied

    def is_over(self, now: float) -> bool:
        """Whether its 24 hours are over (monotonic)."""
        return now >= self.ends

    def __repr__(self) -> str:
        return f"<CachedLaunch {self.id}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a CachedLaunch holds its ltik and cannot be pickled")


_values = attrgetter(*(field.name for field in fields(CachedLaunch)))


def make_entry(
    *, ttl: float, wall: float, now: float, ends_at: float, verified_at: float, **fields: Any
) -> CachedLaunch | None:
    """An entry of what LTIAAS sent or another process noted; None if the launch is over. Wall time
    becomes monotonic time here and nowhere else: once made, no jump of the clock makes an entry
    live longer."""
    if ends_at <= wall:
        return None
    age = wall - verified_at
    # From the future: one of the clocks was set. LTIAAS is asked rather than guessed for.
    age = ttl if age < -_CLOCKS_APART else max(age, 0.0)
    return CachedLaunch(
        ends_at=ends_at,
        verified_at=verified_at,
        ends=now + min(ends_at - wall, DAY),
        refresh=now + ttl * _REFRESH_AT - age,
        trusted=now + ttl - age,
        **fields,
    )


class LaunchCache:
    """At most ``size`` launches, the least recently used going first.

    ``get`` takes no lock and changes nothing. ``mark_used`` is called by whoever finds
    ``entry.check`` past. Rejected ltiks are remembered apart, so that they can never push a launch
    out.

    Args:
        size: launches.
    """

    def __init__(self, size: int, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._size = size
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._entries: OrderedDict[str, CachedLaunch] = OrderedDict()
        self._rejected: TTLCache[str, float] = TTLCache(
            _REJECTED_MOST, REJECTED_FOR, timer=monotonic
        )
        self._ended: TTLCache[str, bool] = TTLCache(_REJECTED_MOST, DAY, timer=monotonic)
        self.get = self._entries.get

    def __len__(self) -> int:
        return len(self._entries)

    def put(self, entry: CachedLaunch, *, cookie_bound: bool = False) -> None:
        """Keep an entry in the place of an older one.

        Args:
            entry: as it was made.
            cookie_bound: whether its cookie has come back since.
        """
        with self._lock:
            now = self._monotonic()
            rejected_at = self._rejected.get(entry.id, entry.verified_at)
            if entry.verified_at < rejected_at or entry.id in self._ended:
                return
            older = self._entries.get(entry.id, entry)
            self._entries[entry.id] = entry.changed(
                cookie_bound=cookie_bound or entry.cookie_bound or older.cookie_bound,
                # The wall clock may have been set since; the end that was fixed first stands.
                ends=min(entry.ends, older.ends),
                check=_next_check(entry, now),
            )
            self._entries.move_to_end(entry.id)
            while self._entries and (
                len(self._entries) > self._size or next(iter(self._entries.values())).is_over(now)
            ):
                # A launch that is over leaves at the next opportunity: it holds a person's name.
                self._entries.popitem(last=False)

    def replace(self, launch_id: str, **changes: Any) -> CachedLaunch | None:
        """Put a changed copy of a launch in its place, and return it; None where it is not kept, or
        over."""
        with self._lock:
            entry, now = self._entries.get(launch_id), self._monotonic()
            if entry is None or entry.is_over(now):
                self._entries.pop(launch_id, None)
                return None
            entry = entry.changed(**changes)
            entry.check = _next_check(entry, now)
            self._entries[launch_id] = entry
            return entry

    def mark_used(self, launch_id: str) -> CachedLaunch | None:
        """Note that a launch was used, for the order of eviction, and return it as it is now."""
        with self._lock:
            if launch_id in self._entries:
                self._entries.move_to_end(launch_id)
        return self.replace(launch_id)

    def reject(self, launch_id: str, at: float) -> None:
        """The launch is over: LTIAAS rejected it at that time (seconds since the epoch), or it was
        ``ENDED``."""
        with self._lock:
            self._entries.pop(launch_id, None)
            if at == ENDED:
                self._ended[launch_id] = True
            else:
                self._rejected[launch_id] = at

    def is_rejected(self, launch_id: str) -> bool:
        """Whether it was ended, or LTIAAS rejected it a moment ago and is not asked again yet."""
        with self._lock:
            return launch_id in self._rejected or launch_id in self._ended


def _next_check(entry: CachedLaunch, now: float) -> float:
    if entry.trusted <= now:
        return now
    marks = [entry.ends, entry.trusted, now + _USED_EVERY]
    if entry.refresh > now:
        marks.append(entry.refresh)
    return min(marks)


# The payload of an ltik is not verified here: its times are hints (wire.md, "The launch redirect").
# LTIAAS alone says whether an ltik is good; a hint can only make a launch end earlier.


def launch_end(ltik: str, now: float) -> float | None:
    """When a launch ends by its ltik's own ``iat`` and ``exp``; None if they are missing or
    implausible. All in seconds since the epoch."""
    issued, ends = _hints(ltik)
    if issued is not None and issued > now + _SKEW:
        return None
    if issued is not None:
        return min(ends, issued + DAY) if ends is not None and ends > issued else issued + DAY
    return ends if ends is not None and ends <= now + DAY + _SKEW else None


def has_ended(ltik: str, now: float) -> bool:
    """Whether a launch is over by ``launch_end``."""
    ends = launch_end(ltik, now)
    return ends is not None and ends <= now


def launch_start(ltik: str, now: float) -> float:
    """When a launch began by its ltik's own ``iat``; now if it is missing or in the future."""
    issued, _ = _hints(ltik)
    return now if issued is None or issued > now + _SKEW else issued


def _hints(ltik: str) -> tuple[float | None, float | None]:
    try:
        payload = ltik.split(".")[1]
        hints = json.loads(urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        return _moment(hints.get("iat")), _moment(hints.get("exp"))
    except (ValueError, IndexError, AttributeError, RecursionError):
        return None, None


def _moment(value: Any) -> float | None:
    """A plausible time in seconds since the epoch: LTI 1.3 is younger than 2015."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value) if 1_420_070_400 <= value <= 32_503_680_000 else None
