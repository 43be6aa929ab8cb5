"""The launches that one process remembers."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from cachetools import TTLCache

from .launches import CachedLaunch
from .store import REFUSED_FOR, USED_FOR, Found

__all__ = ["LaunchCache"]

# How many refused ltiks and used handoffs one process remembers at most.
_REFUSED_MOST = 10_000
_USED_MOST = 100_000
# How long a hit may go without being marked as used (seconds). Marking takes the lock; a hit in
# between is one look-up in a dictionary. The order of eviction is exact to this many seconds.
_USED_EVERY = 30.0


class LaunchCache:
    """At most ``size`` launches, the least recently used going first.

    ``get`` takes no lock and changes nothing. ``mark_used`` is called by whoever finds
    ``entry.check`` past. Refused ltiks are remembered apart, so that they can never push a launch
    out.

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
            older = self._entries.get(entry.id, entry)
            self._entries[entry.id] = replace(
                entry,
                confirmed=entry.confirmed or older.confirmed,
                # The wall clock may have been set since; the end that was fixed first stands.
                ends=min(entry.ends, older.ends),
                check=_next_check(entry, now),
            )
            self._entries.move_to_end(entry.id)
            while self._entries and (
                len(self._entries) > self._size or next(iter(self._entries.values())).ends <= now
            ):
                # A launch that is over leaves at the next opportunity: it holds a person's name.
                self._entries.popitem(last=False)

    def replace(self, launch_id: str, **changes: Any) -> CachedLaunch | None:
        """Put a changed copy of a launch in its place, and return it; None where it is not kept.
        Its place in the order of eviction stays.

        Args:
            launch_id: of the launch, as it is kept now: it may have been refreshed since the caller
                looked.
            changes: attributes of ``CachedLaunch``.
        """
        with self._lock:
            return self._replace(launch_id, changes)

    def mark_used(self, launch_id: str) -> CachedLaunch | None:
        """Note that a launch was used, for the order of eviction, and return it as it is now."""
        with self._lock:
            if launch_id in self._entries:
                self._entries.move_to_end(launch_id)
            return self._replace(launch_id, {})

    def refuse(self, launch_id: str, at: float) -> None:
        """See ``LaunchStore``."""
        with self._lock:
            self._entries.pop(launch_id, None)
            self._refused[launch_id] = at

    def confirm(self, entry: CachedLaunch) -> None:
        """See ``LaunchStore``."""
        self.replace(entry.id, confirmed=True)

    def use_once(self, token: str) -> bool:
        """See ``LaunchStore``."""
        with self._lock:
            if token in self._used:
                return False
            self._used[token] = True
        return True

    def remove(self, launch_id: str) -> None:
        """Forget a launch; nothing happens where it is not known."""
        with self._lock:
            self._entries.pop(launch_id, None)

    def _replace(self, launch_id: str, changes: dict[str, Any]) -> CachedLaunch | None:
        entry = self._entries.get(launch_id)
        if entry is None:
            return None
        entry = replace(entry, **changes)
        entry = replace(entry, check=_next_check(entry, self._monotonic()))
        self._entries[launch_id] = entry
        return entry


def _next_check(entry: CachedLaunch, now: float) -> float:
    if entry.trusted <= now:
        return now
    marks = [entry.ends, entry.trusted, now + _USED_EVERY]
    if entry.refresh > now:
        marks.append(entry.refresh)
    return min(marks)
