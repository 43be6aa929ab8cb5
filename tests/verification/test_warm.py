"""A connection to LTIAAS is open before the first launch needs it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import pytest

from ltiaas_middleware import asgi, wsgi
from ltiaas_middleware._verification.warm import Warm
from ltiaas_middleware.api.exchange import Limits
from ltiaas_middleware.api.transport import new_session, open_connection
from ltiaas_middleware.sandbox import Sandbox, SandboxServer
from tests.waiting import wait_until
from tests.wire_proxy import WireProxy


@pytest.fixture
def sandbox() -> Iterator[SandboxServer]:
    with SandboxServer(Sandbox()) as server:
        yield server


@pytest.fixture
def network(sandbox: SandboxServer) -> Iterator[WireProxy]:
    parts = urlsplit(sandbox.url)
    proxy = WireProxy(parts.hostname or "", parts.port or 0)
    yield proxy
    proxy.close()


def app(environ: Any, start_response: Any) -> list[bytes]:
    start_response("200 OK", [])
    return [b""]


def get(middleware: Any, query: str = "") -> str:
    statuses = []
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/", "QUERY_STRING": query}
    middleware(environ, lambda status, headers, exc_info=None: statuses.append(status))
    return str(statuses[0])


@pytest.fixture
def middleware(sandbox: SandboxServer, network: WireProxy) -> Iterator[wsgi.LTIAASMiddleware]:
    url = f"http://127.0.0.1:{network.port}"
    middleware = wsgi.LTIAASMiddleware(app, url=url, api_key=sandbox.sandbox.api_key)
    yield middleware
    middleware.close()


def is_open(middleware: Any) -> bool:
    """Whether a connection lies ready."""
    session = middleware._assembled()._id_tokens._session
    pools = session.get_adapter(middleware.settings.url).poolmanager.pools
    keys = list(pools.keys())
    ready = [pools[key].pool.queue for key in keys]
    return any(one is not None and one.is_connected for queue in ready for one in queue)


def test_the_first_launch_uses_what_the_first_request_opened(
    middleware: wsgi.LTIAASMiddleware, sandbox: SandboxServer, network: WireProxy
) -> None:
    assert network.accepted == 0
    assert get(middleware) == "200 OK"
    wait_until(lambda: is_open(middleware))
    assert sandbox.sandbox.journal.entries() == []  # Nothing was asked.
    assert get(middleware, f"ltik={sandbox.sandbox.issue()}") == "200 OK"
    assert network.accepted == 1


def test_a_servers_hook_opens_it_before_any_request(
    middleware: wsgi.LTIAASMiddleware, sandbox: SandboxServer, network: WireProxy
) -> None:
    middleware.warm_up()
    middleware.warm_up()
    wait_until(lambda: is_open(middleware))
    assert get(middleware, f"ltik={sandbox.sandbox.issue()}") == "200 OK"
    assert network.accepted == 1


def test_an_asgi_server_opens_it_when_it_starts(sandbox: SandboxServer, network: WireProxy) -> None:
    seen = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["type"])

    url = f"http://127.0.0.1:{network.port}"
    middleware = asgi.LTIAASMiddleware(app, url=url, api_key=sandbox.sandbox.api_key)
    asyncio.run(middleware({"type": "lifespan"}, None, None))
    assert seen == ["lifespan"]
    wait_until(lambda: is_open(middleware))
    middleware.close()


def test_one_that_ltiaas_closed_is_opened_again() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, new_session(1) as session:
        listener.settimeout(30)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        warm = Warm(partial(open_connection, session, url, Limits()), every=0.01)
        warm.begin()
        try:
            for _ in range(3):
                listener.accept()[0].close()
        finally:
            warm.close()


@pytest.mark.parametrize("refuses", [True, False])
def test_an_ltiaas_that_does_not_answer_changes_nothing(
    sandbox: SandboxServer, network: WireProxy, middleware: Any, refuses: bool
) -> None:
    if refuses:
        network.refuse()
    else:
        network.swallow()
    for _ in range(3):
        assert get(middleware) == "200 OK"
    network.pass_on()
    assert get(middleware, f"ltik={sandbox.sandbox.issue()}") == "200 OK"


def test_it_is_left_to_itself_after_an_hour_without_a_launch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("ltiaas_middleware._verification.warm._LOOKS", 3)
    looks = []

    def connect() -> None:
        looks.append(len(looks))
        raise OSError

    warm = Warm(connect, every=0.001)
    warm.used()  # Without a beginning it is nothing.
    warm.begin()
    wait_until(lambda: warm._looks >= 3)
    assert looks == [0, 1, 2]
    warm.used()
    wait_until(lambda: len(looks) == 6)
    wait_until(lambda: warm._looks >= 3)
    warm.close()
    assert len(looks) == 6
