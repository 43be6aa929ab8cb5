"""The time that a call may take, kept by the socket itself.

A socket's timeout starts anew with each byte, so that headers, trailers, the lines between chunks
or one ``100 Continue`` after another could hold a thread for as long as the other side likes. Here
each read gets what is left of the deadline.
"""

from __future__ import annotations

import http.client
import io
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

import urllib3
from requests import PreparedRequest
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

if TYPE_CHECKING:
    import requests

__all__ = ["DeadlineAdapter", "DeadlinePassed", "TooLarge", "deadline", "read_bounded"]


class TooLarge(Exception):
    """An answer is longer than it may be."""


class DeadlinePassed(Exception):
    """An answer took longer than it may."""


class _Until(threading.local):
    moment: float | None = None
    monotonic: Callable[[], float] = staticmethod(time.monotonic)


_until = _Until()


@contextmanager
def deadline(until: float, monotonic: Callable[[], float] = time.monotonic) -> Iterator[None]:
    """Requests that this thread makes on a session with ``DeadlineAdapter`` end at ``until``.

    Args:
        until: on the clock ``monotonic``.
        monotonic: seconds of a clock that nobody sets.
    """
    before = _until.moment, _until.monotonic
    _until.moment, _until.monotonic = until, monotonic
    try:
        yield
    finally:
        _until.moment, _until.monotonic = before


def read_bounded(
    response: requests.Response,
    *,
    limit: int,
    until: float,
    monotonic: Callable[[], float] = time.monotonic,
) -> bytes:
    """The body of a streamed response.

    Args:
        response: asked for with ``stream=True``.
        limit: bytes.
        until: on the clock ``monotonic``.
        monotonic: seconds of a clock that nobody sets.

    Raises:
        TooLarge: it is longer than ``limit``.
        DeadlinePassed: it took longer than ``until``.
        Exception: what urllib3 and http.client raise where it breaks off.
    """
    parts: list[bytes] = []
    size = 0
    # read1 returns what one read of the socket brought, so that both limits are checked however
    # slowly or fast the rest comes.
    try:
        while part := response.raw.read1(65_536):
            parts.append(part)
            size += len(part)
            if size > limit:
                raise TooLarge
            if monotonic() >= until:
                raise DeadlinePassed
    except (OSError, urllib3.exceptions.HTTPError):
        if monotonic() >= until:
            raise DeadlinePassed from None
        raise
    return b"".join(parts)


class _Clocked(io.RawIOBase):
    """A socket's reader, each of whose reads ends at the deadline."""

    def __init__(
        self, sock: Any, reader: Any, until: float, monotonic: Callable[[], float]
    ) -> None:
        self._sock = sock
        self._reader = reader
        self._until = until
        self._monotonic = monotonic
        self._timeout = sock.gettimeout()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left = self._until - self._monotonic()
        if left <= 0:
            raise TimeoutError("the deadline has passed")
        self._sock.settimeout(left if self._timeout is None else min(left, self._timeout))
        return cast("int | None", self._reader.readinto(buffer))

    def close(self) -> None:
        self._reader.close()
        super().close()


class _Response(http.client.HTTPResponse):
    def __init__(self, sock: Any, *args: Any, **options: Any) -> None:
        super().__init__(sock, *args, **options)
        if _until.moment is not None:
            clocked = _Clocked(sock, self.fp.detach(), _until.moment, _until.monotonic)
            self.fp = io.BufferedReader(clocked)


class _Connection(HTTPConnection):
    response_class = _Response


class _TlsConnection(HTTPSConnection):
    response_class = _Response


class _Ahead(HTTPConnectionPool):
    """Can open a connection before there is a request for it, as ``urlopen`` does with one."""

    def open_connection(self, timeout: float) -> None:
        connection: Any = self._get_conn()
        try:
            if not connection.is_connected:
                connection.close()
                connection.timeout = timeout
                if self.proxy is not None and self.scheme == "https":
                    self._prepare_proxy(connection)
                self._validate_conn(connection)
                if connection.sock is None:
                    connection.connect()
        except BaseException:
            connection.close()
            raise
        finally:
            self._put_conn(connection)


class _Pool(_Ahead):
    ConnectionCls = _Connection


class _TlsPool(_Ahead, HTTPSConnectionPool):
    ConnectionCls = _TlsConnection


_POOLS = {"http": _Pool, "https": _TlsPool}


class DeadlineAdapter(HTTPAdapter):
    """Transport of a ``requests.Session`` whose sockets keep to ``deadline``."""

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        super().init_poolmanager(*args, **options)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def open_connection(
        self, url: str, *, timeout: float, verify: bool | str | None, proxies: Any
    ) -> None:
        """Open a connection for requests to come, unless one is open.

        Args:
            url: any address of the host.
            timeout: seconds for each step.
            verify: as for a request.
            proxies: likewise.

        Raises:
            Exception: what requests, urllib3 and the socket raise.
        """
        request = PreparedRequest()
        request.prepare(method="GET", url=url)
        pool: Any = self.get_connection_with_tls_context(request, verify, proxies=proxies)
        pool.open_connection(timeout)

    def proxy_manager_for(self, *args: Any, **options: Any) -> Any:
        manager = super().proxy_manager_for(*args, **options)
        manager.pool_classes_by_scheme = _POOLS
        return manager
