"""Launches in Redis (or Valkey), shared between workers and machines.

Theory of operation. Redis holds, for each launch id, up to four keys: the *launch* itself, *over*
(LTIAAS refused it), *confirmed* (its cookie has come back) and the *lease* of the one worker that
is asking LTIAAS about it. The middle two are keys of their own and are only ever added, so that an
old entry put back by hand neither un-refuses nor un-confirms. Every key expires by itself, at the
latest with its launch. ``redis_scripts`` has what is done with them, one round trip each.

Redis is not trusted. What it holds is sealed under a key derived from ``Settings.secret`` and bound
to its launch id and kind: whoever can write to Redis can make entries vanish, and keep a worker
waiting, but can open no launch, and can make no worker say what LTIAAS did not. No more bytes of a
value are read than one of ours could have. The names of the keys are hashes of the launch ids,
because for a browser without cookies the launch id alone opens its launch.
"""

from __future__ import annotations

import logging
import os
import struct
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator, Sequence
from hashlib import sha256
from typing import Any

import redis

from .._crypto.keys import LaunchIds
from .._crypto.sealing import Sealer
from ..settings import Settings
from . import redis_scripts as scripts
from .launches import CachedLaunch, Freshness
from .ltik_times import DAY
from .redis_connection import RedisConnection
from .redis_pubsub import News
from .stats import Stats
from .store import REFUSED_FOR, USED_FOR, Found, Lease, Standing, Turn

__all__ = ["RedisStore"]

_log = logging.getLogger("ltiaas_middleware")

# Seconds that a lease lasts unless it is renewed: so long a killed worker holds the others up.
_LEASE = 5.0
# How long (seconds) a failed flight is told to those who waited for it, by Redis's clock; and the
# oldest that is believed, by ours: one that was put back is not.
_FAILED_FOR = 1.0
_FAILED_LATELY = 60.0

# How many launches are looked for in one round trip.
_MANY = 500

# The version of what is sealed: bump it whenever the layout changes.
_LAYOUT = 1
_LAUNCH = struct.Struct(">BddI")  # layout, verified_at, ends_at, length of the ltik; ltik, claims
_MARK = struct.Struct(">Bd")  # layout, when


class RedisStore:
    """A ``store.SharedStore`` in Redis, with leases. Safe to use from many threads, and made
    before a server forks: it connects with its first call.

    Args:
        settings: ``cache``, ``cache_prefix``, ``cache_timeout`` and the secrets.
        ids: a launch found must be of an ltik that its id was made from.
        stats: ``redis_errors`` and ``rejected_entries`` are counted there.
        clock: seconds since the epoch.
        monotonic: seconds of a clock that nobody sets.

    Raises:
        StoreUnavailable: from every method, where Redis did not do as it was asked.
    """

    def __init__(
        self,
        settings: Settings,
        ids: LaunchIds,
        stats: Stats,
        *,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.lease = _LEASE
        self._ids = ids
        self._stats = stats
        self._clock = clock
        self._freshness = Freshness(settings.ttl, clock, monotonic)
        self._sealer = Sealer(settings.secrets, "redis")
        self._prefix = settings.cache_prefix
        # JSON that is encoded again may need up to three bytes for one (é becomes \u00e9).
        self._longest = 3 * settings.max_response_size + settings.max_ltik_length + 100
        self._connection = RedisConnection(settings, stats, self._renew_news, monotonic=monotonic)
        self._news = News(self._connection.client, f"{self._prefix}:news", self._connection.lost)

    # -- what is kept -----------------------------------------------------------------------------

    def find(self, launch_id: str) -> Found:
        """See ``LaunchStore``. One round trip."""
        names = self._names(launch_id, "launch", "over", "confirmed")
        return self._read(launch_id, self._eval(scripts.LOOK, names, [self._longest]))

    def marks(self, launch_ids: Sequence[str]) -> Iterator[Found]:
        """``find`` for many, without the entries. One round trip for each five hundred, made even
        where others are kept back by the circuit breaker: the caller has just connected."""
        for start in range(0, len(launch_ids), _MANY):
            some = launch_ids[start : start + _MANY]
            values = self._connection.call(
                lambda client, some=some: self._marks(client, some),  # type: ignore[misc]
                anyway=True,
            )
            for number, launch_id in enumerate(some):
                yield self._read(launch_id, (b"", *values[2 * number : 2 * number + 2]))

    def _marks(self, client: Any, launch_ids: Sequence[str]) -> list[Any]:
        # Not one script: a cluster takes none that concerns several nodes.
        with client.pipeline(transaction=False) as pipe:
            for launch_id in launch_ids:
                for name in self._names(launch_id, "over", "confirmed"):
                    pipe.getrange(name, 0, scripts.MARK_SIZE)
            values = pipe.execute(raise_on_error=False)
        for number, value in enumerate(values):
            if isinstance(value, redis.ResponseError) and str(value).startswith("WRONGTYPE"):
                values[number] = b"?"
            elif isinstance(value, Exception):
                raise value
        return list(values)

    def put(self, entry: CachedLaunch, lease: Lease | None = None) -> None:
        """See ``SharedStore``. Kept until the launch ends. One round trip, in which every worker
        that listens hears of a confirmation."""
        ltik = entry.ltik.encode()
        head = _LAUNCH.pack(_LAYOUT, entry.verified_at, entry.ends_at, len(ltik))
        sealed = self._seal("launch", entry.id, head + ltik + entry.claims)
        confirmed = told = b""
        if entry.confirmed:
            # Told again with each refresh, in case that Redis was away when it was told first.
            confirmed, told = self._mark("confirmed", entry.id), self._tell("confirmed", entry.id)
        self._eval(
            scripts.PUT,
            self._names(entry.id, "launch", "confirmed", "lease"),
            [sealed, self._left(entry), confirmed, _token(lease), self._news.channel, told],
            enlarging=True,
        )

    def refuse(self, launch_id: str, at: float, lease: Lease | None = None) -> None:
        """See ``SharedStore``. Every worker that listens hears of it."""
        mark = self._mark("over", launch_id, at)
        # A refused launch is remembered for as long as an old entry of it could be put back; a
        # token that never was a launch, for as long as it is not asked for again.
        told = self._tell("over", launch_id)
        self._eval(
            scripts.REFUSE,
            self._names(launch_id, "launch", "over", "lease"),
            [mark, _ms(REFUSED_FOR), _ms(DAY), _token(lease), self._news.channel, told],
        )

    def confirm(self, entry: CachedLaunch) -> None:
        """See ``LaunchStore``. Every worker that listens hears of it."""
        told = self._tell("confirmed", entry.id)
        mark = self._mark("confirmed", entry.id)
        names = self._names(entry.id, "confirmed")
        values = [mark, self._left(entry), self._news.channel, told]
        self._eval(scripts.CONFIRM, names, values)

    def use_once(self, token: str) -> bool:
        """See ``LaunchStore``. Every worker that listens hears of it, and remembers it should Redis
        evict it. Where Redis can be read and not written, no token is used: it might have been."""
        names = self._names(token, "used")
        values = [_ms(USED_FOR), self._news.channel, self._tell("used", token)]
        used = self._eval(scripts.USE, names, values)
        if isinstance(used, bytes):
            self._connection.refused_to_write(used.decode("ascii", "replace"))
            return False
        return bool(used)

    # -- leases -----------------------------------------------------------------------------------

    def begin(self, launch_id: str, *, anyway: bool = False) -> Turn:
        """See ``SharedStore``. One round trip."""
        lease = Lease(launch_id, os.urandom(16).hex())
        names = self._names(launch_id, "lease", "launch", "over", "confirmed")
        values = [lease.token, _ms(self.lease), self._longest, "1" if anyway else ""]
        standing, said, *known = self._eval(scripts.BEGIN, names, values)
        found = self._read(launch_id, known)
        if standing == b"ours":
            return Turn(found, Standing.OURS, lease)
        if standing == b"known":
            return Turn(found, Standing.KNOWN)
        if standing == b"unwritable":
            self._connection.refused_to_write(said.decode("ascii", "replace"))
            return Turn(found, Standing.NOBODYS)
        failure = self._failure(launch_id, said)
        if failure is not None:
            return Turn(found, Standing.FAILED, failure=failure)
        return Turn(found, Standing.THEIRS)

    def renew(self, lease: Lease) -> bool:
        """See ``SharedStore``. One round trip."""
        names = self._names(lease.launch_id, "lease")
        values = [lease.token, _ms(self.lease)]
        return bool(self._eval(scripts.RENEW, names, values, enlarging=True))

    def release(self, lease: Lease, failure: str | None = None) -> None:
        """See ``SharedStore``. One round trip."""
        names = self._names(lease.launch_id, "lease")
        told = b""
        if failure is not None:
            content = _MARK.pack(_LAYOUT, self._clock()) + failure.encode()
            told = b"!" + self._seal("failed", lease.launch_id, content)
        values = [lease.token, told, _ms(_FAILED_FOR)]
        self._eval(scripts.RELEASE, names, values)

    def overdue(self) -> None:
        """See ``SharedStore``."""
        self._connection.overdue()

    def _failure(self, launch_id: str, held: bytes) -> str | None:
        if held[:1] != b"!":
            return None
        content = self._open("failed", launch_id, held[1:])
        if content is None:
            return None
        at = _MARK.unpack_from(content)[1]
        lately = abs(self._clock() - at) < _FAILED_LATELY
        return content[_MARK.size :].decode() if lately else None

    # -- news -------------------------------------------------------------------------------------

    def listen(self, heard: Callable[[str, str, float], None], missed: Callable[[], None]) -> None:
        """Hear what other workers tell, in a thread of its own. Returns at once.

        Args:
            heard: called with "over", "confirmed" or "used", the launch id (of "used", the token),
                and when (seconds since the epoch).
            missed: called whenever news may have been missed: at the beginning, and after an
                outage; again and again for as long as it raises ``StoreUnavailable``.
        """

        def opened(message: bytes) -> None:
            content = self._open("news", "", message or b"?")
            if content is None:
                return
            kind, launch_id = content[_MARK.size :].decode().split(" ", 1)
            heard(kind, launch_id, _MARK.unpack_from(content)[1])

        self._news.listen(opened, missed)

    def close(self) -> None:
        """Stop listening, and close the connections that were opened here."""
        self._news.close()
        self._connection.close()

    def __repr__(self) -> str:
        return "<RedisStore>"

    def _renew_news(self) -> None:
        self._news.renew()

    # -- sealing ----------------------------------------------------------------------------------

    def _seal(self, kind: str, launch_id: str, content: bytes) -> bytes:
        return self._sealer.seal(content, f"{kind} {launch_id}".encode())

    def _mark(self, kind: str, launch_id: str, at: float | None = None) -> bytes:
        at = self._clock() if at is None else at
        return self._seal(kind, launch_id, _MARK.pack(_LAYOUT, at))

    def _tell(self, kind: str, launch_id: str) -> bytes:
        content = _MARK.pack(_LAYOUT, self._clock()) + f"{kind} {launch_id}".encode()
        return self._seal("news", "", content)

    def _open(self, kind: str, launch_id: str, sealed: object) -> bytes | None:
        """What was sealed here under this kind and id; None, and a warning, for anything else."""
        if sealed == b"":
            return None
        if isinstance(sealed, bytes):
            opened = self._sealer.open(sealed, f"{kind} {launch_id}".encode())
            if opened is not None and opened.content[:1] == bytes([_LAYOUT]):
                return opened.content
        self._reject(kind, launch_id)
        return None

    def _reject(self, kind: str, launch_id: str) -> None:
        self._stats.count("rejected_entries")
        _log.warning(
            "Redis holds what this middleware did not put there, or another version or secret did: "
            "%s %s is not taken",
            kind,
            launch_id,
        )

    def _read(self, launch_id: str, values: Sequence[Any]) -> Found:
        launch, over, confirmed = values
        is_confirmed = self._open("confirmed", launch_id, confirmed) is not None
        content = self._open("over", launch_id, over)
        refused_at = _MARK.unpack_from(content)[1] if content is not None else None
        refused = refused_at is not None and abs(self._clock() - refused_at) < REFUSED_FOR
        entry = self._entry(launch_id, launch, is_confirmed)
        if entry is not None and refused_at is not None and entry.verified_at < refused_at:
            entry = None
        # LTIAAS takes it again after all, as an entry from later shows.
        return Found(entry, refused and entry is None, is_confirmed, refused_at)

    def _entry(self, launch_id: str, sealed: Any, confirmed: bool) -> CachedLaunch | None:
        content = self._open("launch", launch_id, sealed)
        if content is None:
            return None
        _, verified_at, ends_at, length = _LAUNCH.unpack_from(content)
        ltik = content[_LAUNCH.size : _LAUNCH.size + length].decode()
        if not self._ids.match(ltik, launch_id):
            self._reject("launch", launch_id)
            return None
        if ends_at <= self._clock():
            return None
        return self._freshness.entry(
            id=launch_id,
            ltik=ltik,
            claims=content[_LAUNCH.size + length :],
            ends_at=ends_at,
            verified_at=verified_at,
            confirmed=confirmed,
        )

    def _left(self, entry: CachedLaunch) -> int:
        return _ms(max(0.001, min(entry.ends_at - self._clock(), DAY)))

    # -- calls ------------------------------------------------------------------------------------

    def _names(self, launch_id: str, *kinds: str) -> list[str]:
        """The names of a launch's keys. In braces: a cluster keeps them on one node."""
        digest = urlsafe_b64encode(sha256(launch_id.encode()).digest()[:16])[:22].decode()
        return [f"{self._prefix}:{{{digest}}}:{kind}" for kind in kinds]

    def _eval(
        self, script: str, names: list[str], values: list[Any], *, enlarging: bool = False
    ) -> Any:
        return self._connection.call(
            lambda client: client.eval(script, len(names), *names, *values), enlarging=enlarging
        )


def _token(lease: Lease | None) -> str:
    return "" if lease is None else lease.token


def _ms(seconds: float) -> int:
    return max(1, int(seconds * 1000))
