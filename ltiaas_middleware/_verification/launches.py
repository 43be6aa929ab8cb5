"""Verified launches, the cache of one process, and how long a launch lasts according to its
ltik."""

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
    "CLOCKS_APART",
    "DAY",
    "ENDED",
    "REJECTED_FOR",
    "CachedLaunch",
    "LaunchCache",
    "Verification",
    "launch_end",
    "launch_start",
    "make_entry",
]

#: An ltik stops working 24 hours after the launch (wire.md, "The launch redirect").
DAY = 86_400.0
#: How long the middleware does not ask again about a rejected ltik (seconds): the negative cache.
REJECTED_FOR = 60.0
#: Used instead of the time of a rejection: the launch was ended permanently.
ENDED = float("inf")
# Background refresh starts when this fraction of the ttl is over.
_REFRESH_AT = 0.8
#: How far the clocks of two machines may differ (seconds) before one distrusts a time that the
#: other recorded.
CLOCKS_APART = 60.0
# How far LTIAAS's clock and ours may differ (seconds) before we distrust an ltik's times.
_SKEW = 3600.0
# The maximum number of rejected ltiks, and of ended launches, that one process remembers.
_REJECTED_MOST = 10_000
# Mark a launch as used at most this often (seconds). Marking takes the lock; any other hit is just
# a dictionary look-up.
_USED_EVERY = 30.0


class Verification(NamedTuple):
    """A request to verify a launch. If a ``Flow`` of the gate yields it, the flow receives the
    launch or an ``ApiError``.

    Attributes:
        ltik: a well-formed token.
        launch_id: the launch's id.
        binds: whether the ltik came in the launch's cookie. The launch is then cookie-bound as soon
            as it is verified, even if the client has disconnected.
        authenticated: whether the request's path contains this launch's id. Limits on strangers
            then do not apply, because only the middleware, which has verified the ltik before, can
            derive the id from it.
        page: whether the browser can get a page that reloads itself while it waits.
        address: the client's IP address, as reported by the server.
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
    """One verified launch. Treat it as immutable: ``LaunchCache`` replaces it with a changed copy,
    so each request sees one consistent state. (It is not a frozen dataclass, because that would
    cost a new launch more time than everything else in this module.)

    All times except ``ends_at`` and ``verified_at`` are seconds of the monotonic clock, so a jump
    of the wall clock does not affect them.

    Attributes:
        id: the launch id.
        ltik: the token itself, a secret.
        claims: the ID token that LTIAAS sent, as JSON. Bytes need a tenth of the memory of objects,
            and a request's changes to its copy of the claims do not affect other requests.
        ends_at: seconds since the epoch: 24 h after the launch.
        ends: ``ends_at`` on the monotonic clock.
        refresh: when a request starts to fetch the claims again in the background.
        trusted: until when the middleware serves the claims without asking LTIAAS again.
        verified_at: seconds since the epoch: when the middleware asked LTIAAS for these claims.
        cookie_bound: whether the browser has sent the launch's cookie back.
        check: until when a hit has nothing to check. ``LaunchCache`` sets it.
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
    """Create an entry from what LTIAAS sent or another process stored, or None if the launch is
    over. This is the only place that converts wall time to monotonic time, so a clock jump cannot
    extend an existing entry's life."""
    if ends_at <= wall:
        return None
    age = wall - verified_at
    # From the future: somebody set one of the clocks. Ask LTIAAS instead of guessing.
    age = ttl if age < -CLOCKS_APART else max(age, 0.0)
    return CachedLaunch(
        ends_at=ends_at,
        verified_at=verified_at,
        ends=now + min(ends_at - wall, DAY),
        refresh=now + ttl * _REFRESH_AT - age,
        trusted=now + ttl - age,
        **fields,
    )


class LaunchCache:
    """Keeps at most ``size`` launches, and evicts the least recently used first.

    ``get`` takes no lock and changes nothing. A caller that finds ``entry.check`` in the past calls
    ``mark_used``. Rejected ltiks are in a separate cache, so they never evict a launch.
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

    def put(self, entry: CachedLaunch, *, cookie_bound: bool = False) -> None:
        """Store an entry, and replace an older one. ``cookie_bound`` says whether its cookie has
        come back since the entry was made."""
        with self._lock:
            now = self._monotonic()
            rejected_at = self._rejected.get(entry.id, entry.verified_at)
            if entry.verified_at < rejected_at or entry.id in self._ended:
                return
            older = self._entries.get(entry.id, entry)
            self._entries[entry.id] = entry.changed(
                cookie_bound=cookie_bound or entry.cookie_bound or older.cookie_bound,
                # Somebody may have set the wall clock since then; the first computed end counts.
                ends=min(entry.ends, older.ends),
                check=_next_check(entry, now),
            )
            self._entries.move_to_end(entry.id)
            while self._entries and (
                len(self._entries) > self._size or next(iter(self._entries.values())).is_over(now)
            ):
                # Remove ended launches as soon as possible, because they contain personal data.
                self._entries.popitem(last=False)

    def replace(self, launch_id: str, **changes: Any) -> CachedLaunch | None:
        """Replace a launch with a changed copy, and return the copy. None if the launch is not
        cached, or is over."""
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
        """Mark a launch as recently used, and return its current entry."""
        with self._lock:
            if launch_id in self._entries:
                self._entries.move_to_end(launch_id)
        return self.replace(launch_id)

    def reject(self, launch_id: str, at: float) -> None:
        """Record that the launch is over: LTIAAS rejected it at that time (seconds since the
        epoch), or it was ``ENDED``."""
        with self._lock:
            self._entries.pop(launch_id, None)
            if at == ENDED:
                self._ended[launch_id] = True
            else:
                self._rejected[launch_id] = at

    def is_rejected(self, launch_id: str) -> bool:
        """Whether the launch was ended, or LTIAAS rejected it so recently that the middleware does
        not ask again yet."""
        with self._lock:
            return launch_id in self._rejected or launch_id in self._ended


def _next_check(entry: CachedLaunch, now: float) -> float:
    if entry.trusted <= now:
        return now
    marks = [entry.ends, entry.trusted, now + _USED_EVERY]
    if entry.refresh > now:
        marks.append(entry.refresh)
    return min(marks)


# These functions do not verify the payload of an ltik: its times are hints (wire.md, "The launch
# redirect"). Only LTIAAS decides whether an ltik is valid. A hint can only make a launch end
# earlier.


def launch_end(ltik: str, now: float) -> float | None:
    """When a launch ends according to its ltik's ``iat`` and ``exp``; None if they are missing or
    implausible. All in seconds since the epoch."""
    issued, ends = _hints(ltik)
    if issued is not None and issued > now + _SKEW:
        return None
    if issued is not None:
        return min(ends, issued + DAY) if ends is not None and ends > issued else issued + DAY
    return ends if ends is not None and ends <= now + DAY + _SKEW else None


def launch_start(ltik: str, now: float) -> float:
    """When a launch began according to its ltik's ``iat``; now if it is missing or in the
    future."""
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
    """A plausible time in seconds since the epoch. LTI 1.3 is newer than 2015."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value) if 1_420_070_400 <= value <= 32_503_680_000 else None
