"""Calls to Redis, behind a circuit breaker.

Redis is not needed: every call has a timeout, the breaker keeps an outage from costing each request
one, and a failure is a ``StoreUnavailable``, upon which the caller goes on alone.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

import redis

from .. import _redis_clients
from ..settings import Settings
from .breaker import Breaker
from .redis_trouble import Trouble, answered, by_code, reason
from .stats import Stats
from .store import StoreUnavailable

__all__ = ["RedisConnection"]

_log = logging.getLogger("ltiaas_middleware")
_T = TypeVar("_T")


class RedisConnection:
    """One Redis, whether a server, a cluster or what Sentinels watch. Safe to use from many
    threads, and made before a server forks: it connects with its first call.

    Args:
        settings: ``cache`` and ``cache_timeout``.
        stats: ``redis_errors`` are counted there.
        recovered: called after an outage has ended; must not block.
        monotonic: seconds of a clock that nobody sets.
    """

    def __init__(
        self,
        settings: Settings,
        stats: Stats,
        recovered: Callable[[], object],
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stats = stats
        self._recovered = recovered
        self._timeout = settings.cache_timeout
        self._lock = threading.Lock()
        self._trouble = Trouble(monotonic)
        self._breaker = Breaker(
            failures=3, pause=1, longest=5, probe_for=2 * self._timeout, monotonic=monotonic
        )
        self._address: _redis_clients.RedisAddress | None = None
        self._client: Any = None
        self._former: Any = None
        if isinstance(settings.cache, str):
            self._address = _redis_clients.parse(settings.cache)
        else:
            self._client = settings.cache
            _warn_of_no_timeout(self._client)

    def client(self) -> Any:
        """The client of redis-py's.

        Raises:
            Exception: it is one of a cluster, which cannot be reached.
        """
        client = self._client
        if client is None:
            # One thread asks a cluster for its nodes; the others wait no longer than for an answer.
            if not self._lock.acquire(timeout=2 * self._timeout):
                raise redis.TimeoutError("the cluster does not tell its nodes")
            try:
                if self._client is None:
                    assert self._address is not None
                    self._client = _redis_clients.connect(self._address, self._timeout)
                client = self._client
            finally:
                self._lock.release()
        return client

    def call(
        self, action: Callable[[Any], _T], *, enlarging: bool = False, anyway: bool = False
    ) -> _T:
        """Make a call.

        Args:
            action: given the client.
            enlarging: whether it needs memory of Redis, so that its success shows a Redis that
                neither is full nor refuses to write.
            anyway: make it even while the breaker keeps calls back: for threads that nobody waits
                for.

        Raises:
            StoreUnavailable: it failed, or was kept back.
        """
        if not self._breaker.enter() and not anyway:
            raise StoreUnavailable
        try:
            try:
                result = action(self.client())
            except redis.exceptions.MovedError:
                if not self._is_a_cluster():
                    raise
                result = action(self.client())
        except Exception as error:  # noqa: BLE001 - clusters and Sentinels raise beyond RedisError
            if answered(error):
                self._breaker.succeeded()
            else:
                self._breaker.failed()
            self._failed(reason(error), refused=answered(error))
            raise StoreUnavailable from None
        self._breaker.succeeded()
        if self._trouble.worked(enlarging=enlarging):
            self._recovered()
        return result

    def refused_to_write(self, message: str) -> None:
        """Note that Redis answered a script, but does not write.

        Args:
            message: the error that the script brought back.
        """
        self._failed(by_code(message), refused=True)

    def lost(self, error: Exception) -> None:
        """Note that a connection which was held open is lost, or cannot be made."""
        self._failed(reason(error), refused=answered(error))

    def overdue(self) -> None:
        """Note that a call has taken longer than anyone waits for, and is under way still."""
        self._breaker.failed()
        self._failed("it does not answer in time", refused=False)

    def close(self) -> None:
        """Close the connections that were opened here, not those of a client that was given."""
        if self._address is None:
            return
        with self._lock:
            clients = self._client, self._former
            self._client = self._former = None
        for client in clients:
            if client is not None:
                _close(client)

    def _failed(self, why: str, *, refused: bool) -> None:
        self._stats.count("redis_errors")
        self._trouble.failed(why, refused=refused)

    def _is_a_cluster(self) -> bool:
        """Whether the address turned out to be that of a node of a cluster, which from now on is
        used as such: a part of the launches would be missing in each worker otherwise."""
        with self._lock:
            cluster = self._address.as_cluster() if self._address is not None else None
            if cluster is None or self._address is None or self._address.kind != "server":
                return False
            self._address = cluster
            # Kept until the end: other threads still wait for an answer of it.
            self._former, self._client = self._client, None
        self._recovered()
        _log.warning(
            "the Redis of cache (LTIAAS_CACHE) is a node of a cluster, and used as one; begin its "
            "address with redis+cluster:// (rediss+cluster:// for TLS), and name more of its nodes"
        )
        return True


def _warn_of_no_timeout(client: Any) -> None:
    """Of a client that was given: with redis-py's defaults a Redis that hangs holds a thread for
    good."""
    keywords: dict[str, Any] = {}
    for owner in ("connection_pool", "nodes_manager"):
        keywords |= getattr(getattr(client, owner, None), "connection_kwargs", {})
    if keywords and keywords.get("socket_timeout") is None:
        _log.warning(
            "the client that was given as cache has no socket_timeout: a Redis that hangs may hold "
            "a request for ever"
        )


def _close(client: Any) -> None:
    sentinels = getattr(getattr(client, "connection_pool", None), "sentinel_manager", None)
    for one in (client, *getattr(sentinels, "sentinels", ())):
        with contextlib.suppress(Exception):
            one.close()
