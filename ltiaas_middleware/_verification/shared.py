"""What workers tell each other of launches, encrypted, by way of a store.

For each launch id there are up to five values: the *launch* itself; *bound* (its cookie has come
back) and *over* (LTIAAS rejected it, or it was ended), which are only ever added, so that an old
launch put back by hand opens nothing; the *lease* of the one worker that is asking LTIAAS; and the
*jar*, with the app's cookies if the browser keeps none. What another worker did is seen at the next
look. A used one-time token has its own value, and so has the *epoch*, when the store began.

No store is trusted. Every value is encrypted and authenticated under a key derived from
``Settings.secrets`` and bound to the account, its name and its kind: whoever can write to the store
can make launches vanish and keep a worker waiting, but can open no launch, and can make no worker
say what LTIAAS did not. Names are hashes of launch ids, because for a browser without cookies the
launch id alone opens its launch.
"""

from __future__ import annotations

import os
import struct
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import NamedTuple

from .._crypto.encryption import Encryptor
from .._crypto.keys import LaunchIds
from ..settings import Settings
from .launches import DAY, ENDED, REJECTED_FOR, CachedLaunch, make_entry
from .rare_log import RareLog
from .stats import Stats
from .stores import Store, changing

__all__ = ["LEASE", "LONGEST", "Lease", "Seen", "Shared"]

#: Seconds that a lease lasts unless it is renewed: so long a killed worker holds the others up.
LEASE = 5.0
#: Bytes of the longest value: JSON that is encoded again may need three for one (é: \u00e9).
LONGEST = 3 * 1_048_576 + 5_000
# How long a failed call is told to those who waited for it; and the oldest (seconds) that is
# believed: one that was put back is not.
_FAILED_FOR = 1.0
_FAILED_LATELY = 60.0

# The version of what is stored: bump it whenever the layout changes.
_LAYOUT = 3
_MARK = struct.Struct(">Bd")  # layout, when
_LAUNCH = struct.Struct(">B?ddI")  # layout, bound, verified at, ends at, length of the ltik


class Seen(NamedTuple):
    """What the store knows of a launch.

    Attributes:
        entry: the launch, however old; None if there is none, or it is over.
        over: from when on it is over (seconds since the epoch); ``ENDED`` for good; None if not.
        bound: its cookie has come back, to whichever worker.
        leased: whether a worker is asking LTIAAS.
        failure: how its call failed a moment ago: the name of an exception.
        failed_at: when it did (seconds since the epoch).
    """

    entry: CachedLaunch | None
    over: float | None
    bound: bool
    leased: bool = False
    failure: str | None = None
    failed_at: float = 0.0


@dataclass(slots=True, eq=False)
class Lease:
    """The right to ask LTIAAS about one launch. ``until`` when it is ours (monotonic)."""

    launch_id: str
    value: bytes
    until: float


class Shared:
    """Launches in a store. Raises ``StoreUnavailable`` from every method.

    Args:
        store: as ``stores.Store``.
        settings: account, secrets and ttl.
        ids: a launch found must be of an ltik that its id was made from.
        stats: ``rejected_entries`` are counted there.
    """

    def __init__(
        self,
        store: Store,
        settings: Settings,
        ids: LaunchIds,
        stats: Stats,
        *,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.store = store
        self.lease = LEASE
        self._account = settings.url
        self._ttl = settings.ttl
        self._ids = ids
        self._stats = stats
        self._clock = clock
        self._monotonic = monotonic
        self._encryptor = Encryptor(settings.signing_secrets, "store")
        self._rare_log = RareLog(5, monotonic)
        self._remembers = False
        self.close = store.close

    # -- launches ---------------------------------------------------------------------------------

    def look(self, launch_id: str) -> Seen:
        """What is known of a launch. One round trip."""
        names = (self._name(launch_id, kind) for kind in ("launch", "bound", "over", "lease"))
        launch, bound, over, lease = self.store.get(*names)
        over_since = self._over(launch_id, over)
        entry = None if over_since == ENDED else self._entry(launch_id, launch, bound is not None)
        if entry is not None and over_since is not None:
            # If LTIAAS takes it again after all, it is as an entry from later.
            if entry.verified_at <= over_since:
                entry = None
            else:
                over_since = None
        # Whatever the mark holds: nothing but a browser's cookie had it put there.
        is_bound = bound is not None or (entry is not None and entry.cookie_bound)
        failure = self._failure(launch_id, lease)
        return Seen(entry, over_since, is_bound, lease is not None, *failure)

    def put(self, entry: CachedLaunch) -> None:
        """Keep a launch until it ends."""
        if not self._remembers:
            # From before there is a launch for which a one-time token could be made.
            self._epoch()
            self._remembers = True
        ltik = entry.ltik.encode()
        head = _LAUNCH.pack(
            _LAYOUT, entry.cookie_bound, entry.verified_at, entry.ends_at, len(ltik)
        )
        if entry.cookie_bound:
            # Again with each refresh, in case that the store was away when it was told first.
            self.bind(entry)
        self._put("launch", entry.id, head + ltik + entry.claims, self._left(entry))

    def bind(self, entry: CachedLaunch) -> None:
        """The browser has sent the launch's cookie back."""
        mark = _MARK.pack(_LAYOUT, self._clock())
        if self._put_if_absent("bound", entry.id, mark, self._left(entry)):
            self.drop_jar(entry.id)

    def reject(self, launch_id: str, at: float, *, was_verified: bool) -> None:
        """LTIAAS rejected a launch.

        Args:
            launch_id: of the launch.
            at: when (seconds since the epoch).
            was_verified: before, so that an old value of it could be put back.
        """
        name, mark = self._name(launch_id, "over"), _MARK.pack(_LAYOUT, at)
        # A call under way when a launch is ended may be rejected afterwards.
        if at == ENDED or self._over(launch_id, *self.store.get(name)) != ENDED:
            self._put("over", launch_id, mark, DAY if was_verified else REJECTED_FOR)
        self.store.delete(self._name(launch_id, "launch"))
        if was_verified:
            self.drop_jar(launch_id)

    def end(self, launch_id: str) -> None:
        """End a launch for good: no worker serves it beyond its next look."""
        self.reject(launch_id, ENDED, was_verified=True)

    def use_once(self, token: str, made_at: float) -> bool:
        """Whether this is the first use of a one-time token. Nobody knows what was used before the
        store lost its data, so that a token from before is refused."""
        return made_at >= self._epoch() and self.mark_used(token)

    def mark_used(self, token: str) -> bool:
        """Whether this is the first use of a one-time token that the store remembers."""
        # A day, although it is good for a minute: a store that is full gives up first what is to
        # expire soonest.
        return self._put_if_absent("used", token, _MARK.pack(_LAYOUT, self._clock()), DAY)

    # -- jars -------------------------------------------------------------------------------------

    def jar(self, launch_id: str) -> bytes | None:
        """A launch's jar, or None."""
        (sealed,) = self.store.get(self._name(launch_id, "jar"))
        content = self._open("jar", launch_id, sealed)
        return None if content is None else content[1:]

    def change_jar(self, entry: CachedLaunch, change: Callable[[bytes | None], bytes]) -> None:
        """Change a launch's jar; of several who do so at once, one after the other. A launch that
        is bound or over has none."""
        with changing(self.store, self._name(entry.id, "changing")):
            seen = self.look(entry.id)
            if seen.bound or seen.over is not None:
                return
            before = self.jar(entry.id)
            after = change(before)
            if after != before:
                self._put("jar", entry.id, bytes([_LAYOUT]) + after, self._left(entry))

    def drop_jar(self, launch_id: str) -> None:
        """Remove a launch's jar, if there is one."""
        self.store.delete(self._name(launch_id, "jar"))

    # -- leases -----------------------------------------------------------------------------------

    def take_lease(self, launch_id: str) -> Lease | None:
        """The lease of a launch, unless another worker has it."""
        until = self._monotonic() + self.lease
        value = self._seal("lease", launch_id, b"." + os.urandom(16))
        if not self.store.put_if_absent(self._name(launch_id, "lease"), value, self.lease):
            return None
        return Lease(launch_id, value, until)

    def renew(self, lease: Lease) -> bool:
        """Make a lease last from now; False if another worker has it."""
        name, until = self._name(lease.launch_id, "lease"), self._monotonic() + self.lease
        (found,) = self.store.get(name)
        if found is None:
            # A Redis that was restarted has forgotten it.
            if not self.store.put_if_absent(name, lease.value, self.lease):
                return False
        elif found != lease.value:
            return False
        else:
            self.store.put(name, lease.value, self.lease)
        lease.until = until
        return True

    def release(self, lease: Lease, failure: str | None = None) -> None:
        """Give a lease back. If it has run out, it may be another worker's.

        Args:
            lease: as ``take_lease`` gave it.
            failure: told for a moment to those who wait for it, so that they do not all ask, one
                after the other, what has just failed.
        """
        name = self._name(lease.launch_id, "lease")
        if self._monotonic() >= lease.until:
            return
        if failure is None:
            self.store.delete(name)
        else:
            failed = b"!" + _MARK.pack(_LAYOUT, self._clock()) + failure.encode()
            self.store.put(name, self._seal("lease", lease.launch_id, failed), _FAILED_FOR)

    # -- values -----------------------------------------------------------------------------------

    def _epoch(self) -> float:
        name = self._name("", "epoch")
        (sealed,) = self.store.get(name)
        content = self._open("epoch", "", sealed)
        if content is None:
            if sealed is not None:
                # Nobody here made it.
                self.store.delete(name)
            self._put_if_absent("epoch", "", _MARK.pack(_LAYOUT, self._clock()), None)
            return self._clock()
        began: float = _MARK.unpack_from(content)[1]
        return began

    def _over(self, launch_id: str, sealed: bytes | None) -> float | None:
        content = self._open("over", launch_id, sealed)
        return None if content is None else _MARK.unpack_from(content)[1]

    def _failure(self, launch_id: str, sealed: bytes | None) -> tuple[str | None, float]:
        content = self._open("lease", launch_id, sealed, quietly=True)
        if content is None and sealed is not None:
            # Nobody here took it.
            self.store.delete(self._name(launch_id, "lease"))
        if content is None or content[:1] != b"!":
            return None, 0.0
        at = _MARK.unpack_from(content, 1)[1]
        lately = abs(self._clock() - at) < _FAILED_LATELY
        return content[1 + _MARK.size :].decode() if lately else None, at

    def _entry(self, launch_id: str, sealed: bytes | None, bound: bool) -> CachedLaunch | None:
        content = self._open("launch", launch_id, sealed)
        if content is None:
            return None
        _, was_bound, verified_at, ends_at, length = _LAUNCH.unpack_from(content)
        ltik = content[_LAUNCH.size : _LAUNCH.size + length].decode()
        if not self._ids.match(ltik, launch_id):
            self._ignored(launch_id)
            return None
        return make_entry(
            ttl=self._ttl,
            wall=self._clock(),
            now=self._monotonic(),
            id=launch_id,
            ltik=ltik,
            claims=content[_LAUNCH.size + length :],
            ends_at=ends_at,
            verified_at=verified_at,
            # Whoever deletes the mark cannot take this away.
            cookie_bound=bound or was_bound,
        )

    def _put(self, kind: str, of: str, content: bytes, seconds: float) -> None:
        self.store.put(self._name(of, kind), self._seal(kind, of, content), seconds)

    def _put_if_absent(self, kind: str, of: str, content: bytes, seconds: float | None) -> bool:
        sealed = self._seal(kind, of, content)
        return self.store.put_if_absent(self._name(of, kind), sealed, seconds)

    def _name(self, of: str, kind: str) -> str:
        digest = sha256(f"{self._account} {of}".encode()).digest()
        return f"{urlsafe_b64encode(digest[:16])[:22].decode()}:{kind}"

    def _seal(self, kind: str, of: str, content: bytes) -> bytes:
        return self._encryptor.encrypt(content, self._associated_data(kind, of))

    def _associated_data(self, kind: str, of: str) -> bytes:
        return f"{self._account} {kind} {of}".encode()

    def _open(
        self, kind: str, of: str, sealed: bytes | None, *, quietly: bool = False
    ) -> bytes | None:
        """What was encrypted here under this kind and id; None, and a warning, for anything
        else."""
        if sealed is None:
            return None
        opened = self._encryptor.decrypt(sealed, self._associated_data(kind, of))
        if opened is not None and (quietly or opened.content[:1] == bytes([_LAYOUT])):
            return opened.content
        if not quietly:
            self._ignored(of)
        return None

    def _ignored(self, launch_id: str) -> None:
        self._stats.count("rejected_entries")
        self._rare_log.warning(
            "ignored",
            "ignored a stored entry%s that failed authentication (other version, other secret, or "
            "tampering)",
            f" of launch {launch_id}" if launch_id else "",
        )

    def _left(self, entry: CachedLaunch) -> float:
        return max(0.001, min(entry.ends_at - self._clock(), DAY))
