"""Another site's page, for both adapters at once: what it may not change, where the browser adds
the cookie by itself or the path is the proof."""

from __future__ import annotations

import asyncio
import logging

import pytest

from ltiaas_middleware.errors import SettingsError
from ltiaas_middleware.origins import normal_origin
from tests.gate.test_launch_paths import Captured
from tests.tokens import ltik

WEBSOCKET = {"Upgrade": "websocket", "Connection": "Upgrade"}
OWN = "https://tool.example"
FOREIGN = [
    "https://evil.example",
    "null",
    "http://tool.example",
    "https://tool.example:444",
    "https://tool.example.evil.example",
    "https://eviltool.example",
    "https://user@tool.example",
    "https://tool.example@evil.example",
    "https://tool.example/",
    "https://tool.example, https://evil.example",
    "https://tool.example https://evil.example",
    "https://tool.example\\.evil.example",
    "tool.example",
    "//tool.example",
    "https://",
    "https://.",
    "https://[::1",
    "https://tool.example:99999",
    "file://",
    "https://tool.example#",
    "moz-extension://a0",
]


@pytest.fixture
def launch(tool):
    return Captured(tool)


def change(tool, launch, kind, headers, **ask):
    if kind == "websocket":
        return tool.get(launch.location, headers | WEBSOCKET, **ask)
    return tool.ask(kind, launch.location, headers, **ask)


@pytest.mark.parametrize("kind", ["POST", "PATCH", "PROPFIND", "get", "websocket"])
@pytest.mark.parametrize("proof", ["cookie", "path", "query"])
@pytest.mark.parametrize(("site", "origin"), [(None, "https://evil.example"), ("cross-site", None)])
def test_another_origins_page_changes_nothing(tool, launch, kind, proof, site, origin):
    headers = launch.cookie if proof == "cookie" else {}
    headers |= {"Origin": origin} if origin else {}
    headers |= {"Sec-Fetch-Site": site} if site else {}
    query = f"ltik={launch.ltik}" if proof == "query" else "a=1"
    path = f"/page?{query}" if proof == "query" else launch.location
    method, more = ("GET", WEBSOCKET) if kind == "websocket" else (kind, {})
    reply = tool.ask(method, path, headers | more)
    assert (reply.status, reply.problem) == (403, "cross_site")
    assert tool.ask(method, path, {**headers, "Origin": OWN, **more}).reached_app


@pytest.mark.parametrize("origin", FOREIGN)
def test_what_looks_like_the_tools_own_origin_is_not(tool, launch, origin):
    for site in ({}, {"Sec-Fetch-Site": "none"}, {"Sec-Fetch-Site": "cross-site"}):
        reply = change(tool, launch, "POST", launch.cookie | {"Origin": origin} | site)
        code = "iframe_sandboxed" if origin == "null" else "cross_site"
        assert (reply.status, reply.problem) == (403, code)


@pytest.mark.parametrize(
    ("origin", "host", "scheme"),
    [
        (OWN, "tool.example:443", "https"),
        (f"{OWN}:443", "tool.example", "https"),
        ("https://Tool.Example", "TOOL.example", "https"),
        (f"{OWN}.", "tool.example", "https"),
        (OWN, "tool.example.", "https"),
        ("http://tool.example:8000", "tool.example:8000", "http"),
        ("https://[::1]", "[0:0:0:0:0:0:0:1]:443", "https"),
    ],
)
def test_the_tools_own_page_changes_what_it_wants(tool, origin, host, scheme):
    """WebKit says cross-site of an own form with target=_blank."""
    launch = Captured(tool, headers={"Sec-Fetch-Site": "none"}, host=host, scheme=scheme)
    for site in ({}, {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "none"}):
        headers = launch.cookie | {"Origin": origin} | site
        assert change(tool, launch, "POST", headers, host=host, scheme=scheme).reached_app


@pytest.mark.parametrize("kind", ["POST", "websocket"])
@pytest.mark.parametrize("headers", [{}, {"Sec-Fetch-Site": "none"}, {"Sec-Fetch-Site": ""}])
def test_a_program_that_sends_no_origin_changes_what_it_wants(tool, launch, kind, headers):
    assert change(tool, launch, kind, launch.cookie | headers).reached_app
    query = f"/page?ltik={launch.ltik}"
    assert tool.ask("POST", query, headers).seen["launch"] == launch.id


@pytest.mark.parametrize("host", ["", "[::1", "a b", "tool.example/x"])
def test_no_origin_is_a_host_that_is_none(tool, launch, host):
    for origin in (OWN, "null"):
        headers = launch.cookie | {"Origin": origin}
        assert change(tool, launch, "POST", headers, host=host).status == 403


@pytest.mark.parametrize("site", ["cross-site", "same-site", "same-origin, cross-site", "x"])
def test_sec_fetch_site_decides_if_it_is_sent(tool, launch, site):
    for origin in ({}, {"Origin": "https://evil.example"}):
        headers = launch.cookie | {"Sec-Fetch-Site": site} | origin
        assert change(tool, launch, "POST", headers).status == 403
        headers["Sec-Fetch-Site"] = "same-origin"
        assert change(tool, launch, "POST", headers).reached_app


def test_a_refused_form_leads_to_a_page_that_can_be_reloaded(tool, launch):
    """WebKit before March 2026 reloads a refused form as same-origin."""
    marks = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Accept": "text/html"}
    marks["Origin"] = "https://evil.example"
    for path in (launch.location, f"/page?ltik={launch.ltik}"):
        reply = tool.ask("POST", path, marks | launch.cookie)
        assert reply.status == 303
        for again in (marks, {"Sec-Fetch-Site": "same-origin", "Accept": "text/html"}):
            page = tool.get(reply["Location"], again)
            assert page.status == 403
            assert "came from another website" in page.body.decode()
    # A program's request is not a form.
    assert tool.ask("POST", launch.location, launch.cookie | {"Origin": OWN + "x"}).status == 403


def test_without_launch_paths_a_refused_form_is_answered_at_once(make_tool):
    marks = {"Sec-Fetch-Site": "cross-site", "Accept": "text/html"}
    assert make_tool(launch_path=None).ask("POST", f"/x?ltik={ltik()}", marks).status == 403


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_reading_is_left_alone(tool, launch, method):
    headers = launch.cookie | {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}
    assert tool.ask(method, launch.location, headers).reached_app


def test_a_refused_request_has_no_effect(tool, launch, upstream):
    tool.later(590)
    headers = launch.cookie | {"Origin": "https://evil.example"}
    assert tool.ask("POST", launch.location, headers).status == 403
    assert upstream.asked == [launch.ltik]
    assert tool.get(launch.location).reached_app, "the launch became cookie-bound"


@pytest.mark.parametrize("name", ["X-Ltik", "Authorization"])
def test_an_ltik_in_a_header_is_nothing_that_another_origins_page_can_send(make_tool, name):
    """Not without a preflight, which the middleware or the app answers."""
    launch = Captured(tool := make_tool(ltik_headers=[name]))
    value = launch.ltik if name == "X-Ltik" else f"Bearer {launch.ltik}"
    headers = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site", name: value}
    for path in ("/x", f"/x?ltik={launch.ltik}", launch.location):
        assert tool.ask("POST", path, headers | launch.cookie).reached_app


def test_a_refused_ltik_leads_to_no_call(tool, upstream):
    reply = tool.ask("POST", f"/x?ltik={ltik()}", {"Origin": "https://evil.example"})
    assert (reply.status, upstream.asked) == (403, [])


class TestTrustedOrigins:
    @pytest.fixture
    def tool(self, make_tool):
        return make_tool(trusted_origins=["https://App.example:443", "http://[::1]:3000"])

    @pytest.mark.parametrize("kind", ["POST", "websocket"])
    @pytest.mark.parametrize("site", [None, "same-site", "cross-site"])
    @pytest.mark.parametrize("origin", ["https://app.example", "http://[0::1]:3000"])
    def test_may_change_something(self, tool, launch, kind, site, origin):
        headers = launch.cookie | {"Origin": origin} | ({"Sec-Fetch-Site": site} if site else {})
        assert change(tool, launch, kind, headers).reached_app
        reply = tool.ask("POST", f"/x?ltik={launch.ltik}", headers)
        assert reply.seen["launch"] == launch.id

    @pytest.mark.parametrize("origin", ["http://app.example", "https://x.app.example", "null", ""])
    def test_are_no_patterns(self, tool, launch, origin):
        headers = launch.cookie | {"Origin": origin, "Sec-Fetch-Site": "cross-site"}
        assert change(tool, launch, "POST", headers).status == 403

    @pytest.mark.parametrize("bad", ["*", "null", ["app.example"], ["https://a.b/c"], [1], 5])
    def test_are_checked_at_the_start(self, make_tool, bad):
        with pytest.raises(SettingsError, match="trusted_origins"):
            make_tool(trusted_origins=bad)


@pytest.mark.parametrize(("site", "told"), [(None, "not sent"), ("same-site", "'same-site'")])
def test_the_log_says_both_origins_and_what_to_do_once(tool, launch, caplog, site, told):
    headers = launch.cookie | {"Origin": "https://tool.example"}
    if site:
        headers["Sec-Fetch-Site"] = site
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            change(tool, launch, "POST", headers, scheme="http", host="127.0.0.1:8000")
    assert caplog.text.count("refused") == 1
    for said in ("'https://tool.example'", "'http://127.0.0.1:8000'", "X-Forwarded-Proto"):
        assert said in caplog.text
    assert f"(Sec-Fetch-Site: {told})" in caplog.text
    with caplog.at_level(logging.WARNING):
        change(tool, launch, "POST", headers, scheme="http", host="127.0.0.1:9000")
    assert caplog.text.count("refused") == 2
    assert "trusted_origins" in caplog.text


def test_strangers_fill_neither_log_nor_memory(tool, launch, caplog):
    with caplog.at_level(logging.WARNING):
        for n in range(300):
            origin = f"https://evil-{n}.example/\x1b[31m" + "x" * 5000
            tool.ask("POST", launch.location, launch.cookie | {"Origin": origin})
    assert 0 < caplog.text.count("refused") <= 100
    assert len(caplog.text) < 100 * 1500
    assert "\x1b" not in caplog.text


@pytest.mark.parametrize("make_tool", ["asgi"], indirect=True)
def test_a_websocket_of_asgi_is_held_to_the_same(make_tool):
    tool = make_tool()
    launch = Captured(tool)

    def opens(origin, scheme="wss"):
        sent = []
        headers = [(b"host", b"tool.example"), (b"cookie", launch.cookie["Cookie"].encode())]
        if origin:
            headers.append((b"origin", origin.encode()))

        async def app(scope, receive, send):
            await send({"type": "websocket.accept"})

        async def connect():
            async def send(message):
                sent.append(message["type"])

            tool.middleware.app = app
            scope = {
                "type": "websocket",
                "scheme": scheme,
                "path": launch.location.partition("?")[0],
            }
            scope |= {"query_string": b"", "headers": headers}
            await tool.middleware(scope, None, send)

        asyncio.run(connect())
        return sent == ["websocket.accept"]

    assert opens(OWN)
    assert opens(None)
    assert not opens("https://evil.example")
    assert not opens("http://tool.example")
    assert not opens("null")


def test_one_origin_has_one_spelling():
    assert normal_origin("wss://A.Example.:443") == "https://a.example"
    assert normal_origin("ws://a.example") == "http://a.example"
    for nothing in ("null", "", "https://", "https://a/b", "https://a?", "ftp://a"):
        assert normal_origin(nothing) is None
