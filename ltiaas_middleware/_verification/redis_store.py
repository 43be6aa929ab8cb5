"""Launches in Redis (or Valkey), shared between workers and machines.

Theory of operation. Redis holds, for each launch id, up to four keys: the *launch* itself, *over*
(LTIAAS refused it), *confirmed* (its cookie has come back) and the *lease* of the one worker that
is asking LTIAAS about it. The middle two are keys of their own and are only ever added, so that an
old entry put back by hand neither un-refuses nor un-confirms. Every key expires by itself, at the
latest with its launch.

Redis is not trusted. What it holds is sealed under a key derived from ``Settings.secret`` and bound
to its launch id and kind: whoever can write to Redis can make entries vanish, and keep a worker
waiting, but can open no launch. The names of the keys are hashes of the launch ids, because for a
browser without cookies the launch id alone opens its launch.

Redis is not needed either. Every call has a timeout, a breaker keeps an outage from costing each
request one, and a failure is a ``StoreUnavailable``, upon which the authenticator goes on alone.
"""

from __future__ import annotations

import logging
import os
import struct
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator, Sequence
from hashlib import sha256
from typing import Any, TypeVar

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from .._crypto.keys import LaunchIds
from .._crypto.sealing import Sealer
from ..settings import Settings
from .breaker import Breaker
from .launches import CachedLaunch, Freshness
from .ltik_times import DAY
from .redis_pubsub import News
from .stats import Stats
from .store import REFUSED_FOR, USED_FOR, Found, Lease, StoreUnavailable, Turn

__all__ = ["RedisStore"]

_log = logging.getLogger("ltiaas_middleware")
_T = TypeVar("_T")

# Seconds that a lease lasts unless it is renewed: so long a killed worker holds the others up.
_LEASE = 5.0
# How long (seconds) a failed flight is told to those who waited for it.
_FAILED_FOR = 1.0

# How many launches are looked for in one round trip.
_MANY = 500

# The version of what is sealed: bump it whenever the layout changes.
_LAYOUT = 1
_LAUNCH = struct.Struct(">BddI")  # layout, verified_at, ends_at, length of the ltik; ltik, claims
_MARK = struct.Struct(">Bd")  # layout, when

# A lease that would last longer than any of ours was not made by us, and binds nobody.
_BEGIN = """
local held, left = redis.call('GET', KEYS[1]), redis.call('PTTL', KEYS[1])
local known = redis.call('MGET', KEYS[2], KEYS[3], KEYS[4])
if held and left >= 0 and left <= tonumber(ARGV[2]) then
  return {held, known[1], known[2], known[3]}
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return {false, known[1], known[2], known[3]}
"""
# A Redis that was restarted has forgotten the lease: it is taken again.
_RENEW = """
local held = redis.call('GET', KEYS[1])
if held and held ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
"""
# The owner's token is checked: who was held up for longer than the lease must not free another's.
_RELEASE = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
if ARGV[2] == '' then return redis.call('DEL', KEYS[1]) end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return 1
"""
_REFUSE = """
local known = redis.call('DEL', KEYS[1])
redis.call('SET', KEYS[2], ARGV[1], 'PX', known == 1 and ARGV[3] or ARGV[2])
redis.call('PUBLISH', ARGV[4], ARGV[5])
return known
"""
_CONFIRM = """
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return redis.call('PUBLISH', ARGV[3], ARGV[4])
"""


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
        timeout = settings.cache_timeout
        self._owned = isinstance(settings.cache, str)
        self._redis: Any = settings.cache
        if self._owned:
            # No repeats: redis-py's own, with pauses of seconds, would be paid by a request.
            self._redis = redis.Redis.from_url(
                settings.cache,
                socket_timeout=timeout,
                socket_connect_timeout=timeout,
                retry=Retry(NoBackoff(), 0),
            )
        self._breaker = Breaker(
            failures=3, pause=1, longest=5, probe_for=2 * timeout, monotonic=monotonic
        )
        self._down = False
        self._news = News(self._redis, f"{self._prefix}:news", self._news_failed)

    # -- what is kept -----------------------------------------------------------------------------

    def find(self, launch_id: str) -> Found:
        """See ``LaunchStore``. One round trip."""
        names = self._names(launch_id, "launch", "over", "confirmed")
        return self._read(launch_id, self._do(lambda: self._redis.mget(names)))

    def marks(self, launch_ids: Sequence[str]) -> Iterator[Found]:
        """``find`` for many, without the entries. One round trip for each five hundred."""
        for start in range(0, len(launch_ids), _MANY):
            some = launch_ids[start : start + _MANY]
            values = self._do(lambda some=some: self._marks(some))  # type: ignore[misc]
            for number, launch_id in enumerate(some):
                yield self._read(launch_id, (None, *values[2 * number : 2 * number + 2]))

    def _marks(self, launch_ids: Sequence[str]) -> list[Any]:
        # Not one MGET: a cluster takes no command that concerns several nodes.
        with self._redis.pipeline(transaction=False) as pipe:
            for launch_id in launch_ids:
                for name in self._names(launch_id, "over", "confirmed"):
                    pipe.get(name)
            values: list[Any] = pipe.execute()
            return values

    def put(self, entry: CachedLaunch) -> None:
        """See ``LaunchStore``. Kept until the launch ends. One round trip."""
        ltik = entry.ltik.encode()
        head = _LAUNCH.pack(_LAYOUT, entry.verified_at, entry.ends_at, len(ltik))
        sealed = self._seal("launch", entry.id, head + ltik + entry.claims)
        launch, confirmed = self._names(entry.id, "launch", "confirmed")
        left = self._left(entry)

        def put() -> None:
            with self._redis.pipeline(transaction=False) as pipe:
                pipe.set(launch, sealed, px=left)
                if entry.confirmed:
                    # Told again, in case that Redis was away when it was told first.
                    pipe.set(confirmed, self._mark("confirmed", entry.id), px=left)
                pipe.execute()

        self._do(put)

    def refuse(self, launch_id: str, at: float) -> None:
        """See ``LaunchStore``. Every worker that listens hears of it."""
        mark = self._mark("over", launch_id, at)
        # A refused launch is remembered for as long as an old entry of it could be put back; a
        # token that never was a launch, for as long as it is not asked for again.
        self._eval(
            _REFUSE,
            self._names(launch_id, "launch", "over"),
            [mark, _ms(REFUSED_FOR), _ms(DAY), self._news.channel, self._tell("over", launch_id)],
        )

    def confirm(self, entry: CachedLaunch) -> None:
        """See ``LaunchStore``. Every worker that listens hears of it."""
        told = self._tell("confirmed", entry.id)
        mark = self._mark("confirmed", entry.id)
        names = self._names(entry.id, "confirmed")
        self._eval(_CONFIRM, names, [mark, self._left(entry), self._news.channel, told])

    def use_once(self, token: str) -> bool:
        """See ``LaunchStore``."""
        (name,) = self._names(token, "used")
        return bool(self._do(lambda: self._redis.set(name, b"1", px=_ms(USED_FOR), nx=True)))

    # -- leases -----------------------------------------------------------------------------------

    def begin(self, launch_id: str) -> Turn:
        """Ask for the lease of a launch, and look once more at what is known of it. One round
        trip."""
        lease = Lease(launch_id, os.urandom(16).hex())
        names = self._names(launch_id, "lease", "launch", "over", "confirmed")
        held, *known = self._eval(_BEGIN, names, [lease.token, _ms(self.lease)])
        found = self._read(launch_id, known)
        if held is None:
            return Turn(found, lease, None)
        failed = isinstance(held, bytes) and held[:1] == b"!"
        return Turn(found, None, held[1:].decode("ascii", "replace") if failed else None)

    def renew(self, lease: Lease) -> bool:
        """Make a lease last from now; False where another worker has it."""
        names = self._names(lease.launch_id, "lease")
        return bool(self._eval(_RENEW, names, [lease.token, _ms(self.lease)]))

    def release(self, lease: Lease, failure: str | None = None) -> None:
        """Give a lease back, if it is ours still.

        Args:
            lease: as ``begin`` gave it.
            failure: told for a moment to those who wait for it, so that they do not all ask after
                the other what has just failed.
        """
        names = self._names(lease.launch_id, "lease")
        told = f"!{failure}" if failure else ""
        self._eval(_RELEASE, names, [lease.token, told, _ms(_FAILED_FOR)])

    # -- news -------------------------------------------------------------------------------------

    def listen(self, heard: Callable[[str, str, float], None], missed: Callable[[], None]) -> None:
        """Hear what other workers tell, in a thread of its own. Returns at once.

        Args:
            heard: called with "over" or "confirmed", the launch id, and when (seconds since the
                epoch).
            missed: called whenever news may have been missed: at the beginning, and after an
                outage.
        """

        def opened(message: bytes) -> None:
            content = self._open("news", "", message)
            if content is None:
                return
            kind, launch_id = content[_MARK.size :].decode().split(" ", 1)
            heard(kind, launch_id, _MARK.unpack_from(content)[1])

        self._news.listen(opened, missed)

    def close(self) -> None:
        """Stop listening, and close the connections that were opened here."""
        self._news.close()
        if self._owned:
            self._redis.close()

    def __repr__(self) -> str:
        return "<RedisStore>"

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
        if sealed is None:
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

    def _eval(self, script: str, names: list[str], values: list[Any]) -> Any:
        return self._do(lambda: self._redis.eval(script, len(names), *names, *values))

    def _do(self, call: Callable[[], _T]) -> _T:
        if not self._breaker.enter():
            raise StoreUnavailable
        try:
            result = call()
        except Exception as error:  # noqa: BLE001 - clusters and sentinels raise beyond RedisError
            self._stats.count("redis_errors")
            if isinstance(error, redis.ResponseError):
                # Full, read-only, not allowed: told at once, so that asking again costs nothing.
                self._breaker.succeeded()
            else:
                self._breaker.failed()
            if not self._down:
                self._down = True
                # Not the message: what it quotes is not ours to know.
                _log.warning(
                    "Redis does not do as it is asked (%s): launches are not shared until it does",
                    type(error).__name__,
                )
            raise StoreUnavailable from None
        self._breaker.succeeded()
        if self._down:
            self._down = False
            _log.info("Redis answers again")
        return result

    def _news_failed(self) -> None:
        self._stats.count("redis_errors")


def _ms(seconds: float) -> int:
    return max(1, int(seconds * 1000))
