"""An app's redirects stay within the launch, through both adapters."""

from __future__ import annotations

import logging
from typing import Any
from urllib.parse import unquote

import pytest

from ltiaas_middleware._gate.redirects import is_own_address, within_launch
from tests.gate.test_app_answers import Launched


@pytest.fixture
def launched(tool: Any) -> Launched:
    return Launched(tool)


PREFIX = "/lti/Yk3vJq0sT1m8WcXn2RbZ4A"
OTHER = "/lti/AAAAAAAAAAAAAAAAAAAAAA"


def within(location: str, mount: str = "", excluded: Any = lambda path: False) -> str:
    return within_launch(location, mount, PREFIX, "tool.example", excluded)


@pytest.mark.parametrize(
    ("location", "becomes"),
    [
        ("/", f"{PREFIX}/"),
        ("/notes", f"{PREFIX}/notes"),
        ("/accounts/login/?next=/notes#top", f"{PREFIX}/accounts/login/?next=/notes#top"),
        ("/a%2Fb;c=%20?x=/lti/y", f"{PREFIX}/a%2Fb;c=%20?x=/lti/y"),
        ("https://tool.example/notes", f"https://tool.example{PREFIX}/notes"),
        ("http://TOOL.example/notes", f"http://TOOL.example{PREFIX}/notes"),
        # The app's own path of that shape, not a launch's.
        ("/lti/help", f"{PREFIX}/lti/help"),
        ("/ltix", f"{PREFIX}/ltix"),
        # urlsplit takes what follows two slashes for a host, and refuses these.
        ("https://tool.example//x]", f"https://tool.example{PREFIX}//x]"),
        ("https://tool.example//[", f"https://tool.example{PREFIX}//["),
    ],
)
def test_an_address_of_this_host_is_kept_within(location: str, becomes: str) -> None:
    assert within(location) == becomes


@pytest.mark.parametrize(
    "location",
    [
        *(f"{PREFIX}/notes", PREFIX, f"https://tool.example{PREFIX}/x", f"{OTHER}/notes"),
        *("notes", "../notes", "?page=2", "#top", "", "./"),
        *("//evil.example/x", "/\\evil.example", "https://evil.example/x", "https://tool.example"),
        *("https://tool.example:8443/x", "https://u@tool.example/x", "https://tool.example.evil/x"),
        *("https://tool.example?x=/", "https://tool.example#/"),
        *("//x]", "https://[x]y/"),
        *("mailto:a@tool.example", "javascript:alert(1)", "https://[", "ftp://tool.example/x"),
    ],
)
def test_all_else_stays_as_it_is(location: str) -> None:
    assert within(location) == location


def test_below_a_mount_point_only() -> None:
    assert within("/tool/notes", "/tool") == f"/tool{PREFIX}/notes"
    assert within("https://tool.example/tool/", "/tool") == f"https://tool.example/tool{PREFIX}/"
    for beside in ("/notes", "/toolbox/notes", "/tool", f"/tool{PREFIX}/notes"):
        assert within(beside, "/tool") == beside


def test_what_is_never_part_of_a_launch_stays_outside() -> None:
    asked: list[str] = []

    def excluded(path: str) -> bool:
        asked.append(path)
        return path.startswith("/static/")

    for end in ("?v=1", "#top", "?v=1#top", "#top?"):
        address = f"/tool/static/a%20%C3%A9.css{end}"
        assert within(address, "/tool", excluded) == address
    assert set(asked) == {"/static/a \u00e9.css"}


@pytest.mark.parametrize("host", ["tool.example", ""])
def test_without_a_host_only_paths_are_known_to_be_here(host: str) -> None:
    absolute = "https://tool.example/notes"
    assert (within_launch(absolute, "", PREFIX, host, lambda path: False) == absolute) == (not host)


@pytest.mark.parametrize(
    ("location", "own"),
    [
        *(("/a?b=1", True), ("https://tool.example/a?b=1#c", True), ("/%61?b=1", True)),
        *(("/a", False), ("/b?b=1", False), ("//a?b=1", False), ("https://x.example/a?b=1", False)),
    ],
)
def test_the_requests_own_address(location: str, own: bool) -> None:
    assert is_own_address(location, "/a", "b=1", "tool.example") is own


class TestThroughTheAdapters:
    def test_a_redirect_leads_within_the_launch_and_needs_no_advice(
        self, launched: Launched, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.WARNING)
        for location in ("/accounts/login/?next=1", "/fourth?a=1?b=2"):
            reply = launched.get(("Location", location))
            assert reply["Location"] == launched.path + location
        assert caplog.text == ""

    def test_below_a_mount_point(self, tool: Any) -> None:
        launched = Launched(tool, mount="/tools/quiz")
        assert launched.get(("Location", "/tools/quiz/x"))["Location"] == f"{launched.path}/x"
        assert launched.get(("Location", "/x"))["Location"] == "/x"

    def test_the_settings_say_what_stays(self, make_tool: Any) -> None:
        launched = Launched(make_tool(exclude=["/static"]))
        assert launched.get(("Location", "/static/x"))["Location"] == "/static/x"
        assert launched.get(("Location", "/notes"))["Location"] == f"{launched.path}/notes"
        launched = Launched(make_tool(iframe_support=False))
        assert launched.get(("Location", "/notes"))["Location"] == "/notes"

    @pytest.mark.parametrize("method", ["GET", "HEAD"])
    @pytest.mark.parametrize("iframe_support", [True, False])
    def test_no_loop_to_its_own_address(
        self, make_tool: Any, method: str, iframe_support: bool
    ) -> None:
        tool = make_tool(iframe_support=iframe_support)
        launched = Launched(tool)
        tool.app_headers = [("Location", "/page")]
        reply = tool.ask(method, f"{launched.path}/page", launched.cookie)
        assert (reply["Location"], reply["Referrer-Policy"]) == ("/page", "no-referrer")
        tool.app_headers = [("Location", "/other")]
        reply = tool.ask(method, f"{launched.path}/page", launched.cookie)
        assert reply["Referrer-Policy"] != "no-referrer"

    @pytest.mark.parametrize("mount", ["", "/caf%C3%A9"])
    def test_no_loop_to_an_address_that_is_not_ascii(self, tool: Any, mount: str) -> None:
        given = unquote(mount, encoding="latin-1" if tool.kind == "wsgi" else "utf-8")
        launched = Launched(tool, mount=given)
        below = launched.path.removeprefix(mount)
        for path in ("/page", "/th%C3%A9"):
            tool.app_headers = [("Location", f"{mount}{path}")]
            reply = tool.navigate(f"{below}{path}", launched.cookie, mount=given)
            assert reply["Referrer-Policy"] == "no-referrer"
            assert reply["Location"] == f"{mount}{path}"

    def test_absolute_addresses_of_this_host_too(self, launched: Launched) -> None:
        there = "https://tool.example/notes"
        reply = launched.get(("Location", there))
        assert reply["Location"] == f"https://tool.example{launched.path}/notes"

    def test_outside_a_launch_nothing_is_changed(self, tool: Any) -> None:
        tool.app_headers = [("Location", "/notes")]
        assert tool.navigate("/page")["Location"] == "/notes"


class TestACookieThatDoesNotArrive:
    """The app signs the user in to something outside the launch."""

    @pytest.fixture
    def launched(self, make_tool: Any, caplog: pytest.LogCaptureFixture) -> Launched:
        caplog.set_level(logging.WARNING)
        return Launched(make_tool(exclude=["/site"], shared_cookies=["sso"]))

    @staticmethod
    def redirected(launched: Launched, location: str, *cookies: str, **sent: str) -> None:
        set_cookies = [("Set-Cookie", cookie) for cookie in cookies]
        launched.get(*set_cookies, ("Location", location), **sent)

    @pytest.mark.parametrize("start", ["", "https://tool.example"])
    def test_it_is_logged_once_for_each_kind_of_path(
        self, launched: Launched, caplog: pytest.LogCaptureFixture, start: str
    ) -> None:
        for number in (1, 2):
            location = f"{start}/site/courses/{number}?token=t#t"
            self.redirected(launched, location, "a=hidden; HttpOnly", "b=2; Path=/site")
        (record,) = caplog.records
        said = record.getMessage()
        assert "set the cookie 'a' and redirected to '/site/courses/1', outside" in said
        assert "shared_cookies" in said
        self.redirected(launched, f"{start}/site/home", "b=hidden")
        assert len(caplog.records) == 2
        assert "hidden" not in caplog.text

    def test_in_a_larger_site(self, tool: Any, caplog: pytest.LogCaptureFixture) -> None:
        launched = Launched(tool, mount="/tools/quiz")
        self.redirected(launched, "/dashboard", "session=x; Path=/")
        assert "'/dashboard', outside the launch" in caplog.text

    @pytest.mark.parametrize(
        ("location", "cookie"),
        [
            ("/notes", "session=x"),
            ("https://lms.example/", "session=x"),
            ("notes", "session=x"),
            # Its own URL outside the launch: how apps try out whether a cookie comes back.
            ("/page", "session=x"),
            ("/site/x", "sso=x; Path=/"),
            # Sessions are sent again and again, and deleted.
            ("/site/x", "seen=2"),
            ("/site/x", "seen=; Max-Age=0"),
            # Sign-outs delete cookies that were never there.
            ("/site/x", "session=; Max-Age=0; HttpOnly"),
            ("/site/x", "session=x; Expires=Thu, 01 Jan 1970 00:00:00 GMT"),
        ],
    )
    def test_of_all_else_nothing_is_said(
        self, launched: Launched, caplog: pytest.LogCaptureFixture, location: str, cookie: str
    ) -> None:
        cookies = f"{launched.cookie['Cookie']}; {launched.tag}seen=1"
        self.redirected(launched, location, cookie, Cookie=cookies)
        self.redirected(launched, f"{launched.path}/x?a=1", "session=x")
        self.redirected(launched, launched.path, "session=x")
        self.redirected(launched, "/site/x")
        assert not caplog.records


@pytest.mark.parametrize("path", ["//x]", "//[", "//[::1", "/x"])
def test_any_path_can_be_the_requests_own(path: str) -> None:
    assert is_own_address(f"https://tool.example{path}?a=1#top", path, "a=1", "tool.example")
    assert not is_own_address(f"https://tool.example{path}?a=2", path, "a=1", "tool.example")
