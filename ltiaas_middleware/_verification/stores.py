"""Stores for the data that workers share: four operations on named bytes with an expiry.

The same tests cover three stores: ``MemoryStore`` (one process), ``host_store.HostStore`` (the
workers on one machine) and ``redis_store.RedisStore`` (all workers). A store knows nothing about
launches, and gets only encrypted values (``shared``).

A name is ``<id>:<kind>``, with a base64url id and a kind that consists of letters.
"""

from __future__ import annotations

import contextlib
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from typing import Protocol

__all__ = ["MARKS", "MemoryStore", "Store", "StoreUnavailable", "changing", "is_small", "longest"]

# The maximum sizes in bytes of our marks and leases, and of any other value. JSON that is encoded
# again may need three bytes for one (é: \u00e9).
_SMALL = 250
_LARGE = 3 * 1_048_576 + 5_000
#: The kinds that protect something. A full store evicts everything else first.
MARKS = ("bound", "over", "used", "epoch")
# The maximum number of entries in a process's memory. They are marks, and expire.
_MOST = 100_000
# The maximum duration of a change, and the time between checks whether another one is over
# (seconds).
_CHANGING = 2.0
_CHANGED_YET = 0.003


def is_small(name: str) -> bool:
    """Whether a value with this name is a mark or a lease."""
    return name.rpartition(":")[2] in (*MARKS, "lease")


def longest(name: str) -> int:
    """The maximum size of our values with this name, in bytes."""
    return _SMALL if is_small(name) else _LARGE


class StoreUnavailable(Exception):
    """A store failed. The failure is already counted and logged. This exception never leaves this
    package, which continues with its process's memory.

    Attributes:
        read_only: whether the store responds but does not accept writes.
    """

    def __init__(self, *, read_only: bool = False) -> None:
        super().__init__()
        self.read_only = read_only


class Store(Protocol):
    """Thread-safe. Every call may block, and may raise ``StoreUnavailable``."""

    def get(self, *names: str) -> list[bytes | None]:
        """The values for several names of one id; None for missing or expired ones. If somebody
        stored a value that is longer than any of ours, the store does not read the rest."""

    def put(self, name: str, value: bytes, seconds: float) -> None:
        """Store a value for ``seconds``, and replace an older one."""

    def put_if_absent(self, name: str, value: bytes, seconds: float | None) -> bool:
        """Store a value for ``seconds``, or permanently, unless there is one. Returns whether there
        was none. Of several concurrent calls, exactly one gets True."""

    def delete(self, name: str) -> None:
        """Remove a value, if there is one."""

    def close(self) -> None:
        """Close what the store opened."""


@contextlib.contextmanager
def changing(store: Store, name: str) -> Iterator[None]:
    """Make others who change the same thing wait, for two seconds at most. ``name`` is the name of
    the value that locks it."""
    until, mark = time.monotonic() + _CHANGING, secrets.token_bytes(8)
    while not store.put_if_absent(name, mark, _CHANGING) and time.monotonic() < until:
        time.sleep(_CHANGED_YET)
    try:
        yield
    finally:
        # Do not delete a lock that somebody else has taken since ours expired.
        if store.get(name) == [mark]:
            store.delete(name)


class MemoryStore:
    """A store for one process."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._values: dict[str, tuple[bytes, float]] = {}

    def get(self, *names: str) -> list[bytes | None]:
        with self._lock:
            return [self._get(name) for name in names]

    def put(self, name: str, value: bytes, seconds: float) -> None:
        with self._lock:
            self._put(name, value, seconds)

    def put_if_absent(self, name: str, value: bytes, seconds: float | None) -> bool:
        with self._lock:
            if self._get(name) is not None:
                return False
            self._put(name, value, float("inf") if seconds is None else seconds)
            return True

    def delete(self, name: str) -> None:
        with self._lock:
            self._values.pop(name, None)

    def close(self) -> None:
        pass

    def _get(self, name: str) -> bytes | None:
        value, until = self._values.get(name, (None, 0.0))
        return value if self._clock() < until else None

    def _put(self, name: str, value: bytes, seconds: float) -> None:
        now = self._clock()
        if len(self._values) >= _MOST:
            self._values = {one: kept for one, kept in self._values.items() if now < kept[1]}
        if len(self._values) >= _MOST:
            marks = tuple(f":{kind}" for kind in MARKS)
            self._values = {one: kept for one, kept in self._values.items() if one.endswith(marks)}
            if len(self._values) >= _MOST:
                raise StoreUnavailable(read_only=True)
        self._values.pop(name, None)
        self._values[name] = value, now + seconds
