"""The connections of ``launch.async_api``: one httpx client for each event loop.

A client belongs to the loop that it was first used in, and its TLS context takes longer to load
(tens of milliseconds) than a loop may stand still. So the context is made once, in a thread, and a
client once for each loop; it is closed with the loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import ssl
import threading
import weakref
from collections.abc import AsyncGenerator
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import TYPE_CHECKING

from .._version import __version__
from .exchange import Limits

if TYPE_CHECKING:
    import httpx
    from anyio.lowlevel import RunVar

__all__ = ["AsyncClients", "new_client", "new_client_in_thread", "tls_context"]

# Connections at once, and how long (seconds) an idle one is kept: less than what load balancers
# and firewalls let one idle.
_CONNECTIONS = 100
_IDLE = 50.0

_contexts: dict[tuple[str | None, ...], ssl.SSLContext] = {}
_making = threading.Lock()


def tls_context(ca_bundle: str | None) -> ssl.SSLContext:
    """The TLS context for an account: made once in a process, as it can be shared by threads and
    loops. The first call blocks.

    Args:
        ca_bundle: path of a file with certificate authorities; None for those that httpx takes.
    """
    import httpx

    named = (ca_bundle, os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"))
    with _making:
        if named not in _contexts:
            _contexts[named] = (
                ssl.create_default_context(cafile=ca_bundle)
                if ca_bundle
                else httpx.create_ssl_context()
            )
        return _contexts[named]


def new_client(limits: Limits) -> httpx.AsyncClient:
    """A client that keeps connections and nothing else: no cookie of one launch's call may go out
    with another's.

    Args:
        limits: ``ca_bundle`` is read.
    """
    import httpx

    return httpx.AsyncClient(
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        follow_redirects=False,
        headers={
            "User-Agent": f"ltiaas-middleware/{__version__} (Python)",
            "Accept": "application/json",
            # A compressed answer could be a thousand times its size.
            "Accept-Encoding": "identity",
        },
        limits=httpx.Limits(
            max_connections=_CONNECTIONS,
            max_keepalive_connections=_CONNECTIONS,
            keepalive_expiry=_IDLE,
        ),
        # Plain http is for this machine only (Settings.url): no proxy gets to see it.
        mounts={"http://": None},
        verify=tls_context(limits.ca_bundle),
    )


async def new_client_in_thread(limits: Limits) -> httpx.AsyncClient:
    """``new_client`` without holding up the event loop: the first one loads certificates."""
    import anyio.to_thread

    return await anyio.to_thread.run_sync(new_client, limits, abandon_on_cancel=True)


class AsyncClients:
    """httpx clients, one for each event loop, shared by all calls of the loop. Safe to use from
    many loops in many threads. In the child of a fork, make new ones.

    Args:
        limits: ``ca_bundle`` is read.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._lock = threading.Lock()
        self._of_loop: RunVar[_Kept | None] | None = None
        self._all: list[_Kept] = []

    async def get(self) -> httpx.AsyncClient:
        """The client of the running event loop."""
        variable = self._variable()
        kept = variable.get(None)
        if kept is not None and not kept.client.is_closed:
            return kept.client
        client = await new_client_in_thread(self._limits)
        # Another task may have made one in the meantime; this one has no connection yet.
        kept = variable.get(None)
        if kept is None or kept.client.is_closed:
            kept = _Kept(client)
            variable.set(kept)
            with self._lock:
                self._all = [one for one in self._all if not one.client.is_closed]
                self._all.append(kept)
            await kept.start()
        return kept.client

    async def aclose(self) -> None:
        """Close the connections of the running event loop. A call that follows opens new ones."""
        kept = self._variable().get(None)
        if kept is not None:
            await kept.client.aclose()

    def close(self) -> None:
        """Have all connections closed, each by its own loop, soon. For any thread; what is left
        when a loop ends is closed with it."""
        with self._lock:
            kept, self._all = self._all, []
        for one in kept:
            one.close_soon()

    def _variable(self) -> RunVar[_Kept | None]:
        from anyio.lowlevel import RunVar

        with self._lock:
            if self._of_loop is None:
                self._of_loop = RunVar("ltiaas_middleware.client")
            return self._of_loop


class _Kept:
    """A client that is closed with its event loop."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self.client = client
        self._loop: weakref.ref[asyncio.AbstractEventLoop] | None = None
        # A loop that ends closes its asynchronous generators, and with this one the client.
        self._until_the_loop_ends = self._held()

    async def start(self) -> None:
        await self._until_the_loop_ends.__anext__()
        with contextlib.suppress(RuntimeError):  # trio
            self._loop = weakref.ref(asyncio.get_running_loop())

    async def _held(self) -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            await self.client.aclose()

    def close_soon(self) -> None:
        loop = None if self._loop is None else self._loop()
        # A loop that is closed has closed the client. Under trio it is closed when the run ends.
        if loop is not None and not loop.is_closed():
            with contextlib.suppress(RuntimeError):
                asyncio.run_coroutine_threadsafe(self.client.aclose(), loop)
