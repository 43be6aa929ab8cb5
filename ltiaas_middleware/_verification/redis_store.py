"""Shares data between workers through Redis (or Valkey): a server, a cluster, or servers that
Sentinels monitor.

Redis is optional. Every call has a timeout. During an outage, only one call per second waits for
that timeout. A failure raises ``StoreUnavailable``, and the caller continues without Redis.

Redis is not trusted, either: the store never reads more bytes of a value than one of ours could
have.
"""

from __future__ import annotations

import contextlib
import logging
import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import TimeoutError as FutureTimeout
from typing import Any, TypeVar

import redis

from .. import _redis_clients
from .._rare_log import RareLog
from ..settings import Settings
from .redis_errors import is_answered, reason
from .stats import Stats
from .stores import StoreUnavailable, is_small, longest
from .threads import Threads

__all__ = ["RedisStore", "check"]

_log = logging.getLogger("ltiaas_middleware")
_T = TypeVar("_T")

# The timeout for connecting and for each response (seconds); and the limit for a call with a client
# that the app passed, which has its own timeouts and retries.
_TIMEOUT = 1.0
_CALL_TIMEOUT = 2.0
# How long (approximately, in seconds) not to call a Redis that failed.
_PAUSE = 1.0

# A full Redis refuses a script whose first write command needs memory, but not one that begins with
# DEL. Marks are small, and each of them protects something: without this, every one-time link would
# work twice while Redis is full.
_PUT_ANYWAY = """
redis.pcall('DEL', KEYS[2])
return redis.pcall('SET', KEYS[1], unpack(ARGV))
"""


def check(settings: Settings) -> None:
    """Log an error if the Redis server in ``cache`` cannot be used now. It may still be
    starting."""
    given = None if isinstance(settings.cache, str) else settings.cache
    client = given
    try:
        if client is None:
            client = _redis_clients.connect(_redis_clients.parse(settings.cache), _TIMEOUT)
            client.ping()
        else:
            # The client may wait longer than a startup should take.
            Threads(1, "ltiaas-check").submit(client.ping).result(_CALL_TIMEOUT)
    except Exception as error:  # noqa: BLE001 - clusters and Sentinels raise beyond RedisError
        _log.error(
            "cache (LTIAAS_CACHE): cannot use Redis: %s. Until this is fixed, workers do not "
            "share launches",
            reason(error),
        )
    finally:
        if given is None and client is not None:
            _close(client)


class RedisStore:
    """A ``stores.Store`` in Redis. It connects at its first call, because a server may fork before
    that."""

    def __init__(self, settings: Settings, stats: Stats) -> None:
        self._prefix = settings.cache_prefix
        self._stats = stats
        self._rare_log = RareLog(1, 60)
        self._lock = threading.Lock()
        self._address: _redis_clients.RedisAddress | None = None
        self._client: Any = None
        self._threads: Threads | None = None
        if isinstance(settings.cache, str):
            self._address = _redis_clients.parse(settings.cache)
        else:
            self._client = settings.cache
            self._threads = Threads(16, "ltiaas-redis")
        self._former: Any = None
        self._closed = False
        # Until when not to call Redis, whether it is unreachable, and whether a failure was logged.
        self._until = 0.0
        self._down = False
        self._troubled = False

    def get(self, *names: str) -> list[bytes | None]:
        def read(client: Any) -> list[Any]:
            pipe = client.pipeline(transaction=False)
            for name in names:
                pipe.getrange(self._key(name), 0, longest(name))
            results: list[Any] = pipe.execute(raise_on_error=False)
            for number, result in enumerate(results):
                if isinstance(result, Exception):
                    if not str(result).startswith("WRONGTYPE"):
                        raise result
                    # Not one of our values: decryption will fail.
                    results[number] = b"?"
            return results

        return [value or None for value in self._call(read)]

    def put(self, name: str, value: bytes, seconds: float) -> None:
        if is_small(name):
            self._put_anyway(name, value, "PX", _ms(seconds))
        else:
            key = self._key(name)
            self._call(lambda client: client.set(key, value, px=_ms(seconds)), enlarges=True)

    def put_if_absent(self, name: str, value: bytes, seconds: float | None) -> bool:
        expiry = () if seconds is None else ("PX", _ms(seconds))
        return bool(self._put_anyway(name, value, "NX", *expiry))

    def _put_anyway(self, name: str, *values: Any) -> Any:
        key = self._key(name)
        return self._call(lambda client: client.eval(_PUT_ANYWAY, 2, key, f"{key}:", *values))

    def delete(self, name: str) -> None:
        key = self._key(name)
        self._call(lambda client: client.delete(key))

    def close(self) -> None:
        """Close the connections that the store opened, but not those of a client that the app
        passed."""
        self._closed = True
        if self._address is None:
            return
        with self._lock:
            clients = self._client, self._former
            self._client = self._former = None
        for client in clients:
            if client is not None:
                _close(client)

    def _key(self, name: str) -> str:
        # In braces, so that a cluster stores all values of one id on one node.
        launch, _, kind = name.rpartition(":")
        return f"{self._prefix}:{{{launch}}}:{kind}"

    def _call(self, action: Callable[[Any], _T], *, enlarges: bool = False) -> _T:
        now = time.monotonic()
        if now < self._until or self._closed:
            raise StoreUnavailable
        if self._down:
            # One call tries; meanwhile, the others continue without Redis.
            self._until = now + _PAUSE
        try:
            result = self._try(action)
        except Exception as error:  # noqa: BLE001 - clusters and Sentinels raise beyond RedisError
            why, is_answer = reason(error), is_answered(error)
        else:
            was_down, self._down, self._until = self._down, False, 0.0
            # A full Redis still allows reads, so a successful read proves nothing.
            if self._troubled and (was_down or enlarges):
                self._troubled = False
                _log.warning("Redis works again")
            return result
        self._failed(why, is_answer=is_answer)
        raise StoreUnavailable(read_only=is_answer)

    def _try(self, action: Callable[[Any], _T]) -> _T:
        client = self._connected()
        try:
            if self._threads is None:
                return action(client)
            try:
                return self._threads.submit(action, client).result(_CALL_TIMEOUT)
            except FutureTimeout:
                raise redis.TimeoutError from None
        except redis.exceptions.MovedError:
            if not self._is_a_cluster():
                raise
            return action(self._connected())

    def _connected(self) -> Any:
        client = self._client
        if client is None:
            # One thread asks a cluster for its nodes; the others wait only as long as for a
            # response.
            if not self._lock.acquire(timeout=_CALL_TIMEOUT):
                raise redis.TimeoutError
            try:
                if self._client is None:
                    assert self._address is not None
                    self._client = _redis_clients.connect(self._address, _TIMEOUT)
                client = self._client
            finally:
                self._lock.release()
        return client

    def _is_a_cluster(self) -> bool:
        """Whether the URL turned out to belong to a cluster node. From now on, the store uses the
        cluster; otherwise, each worker would miss some of the launches."""
        with self._lock:
            if self._former is not None:
                return True  # Another thread has just found out.
            cluster = self._address.as_cluster() if self._address is not None else None
            if cluster is None or self._address is None or self._address.kind != "server":
                return False
            self._address = cluster
            # Keep the old client, because other threads may still wait for its responses.
            self._former, self._client = self._client, None
        _log.warning(
            "the Redis server in cache (LTIAAS_CACHE) is a cluster node, so the middleware uses "
            "the whole cluster. Begin the URL with redis+cluster:// (rediss+cluster:// for TLS), "
            "and name more of the cluster's nodes"
        )
        return True

    def _failed(self, why: str, *, is_answer: bool) -> None:
        self._stats.count("store_errors")
        self._troubled = True
        self._down = not is_answer
        if self._down:
            # Spread the retries of workers that failed at the same time.
            self._until = time.monotonic() + _PAUSE * random.uniform(1, 2)  # noqa: S311
            if self._address is not None:
                # The other connections go to the same server, and each would cost another timeout.
                with contextlib.suppress(Exception):
                    self._client.connection_pool.disconnect(inuse_connections=False)
        self._rare_log.warning(
            why, "Redis failed: %s. Until it works again, workers do not share launches", why
        )


def _ms(seconds: float) -> int:
    return max(1, int(seconds * 1000))


def _close(client: Any) -> None:
    sentinels = getattr(getattr(client, "connection_pool", None), "sentinel_manager", None)
    for one in (client, *getattr(sentinels, "sentinels", ())):
        with contextlib.suppress(Exception):
            one.close()
