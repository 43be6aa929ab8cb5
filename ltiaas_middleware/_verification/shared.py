"""Shares launches between workers, encrypted, through a store.

For each launch id, there are up to five values: the *launch* itself; *bound* (its cookie has come
back) and *over* (LTIAAS rejected it, or it was ended), which workers only ever add, so that an
attacker who restores an old launch cannot open it; the *lease* of the worker that is asking LTIAAS;
and the *jar*, with the app's cookies if the browser blocks cookies. Workers see each other's
changes at their next look-up. Each used one-time token has its own value, and so has the *epoch*,
the time at which the store began.

The store is not trusted. Every value is encrypted and authenticated under a key derived from
``Settings.secrets``, and bound to the account, its name and its kind. An attacker who can write to
the store can delete launches and keep a worker waiting, but cannot open a launch or make a worker
report what LTIAAS did not say. Names are hashes of launch ids, because in a browser that blocks
cookies, the launch id alone opens the launch.
"""

from __future__ import annotations

import struct
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import NamedTuple

from .._crypto.encryption import Encryptor
from .._crypto.keys import LaunchIds
from .._rare_log import RareLog
from ..settings import Settings
from .launches import CLOCKS_APART, DAY, ENDED, REJECTED_FOR, CachedLaunch, make_entry
from .stats import Stats
from .stores import Store, changing

__all__ = ["Lease", "Seen", "Shared"]

# How long a lease lasts unless it is renewed (seconds). A killed worker delays others this long.
_LEASE = 5.0
# How long other workers get the failure of a call that they waited for, and the maximum age at
# which they accept one (seconds), so that an attacker cannot replay an old failure.
_FAILED_FOR = 1.0
_FAILED_LATELY = 60.0

# The version of the stored layout: increase it whenever the layout changes.
_LAYOUT = 3
_MARK = struct.Struct(">Bd")  # layout, when; in a lease, how the call failed may follow
_LAUNCH = struct.Struct(">B?ddI")  # layout, bound, verified at, ends at, length of the ltik


class Seen(NamedTuple):
    """What the store knows about a launch.

    Attributes:
        entry: the launch, however old, or None if there is none or it is over.
        over: since when it is over (seconds since the epoch), ``ENDED`` if permanently, None if
            not.
        bound: whether its cookie has come back to any worker.
        leased: whether a worker is asking LTIAAS.
        failure: how its call failed recently: the name of an exception.
        failed_at: when the call failed (seconds since the epoch).
    """

    entry: CachedLaunch | None
    over: float | None
    bound: bool
    leased: bool = False
    failure: str | None = None
    failed_at: float = 0.0


@dataclass(slots=True, eq=False)
class Lease:
    """The right to ask LTIAAS about one launch, valid ``until`` then (monotonic)."""

    launch_id: str
    value: bytes
    until: float


class Shared:
    """Launches in a store. Every method may raise ``StoreUnavailable``."""

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
        self.lease = _LEASE
        self._account = settings.url
        self._ttl = settings.ttl
        self._ids = ids
        self._stats = stats
        self._clock = clock
        self._monotonic = monotonic
        self._encryptor = Encryptor(settings.signing_secrets, "store")
        self._rare_log = RareLog(5, 60, monotonic=monotonic)
        self._remembers = False
        self.close = store.close

    # -- launches ---------------------------------------------------------------------------------

    def look(self, launch_id: str) -> Seen:
        """What the store knows about a launch. One round trip."""
        names = (self._name(launch_id, kind) for kind in ("launch", "bound", "over", "lease"))
        launch, bound, over, lease = self.store.get(*names)
        over_since = self._over(launch_id, over)
        entry = None if over_since == ENDED else self._entry(launch_id, launch, bound is not None)
        if entry is not None and over_since is not None:
            # If LTIAAS accepts it again after all, there is a newer entry.
            if entry.verified_at <= over_since:
                entry = None
            else:
                over_since = None
        # The mark's content does not matter: only a browser's cookie causes it to be stored.
        is_bound = bound is not None or (entry is not None and entry.cookie_bound)
        failure = self._failure(launch_id, lease)
        return Seen(entry, over_since, is_bound, lease is not None, *failure)

    def put(self, entry: CachedLaunch) -> None:
        """Store a launch until it ends."""
        if not self._remembers:
            # The epoch must exist before any launch for which a one-time token could be created.
            self._epoch()
            self._remembers = True
        ltik = entry.ltik.encode()
        head = _LAUNCH.pack(
            _LAYOUT, entry.cookie_bound, entry.verified_at, entry.ends_at, len(ltik)
        )
        if entry.cookie_bound:
            # Repeat this at each refresh, in case the store failed the first time.
            self.bind(entry)
        self._put("launch", entry.id, head + ltik + entry.claims, self._left(entry))

    def bind(self, entry: CachedLaunch) -> None:
        """Record that the browser has sent the launch's cookie back."""
        if self._put_if_absent("bound", entry.id, self._mark(), self._left(entry)):
            self.drop_jar(entry.id)

    def reject(self, launch_id: str, at: float, *, was_verified: bool) -> None:
        """Record that LTIAAS rejected a launch at that time (seconds since the epoch). If it
        ``was_verified`` before, an attacker could restore its old value, so the record lasts."""
        name, mark = self._name(launch_id, "over"), _MARK.pack(_LAYOUT, at)
        # A call that was running when the launch was ended may be rejected afterward.
        if at == ENDED or self._over(launch_id, *self.store.get(name)) != ENDED:
            self._put("over", launch_id, mark, DAY if was_verified else REJECTED_FOR)
        self.store.delete(self._name(launch_id, "launch"))
        if was_verified:
            self.drop_jar(launch_id)

    def end(self, launch_id: str) -> None:
        """End a launch permanently. Workers stop serving it at their next look-up."""
        self.reject(launch_id, ENDED, was_verified=True)

    def use_once(self, token: str, made_at: float) -> bool:
        """Whether this is the first use of a one-time token. If the store lost its data, a token
        from before that may have been used, so it is refused."""
        return made_at >= self._epoch() and self.mark_used(token)

    def mark_used(self, token: str) -> bool:
        """Whether this is the first use of a one-time token, as far as the store remembers."""
        # A day, although the token is valid for a minute: a full store first evicts what expires
        # soonest.
        return self._put_if_absent("used", token, self._mark(), DAY)

    # -- jars -------------------------------------------------------------------------------------

    def jar(self, launch_id: str) -> bytes | None:
        """A launch's jar, or None."""
        (sealed,) = self.store.get(self._name(launch_id, "jar"))
        content = self._open("jar", launch_id, sealed)
        return None if content is None else content[1:]

    def change_jar(self, entry: CachedLaunch, change: Callable[[bytes | None], bytes]) -> None:
        """Change a launch's jar. Concurrent changes happen one after the other. A launch that is
        bound or over has no jar."""
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
        """Take the lease of a launch, unless another worker has it."""
        until = self._monotonic() + self.lease
        value = self._seal("lease", launch_id, self._mark())
        if not self.store.put_if_absent(self._name(launch_id, "lease"), value, self.lease):
            return None
        return Lease(launch_id, value, until)

    def renew(self, lease: Lease) -> bool:
        """Extend a lease from now. Returns False if another worker has it."""
        name, until = self._name(lease.launch_id, "lease"), self._monotonic() + self.lease
        (found,) = self.store.get(name)
        if found is None:
            # A restarted Redis has lost it.
            if not self.store.put_if_absent(name, lease.value, self.lease):
                return False
        elif found != lease.value:
            return False
        else:
            self.store.put(name, lease.value, self.lease)
        lease.until = until
        return True

    def release(self, lease: Lease, failure: str | None = None) -> None:
        """Give a lease back. If it has expired, it may belong to another worker. A ``failure`` is
        stored briefly for workers that wait, so that they do not repeat the failed call one after
        the other."""
        if self._monotonic() >= lease.until:
            return
        if failure is None:
            self.store.delete(self._name(lease.launch_id, "lease"))
        else:
            self._put("lease", lease.launch_id, self._mark() + failure.encode(), _FAILED_FOR)

    # -- values -----------------------------------------------------------------------------------

    def _epoch(self) -> float:
        name = self._name("", "epoch")
        (sealed,) = self.store.get(name)
        content, now = self._open("epoch", "", sealed), self._clock()
        began: float = float("inf") if content is None else _MARK.unpack_from(content)[1]
        if began <= now + CLOCKS_APART:
            return began
        if sealed is not None:
            # None of our workers stored it, or somebody has set the clock back since.
            self.store.delete(name)
        self._put_if_absent("epoch", "", self._mark(), None)
        return now

    def _over(self, launch_id: str, sealed: bytes | None) -> float | None:
        content = self._open("over", launch_id, sealed)
        return None if content is None else _MARK.unpack_from(content)[1]

    def _failure(self, launch_id: str, sealed: bytes | None) -> tuple[str | None, float]:
        content = self._open("lease", launch_id, sealed)
        at: float = float("inf") if content is None else _MARK.unpack_from(content)[1]
        age = self._clock() - at
        if content is None or age < -_FAILED_LATELY:
            if sealed is not None:
                # None of our workers took it, or somebody has set the clock back since.
                self.store.delete(self._name(launch_id, "lease"))
            return None, 0.0
        failure = content[_MARK.size :].decode()
        return failure if failure and age < _FAILED_LATELY else None, at

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
            # An attacker who deletes the mark cannot undo this.
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

    def _mark(self) -> bytes:
        return _MARK.pack(_LAYOUT, self._clock())

    def _open(self, kind: str, of: str, sealed: bytes | None) -> bytes | None:
        """The content that a worker encrypted under this kind and id. Anything else returns None
        and logs a warning."""
        if sealed is None:
            return None
        opened = self._encryptor.decrypt(sealed, self._associated_data(kind, of))
        if opened is not None and opened.content[:1] == bytes([_LAYOUT]):
            return opened.content
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
