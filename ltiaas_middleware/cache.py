"""Verified launches, kept in memory.

An entry holds the ID token as the JSON that LTIAAS sent, not as objects: a tenth of the memory, and
what one request does to its copy of the claims can never reach another.
"""

from __future__ import annotations

import threading
from collections import OrderedDict

__all__ = ["CachedLaunch", "LaunchCache"]

# How long a hit may go without being marked as used. Marking takes the lock; a hit in between is
# one look-up in a dictionary. The order of eviction is exact to this many seconds.
_USED_EVERY = 30.0


class CachedLaunch:
    """One verified launch. All times but ``ends_at`` are seconds of the monotonic clock, so that a
    jump of the wall clock moves nothing.

    Attributes:
        id: the launch id.
        ltik: the token itself, a secret.
        claims: the ID token, JSON.
        ends_at: seconds since the epoch: 24 h after the launch.
        ends: the same moment on the monotonic clock.
        refresh: from when on the claims are fetched again in the background.
        trusted: until when the claims are served without asking again.
        check: the next moment at which anything has to be looked at; before it, a hit is a hit.
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
        "trusted",
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
        confirmed: bool = False,
    ) -> None:
        self.id = id
        self.ltik = ltik
        self.claims = claims
        self.ends_at = ends_at
        self.ends = ends
        self.refresh = refresh
        self.trusted = trusted
        self.check = 0.0
        self.confirmed = confirmed

    def __repr__(self) -> str:
        return f"<CachedLaunch {self.id}>"


class LaunchCache:
    """At most ``size`` launches, the least recently used going first.

    Reading takes no lock: ``get`` is one look-up in a dictionary. ``mark_used`` is called by
    whoever finds ``entry.check`` past, and does the rest.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._lock = threading.Lock()
        self._entries: OrderedDict[str, CachedLaunch] = OrderedDict()
        self.get = self._entries.get

    def __len__(self) -> int:
        return len(self._entries)

    def put(self, entry: CachedLaunch, now: float) -> None:
        """Keep ``entry`` in the place of an older one of its id, whose confirmation it keeps."""
        with self._lock:
            older = self._entries.get(entry.id)
            if older is not None and older.confirmed:
                entry.confirmed = True
            self._entries[entry.id] = entry
            self._entries.move_to_end(entry.id)
            self._schedule(entry, now)
            while len(self._entries) > self._size or next(iter(self._entries.values())).ends <= now:
                # A launch that is over leaves at the next opportunity: it holds a person's name.
                self._entries.popitem(last=False)

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
