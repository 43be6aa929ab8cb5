"""What becomes of the app's answers in a launch, through both adapters."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from typing import Any

import pytest

from tests.both_adapters import Reply, Tool
from tests.tokens import ltik

FRAME = "; Secure; SameSite=None; Partitioned"
SESSION = ("Set-Cookie", "session=x; Path=/; HttpOnly; SameSite=Lax")


class Launched:
    """A launch in a browser that keeps its cookie, and an app with headers of its own."""

    def __init__(self, tool: Tool, **ask: Any) -> None:
        self.tool = tool
        self.ask = ask
        self.ltik = ltik()
        captured = tool.navigate(f"/launch?ltik={self.ltik}", **ask)
        self.path = re.sub(r"/launch$", "", captured["Location"])
        self.tag = f"{self.path.rpartition('/')[2][:8]}."
        self.cookie = {"Cookie": captured.all("Set-Cookie")[0].partition(";")[0]}

    def get(self, *headers: tuple[str, str], path: str = "/page", **sent: str) -> Reply:
        self.tool.app_headers = list(headers)
        mount = self.ask.get("mount", "")
        path = self.path.removeprefix(mount) + path
        return self.tool.navigate(path, {**self.cookie, **sent}, **self.ask)


@pytest.fixture
def launched(tool: Tool) -> Launched:
    return Launched(tool)


def test_the_apps_cookies_belong_to_the_launch(launched: Launched) -> None:
    reply = launched.get(SESSION, ("set-cookie", "a=b; Path=/admin"), ("X-Other", "1"), SESSION)
    session = f"{launched.tag}session=x; Path={launched.path}; HttpOnly{FRAME}"
    readable = f"a=b; Path={launched.path}/admin{FRAME}"
    sent = [session, launched.tag + readable, readable, session]
    assert reply.all("Set-Cookie") == sent
    assert reply["X-Other"] == "1"


def test_below_a_mount_point(tool: Tool) -> None:
    launched = Launched(tool, mount="/tools/quiz")
    assert launched.path.startswith("/tools/quiz/lti/")
    reply = launched.get(SESSION)
    assert reply["Set-Cookie"] == f"{launched.tag}session=x; Path={launched.path}; HttpOnly{FRAME}"


@pytest.mark.parametrize("host", ["localhost:5000", "127.0.0.1", "tool.localhost", "[::1]:80"])
def test_loopback_is_as_good_as_https(tool: Tool, host: str) -> None:
    launched = Launched(tool, scheme="http", host=host)
    sent = f"{launched.tag}session=x; Path={launched.path}; HttpOnly{FRAME}"
    assert launched.get(SESSION)["Set-Cookie"] == sent


def test_plain_http_elsewhere_keeps_the_apps_attributes(make_tool: Callable[..., Tool]) -> None:
    tool = make_tool()
    captured = tool.navigate(f"/launch?ltik={ltik()}", scheme="http", host="tool.example")
    path = captured["Location"].removesuffix("/launch")
    tool.app_headers = [SESSION]
    reply = tool.navigate(f"{path}/page", scheme="http", host="tool.example")
    tag = path.removeprefix("/lti/")[:8]
    assert reply["Set-Cookie"] == f"{tag}.session=x; Path={path}; HttpOnly; SameSite=Lax"


@pytest.mark.parametrize("fetch_site", ["cross-site", "same-origin"])
@pytest.mark.parametrize("launch_cookie_first", [True, False])
@pytest.mark.parametrize("iframe_support", [True, False])
def test_the_app_sees_the_cookies_of_its_launch_alone(
    make_tool: Callable[..., Tool], fetch_site: str, launch_cookie_first: bool, iframe_support: bool
) -> None:
    launched = Launched(make_tool(iframe_support=iframe_support, shared_cookies=["sso"]))
    tag, own = launched.tag, launched.cookie["Cookie"]
    cookies = [
        f"{tag}session=mine",
        "session=the site's",
        "sso=everybody's",
        f"{tag}a=1",
        f"{tag}session=less specific",
        "other=x",
        "00000000.session=another launch's",
    ]
    cookies.insert(0 if launch_cookie_first else 3, own)
    asked = {"Cookie": "; ".join(cookies), "Sec-Fetch-Site": fetch_site}
    for _ in range(2):
        seen = launched.get(**asked).seen["headers"]["cookie"]
        assert seen == "session=mine; sso=everybody's; a=1"


@pytest.mark.parametrize("ltik_in", ["query", "cookie"])
def test_no_session_that_began_outside_is_adopted_by_a_launch(tool: Tool, ltik_in: str) -> None:
    """One served in place leaves its cookie at ``/``, and so does a landing page."""
    tool.app_headers = [SESSION]
    left = tool.ask("POST", f"/launch?ltik={ltik()}", {"Origin": "https://tool.example"})
    assert left["Set-Cookie"] == SESSION[1]
    launched = Launched(tool)
    cookies = f"{launched.cookie['Cookie']}; session=x"
    path = f"{launched.path}/page"
    if ltik_in == "query":
        seen = tool.get(f"{path}?ltik={launched.ltik}", {"Cookie": "session=x"}).seen
    else:
        seen = tool.navigate(path, {"Cookie": cookies}).seen
    assert seen["user"] == "Ada"
    assert "cookie" not in seen["headers"]


def test_two_cookie_headers_that_a_server_joined_are_both_read(launched: Launched) -> None:
    tag = launched.tag
    cookies = f"{tag}a=1,{launched.cookie['Cookie']},{tag}b=2; {tag}c=3"
    seen = launched.get(Cookie=cookies).seen
    assert seen["user"] == "Ada"
    assert seen["headers"]["cookie"] == "a=1; b=2; c=3"


@pytest.mark.parametrize("value", ["DENY", "SAMEORIGIN", "ALLOW-FROM https://x.example", ""])
def test_x_frame_options_is_taken_away(launched: Launched, value: str) -> None:
    reply = launched.get(("x-frame-options", value), ("X-Frame-Options", value))
    assert reply.get("X-Frame-Options") is None


@pytest.mark.parametrize(
    "policy",
    [
        "frame-ancestors 'self'",
        "default-src 'self'; Frame-Ancestors  https://lms.example",
        "default-src 'self', frame-ancestors 'none'",
        "frame-ancestors",
    ],
)
def test_frame_ancestors_stays_and_is_told_of_once(
    launched: Launched, caplog: pytest.LogCaptureFixture, policy: str
) -> None:
    given = ("Content-Security-Policy", policy)
    for _ in range(3):
        assert launched.get(given)["Content-Security-Policy"] == policy
    (record,) = [each for each in caplog.records if "frame-ancestors" in each.getMessage()]
    assert record.levelno == logging.WARNING


@pytest.mark.parametrize(
    "header",
    [
        ("Content-Security-Policy", "default-src 'self'; img-src https://frame-ancestors.example"),
        ("Content-Security-Policy-Report-Only", "frame-ancestors 'none'"),
    ],
)
def test_other_policies_are_not_told_of(
    launched: Launched, caplog: pytest.LogCaptureFixture, header: tuple[str, str]
) -> None:
    assert launched.get(header)[header[0]] == header[1]
    assert not caplog.records


OWN = [SESSION, ("X-Frame-Options", "DENY"), ("Content-Security-Policy", "frame-ancestors 'none'")]


def test_one_setting_leaves_the_apps_answers_alone(
    make_tool: Callable[..., Tool], caplog: pytest.LogCaptureFixture
) -> None:
    launched = Launched(make_tool(iframe_support=False))
    reply = launched.get(*OWN)
    for name, value in OWN[1:]:
        assert reply[name] == value
    assert not caplog.records
    # Whose session it is does not depend on it.
    assert reply["Set-Cookie"].startswith(f"{launched.tag}session=x; Path={launched.path};")
    assert reply["Cache-Control"] == "private"
    assert reply["Referrer-Policy"] == "strict-origin-when-cross-origin"


@pytest.mark.parametrize("query", ["", "?ltik={}"])
def test_outside_a_launch_path_the_apps_answers_are_its_own(
    tool: Tool, query: str, caplog: pytest.LogCaptureFixture
) -> None:
    tool.app_headers = OWN
    reply = tool.get("/page" + query.format(ltik()))
    for name, value in OWN:
        assert reply[name] == value
    assert reply.get("Cache-Control") is None
    assert not caplog.records


class TestReferrerPolicy:
    def test_shows_other_sites_the_origin_and_never_the_path(self, launched: Launched) -> None:
        assert launched.get()["Referrer-Policy"] == "strict-origin-when-cross-origin"

    def test_hides_the_ltik_from_the_tools_own_log(self, tool: Tool) -> None:
        # Not no-referrer: it would turn a form's Origin into "null" (Fetch, "append a request
        # Origin").
        assert tool.get(f"/page?ltik={ltik()}")["Referrer-Policy"] == "strict-origin"

    @pytest.mark.parametrize(
        ("given", "sent"),
        [
            ("origin", "origin"),
            ("no-referrer", "same-origin"),
            ("origin, no-referrer", "same-origin"),
            ("no-referrer, origin", "no-referrer, origin"),
        ],
    )
    def test_of_the_app_stays_unless_its_own_pages_would_be_lost(
        self, launched: Launched, given: str, sent: str
    ) -> None:
        assert launched.get(("referrer-policy", given))["Referrer-Policy"] == sent

    @pytest.mark.parametrize(
        "given",
        [
            ["unsafe-url"],
            ["no-referrer-when-downgrade"],
            ["Unsafe-URL, strict-origin"],
            ["strict-origin, no-referrer-when-downgrade, unknown"],
            ["no-referrer-when-downgrade", "unsafe-url"],
        ],
    )
    @pytest.mark.parametrize("iframe_support", [True, False])
    def test_of_the_app_does_not_show_other_sites_the_url(
        self, make_tool: Callable[..., Tool], given: list[str], iframe_support: bool
    ) -> None:
        launched = Launched(make_tool(iframe_support=iframe_support))
        policies = [("Referrer-Policy", one) for one in given]
        sent = launched.get(*policies).all("Referrer-Policy")
        assert sent == ["strict-origin-when-cross-origin"]
        # Here, the URL contains the ltik.
        sent = launched.tool.get(f"/page?ltik={ltik()}").all("Referrer-Policy")
        assert sent == ["strict-origin"]

    def test_of_the_app_always_stays_without_iframe_support(
        self, make_tool: Callable[..., Tool]
    ) -> None:
        launched = Launched(make_tool(iframe_support=False))
        assert launched.get(("Referrer-Policy", "no-referrer"))["Referrer-Policy"] == "no-referrer"


class TestCaches:
    def test_a_shared_one_keeps_nothing_of_a_launch(self, launched: Launched) -> None:
        assert launched.get()["Cache-Control"] == "private"

    @pytest.mark.parametrize("own", ["public, max-age=60", "no-cache", "no-store", ""])
    def test_what_the_app_says_stays(self, launched: Launched, own: str) -> None:
        assert launched.get(("cache-control", own))["Cache-Control"] == own

    def test_an_address_that_does_not_name_the_launch_is_private(
        self, make_tool: Callable[..., Tool]
    ) -> None:
        tool = make_tool(ltik_headers=["X-Ltik", "Authorization"])
        assert tool.get("/page", {"X-Ltik": ltik()})["Cache-Control"] == "private"
        assert (
            tool.get("/page", {"Authorization": f"Bearer {ltik()}"})["Cache-Control"] == "private"
        )
        assert tool.get("/page").get("Cache-Control") is None


def test_an_answer_that_carries_a_cookie_of_the_middlewares_keeps_the_apps_other_headers(
    tool: Tool,
) -> None:
    launched = Launched(tool)
    made = tool.middleware._gate._account.one_time_tokens.make(launched.path[-22:])
    tool.app_headers = [("Cache-Control", "public, max-age=60"), ("X-Other", "1"), ("X-More", "2")]
    # A plain GET: a webview's download manager, which keeps no cookie over a redirect.
    reply = tool.get(f"{launched.path}/page?ltiaas_one_time={made}")
    assert (reply["Cache-Control"], reply["X-Other"], reply["X-More"]) == ("no-store", "1", "2")
    assert len(reply.all("Set-Cookie")) == 1
