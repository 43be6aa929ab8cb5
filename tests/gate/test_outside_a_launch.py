"""Requests outside their launch are redirected into it, for both adapters at once."""

from __future__ import annotations

import asyncio
import logging

import pytest

from tests.gate.test_launch_paths import Captured
from tests.tokens import ltik

OWN = {"Sec-Fetch-Site": "same-origin"}


@pytest.fixture
def launch(tool):
    return Captured(tool)


def marks(launch, dest="empty", **more):
    referer = f"https://tool.example{launch.prefix}/some/page?x=1"
    return OWN | {"Sec-Fetch-Dest": dest, "Referer": referer} | more


@pytest.mark.parametrize(
    "dest", ["document", "iframe", "frame", "embed", "object", "empty", "serviceworker"]
)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_a_request_of_a_launchs_page_is_led_back(tool, launch, dest, method):
    reply = tool.ask(method, "/api/%20x?a=1&a", marks(launch, dest))
    assert (reply.status, reply["Location"]) == (307, f"{launch.prefix}/api/%20x?a=1&a")
    assert reply["Cache-Control"] == "no-store"
    assert reply.get("Set-Cookie") is None
    back = tool.ask(method, reply["Location"], marks(launch, dest) | launch.cookie)
    assert back.seen["launch"] == launch.id


def test_below_the_mount_point(tool, launch):
    headers = marks(launch, Referer=f"https://tool.example/tool{launch.prefix}/page")
    assert tool.get("/api", headers, mount="/tool")["Location"] == f"/tool{launch.prefix}/api"
    assert tool.get("/api", marks(launch), mount="/tool").reached_app


def test_it_proves_nothing(tool, launch):
    tool.get(launch.location, launch.cookie)
    reply = tool.get("/api", marks(launch))
    assert tool.get(reply["Location"], marks(launch)).status == 401


@pytest.mark.parametrize(
    "changed",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none"},
        {"Sec-Fetch-Site": ""},
        {"Sec-Fetch-Dest": "image"},
        {"Sec-Fetch-Dest": "script"},
        {"Sec-Fetch-Dest": ""},
        {"Referer": ""},
        {"Referer": "https://tool.example/"},
        {"Referer": "https://tool.example/page?x=/lti/AAAAAAAAAAAAAAAAAAAAAA/"},
        {"Referer": "https://tool.example/lti/short/page"},
        {"Referer": "https://tool.example/api/AAAAAAAAAAAAAAAAAAAAAA/?from=/lti/"},
        {"Referer": "https://tool.example/x/lti/AAAAAAAAAAAAAAAAAAAAAA/"},
        {"Referer": "https://[/lti/AAAAAAAAAAAAAAAAAAAAAA/"},
        {"Upgrade": "websocket"},
        {"Sec-Fetch-Mode": "websocket"},
    ],
)
def test_nobody_else_is(tool, launch, changed):
    reply = tool.get("/api", marks(launch) | changed)
    assert reply.seen["launch"] is None
    assert reply.seen["path"] == "/api"


def test_what_require_covers_is_led_back_whatever_it_is_for(make_tool):
    tool = make_tool(require=True)
    launch = Captured(tool)
    assert tool.get("/image.png", marks(launch, "image")).status == 307
    assert tool.get("/image.png", OWN).status == 401
    assert tool.get("/ws", marks(launch, "websocket", Upgrade="websocket")).status == 401
    assert tool.get("/x", marks(launch) | {"Sec-Fetch-Site": "cross-site"}).status == 401


def test_what_is_outside_is_not(make_tool):
    tool = make_tool(exclude=["/staff"])
    launch = Captured(tool)
    assert tool.get("/staff/x", marks(launch)).seen["launch"] is None


def test_without_launch_paths_there_is_nowhere_to_lead(make_tool, launch):
    tool = make_tool(launch_path=None)
    assert tool.get("/api", marks(launch)).reached_app


@pytest.mark.parametrize("path", ["//evil.example/x", "/%2Fevil.example", "/\\evil.example"])
@pytest.mark.parametrize("raw", [True, False])
def test_it_never_leads_to_another_host(tool, launch, path, raw):
    assert tool.get(path, marks(launch), raw=raw)["Location"].startswith(f"{launch.prefix}/")


def test_a_warning_quotes_no_ltik_in_a_path(tool, launch, caplog):
    token = ltik()
    tool.get(f"/page/{token}", marks(launch))
    assert "'/page/[hidden]'" in caplog.text
    assert token.rpartition(".")[2] not in caplog.text


def test_one_warning_for_each_path(tool, launch, caplog):
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            tool.get("/api/a", marks(launch))
            tool.get("/api/b%E2%80%A8", marks(launch))
    assert caplog.text.count("'/api/a'") == 1
    assert len(caplog.records) == 2
    assert "\u2028" not in caplog.records[1].getMessage()
    assert "launch.path" in caplog.text
    assert launch.id not in caplog.text


class TestAWebsocketThatIsRefused:
    """A page of a launch opened it by a path without the launch's prefix. Nothing in the handshake
    names the launch."""

    OWN = "https://tool.example"

    def opens(self, tool, path, origin=OWN, **more):
        return tool.get(path, {"Upgrade": "websocket", "Origin": origin} | more)

    @pytest.mark.parametrize("path", ["/ws/1", "/requires"])
    def test_is_logged_once_for_each_kind_of_path(self, make_tool, path, caplog):
        tool = make_tool(require=["/ws"])
        assert self.opens(tool, path).status == 401
        assert self.opens(tool, path.replace("1", "2")).status == 401
        (record,) = caplog.records
        assert f"refused a websocket to '{path}'" in record.getMessage()
        assert "insert_script" in record.getMessage()

    def test_is_logged_also_if_other_requests_of_the_path_were_redirected(self, make_tool, caplog):
        tool = make_tool(require=["/ws"])
        assert tool.get("/ws", marks(Captured(tool))).status == 307
        caplog.clear()
        assert self.opens(tool, "/ws").status == 401
        assert "refused a websocket" in caplog.text

    @pytest.mark.parametrize("make_tool", ["asgi"], indirect=True)
    def test_under_asgi_too(self, make_tool, caplog):
        tool = make_tool(require=["/ws"])
        headers = [(b"host", b"tool.example"), (b"origin", self.OWN.encode())]
        scope = {"type": "websocket", "scheme": "wss", "path": "/ws", "headers": headers}
        sent = []

        async def send(message):
            sent.append(message["type"])

        asyncio.run(tool.middleware(scope, None, send))
        assert sent == ["websocket.close"]
        assert "refused a websocket to '/ws'" in caplog.text

    def test_is_not_logged_if_it_may_be_anybodys(self, make_tool, caplog):
        tool = make_tool(require=["/ws"], exclude=["/public"])
        # The app's own, for everybody.
        assert self.opens(tool, "/live").reached_app
        assert self.opens(tool, "/public").reached_app
        for origin in ("", "https://evil.example", "null"):
            assert self.opens(tool, "/ws", origin).status == 401
        assert tool.ask("POST", "/ws", {"Origin": self.OWN}).status == 401
        assert not caplog.records


def test_ids_and_numbers_do_not_make_another_path(tool, launch, caplog):
    with caplog.at_level(logging.WARNING):
        for n in range(5):
            own = Captured(tool)
            tool.get(f"/quiz/{n}/of/{own.id}", marks(own))
            tool.get(f"/file/0b5ad9a{n}-5ec2-4a1c-9a3d-7f7e6b1c2d3e/x", marks(own))
    assert [record.args[0].split("/")[1] for record in caplog.records] == ["quiz", "file"]
