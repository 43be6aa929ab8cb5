"""Keeps connections to LTIAAS open, but not for too long.

A firewall may have dropped a connection that was idle for more than a minute, and an old connection
may lead to a server that LTIAAS no longer uses. So each connection closes after 50 s without use or
at an age of 5 minutes, and all connections close when one fails, so that a retry opens a new one.
If the other end has vanished, the kernel gives up a connection after a few seconds, instead of
waiting as long as LTIAAS may take to respond.

This module uses urllib3's pool directly, without ``requests.Session``, which doubles the cost of
each call and loads the certificate authorities for each connection.
"""

from __future__ import annotations

import os
import socket
import ssl
import threading
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from requests.adapters import HTTPAdapter
from requests.utils import DEFAULT_CA_BUNDLE_PATH, get_environ_proxies, select_proxy
from urllib3 import HTTPConnectionPool, PoolManager, Retry, Timeout
from urllib3.connection import HTTPConnection
from urllib3.exceptions import (
    HTTPError,
    NewConnectionError,
    ProtocolError,
    ProxyError,
    SSLError,
    TimeoutError,
)
from urllib3.util import create_urllib3_context

from .._forking import in_child
from ..api.exchange import HEADERS, Answer, Failure, RetryPolicy, Send
from ..api.transport import read_answer

__all__ = ["Connections"]

# Seconds.
_IDLE = 50.0
_AGE = 300.0
# A redirect would send the call, and the Authorization header, somewhere else; and ``exchange``
# decides about repeating a call.
_ONCE = Retry(False, redirect=False)
# Milliseconds without an acknowledgment from the other end's kernel (RFC 5482).
_VANISHED = 3000


class _Ages:
    """A mixin for urllib3's connections. The pool checks ``is_connected`` before it reuses one."""

    monotonic: Callable[[], float]
    _connected_at = _used_at = 0.0

    def connect(self) -> None:
        self._connected_at = self._used_at = self.monotonic()
        super().connect()  # type: ignore[misc]

    def request(self, *args: Any, **kwargs: Any) -> None:
        self._used_at = self.monotonic()
        super().request(*args, **kwargs)  # type: ignore[misc]

    @property
    def is_connected(self) -> bool:
        now = self.monotonic()
        is_fresh = now - self._connected_at < _AGE and now - self._used_at < _IDLE
        return is_fresh and super().is_connected  # type: ignore[misc]


class Connections:
    """Sends the requests of ``exchange`` to one origin. Thread-safe.

    Proxies and certificate authorities come from the environment, as in requests. It looks up the
    proxies at the first call and after a failed one, and loads the authorities once. It keeps at
    most ``size`` connections.
    """

    def __init__(
        self, origin: str, size: int, policy: RetryPolicy, monotonic: Callable[[], float]
    ) -> None:
        self._origin = origin
        self._size = size
        self._policy = policy
        self._monotonic = monotonic
        self._context: ssl.SSLContext | None = None
        self._start_over()
        in_child(self, Connections._start_over)

    def _start_over(self) -> None:
        self._lock = threading.Lock()
        self._pool: HTTPConnectionPool | None = None

    def close(self, only: HTTPConnectionPool | None = None) -> None:
        """Close idle connections, unless the pool is no longer ``only``. A later call opens new
        ones."""
        with self._lock:
            if only is not None and only is not self._pool:
                return
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.close()

    def send(self, step: Send, authorization: str) -> Answer | Failure:
        """Send a request once. Any error becomes a ``Failure``."""
        policy = self._policy
        timeout = Timeout(
            connect=min(policy.connect_timeout, step.left), read=min(policy.read_timeout, step.left)
        )
        pool = None
        try:
            pool = self._fresh()
            response = pool.urlopen(
                step.method,
                step.url[len(self._origin) :],
                headers={**HEADERS, "Authorization": authorization},
                retries=_ONCE,
                redirect=False,
                assert_same_host=False,
                timeout=timeout,
                preload_content=False,
                decode_content=False,
            )
        except (HTTPError, ValueError, OSError) as error:
            # Use neither the message nor the chain: both contain the request, and so the header.
            outcome: Answer | Failure = _failure(error)
        except BaseException:
            self.close(pool)
            raise
        else:
            outcome = read_answer(response, policy.max_response_size, step, self._monotonic)
            if isinstance(outcome, Answer):
                # Do not close it: the connection goes back to the pool.
                response.release_conn()
                if outcome.status < 500:
                    return outcome
            else:
                response.close()
        self.close(pool)
        return outcome

    def _fresh(self) -> HTTPConnectionPool:
        with self._lock:
            if self._pool is None:
                self._pool = self._opened()
            return self._pool

    def _opened(self) -> HTTPConnectionPool:
        socket_options: list[Any] = [*HTTPConnection.default_socket_options]
        if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux
            socket_options.append((socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _VANISHED))
        options: dict[str, Any] = {"socket_options": socket_options}
        proxy = None
        if self._origin.startswith("https:"):
            if self._context is None:
                self._context = _trusting(self._policy.ca_bundle)
            options["ssl_context"] = self._context
            proxy = select_proxy(self._origin, get_environ_proxies(self._origin))
        # Plain http is only for this machine (``Settings.url``), so it must not go through a proxy.
        if proxy is None:
            manager: Any = PoolManager(maxsize=self._size, **options)
        else:
            if "://" not in proxy:
                proxy = f"http://{proxy}"
            if urlsplit(proxy).scheme == "https":
                options["proxy_ssl_context"] = self._context
            # requests' adapter supports SOCKS and passwords.
            manager = HTTPAdapter(pool_maxsize=self._size).proxy_manager_for(proxy, **options)
        pool: HTTPConnectionPool = manager.connection_from_url(self._origin)
        clock = {"monotonic": staticmethod(self._monotonic)}
        pool.ConnectionCls = type("Connection", (_Ages, pool.ConnectionCls), clock)
        return pool


def _trusting(ca_bundle: str | None) -> ssl.SSLContext:
    """One context for all connections, because loading the authorities takes about 10 ms of
    processor time."""
    named = map(os.environ.get, ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"))
    found = ca_bundle or next(filter(None, named), DEFAULT_CA_BUNDLE_PATH)
    context = create_urllib3_context()
    if os.path.isdir(found):
        context.load_verify_locations(capath=found)
    else:
        context.load_verify_locations(cafile=found)
    return context


def _failure(error: Exception) -> Failure:
    if isinstance(error, (SSLError, ssl.SSLError)):
        return Failure("TLS: the certificate was rejected", passing=False)
    if isinstance(error, (NewConnectionError, ProtocolError, ProxyError)):
        return Failure("no connection")
    if isinstance(error, TimeoutError):
        return Failure("no response in time")
    return Failure(f"the request failed ({type(error).__name__})")
