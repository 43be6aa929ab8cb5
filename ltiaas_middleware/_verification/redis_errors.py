"""Describes for the log why Redis failed, without hosts, passwords or values."""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Callable, Iterator
from typing import Any

import redis

__all__ = ["is_answered", "reason"]

# The first word of a Redis error (https://redis.io/docs/latest/develop/reference/protocol-spec/,
# "Simple errors"). Do not repeat the rest, because it may quote private data.
_CODE = re.compile(r"-?([A-Z]{3,20})\b")
_BY_CODE = {
    "CLUSTERDOWN": "the cluster is down, or none of its nodes can be reached",
    "LOADING": "it is loading its data",
    "MASTERDOWN": "a replica has lost its master",
    "MISCONF": "it accepts no writes, because it cannot save to disk",
    "MOVED": "this server is a node of a cluster: use redis+cluster://… or a RedisCluster",
    "NOAUTH": "it requires a different username or password",
    "NOPERM": "the user lacks some of the permissions that docs/howto/redis.md lists",
    "NOREPLICAS": "it accepts no writes, because it has too few replicas",
    "OOM": "it is full, and its maxmemory-policy evicts nothing",
    "READONLY": "it is a read-only replica",
    "WRONGPASS": "it requires a different username or password",
}
_NOT_A_CLUSTER = (
    "this server is not part of a cluster: begin the URL with redis:// instead of redis+cluster://"
)
_BY_TEXT = {
    "unknown command 'SENTINEL'": "these are servers, not Sentinels: name the Sentinels, or begin "
    "the URL with redis:// instead of redis+sentinel://",
    "DB index is out of range": "it has no database with this number: change the number at the end "
    "of the URL (most servers have 0 to 15)",
    "Cluster mode is not enabled": _NOT_A_CLUSTER,
    "cluster support disabled": _NOT_A_CLUSTER,
}


def is_answered(error: BaseException) -> bool:
    """Whether an error is a response from a working Redis, so that another call costs no time."""
    return isinstance(error, redis.ResponseError) and not isinstance(
        error, redis.exceptions.ClusterDownError
    )


def reason(error: BaseException) -> str:
    """The reason, as text for the operator."""
    causes = list(_causes(error))
    said = " ".join(map(str, causes))
    for text, why in _BY_TEXT.items():
        if text in said:
            return why
    for kind, why_of in _BY_CLASS:
        for cause in causes:
            if isinstance(cause, kind):
                return why_of if isinstance(why_of, str) else why_of(cause)
    return type(error).__name__


def _by_code(error: BaseException) -> str:
    found = _CODE.match(str(error))
    if found is None:
        return "it returned an error"
    return _BY_CODE.get(found[1], f"it returned an error, {found[1]}")


def _by_tls(error: Any) -> str:
    return f"TLS: {(error.reason or 'the handshake failed').lower().replace('_', ' ')}"


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        yield cause
        cause = cause.__cause__ or cause.__context__


# Checked in this order, for each cause in the chain.
_BY_CLASS: tuple[tuple[Any, str | Callable[[Any], str]], ...] = (
    # redis-py removes the first word from these.
    (redis.exceptions.OutOfMemoryError, _BY_CODE["OOM"]),
    (redis.exceptions.ReadOnlyError, _BY_CODE["READONLY"]),
    (redis.exceptions.NoPermissionError, _BY_CODE["NOPERM"]),
    (redis.exceptions.MasterDownError, _BY_CODE["MASTERDOWN"]),
    (redis.exceptions.ClusterDownError, _BY_CODE["CLUSTERDOWN"]),
    (redis.exceptions.AskError, _BY_CODE["MOVED"]),
    (redis.exceptions.BusyLoadingError, _BY_CODE["LOADING"]),
    (redis.exceptions.AuthenticationError, _BY_CODE["WRONGPASS"]),
    (redis.ResponseError, _by_code),
    (
        redis.sentinel.MasterNotFoundError,
        "no Sentinel knows a master with this name, or no Sentinel can be reached",
    ),
    (
        ssl.SSLCertVerificationError,
        lambda error: f"TLS: its certificate is not trusted ({error.verify_message})",
    ),
    (ssl.SSLError, _by_tls),
    (socket.gaierror, "DNS cannot resolve its hostname"),
    (
        ConnectionRefusedError,
        "it refuses connections: check the host and port, and that Redis is running",
    ),
    (redis.exceptions.RedisClusterException, _BY_CODE["CLUSTERDOWN"]),
    ((redis.TimeoutError, TimeoutError), "it did not respond in time"),
    (
        (redis.exceptions.InvalidResponse, redis.ConnectionError, ConnectionError),
        "the connection was closed: check that the server is Redis",
    ),
)
