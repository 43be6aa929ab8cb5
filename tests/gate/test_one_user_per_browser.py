"""``one_user_per_browser``: another user's launch ends the browser's earlier ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.both_adapters import Reply, Tool
from tests.gate.test_launch_paths import Captured
from tests.tokens import ltik


class Browser:
    """The cookies that a browser keeps for the tool in one LMS, by name and path."""

    def __init__(self, tool: Tool, upstream: Any) -> None:
        self.tool = tool
        self._upstream = upstream
        self._cookies: dict[tuple[str, str], str] = {}

    def get(self, target: str) -> Reply:
        pairs = [
            f"{name}={value}"
            for (name, path), value in self._cookies.items()
            if target.startswith(path)
        ]
        reply = self.tool.navigate(target, {"Cookie": "; ".join(pairs)} if pairs else {})
        for value in reply.all("Set-Cookie"):
            pair, *attributes = value.split("; ")
            (path,) = (each[5:] for each in attributes if each.startswith("Path="))
            name, _, text = pair.partition("=")
            self._cookies[name, path] = text
            assert {"HttpOnly", "Secure", "SameSite=None", "Partitioned"} <= set(attributes)
            assert not any(each.startswith(("Max-Age", "Expires")) for each in attributes)
        return reply

    def launch(self, user: str | None, platform: str = "p1") -> Reply:
        known = {"id": user, "roles": [], "name": user} if user else {"roles": []}
        claims = {**self._upstream.claims, "user": known, "platform": {"id": platform}}
        self._upstream.claims = claims
        reply = self.get(f"/launch?ltik={ltik()}")
        assert reply.status == 303
        assert self.get(reply["Location"]).reached_app
        return reply

    def forget(self, name: str) -> None:
        self._cookies = {key: value for key, value in self._cookies.items() if key[0] != name}


@pytest.fixture
def browser(make_tool: Callable[..., Tool], upstream: Any) -> Browser:
    return Browser(make_tool(one_user_per_browser=True, allow_anonymous=True), upstream)


MARK = "__Secure-ltiaas-launch-user"
CLEARS = "Clear-Site-Data"


def test_another_users_launch_ends_the_earlier_ones(browser: Browser) -> None:
    ada = [browser.launch("ada") for _ in range(2)]
    assert [each.get(CLEARS) for each in ada] == ['"storage"', None]
    assert all(browser.get(each["Location"]).reached_app for each in ada)
    ben = browser.launch("ben")
    assert ben[CLEARS] == '"storage"'
    for each in ada:
        refused = browser.get(each["Location"])
        assert (refused.status, refused["LTIAAS-Error"]) == (401, "launch_unknown")
    assert browser.get(ben["Location"]).seen["user"] == "ben"


def test_the_same_id_in_another_lms_is_another_user(browser: Browser) -> None:
    first = browser.launch("7", "p1")
    assert browser.launch("7", "p2")[CLEARS] == '"storage"'
    assert browser.get(first["Location"]).status == 401
    assert browser.launch("27", "p")[CLEARS] == '"storage"'


def test_nobody_knows_who_is_anonymous(browser: Browser) -> None:
    first = browser.launch(None)
    assert browser.get(first["Location"]).reached_app
    assert browser.launch(None)[CLEARS] == '"storage"'
    assert browser.get(first["Location"]).status == 401


def test_who_removes_or_makes_up_the_mark_opens_nothing(browser: Browser) -> None:
    ada = browser.launch("ada")
    browser.launch("ben")
    for value in (None, "", "A" * 22):
        browser.forget(MARK)
        if value is not None:
            browser._cookies[MARK, "/"] = value
        assert browser.get(ada["Location"]).status == 401


def test_of_two_marks_both_have_to_be_right(browser: Browser) -> None:
    ada = browser.launch("ada")
    browser._cookies[MARK, "/lti"] = "A" * 22
    assert browser.get(ada["Location"]).status == 401


def test_it_says_not_who_it_was(browser: Browser) -> None:
    reply = browser.launch("ada")
    (mark,) = [value for value in reply.all("Set-Cookie") if value.startswith(MARK)]
    assert "ada" not in mark
    assert "p1" not in mark


def test_a_new_tab_is_its_users(browser: Browser, upstream: Any) -> None:
    reply = browser.launch("ada")
    tab = Browser(browser.tool, upstream)
    tab.launch("ben")
    launch = browser.tool.middleware.find_launch(reply["Location"].split("/")[2], "")
    url = f"{reply['Location']}?{launch.one_time_url('/').partition('?')[2]}"
    opened = tab.get(url)
    assert (opened.status, opened[CLEARS]) == (303, '"storage"')
    assert tab.get(opened["Location"]).seen["user"] == "ada"
    # A webview's download is served at once.
    other = Browser(browser.tool, upstream)
    other.launch("ben")
    url = f"{reply['Location']}?{launch.one_time_url('/').partition('?')[2]}"
    cookies = "; ".join(f"{name}={value}" for (name, _), value in other._cookies.items())
    assert browser.tool.get(url, {"Cookie": cookies}).seen["user"] == "ada"


def test_cookies_that_a_server_joins_by_a_comma_are_read(browser: Browser) -> None:
    location = browser.launch("ada")["Location"]
    joined = ",".join(f"{name}={value}" for (name, _), value in browser._cookies.items())
    assert browser.tool.get(location, {"Cookie": joined}).reached_app


def test_a_link_into_an_earlier_users_launch_leaves_the_storage(browser: Browser) -> None:
    location = browser.launch("ada")["Location"]
    browser.launch("ben")
    launch = browser.tool.middleware.find_launch(location.split("/")[2], "")
    reply = browser.get(f"{location}?{launch.one_time_url('/').partition('?')[2]}")
    assert (reply.status, reply.get(CLEARS)) == (303, None)
    assert browser.get(reply["Location"]).status == 401


def test_another_users_scripts_set_no_cookie(browser: Browser) -> None:
    launch = Captured(browser.tool)
    browser.launch("ben")
    sent = {"Cookie": f"{MARK}={browser._cookies[MARK, '/']}", "LTIAAS-Cookie": "theme=dark"}
    sent["Sec-Fetch-Site"] = "same-origin"
    assert browser.tool.ask("POST", f"{launch.prefix}/ltiaas-cookies", sent).status == 401
    assert browser.tool.middleware._authenticator.recall_with_jar(launch.id)[1] is None


def test_a_browser_that_keeps_no_cookies_is_served(browser: Browser) -> None:
    launch = Captured(browser.tool)
    assert browser.tool.get(launch.location).reached_app


def test_it_is_off_by_default(tool: Tool, upstream: Any) -> None:
    browser = Browser(tool, upstream)
    ada, ben = browser.launch("ada"), browser.launch("ben")
    assert ada.get(CLEARS) is None
    assert ben.get(CLEARS) is None
    assert browser.get(ada["Location"]).seen["user"] == "ada"
    assert {name for name, _ in browser._cookies} == {"__Secure-ltiaas-launch"}
