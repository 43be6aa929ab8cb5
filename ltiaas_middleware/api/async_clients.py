"""The connections of ``launch.async_api``: one HTTP client for each event loop.

A client belongs to the loop that first used it, and loading its TLS context would block the loop
for too long (tens of milliseconds). So the context is loaded once, in a thread, and each loop gets
its own client, which is closed with the loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import os
import ssl
import threading
from collections.abc import AsyncGenerator
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any

from .exchange import HEADERS, RetryPolicy

# Connections at once, and how long (seconds) an idle one is kept: less than what load balancers
# and firewalls let one idle.
_CONNECTIONS, _IDLE = 100, 50.0

_contexts: dict[tuple[str | None, ...], ssl.SSLContext] = {}
_making = threading.Lock()


def httpx() -> Any:
    """httpx2 or, without it, its predecessor httpx, which has the same API."""
    try:
        return importlib.import_module("httpx2")
    except ImportError:
        with contextlib.suppress(ImportError):
            return importlib.import_module("httpx")
        raise


def tls_context(ca_bundle: str | None) -> ssl.SSLContext:
    """The TLS context for an account, created once in a process, because threads and loops can
    share it. The first call blocks. ``ca_bundle`` is a file, or None for httpx2's default."""
    named = (ca_bundle, os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"))
    with _making:
        if named not in _contexts:
            if ca_bundle:
                _contexts[named] = ssl.create_default_context(cafile=ca_bundle)
            else:
                _contexts[named] = httpx().create_ssl_context()
        return _contexts[named]


def new_client(policy: RetryPolicy) -> Any:
    """An ``AsyncClient`` that keeps connections but nothing else, so that cookies from one launch's
    call are never sent with another's. Loads the certificates of ``policy``, which blocks."""
    return httpx().AsyncClient(
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        follow_redirects=False,
        headers=HEADERS,
        limits=httpx().Limits(
            max_connections=_CONNECTIONS,
            max_keepalive_connections=_CONNECTIONS,
            keepalive_expiry=_IDLE,
        ),
        # Plain http is for this machine only (Settings.url): no proxy gets to see it.
        mounts={"http://": None},
        verify=tls_context(policy.ca_bundle),
    )


class AsyncClients:
    """HTTP clients, one for each event loop. All calls in the loop share it. Safe to use from many
    loops in many threads. In the child of a fork, create new ones."""

    def __init__(self, policy: RetryPolicy) -> None:
        self._policy = policy
        self._lock = threading.Lock()
        # By event loop (of trio: by its token), with what closes the client when the loop ends.
        self._kept: dict[Any, tuple[Any, AsyncGenerator[None, None]]] = {}

    async def get(self) -> Any:
        """The client for the running event loop."""
        loop = _running_loop()
        found = self._kept.get(loop)
        if found is not None and not found[0].is_closed:
            return found[0]
        to_thread = importlib.import_module("anyio.to_thread")
        client = await to_thread.run_sync(new_client, self._policy, abandon_on_cancel=True)
        with self._lock:
            # Another task may have made one in the meantime; this one has no connection yet.
            found = self._kept.get(loop)
            if found is not None and not found[0].is_closed:
                return found[0]
            # A loop that was closed without shutdown_asyncgens leaves sockets, which are closed
            # with the last reference to its client.
            self._kept = {
                loop: kept
                for loop, kept in self._kept.items()
                if not kept[0].is_closed and not getattr(loop, "is_closed", bool)()
            }
            closing = _until_the_loop_ends(client)
            self._kept[loop] = client, closing
        await closing.__anext__()
        return client

    async def aclose(self) -> None:
        """Close the running event loop's connections. A later call opens new ones."""
        if found := self._kept.get(_running_loop()):
            await found[0].aclose()

    def close(self) -> None:
        """Schedule all connections to be closed, each by its own loop. You can call this from any
        thread. A loop that ends closes its remaining connections."""
        with self._lock:
            kept, self._kept = self._kept, {}
        for loop, (client, _) in kept.items():
            # Under trio they are closed when the run ends.
            if isinstance(loop, asyncio.AbstractEventLoop) and not loop.is_closed():
                with contextlib.suppress(RuntimeError):
                    asyncio.run_coroutine_threadsafe(client.aclose(), loop)


def _running_loop() -> Any:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return importlib.import_module("trio").lowlevel.current_trio_token()


async def _until_the_loop_ends(client: Any) -> AsyncGenerator[None, None]:
    # A loop that ends closes its asynchronous generators, and with this one the client.
    try:
        yield
    finally:
        await client.aclose()
