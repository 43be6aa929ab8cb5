"""Why Redis failed, in words for the log, and how often the log hears of it.

An outage at eight in the morning fails thousands of calls. The log gets one line when the state
changes, and one a minute while it stays.
"""

from __future__ import annotations

import logging
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator

import redis

__all__ = ["Trouble", "answered", "by_code", "reason"]

_log = logging.getLogger("ltiaas_middleware")

# Seconds between two lines about a state that stays.
_AGAIN = 60.0
# What is well for less than this (seconds) before it fails again has not changed.
_STEADY = 10.0

# The first word of an error of Redis's (https://redis.io/docs/latest/develop/reference/protocol-spec/,
# "Simple errors"). The rest is not repeated: what it quotes is not ours to know.
_CODE = re.compile(r"-?([A-Z]{3,20})\b")
_BY_CODE = {
    "CLUSTERDOWN": "the cluster is down, or none of its nodes can be reached",
    "LOADING": "it is loading its data",
    "MASTERDOWN": "a replica has lost its master",
    "MISCONF": "it takes no writes, because it cannot save to disk",
    "MOVED": "this server is a node of a cluster: give redis+cluster://… or a RedisCluster",
    "NOAUTH": "it wants another user name or password",
    "NOPERM": "the user has not all rights that docs/deployment.md lists",
    "NOREPLICAS": "it takes no writes, because it has too few replicas",
    "OOM": "it is full, and its maxmemory-policy evicts nothing",
    "READONLY": "it is a read-only replica",
    "WRONGPASS": "it wants another user name or password",
}
# What redis-py takes the first word off.
_BY_CLASS: tuple[tuple[type[Exception], str], ...] = (
    (redis.exceptions.OutOfMemoryError, "OOM"),
    (redis.exceptions.ReadOnlyError, "READONLY"),
    (redis.exceptions.NoPermissionError, "NOPERM"),
    (redis.exceptions.MasterDownError, "MASTERDOWN"),
    (redis.exceptions.ClusterDownError, "CLUSTERDOWN"),
    (redis.exceptions.RedisClusterException, "CLUSTERDOWN"),
    (redis.exceptions.AskError, "MOVED"),
    (redis.exceptions.BusyLoadingError, "LOADING"),
    (redis.exceptions.AuthenticationError, "WRONGPASS"),
)


def answered(error: BaseException) -> bool:
    """Whether an error is the answer of a Redis that works: asking again costs nothing."""
    return isinstance(error, redis.ResponseError) and not isinstance(
        error, redis.exceptions.ClusterDownError
    )


def reason(error: BaseException) -> str:
    """What to tell the operator. Nothing of an address, a password or a value."""
    for kind, code in _BY_CLASS:
        if isinstance(error, kind):
            return _BY_CODE[code]
    if isinstance(error, redis.ResponseError):
        return by_code(str(error))
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"TLS: its certificate is not trusted ({cause.verify_message})"
        if isinstance(cause, ssl.SSLError):
            return f"TLS: {(cause.reason or 'the handshake failed').lower().replace('_', ' ')}"
        if isinstance(cause, socket.gaierror):
            return "its name is not known to the DNS"
        if isinstance(cause, ConnectionRefusedError):
            return "it refuses connections"
    if isinstance(error, (redis.TimeoutError, TimeoutError)):
        return "it does not answer in time"
    if isinstance(error, redis.sentinel.MasterNotFoundError):
        return "no Sentinel knows a master of this name, or none can be reached"
    if isinstance(error, (redis.ConnectionError, ConnectionError)):
        return "the connection was closed"
    return type(error).__name__


def by_code(message: str) -> str:
    """``reason``, of an error that a script brought back."""
    code = _CODE.match(message)
    if code is None:
        return "it returned an error"
    return _BY_CODE.get(code[1], f"it returned an error, {code[1]}")


class Trouble:
    """The state of one Redis as the log was told of it. Safe to use from many threads.

    Args:
        monotonic: seconds of a clock that nobody sets.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._reason: str | None = None
        self._refused = False
        self._announced = False
        self._times = 0
        self._well_since = float("-inf")
        self._told: dict[str, float] = {}

    def failed(self, reason: str, *, refused: bool = False) -> None:
        """A call failed.

        Args:
            reason: in words.
            refused: whether Redis answered, and refused the call: that another one works is then
                no sign that this is over. A full Redis can be read.
        """
        with self._lock:
            now = self._monotonic()
            changed = self._reason is None and now - self._well_since >= _STEADY
            self._reason = reason
            self._refused = refused
            self._times += 1
            told = self._told.get(reason)
            if told is not None and not changed and now - told < _AGAIN:
                return
            self._told[reason] = now
            self._announced = True
            times, self._times = self._times, 0
        _log.warning(
            "Redis fails%s: %s. Until it works, launches are not shared",
            f" ({times} times since this was last said)" if times > 1 else "",
            reason,
        )

    def worked(self, *, enlarging: bool) -> bool:
        """A call worked; returns whether that ended an outage.

        Args:
            enlarging: whether it needed memory of Redis.
        """
        if self._reason is None:
            return False
        with self._lock:
            if self._reason is None or (self._refused and not enlarging):
                return False
            self._reason = None
            self._well_since = self._monotonic()
            announced, self._announced = self._announced, False
        if announced:
            _log.info("Redis answers again")
        return True


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        yield cause
        cause = cause.__cause__ or cause.__context__
