"""The contract of what keeps launches: ``memory.LaunchCache`` and ``redis_store.RedisStore``."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, Protocol

from .launches import CachedLaunch

__all__ = [
    "REFUSED_FOR",
    "USED_FOR",
    "Found",
    "LaunchStore",
    "Lease",
    "SharedStore",
    "Standing",
    "StoreUnavailable",
    "Turn",
]

#: A refused ltik is not asked for again for this long (seconds): the negative cache.
REFUSED_FOR = 60.0
#: Longer than a handoff is good for, so that none is forgotten before it is over (seconds).
USED_FOR = 120.0


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
    """A shared store gave no usable answer; it has been counted and logged. Never leaves this
    package, which goes on with the memory of its process."""


class LaunchStore(Protocol):
    """What keeps launches. ``LaunchCache`` and ``RedisStore`` pass one contract suite.

    Refusals and confirmations are permanent, whatever is put later or again, unless LTIAAS accepts
    the launch again after it had refused it.
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


class Standing(enum.Enum):
    """Who may ask LTIAAS about a launch."""

    #: We: the lease is ours.
    OURS = enum.auto()
    #: Another worker, which has the lease.
    THEIRS = enum.auto()
    #: Nobody, for a moment: the last holder's call has just failed.
    FAILED = enum.auto()
    #: Whoever asks again: something is known of the launch, so that no lease was taken.
    KNOWN = enum.auto()
    #: Everybody: the store can be read, but notes no lease.
    NOBODYS = enum.auto()


class Turn(NamedTuple):
    """What came of asking for a lease.

    Attributes:
        found: what is known of the launch now.
        standing: who may ask LTIAAS about it.
        lease: ours, where the standing is OURS.
        failure: where it is FAILED, how that call failed: the name of an exception.
    """

    found: Found
    standing: Standing
    lease: Lease | None = None
    failure: str | None = None


class SharedStore(LaunchStore, Protocol):
    """A store that workers share. Every call may wait, and may raise ``StoreUnavailable``.

    Attributes:
        lease: seconds that a lease lasts unless it is renewed.
    """

    lease: float

    def marks(self, launch_ids: Sequence[str]) -> Iterable[Found]:
        """``find`` for many, without the entries."""

    def put(self, entry: CachedLaunch, lease: Lease | None = None) -> None:
        """See ``LaunchStore``; and give a lease back, if it is still ours."""

    def refuse(self, launch_id: str, at: float, lease: Lease | None = None) -> None:
        """See ``LaunchStore``; and give a lease back, if it is still ours."""

    def begin(self, launch_id: str, *, anyway: bool = False) -> Turn:
        """Look up what is known of a launch, and ask for its lease.

        Args:
            launch_id: of the launch.
            anyway: whether to take the lease even where something is known.
        """

    def renew(self, lease: Lease) -> bool:
        """Make a lease last from now; False where another worker has it."""

    def release(self, lease: Lease, failure: str | None = None) -> None:
        """Give a lease back, if it is still ours.

        Args:
            lease: as ``begin`` gave it.
            failure: told for a moment to those who wait for it, so that they do not all ask, one
                after the other, what has just failed.
        """

    def overdue(self) -> None:
        """Note that a call is taking longer than anyone waits for."""

    def listen(self, heard: Callable[[str, str, float], None], missed: Callable[[], None]) -> None:
        """Hear what other workers tell. Returns at once."""

    def close(self) -> None:
        """Stop listening, and close what was opened."""
