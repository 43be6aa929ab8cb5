"""Where workers keep what they share: four operations, of bytes by name, each with an expiry.

Three stores pass one contract suite: ``MemoryStore`` (one process), ``host_store.HostStore`` (the
workers of one machine) and ``redis_store.RedisStore`` (all of them). A store knows nothing of
launches, and what it holds is encrypted before it gets there (``shared``).

A name is ``<id>:<kind>``, with an id of base64url and a kind of letters.
"""

from __future__ import annotations

import contextlib
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from typing import Protocol

__all__ = ["MARKS", "SMALL", "MemoryStore", "Store", "StoreUnavailable", "changing", "is_small"]

#: Bytes: more than any mark or lease of ours has.
SMALL = 250
#: The kinds that keep something shut. A store that is full gives up everything else first.
MARKS = ("bound", "over", "used", "epoch")
# Entries in the memory of a process: they are marks, and expire.
_MOST = 100_000
# Seconds that a change takes at most, and between two looks whether another one is over.
_CHANGING = 2.0
_CHANGED_YET = 0.003


def is_small(name: str) -> bool:
    """Whether a value of this name is a mark or a lease, which has ``SMALL`` bytes at most."""
    return name.rpartition(":")[2] in (*MARKS, "lease")


class StoreUnavailable(Exception):
    """A store did not do as it was asked; it has been counted and logged. Never leaves this
    package, which goes on with the memory of its process.

    Attributes:
        read_only: whether the store answered, but does not write.
    """

    def __init__(self, *, read_only: bool = False) -> None:
        super().__init__()
        self.read_only = read_only


class Store(Protocol):
    """Safe to use from many threads. Every call may wait, and may raise ``StoreUnavailable``."""

    def get(self, *names: str) -> list[bytes | None]:
        """The values of names of one id; None for what is missing or expired. Of a value that is
        longer than any of ours, no more than that is read."""

    def put(self, name: str, value: bytes, seconds: float) -> None:
        """Keep a value for so long, in the place of an older one."""

    def put_if_absent(self, name: str, value: bytes, seconds: float | None) -> bool:
        """Keep a value, unless there is one.

        Args:
            name: of the value.
            value: anything.
            seconds: how long it is kept; None for good.

        Returns:
            Whether there was none. Of many who ask at once, one is told so.
        """

    def delete(self, name: str) -> None:
        """Remove a value; nothing happens if there is none."""

    def close(self) -> None:
        """Close what was opened."""


@contextlib.contextmanager
def changing(store: Store, name: str) -> Iterator[None]:
    """Keep others who change the same thing waiting, for two seconds at most.

    Args:
        store: that all of them have.
        name: for the value that says so.
    """
    until, mark = time.monotonic() + _CHANGING, secrets.token_bytes(8)
    while not store.put_if_absent(name, mark, _CHANGING) and time.monotonic() < until:
        time.sleep(_CHANGED_YET)
    try:
        yield
    finally:
        # Not one that somebody else has put since ours expired.
        if store.get(name) == [mark]:
            store.delete(name)


class MemoryStore:
    """A store of one process."""

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
