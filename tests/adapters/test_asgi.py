"""The ASGI adapter is transparent, and the launch is right wherever the app's code runs."""

from __future__ import annotations

import asyncio

import pytest
from starlette.middleware.base import BaseHTTPMiddleware

from ltiaas_middleware import (
    LaunchRequired,
    LTIAASError,
    SettingsError,
    asgi,
    current_launch,
    require_launch,
)
from ltiaas_middleware.asgi import LTIAASMiddleware
from tests.fixtures.tools import API_KEY
from tests.tokens import ltik

OPTIONS = {"url": "https://account.ltiaas.example", "api_key": API_KEY}


def scope(path="/", query=b"", **more):
    return {
        "type": "http",
        "method": "GET",
        "scheme": "https",
        "path": path,
        "root_path": "",
        "query_string": query,
        "headers": [(b"host", b"tool.example")],
    } | more


def launched(**more):
    return scope(query=f"ltik={ltik()}".encode(), **more)


BOTH = pytest.mark.parametrize("make", [scope, launched], ids=["no launch", "launch"])


@pytest.fixture
def wrap(upstream):
    made = []

    def wrap(app, **options):
        made.append(LTIAASMiddleware(app, **(OPTIONS | options)))
        return made[-1]

    yield wrap
    for middleware in made:
        middleware.close()


async def receive():
    raise AssertionError("nobody asked")


def run(middleware, given, receive=receive):
    sent = []

    async def send(message):
        sent.append(message)

    async def main():
        await middleware(given, receive, send)
        assert current_launch() is None

    asyncio.run(main())
    return sent


def user():
    launch = current_launch()
    return launch.id_token.user.name.encode() if launch else b"nobody"


@pytest.mark.parametrize("kind", ["lifespan", "something.new"])
def test_other_scopes_pass_untouched(wrap, kind):
    given = {"type": kind}
    seen = []

    async def app(scope, receive, send):
        seen.append((scope, receive, send))

    async def send(message):
        raise AssertionError

    asyncio.run(wrap(app, require=True)(given, receive, send))
    assert seen == [({"type": kind}, receive, send)]
    assert seen[0][0] is given


def test_without_a_launch_everything_is_the_servers_own(wrap):
    given = scope()
    seen = []

    async def app(scope, receive, send):
        seen.append((scope, receive, send))

    async def send(message):
        raise AssertionError

    asyncio.run(wrap(app)(given, receive, send))
    assert seen[0][0] is given
    assert seen[0][1] is receive
    assert seen[0][2] is send


def test_with_a_launch_the_scope_is_changed_in_place(wrap):
    state, extensions = {"pool": object()}, {"http.response.trailers": {}}
    given = launched(state=state, extensions=extensions)
    token = given["query_string"].removeprefix(b"ltik=").decode()
    seen = []

    async def app(scope, receive, send):
        seen.append(scope)
        scope["route"] = "/page"
        scope["path_params"] = {"page": 1}

    run(wrap(app), given)
    assert seen == [given]
    assert seen[0] is given
    assert given["state"] is state
    assert given["extensions"] is extensions
    assert given["ltiaas.launch"].id_token.user.name == "Ada"
    assert given["query_string"] == b""
    assert given["route"] == "/page"
    assert given["path_params"] == {"page": 1}
    assert token not in repr(given)


@BOTH
def test_all_messages_pass_in_order(wrap, make):
    messages = [
        {"type": "http.response.debug", "info": {}},
        {"type": "http.response.early_hint", "links": [b"</style.css>; rel=preload"]},
        {"type": "http.response.start", "status": 200, "headers": [(b"a", b"1")], "trailers": True},
        {"type": "http.response.body", "body": b"x", "more_body": True},
        {"type": "http.response.pathsend", "path": "/file"},
        {"type": "http.response.zerocopysend", "file": 3},
        {"type": "http.response.body", "body": b""},
        {"type": "http.response.trailers", "headers": [(b"t", b"1")]},
    ]

    async def app(scope, receive, send):
        for message in messages:
            await send(message)

    sent = run(wrap(app), make())
    assert [message["type"] for message in sent] == [message["type"] for message in messages]
    start = sent[2]
    assert start["trailers"] is True
    assert (b"a", b"1") in start["headers"]
    assert sent[3] is messages[3]
    assert messages[2]["headers"] == [(b"a", b"1")]


def test_a_start_without_headers_is_taken(wrap):
    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 204})

    assert run(wrap(app), launched())[0]["headers"] == [(b"referrer-policy", b"strict-origin")]


@BOTH
def test_backpressure_reaches_the_app(wrap, make):
    order = []

    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        order.append("start is through")
        await send({"type": "http.response.body", "body": b"x"})
        order.append("body is through")

    async def main():
        gate = asyncio.Event()

        async def send(message):
            await gate.wait()

        task = asyncio.create_task(wrap(app)(make(), receive, send))
        for _ in range(200):
            await asyncio.sleep(0.001)
            if task.done():
                break
        assert order == []
        gate.set()
        await task

    asyncio.run(main())
    assert order == ["start is through", "body is through"]


@BOTH
def test_a_disconnect_reaches_the_app(wrap, make):
    async def app(scope, receive, send):
        assert (await receive())["type"] == "http.disconnect"

    async def disconnected():
        return {"type": "http.disconnect"}

    run(wrap(app), make(), disconnected)


@BOTH
def test_a_send_that_fails_reaches_the_app(wrap, make):
    async def app(scope, receive, send):
        with pytest.raises(OSError, match="gone"):
            await send({"type": "http.response.start", "status": 200, "headers": []})

    async def main():
        async def send(message):
            raise OSError("gone")

        await wrap(app)(make(), receive, send)

    asyncio.run(main())


@BOTH
def test_exceptions_of_the_app_pass_and_leave_no_launch_behind(wrap, make):
    async def app(scope, receive, send):
        raise ZeroDivisionError(user())

    async def main():
        with pytest.raises(ZeroDivisionError):
            await wrap(app)(make(), receive, None)
        assert current_launch() is None

    asyncio.run(main())


class TestTheCurrentLaunch:
    def test_is_right_in_views_threads_and_tasks(self, wrap):
        seen = []

        async def app(scope, receive, send):
            seen.append(user())
            seen.append(await asyncio.to_thread(user))

            async def background():
                seen.append(user())

            await asyncio.create_task(background())

        run(wrap(app), launched())
        assert seen == [b"Ada"] * 3

    def test_belongs_to_background_tasks_that_outlive_the_request(self, wrap):
        seen = []

        async def main():
            go_on = asyncio.Event()
            tasks = []

            async def later():
                await go_on.wait()
                seen.append(user())

            async def app(scope, receive, send):
                tasks.append(asyncio.create_task(later()))

            await wrap(app)(launched(), receive, None)
            assert current_launch() is None
            go_on.set()
            await tasks[0]

        asyncio.run(main())
        assert seen == [b"Ada"]

    def test_is_kept_apart_between_concurrent_requests(self, wrap):
        async def main():
            barrier = []

            async def app(scope, receive, send):
                mine = scope["ltiaas.launch"]
                barrier.append(mine)
                while len(barrier) < 20:
                    await asyncio.sleep(0.001)
                assert current_launch() is mine

            middleware = wrap(app)
            await asyncio.gather(*(middleware(launched(), receive, None) for _ in range(20)))
            assert len({launch.id for launch in barrier}) == 20

        asyncio.run(main())

    def test_is_never_another_requests_leftover(self, wrap):
        from ltiaas_middleware.launch import current

        async def app(scope, receive, send):
            assert current_launch() is None

        async def main():
            current.set(object())
            await wrap(app)(scope(), receive, None)

        asyncio.run(main())

    def test_is_kept_by_a_second_middleware_inside(self, wrap):
        async def app(scope, receive, send):
            assert user() == b"Ada"
            assert scope["ltiaas.launch"] is current_launch()

        run(wrap(wrap(app)), launched())


class TestLaunchRequired:
    def test_is_answered_401(self, wrap):
        async def app(scope, receive, send):
            require_launch()

        start, body = run(wrap(app), scope())
        assert start["status"] == 401
        assert b"launch_required" in body["body"]

    def test_after_the_answer_began_it_is_the_servers(self, wrap):
        async def app(scope, receive, send):
            await send({"type": "http.response.start", "status": 200, "headers": []})
            raise LaunchRequired

        begun = []

        async def send(message):
            if begun and message["type"] == "http.response.start":
                raise RuntimeError("twice")
            begun.append(message)

        async def main():
            with pytest.raises(LTIAASError, match="after its response had begun"):
                await wrap(app)(scope(), receive, send)

        asyncio.run(main())
        assert len(begun) == 1


class TestWebsockets:
    @staticmethod
    def socket(**more):
        return launched(type="websocket", scheme="wss", subprotocols=[], **more)

    def test_have_the_launch(self, wrap):
        async def app(scope, receive, send):
            assert scope["ltiaas.launch"] is current_launch()
            assert user() == b"Ada"
            await send({"type": "websocket.accept"})
            await send({"type": "websocket.send", "text": "hello"})

        given = self.socket()
        del given["method"]
        sent = run(wrap(app), given)
        assert [message["type"] for message in sent] == ["websocket.accept", "websocket.send"]

    def test_are_closed_where_the_launch_is_refused(self, wrap):
        async def app(scope, receive, send):
            raise AssertionError

        given = self.socket(query_string=b"ltik=broken")
        assert run(wrap(app), given) == [{"type": "websocket.close", "code": 1008, "reason": ""}]

    def test_are_answered_in_full_where_the_server_can(self, wrap):
        async def app(scope, receive, send):
            raise AssertionError

        given = self.socket(query_string=b"ltik=broken", extensions={"websocket.http.response": {}})
        start, body = run(wrap(app), given)
        assert (start["type"], start["status"]) == ("websocket.http.response.start", 400)
        assert body["type"] == "websocket.http.response.body"
        assert b"malformed_ltik" in body["body"]

    def test_of_another_site_do_not_open_a_launch_path(self, wrap):
        async def app(scope, receive, send):
            raise AssertionError

        given = self.socket(
            path="/lti/AAAAAAAAAAAAAAAAAAAAAA/ws",
            query_string=b"",
            headers=[(b"sec-fetch-site", b"cross-site")],
            extensions={"websocket.http.response": {}},
        )
        assert run(wrap(app), given)[0]["status"] == 403


class TestTheMountPoint:
    @pytest.fixture
    def seen(self):
        return []

    @pytest.fixture
    def app(self, seen):
        async def app(scope, receive, send):
            seen.append((scope["root_path"], scope["path"], scope.get("app_root_path")))

        return app

    def launch_path(self, middleware, **more):
        headers = [(b"host", b"tool.example"), (b"accept", b"text/html")]
        start = run(middleware, launched(headers=headers, **more))[0]
        location = dict(start["headers"])[b"location"].decode()
        return location, dict(start["headers"])[b"set-cookie"].split(b";")[0]

    @pytest.mark.parametrize("style", ["bare", "below", "full", None])
    @pytest.mark.parametrize("server_includes", [True, False])
    def test_is_given_as_the_app_wants_it(self, wrap, app, seen, style, server_includes):
        middleware = wrap(app, path_style=style)
        root = "/tool" if server_includes else ""
        location, cookie = self.launch_path(
            middleware, path=f"{root}/page", raw_path=f"{root}/page".encode(), root_path="/tool"
        )
        prefix = location.removesuffix("/page")
        assert prefix.startswith("/tool/lti/")
        path = location if server_includes else location.removeprefix("/tool")
        run(middleware, scope(path, root_path="/tool", headers=[(b"cookie", cookie)]))
        assert seen == [
            {
                "below": (prefix, f"{root}/page", None),
                "full": (prefix, location, None),
            }.get(style, ("/tool", f"{root}/page", prefix))
        ]

    def test_a_style_that_is_none_is_refused(self, wrap):
        with pytest.raises(SettingsError, match="path_style"):
            wrap(None, path_style="split")

    def test_is_not_a_mere_beginning_of_the_path(self, wrap, app, seen):
        run(wrap(app), launched(path="/toolbox", root_path="/tool"))
        assert seen == [("/tool", "/toolbox", None)]


def test_cookies_in_pieces_are_read(wrap):
    """HTTP/2 clients may send each cookie in a header of its own (RFC 9113 section 8.2.3)."""
    seen = []

    async def app(scope, receive, send):
        seen.append(scope["headers"])

    middleware = wrap(app)
    location, cookie = TestTheMountPoint().launch_path(middleware, path="/x")
    tag = location.encode().split(b"/")[2][:8]
    pieces = [(b"cookie", tag + b".a=1"), (b"cookie", cookie), (b"cookie", tag + b".b=2")]
    for _ in range(2):
        run(middleware, scope(location, headers=pieces))
    assert [pair for pair in seen[1] if pair[0] == b"cookie"] == [(b"cookie", b"a=1; b=2")]
    assert run(middleware, scope(location))[0]["status"] == 401


def test_a_header_twice_is_not_taken_for_one(wrap, upstream):
    async def app(scope, receive, send):
        raise AssertionError

    token = ltik().encode()
    headers = [(b"authorization", b"Bearer " + token)] * 2
    assert (
        run(wrap(app, ltik_headers=["Authorization"]), scope(headers=headers))[0]["status"] == 400
    )
    assert upstream.asked == []


def test_on_error_is_shown_whatever_names_headers_have_and_none_is_kept(wrap):
    async def app(scope, receive, send):
        raise AssertionError

    seen = []
    middleware = wrap(app, require=True, on_error=lambda info, request: seen.append(request))
    for number in range(500):
        headers = [(b"x-%d" % number, b"1"), ("x-µ".encode("latin-1"), b"1")]
        assert run(middleware, scope(headers=headers))[0]["status"] == 401
        assert dict(seen[-1].headers) == {f"x-{number}": "1"}
    assert len(asgi._HEADERS) < 300
    # What is asked for next is remembered, all the same.
    asgi._Variables(scope()).get("HTTP_X_NEW")
    assert "HTTP_X_NEW" in asgi._HEADERS


def test_what_is_raised_in_a_task_group_is_answered_as_well(wrap):
    async def app(scope, receive, send):
        async def view():
            require_launch()

        async with asyncio.TaskGroup() as group:
            group.create_task(view())

    start, _ = run(wrap(app), scope())
    assert start["status"] == 401
    assert (b"ltiaas-error", b"launch_required") in start["headers"]


def test_a_role_that_is_missing_is_403(wrap):
    async def app(scope, receive, send):
        require_launch().require_role("Administrator")

    start, body = run(wrap(app), launched())
    assert start["status"] == 403
    assert b"role_required" in body["body"]


def test_starlettes_own_middleware_lets_it_through(wrap):
    async def dispatch(request, call_next):
        return await call_next(request)

    async def app(scope, receive, send):
        require_launch()

    start, _ = run(wrap(BaseHTTPMiddleware(app, dispatch)), scope())
    assert start["status"] == 401
