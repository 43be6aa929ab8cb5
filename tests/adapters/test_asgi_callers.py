"""Servers, test clients and outer frameworks that call an ASGI app in their own ways, as the test
suites of other projects do."""

from __future__ import annotations

import asyncio
import copy
import inspect
import pickle
import re
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import falcon.asgi
import falcon.testing
import pytest
from asgiref.testing import ApplicationCommunicator
from asgiref.wsgi import WsgiToAsgi
from fastapi import FastAPI
from flask import Flask, session
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

from ltiaas_middleware import current_launch
from ltiaas_middleware.asgi import LTIAASMiddleware
from tests.fixtures.tools import API_KEY
from tests.tokens import ltik
from tests.upstream import Upstream

OPTIONS: dict[str, Any] = {"url": "https://account.ltiaas.example", "api_key": API_KEY}
NAVIGATES = [(b"host", b"tool.example"), (b"sec-fetch-mode", b"navigate")]
Wrap = Callable[..., LTIAASMiddleware]


@pytest.fixture
def wrap(upstream: Upstream) -> Iterator[Wrap]:
    made: list[LTIAASMiddleware] = []

    def wrap(app: Any, **options: Any) -> LTIAASMiddleware:
        made.append(LTIAASMiddleware(app, **(OPTIONS | options)))
        return made[-1]

    yield wrap
    for middleware in made:
        middleware.close()


def http(path: str, headers: Any = (), **more: Any) -> dict[str, Any]:
    return {
        "type": "http",
        "http_version": "1.1",
        "method": "GET",
        "scheme": "https",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": b"",
        "headers": [(b"host", b"tool.example"), *headers],
    } | more


def ask(app: Any, scope: dict[str, Any]) -> tuple[int, dict[str, str], bytes]:
    """One request, as asgiref's own tests make it."""

    async def main() -> tuple[int, dict[str, str], bytes]:
        communicator = ApplicationCommunicator(app, scope)
        await communicator.send_input({"type": "http.request", "body": b"", "more_body": False})
        start = await communicator.receive_output(10)
        body = b""
        while True:
            message = await communicator.receive_output(10)
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        await communicator.wait(10)
        headers = {name.decode(): value.decode() for name, value in start["headers"]}
        return start["status"], headers, body

    return asyncio.run(main())


def launch_at(app: Any, **more: Any) -> tuple[str, list[tuple[bytes, bytes]]]:
    """A launch's path below the mount point, and the request headers that prove it."""
    path = more.pop("path", "/launch")
    query = f"ltik={ltik()}".encode()
    status, headers, _ = ask(app, http(path, query_string=query, **{"headers": NAVIGATES, **more}))
    assert status == 303
    found = re.search(r"/lti/[\w-]{22}", headers["location"])
    assert found is not None
    cookie = headers["set-cookie"].partition(";")[0].encode()
    return found[0], [(b"host", b"tool.example"), (b"cookie", cookie)]


async def echo(scope: Any, receive: Any, send: Any) -> None:
    launch = current_launch()
    told = (
        launch and launch.id_token.user.name,
        scope.get("root_path"),
        scope["path"],
        scope.get("raw_path"),
        scope.get("query_string"),
    )
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": repr(told).encode()})


def told(reply: tuple[int, dict[str, str], bytes]) -> Any:
    assert reply[0] == 200
    return eval(reply[2])


@pytest.mark.parametrize("missing", [{"query_string": None}, {}])
def test_a_scope_without_a_query(wrap: Wrap, missing: dict[str, Any]) -> None:
    app = wrap(echo)
    scope = http("/page")
    del scope["query_string"]
    assert told(ask(app, scope | missing))[0] is None
    path, proof = launch_at(app)
    scope = http(f"{path}/page", headers=proof)
    del scope["query_string"]
    assert told(ask(app, scope | missing))[0] == "Ada"


def test_a_websocket_without_a_query(wrap: Wrap) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "websocket.close"})

    middleware = wrap(app)

    async def main() -> Any:
        scope = {"type": "websocket", "path": "/ws", "headers": []}
        return await ApplicationCommunicator(middleware, scope).receive_output(10)

    assert asyncio.run(main()) == {"type": "websocket.close"}


def once(pairs: list[tuple[bytes, bytes]]) -> Any:
    """Headers that can be read once, as Falcon's test client has them."""
    return iter([iter(pair) for pair in pairs])


def test_a_client_that_can_be_read_only_once(wrap: Wrap) -> None:
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(tuple(scope["client"]))
        await echo(scope, receive, send)

    middleware = wrap(app)
    path, proof = launch_at(middleware, client=iter(["192.0.2.7", 4711]))
    for client in (iter(["192.0.2.7", 4711]), ["192.0.2.7", 4711]):
        status, _, _ = ask(middleware, http(f"{path}/page", headers=proof, client=client))
        assert status == 200
    # Without the launch in memory its address is asked for.
    middleware._authenticator._launches._entries.clear()
    client = iter(["192.0.2.7", 4711])
    assert ask(middleware, http(f"{path}/page", headers=proof, client=client))[0] == 200
    assert seen == [("192.0.2.7", 4711)] * 3


@pytest.mark.parametrize("require", [False, True])
def test_headers_that_can_be_read_only_once(wrap: Wrap, require: bool) -> None:
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append([pair for pair in scope["headers"] if pair[0] != b"ltiaas-launch"])
        await echo(scope, receive, send)

    middleware = wrap(app, require=lambda path: require and path == "/never")
    ask(middleware, http("/page") | {"headers": once([(b"a", b"1"), (b"b", b"2")])})
    path, proof = launch_at(middleware)
    in_launch = http(f"{path}/page") | {"headers": once([*proof, (b"a", b"1")])}
    assert told(ask(middleware, in_launch))[0] == "Ada"
    assert seen == [[(b"a", b"1"), (b"b", b"2")], [(b"host", b"tool.example"), (b"a", b"1")]]


@pytest.fixture
def loop_of_the_thread() -> Iterator[None]:
    """Falcon's test client wants one before Python 3.11, and ``asyncio.run`` leaves none."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    yield
    asyncio.set_event_loop(None)
    loop.close()


@pytest.mark.usefixtures("loop_of_the_thread")
def test_falcons_own_test_client(wrap: Wrap) -> None:
    class Page:
        async def on_get(self, req: Any, resp: Any) -> None:
            launch = current_launch()
            resp.text = launch.id_token.user.name if launch else "nobody"

    app = falcon.asgi.App()
    app.add_route("/page", Page())
    client = falcon.testing.TestClient(wrap(app))
    assert client.simulate_get("/page").text == "nobody"
    assert client.simulate_get("/page", query_string=f"ltik={ltik()}").text == "Ada"
    reply = client.simulate_get(
        "/page",
        query_string=f"ltik={ltik()}",
        headers={"Sec-Fetch-Mode": "navigate"},
        protocol="https",
    )
    cookie = reply.headers["set-cookie"].partition(";")[0]
    reply = client.simulate_get(
        reply.headers["location"], headers={"Cookie": cookie}, protocol="https"
    )
    assert reply.text == "Ada"


class TestRootPath:
    def app(self) -> Starlette:
        async def page(request: Request) -> PlainTextResponse:
            launch = current_launch()
            return PlainTextResponse(launch.id_token.user.name if launch else "nobody")

        return Starlette(routes=[Route("/page", page)])

    @pytest.mark.parametrize("path", ["/api//page", "/page"])
    def test_with_a_slash_at_its_end_is_as_for_the_bare_app(self, wrap: Wrap, path: str) -> None:
        """``uvicorn --root-path /api/`` puts it before the path as it is."""
        bare = self.app()
        assert ask(bare, http(path, root_path="/api/"))[0] == 200
        app = wrap(bare)
        query = f"ltik={ltik()}".encode()
        in_place = ask(app, http(path, root_path="/api/", query_string=query))
        assert (in_place[0], in_place[2]) == (200, b"Ada")

    @pytest.mark.parametrize("root", ["/api", "/api/", "api"])
    @pytest.mark.parametrize("path", ["/x/api/page", "/apipage", "/x/api"])
    def test_a_path_that_frameworks_cut_differently_is_refused_if_paths_are_guarded(
        self, wrap: Wrap, path: str, root: str
    ) -> None:
        guarding: list[dict[str, Any]] = [{"require": ["/page"]}, {"exclude": ["/page"]}]
        for settings in guarding:
            assert ask(wrap(echo, **settings), http(path, root_path=root))[0] == 400
        assert ask(wrap(echo), http(path, root_path=root))[0] == 200

    def test_fastapis_own_is_known(self, wrap: Wrap) -> None:
        api = FastAPI()
        api.root_path = "/api"  # As the argument of that name, which newer ones warn of.
        api.get("/page")(lambda: "page")
        app = wrap(api, require=["/page"])
        for path in ("/page", "/api/page"):
            assert ask(api, http(path))[0] == 200
            assert ask(app, http(path))[0] == 401
        path, proof = launch_at(app)
        for before in ("", "/api"):
            assert ask(app, http(f"{before}{path}/page", headers=proof))[0] == 200
        # The browser is on the other side of a proxy that takes /api off.
        query = f"ltik={ltik()}".encode()
        _, headers, _ = ask(app, http("/page", query_string=query, headers=NAVIGATES))
        assert headers["location"].startswith("/api/lti/")

    @pytest.mark.parametrize("before", ["/api/", ""])
    def test_with_a_slash_at_its_end_launches_have_their_path(
        self, wrap: Wrap, before: str
    ) -> None:
        app = wrap(self.app())
        path, proof = launch_at(app, path=f"{before}/launch", root_path="/api/")
        scope = http(f"{before}{path}/page", headers=proof, root_path="/api/")
        reply = ask(app, scope)
        assert (reply[0], reply[2]) == (200, b"Ada")
        assert (scope["root_path"], scope["app_root_path"]) == ("/api/", f"/api{path}")


class TestRawPath:
    """Says the same as ``path``, since some apps route on it."""

    @pytest.mark.parametrize("style", ["bare", "below", "full"])
    @pytest.mark.parametrize("root", ["", "/tools/quiz"])
    @pytest.mark.parametrize("raw", [b"/a%2Fb/c", b"/", b"/\xc3\xa4"])
    def test_follows_path(self, wrap: Wrap, style: str, root: str, raw: bytes) -> None:
        from urllib.parse import unquote

        app = wrap(echo, path_style=style)
        path, proof = launch_at(app, path=f"{root}/launch", root_path=root)
        arrived = f"{root}{path}".encode() + raw
        below = unquote(raw.decode("latin-1")) if raw.isascii() else raw.decode()
        scope = http(f"{root}{path}{below}", headers=proof, root_path=root, raw_path=arrived)
        user, mount, seen, seen_raw, _ = told(ask(app, scope))
        assert (user, mount) == ("Ada", root if style == "bare" else f"{root}{path}")
        start = f"{root}{path}" if style == "full" else root
        assert seen == start + below
        assert seen_raw == start.encode() + raw

    @pytest.mark.parametrize("root", ["", "/tools/quiz"])
    def test_follows_path_if_the_launch_is_named_twice(self, wrap: Wrap, root: str) -> None:
        app = wrap(echo, path_style="bare")
        path, proof = launch_at(app, path=f"{root}/launch", root_path=root)
        encoded = f"{root}/%6cti{path.removeprefix('/lti')}/staff{path}/x".encode()
        decoded = f"{root}{path}/staff{path}/x"
        scope = http(decoded, headers=proof, root_path=root, raw_path=encoded)
        assert told(ask(app, scope))[2:4] == (
            f"{root}/staff{path}/x",
            f"{root}/staff{path}/x".encode(),
        )

    def test_is_not_made_up(self, wrap: Wrap) -> None:
        app = wrap(echo, path_style="below")
        path, proof = launch_at(app)
        scope = http(f"{path}/page", headers=proof)
        del scope["raw_path"]
        assert told(ask(app, scope))[3] is None

    def test_stays_where_nothing_moves(self, wrap: Wrap) -> None:
        scope = http("/a/b", raw_path=b"/a%2Fb", query_string=f"ltik={ltik()}".encode())
        assert told(ask(wrap(echo), scope))[2:4] == ("/a/b", b"/a%2Fb")


class TestTheScope:
    def test_can_be_copied(self, wrap: Wrap) -> None:
        """As hypercorn's ProxyFix does."""
        copies: list[Any] = []

        async def app(scope: Any, receive: Any, send: Any) -> None:
            copied = copy.deepcopy(scope)
            copies.append(copied)
            assert copied["ltiaas.launch"] is scope["ltiaas.launch"]
            assert copy.copy(scope["ltiaas.launch"]) is scope["ltiaas.launch"]
            with pytest.raises(TypeError, match="cannot be pickled"):
                pickle.dumps(scope["ltiaas.launch"])
            await echo(copied, receive, send)

        middleware = wrap(app)
        assert told(ask(middleware, http("/", query_string=f"ltik={ltik()}".encode())))[0] == "Ada"
        assert len(copies) == 1

    def test_can_be_copied_where_starlette_has_mounted_the_tool(self, wrap: Wrap) -> None:
        async def page(request: Request) -> PlainTextResponse:
            routes = copy.copy(request.scope["router"])
            again = copy.deepcopy(request.scope["router"])
            urls = {str(each.url_path_for("tool:page")) for each in (routes, again)}
            return PlainTextResponse(" ".join(urls))

        tool = wrap(Starlette(routes=[Route("/page", page, name="page")]))
        site = Starlette(routes=[Mount("/quiz", tool, name="tool")])
        path, proof = launch_at(site, path="/quiz/launch")
        assert (
            ask(site, http(f"/quiz{path}/page", headers=proof))[2].decode() == f"/quiz{path}/page"
        )

    def test_shows_an_outer_middleware_what_the_app_wrote(self, wrap: Wrap) -> None:
        seen: list[Any] = []

        class Outer:
            def __init__(self, app: Any) -> None:
                self.app = app

            async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
                await self.app(scope, receive, send)
                seen.append(scope)

        async def page(request: Request) -> PlainTextResponse:
            return PlainTextResponse("x")

        app = Starlette(
            routes=[Route("/items/{name}", page)],
            middleware=[Middleware(Outer), Middleware(LTIAASMiddleware, **OPTIONS)],
        )
        token = ltik()
        assert ask(app, http("/items/one", query_string=f"ltik={token}".encode()))[0] == 200
        (scope,) = seen
        assert scope["path_params"] == {"name": "one"}
        assert scope["endpoint"] is page
        assert token not in repr(scope)


class TestSend:
    def test_is_a_coroutine_function(self, wrap: Wrap) -> None:
        seen: list[Any] = []

        async def app(scope: Any, receive: Any, send: Any) -> None:
            seen.append(inspect.iscoroutinefunction(send))
            await echo(scope, receive, send)

        ask(wrap(app), http("/", query_string=f"ltik={ltik()}".encode()))
        assert seen == [True]

    def test_a_flask_app_under_wsgi_to_asgi(self, wrap: Wrap) -> None:
        flask = Flask(__name__)
        flask.secret_key = "s"

        @flask.get("/page")
        def page() -> str:
            launch = current_launch()
            session["seen"] = True
            return launch.id_token.user.name if launch else "nobody"

        app = wrap(WsgiToAsgi(flask))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert ask(app, http("/page"))[2] == b"nobody"
            assert ask(app, http("/page", query_string=f"ltik={ltik()}".encode()))[2] == b"Ada"
            path, proof = launch_at(app)
            status, headers, body = ask(app, http(f"{path}/page", headers=proof))
        assert (status, body) == (200, b"Ada")
        assert f"; Path={path}" in headers["set-cookie"]
        assert headers["set-cookie"].endswith("; Secure; SameSite=None; Partitioned")


def test_what_the_app_returns_reaches_the_server(wrap: Wrap) -> None:
    """uvicorn closes a broken websocket by it."""
    returned = object()

    async def app(scope: Any, receive: Any, send: Any) -> object:
        return returned

    async def main() -> None:
        for scope in (
            http("/"),
            http("/", query_string=f"ltik={ltik()}".encode()),
            {"type": "lifespan"},
        ):
            assert await wrap(app)(scope, None, None) is returned

    asyncio.run(main())


def test_the_app_may_be_given_by_name(upstream: Upstream) -> None:
    middleware = LTIAASMiddleware(app=echo, **OPTIONS)
    assert middleware.app is echo
    middleware.close()


class TestTheAppsAnswer:
    """Rules in tests/gate/test_app_answers.py; here what only ASGI has."""

    COOKIE = (b"set-cookie", b"session=x; Path=/; SameSite=Lax; HttpOnly")

    def sent(self, wrap: Wrap, messages: list[Any], **scope: Any) -> tuple[str, list[Any]]:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            if scope["path"].endswith("/launch"):
                await echo(scope, receive, send)
                return
            for message in messages:
                await send(message)

        middleware = wrap(app)
        path, proof = launch_at(middleware)
        found: list[Any] = []

        async def send(message: Any) -> None:
            found.append(message)

        async def main() -> None:
            await middleware(http(f"{path}/page", headers=proof, **scope), None, send)

        asyncio.run(main())
        return path, found

    def fitted(self, path: str) -> tuple[bytes, bytes]:
        tag = path.split("/")[2][:8]
        value = f"{tag}.session=x; Path={path}; HttpOnly; Secure; SameSite=None; Partitioned"
        return (b"set-cookie", value.encode())

    def test_early_hints_pass_and_the_answer_after_them_is_fitted(self, wrap: Wrap) -> None:
        hint = {"type": "http.response.early_hint", "links": [b"</style.css>; rel=preload"]}
        start = {"type": "http.response.start", "status": 304, "headers": [self.COOKIE]}
        chunks = [
            {"type": "http.response.body", "body": b"x", "more_body": True},
            {"type": "http.response.body", "body": b""},
        ]
        path, sent = self.sent(wrap, [hint, start, *chunks])
        assert sent[0] is hint
        assert sent[2:] == chunks
        assert self.fitted(path) in sent[1]["headers"]
        assert (b"cache-control", b"private") in sent[1]["headers"]
        assert start["headers"] == [self.COOKIE]

    def test_headers_may_be_any_iterable_in_any_case(self, wrap: Wrap) -> None:
        headers = iter([[b"Set-Cookie", self.COOKIE[1]], [b"X-FRAME-OPTIONS", b"DENY"]])
        start = {"type": "http.response.start", "status": 200, "headers": headers}
        path, sent = self.sent(wrap, [start, {"type": "http.response.body", "body": b""}])
        names = [name.lower() for name, _ in sent[0]["headers"]]
        assert b"x-frame-options" not in names
        assert self.fitted(path)[1] in [value for _, value in sent[0]["headers"]]

    @pytest.mark.parametrize("iframe_support", [True, False])
    def test_a_websocket_that_is_accepted(self, wrap: Wrap, iframe_support: bool) -> None:
        accept = {"type": "websocket.accept", "subprotocol": "x", "headers": [self.COOKIE]}
        path, sent = self.sent(
            lambda app: wrap(app, iframe_support=iframe_support),
            [accept],
            type="websocket",
            scheme="wss",
        )
        assert sent == [{**accept, "headers": [self.fitted(path)]}]
        bare = {"type": "websocket.accept"}
        _, sent = self.sent(wrap, [bare], type="websocket", scheme="wss")
        assert sent == [bare]

    def test_a_websocket_at_the_launch_path_itself_sets_no_cookie_for_all_launches(
        self, wrap: Wrap
    ) -> None:
        """The browser's default path there is the folder of all launches."""

        async def app(scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] == "http":
                await echo(scope, receive, send)
                return
            headers = [(b"set-cookie", b"a=b"), (b"set-cookie", b"session=x; HttpOnly")]
            await send({"type": "websocket.accept", "headers": headers})

        middleware = wrap(app)
        path, proof = launch_at(middleware)
        found: list[Any] = []

        async def send(message: Any) -> None:
            found.append(message)

        scope = http(path, headers=proof, type="websocket", scheme="wss")
        asyncio.run(middleware(scope, None, send))
        values = [value.decode() for _, value in found[0]["headers"]]
        assert len(values) == 3
        assert all(f"; Path={path};" in value for value in values)

    def test_a_websocket_that_is_refused_with_a_page(self, wrap: Wrap) -> None:
        start = {
            "type": "websocket.http.response.start",
            "status": 403,
            "headers": [self.COOKIE, (b"x-frame-options", b"DENY")],
        }
        path, sent = self.sent(wrap, [start], type="websocket", scheme="wss")
        assert self.fitted(path) in sent[0]["headers"]
        assert (b"x-frame-options", b"DENY") not in sent[0]["headers"]
