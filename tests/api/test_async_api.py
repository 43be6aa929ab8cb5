"""``launch.async_api``: connections that all launches of an event loop share."""

from __future__ import annotations

import asyncio
import gc
import os
import ssl
import threading
import traceback
import warnings
import weakref
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from typing import Any

import anyio
import pytest
import trustme

import benchmarks.tls
from benchmarks import sandbox
from ltiaas_middleware import current_launch, require_launch
from ltiaas_middleware.api.async_clients import AsyncClients
from ltiaas_middleware.api.async_session import AsyncApiSession
from ltiaas_middleware.api.exchange import RetryPolicy
from ltiaas_middleware.asgi import LTIAASMiddleware
from ltiaas_middleware.sandbox import Sandbox, SandboxServer
from tests.account import Account


@dataclass
class Tool:
    """A view behind the ASGI middleware."""

    view: Callable[[], Awaitable[Any]]
    middleware: LTIAASMiddleware = field(init=False)

    def wrap(self, **ltiaas: Any) -> Tool:
        self.middleware = LTIAASMiddleware(self._app, **ltiaas)
        return self

    async def _app(self, scope: Any, receive: Any, send: Any) -> None:
        scope["found"].append(await self.view())
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def ask(self, ltik: str) -> Any:
        """What the view returns."""
        found: list[Any] = []
        scope = {
            "type": "http", "method": "GET", "scheme": "https", "path": "/", "root_path": "",
            "query_string": f"ltik={ltik}".encode(), "headers": [(b"host", b"tool.example")],
            "found": found,
        }  # fmt: skip

        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                assert message["status"] == 200, message

        async def receive() -> Any:
            return {"type": "http.request", "body": b"", "more_body": False}

        await self.middleware(scope, receive, send)
        return found.pop()


@dataclass
class TlsAccount:
    account: Account
    bundle: str
    handshakes: list[Any] = field(default_factory=list)
    middlewares: list[LTIAASMiddleware] = field(default_factory=list)

    def tool(self, view: Callable[[], Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        """Ask a view, with a new launch each time."""
        tool = Tool(view).wrap(
            url=self.account.url, api_key=self.account.key, ca_bundle=self.bundle
        )
        self.middlewares.append(tool.middleware)

        async def ask(**seat: Any) -> Any:
            return await tool.ask(self.account.sandbox.issue(**seat))

        ask.middleware = tool.middleware  # type: ignore[attr-defined]
        return ask


@pytest.fixture
def tls(tmp_path: Any) -> Iterator[TlsAccount]:
    """An account behind TLS that counts handshakes."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    bundle = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(bundle))
    sandbox = Sandbox()
    with SandboxServer(sandbox, ssl_context=context) as server:
        made = TlsAccount(Account(sandbox, server.url), str(bundle))
        context.sni_callback = lambda *args: made.handshakes.append(args)
        yield made
        for middleware in made.middlewares:
            middleware.close()
    # What a loop left open would be told of here, as an error.
    gc.collect()


async def roster() -> int:
    return len([member async for member in require_launch().async_api.members(limit=10)])


def test_calls_of_many_launches_share_one_connection(tls: TlsAccount) -> None:
    ask = tls.tool(roster)

    async def main() -> None:
        for _ in range(11):
            assert await ask() == 33

    asyncio.run(main())
    # One for the rosters, one for the middleware's own calls.
    assert len(tls.handshakes) == 2


def test_the_loop_does_not_load_certificates(
    tls: TlsAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    loading: list[str] = []
    create = ssl.create_default_context

    def watched(*args: Any, **options: Any) -> ssl.SSLContext:
        loading.append(threading.current_thread().name)
        return create(*args, **options)

    monkeypatch.setattr(ssl, "create_default_context", watched)
    ask = tls.tool(roster)

    credential, policy = tls.account.launch(), RetryPolicy(ca_bundle=tls.bundle)

    async def main() -> None:
        async with AsyncApiSession(credential, policy) as api:
            await api.id_token()
        # The launches share what a session of one's own has loaded.
        results = await asyncio.gather(*(ask() for _ in range(16)))
        assert results == [33] * 16

    asyncio.run(main())
    mine = threading.current_thread().name
    assert len(loading) == 1
    assert mine not in loading


def test_each_loop_has_a_connection_of_its_own_and_closes_it(tls: TlsAccount) -> None:
    clients = AsyncClients(RetryPolicy(ca_bundle=tls.bundle))
    credential = tls.account.launch()
    seen: list[Any] = []
    failed: list[BaseException] = []

    async def main() -> None:
        api = AsyncApiSession(credential, client=clients)
        for _ in range(5):
            await api.id_token()
        seen.append(await clients.get())
        assert not seen[-1].is_closed

    def thread() -> None:
        try:
            asyncio.run(main())
        except BaseException as error:  # noqa: BLE001 - told by the test
            failed.append(error)

    threads = [threading.Thread(target=thread) for _ in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    asyncio.run(main())
    assert failed == []
    assert len(tls.handshakes) == 5
    assert len(set(map(id, seen))) == 5
    assert all(client.is_closed for client in seen)


def test_a_loop_that_is_closed_carelessly_keeps_no_socket(tls: TlsAccount) -> None:
    """Without ``shutdown_asyncgens``, as some schedulers of jobs close theirs."""
    clients = AsyncClients(RetryPolicy(ca_bundle=tls.bundle))
    credential = tls.account.launch()
    made: list[weakref.ref[Any]] = []

    async def main() -> None:
        await AsyncApiSession(credential, client=clients).id_token()
        made.append(weakref.ref(await clients.get()))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        for _ in range(5):
            loop = asyncio.new_event_loop()
            loop.run_until_complete(main())
            loop.close()
            gc.collect()
        assert [client() is None for client in made] == [True] * 4 + [False]
        clients.close()
        gc.collect()
        assert made[-1]() is None


def test_trio_has_them_too(tls: TlsAccount) -> None:
    clients = AsyncClients(RetryPolicy(ca_bundle=tls.bundle))
    credential = tls.account.launch()
    seen: list[Any] = []

    async def main() -> None:
        async with anyio.create_task_group() as group:
            for _ in range(3):
                group.start_soon(AsyncApiSession(credential, client=clients).id_token)
        before = len(tls.handshakes)
        for _ in range(5):
            api = AsyncApiSession(credential, client=clients)
            assert len([member async for member in api.members(limit=10)]) == 33
        assert len(tls.handshakes) == before
        seen.append(await clients.get())

    anyio.run(main, backend="trio")
    assert seen[0].is_closed


def test_they_are_closed_with_the_middleware(tls: TlsAccount) -> None:
    async def client() -> Any:
        launch = require_launch()
        await launch.async_api.id_token()
        return await launch._account.clients.get()  # type: ignore[union-attr]

    ask = tls.tool(client)

    async def main() -> None:
        of_this_loop = await ask()
        await asyncio.to_thread(ask.middleware.close)  # type: ignore[attr-defined]
        while not of_this_loop.is_closed:
            await asyncio.sleep(0.01)

    asyncio.run(asyncio.wait_for(main(), 20))


def test_a_closed_client_is_replaced(tls: TlsAccount) -> None:
    clients = AsyncClients(RetryPolicy(ca_bundle=tls.bundle))
    credential = tls.account.launch()

    async def main() -> None:
        for _ in range(2):
            assert (await AsyncApiSession(credential, client=clients).id_token()).user.id
            await clients.aclose()

    asyncio.run(main())
    assert len(tls.handshakes) == 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_the_children_of_a_fork_have_connections_of_their_own() -> None:
    """LTIAAS is in a process of its own: a child that is made while a thread of its parent is
    inside of OpenSSL hangs there."""

    async def who() -> str:
        launch = require_launch()
        assert launch is current_launch()
        return str((await launch.async_api.id_token()).user.id)

    with (
        benchmarks.tls.certificate() as (chain, key, trusted),
        sandbox.running(12, chain, key) as ltiaas,
    ):
        tool = Tool(who).wrap(url=ltiaas["url"], api_key=ltiaas["api_key"], ca_bundle=trusted)
        first, last, *others = ltiaas["ltiks"]
        loop = asyncio.new_event_loop()
        running = threading.Thread(target=loop.run_forever)
        running.start()

        def in_parent(asked: Coroutine[Any, Any, Any]) -> Any:
            return asyncio.run_coroutine_threadsafe(asked, loop).result(20)

        assert in_parent(tool.ask(first)) == "ada"
        children = []
        for ltiks in (others[:5], others[5:]):
            child = os.fork()
            if child == 0:
                try:

                    async def main(ltiks: list[str] = ltiks) -> None:
                        for ltik in ltiks:
                            assert await tool.ask(ltik) == "ada"

                    asyncio.run(main())
                except BaseException:  # noqa: BLE001 - the child must end here
                    traceback.print_exc()
                    os._exit(1)
                os._exit(0)
            children.append(child)
        assert [os.waitpid(child, 0)[1] for child in children] == [0, 0]
        assert in_parent(tool.ask(last)) == "ada"
        # In each process one of the middleware's, and one of the event loop's.
        assert ltiaas["handshakes"]() == 6
        in_parent(loop.shutdown_asyncgens())
        loop.call_soon_threadsafe(loop.stop)
        running.join()
        loop.close()
        tool.middleware.close()
