"""The app's cookies in a browser that keeps none: kept with the launch, until it is bound."""

from __future__ import annotations

import html
import re
import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import quote

import pytest

from tests.both_adapters import Reply, Tool
from tests.gate.test_launch_paths import Captured, forget
from tests.waiting import wait_until

PAST = "Thu, 01 Jan 1970 00:00:00 GMT"


@pytest.fixture
def launch(tool: Tool) -> Captured:
    return Captured(tool)


def sets(tool: Tool, launch: Captured, *values: str, **ask: Any) -> Reply:
    """A response of the app's that sets cookies, to a browser that keeps none."""
    tool.app_headers[:] = [("Set-Cookie", value) for value in values]
    reply = tool.get(f"{launch.prefix}/page", **ask)
    tool.app_headers[:] = []
    assert reply.reached_app
    return reply


def given(tool: Tool, launch: Captured, path: str = "/page", **headers: str) -> str | None:
    """The ``Cookie`` header that the app is given without the launch's cookie."""
    cookie: str | None = tool.get(launch.prefix + path, headers).seen["headers"].get("cookie")
    return cookie


def test_what_the_app_sets_it_is_given_again(tool: Tool, launch: Captured) -> None:
    assert given(tool, launch) is None
    sets(tool, launch, "session=x.y; HttpOnly; Path=/; SameSite=Lax", "csrftoken=t; Max-Age=60")
    assert given(tool, launch) == "session=x.y; csrftoken=t"
    # The next response adds to it, and changes what it names.
    sets(tool, launch, 'a="1, 2"; Path=/', "session=z; HttpOnly")
    assert given(tool, launch) == 'session=z; csrftoken=t; a="1, 2"'


@pytest.mark.parametrize("ending", ["Max-Age=0", "Max-Age=-1", f"Expires={PAST}"])
def test_a_deletion_deletes(tool: Tool, launch: Captured, ending: str) -> None:
    sets(tool, launch, "a=1; HttpOnly", "b=2; HttpOnly")
    sets(tool, launch, f"a=; {ending}; Path=/")
    assert given(tool, launch) == "b=2"


def test_what_is_over_is_not_given(
    tool: Tool, launch: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    sets(tool, launch, "short=1; Max-Age=60", "long=2; Max-Age=7200", "browser=3")
    assert given(tool, launch) == "short=1; long=2; browser=3"
    import time

    now = time.time()
    monkeypatch.setattr("ltiaas_middleware._gate.jar.time.time", lambda: now + 61)
    assert given(tool, launch) == "long=2; browser=3"


def test_a_path_is_one_below_the_launch(tool: Tool, launch: Captured) -> None:
    sets(
        tool,
        launch,
        "a=root; Path=/",
        "a=staff; Path=/staff",
        f"b=2; Path={launch.prefix}/staff/r%C3%A4ume/",
    )
    assert given(tool, launch) == "a=root"
    assert given(tool, launch, "/staff/x") == given(tool, launch, "/staff") == "a=staff"
    assert given(tool, launch, "/staffs") == "a=root"
    assert given(tool, launch, "/staff/r%C3%A4ume/1") == "b=2; a=staff"


def test_below_a_mount_point(tool: Tool) -> None:
    launch = Captured(tool, mount="/tools/quiz")
    launch.prefix = launch.prefix.removeprefix("/tools/quiz")
    sets(tool, launch, "a=1; Path=/tools/quiz/", "b=2; Path=/other", mount="/tools/quiz")
    seen = tool.get(f"{launch.prefix}/page", mount="/tools/quiz").seen
    assert seen["headers"]["cookie"] == "a=1"


def test_a_cookie_that_holds_a_control_character_is_none(tool: Tool, launch: Captured) -> None:
    sets(tool, launch, "a=1\x01", "b=\x7f", "c\x02=3")
    assert given(tool, launch) is None
    # Line ends go, as in what is sent to the browser.
    sets(tool, launch, "a=1\r\nX-Evil: 1")
    assert given(tool, launch) == "a=1X-Evil: 1"


def test_what_is_kept_already_is_not_stored_again(
    tool: Tool, launch: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Frameworks send the same session with each response."""
    sets(tool, launch, "session=x; HttpOnly")
    changes: list[Any] = []
    monkeypatch.setattr(tool.middleware._authenticator, "change_jar", lambda *_: changes.append(_))
    sets(tool, launch, "session=x; HttpOnly", "never=; Max-Age=0")
    assert not changes
    sets(tool, launch, "session=y; HttpOnly")
    assert changes


def test_launches_have_jars_of_their_own(tool: Tool, launch: Captured) -> None:
    other = Captured(tool)
    sets(tool, launch, "session=ada; HttpOnly")
    assert given(tool, other) is None
    sets(tool, other, "session=ben; HttpOnly")
    assert given(tool, launch) == "session=ada"
    assert given(tool, other) == "session=ben"


def test_shared_cookies_and_what_the_browser_sends_after_all(
    make_tool: Callable[..., Tool],
) -> None:
    tool = make_tool(shared_cookies=["sso"])
    launch = Captured(tool)
    sets(tool, launch, "sso=x", "session=mine")
    tag = launch.id[:8]
    cookies = f"sso=site; {tag}.session=old; {tag}.theme=dark; other=1"
    assert given(tool, launch, Cookie=cookies) == "session=mine; sso=site; theme=dark"


def test_a_bound_launch_has_none(tool: Tool, launch: Captured) -> None:
    sets(tool, launch, "session=x; HttpOnly")
    seen = tool.get(f"{launch.prefix}/page", launch.cookie).seen
    assert "cookie" not in seen["headers"]
    store = tool.middleware._authenticator._own.store
    assert not [name for name in store._values if name.endswith(":jar")]
    # And the path alone opens nothing, with or without one.
    assert tool.get(f"{launch.prefix}/page").status == 401


def test_nor_has_one_that_the_memory_had_lost_when_its_cookie_came_back(
    tool: Tool, launch: Captured
) -> None:
    sets(tool, launch, "session=1; HttpOnly")
    forget(tool)
    assert tool.get(f"{launch.prefix}/page", launch.cookie).reached_app
    # And lost it again, so that nobody knows any more that it is bound.
    forget(tool)
    name, _, value = launch.cookie["Cookie"].partition("=")
    assert tool.get(f"{launch.prefix}/page", {"Cookie": f"{name}-tab={value}"}).reached_app
    assert given(tool, launch) is None


def test_a_response_under_way_while_the_launch_is_bound_keeps_nothing(
    tool: Tool, launch: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    authenticator = tool.middleware._authenticator
    change_jar = authenticator.change_jar

    def bound_meanwhile(entry: Any, change: Any) -> None:
        authenticator.use(entry, binds=True)
        change_jar(entry, change)

    monkeypatch.setattr(authenticator, "change_jar", bound_meanwhile)
    sets(tool, launch, "session=x; HttpOnly")
    assert not [name for name in authenticator._own.store._values if name.endswith(":jar")]


def test_an_ended_launch_has_none(tool: Tool, launch: Captured) -> None:
    sets(tool, launch, "session=x; HttpOnly")
    tool.app_headers[:] = [("Set-Cookie", "late=1")]
    assert tool.get(f"{launch.prefix}/log-out").reached_app
    store = tool.middleware._authenticator._own.store
    assert not [name for name in store._values if name.endswith(":jar")]


def test_nobody_who_has_not_authenticated_has_one(tool: Tool) -> None:
    tool.app_headers[:] = [("Set-Cookie", "session=x; HttpOnly")]
    assert tool.get("/page").reached_app
    assert tool.get(f"/lti/{'A' * 22}/page").status == 401
    assert not tool.middleware._authenticator._own.store._values


def test_more_than_8_kb_is_not_kept(
    tool: Tool, launch: Captured, caplog: pytest.LogCaptureFixture
) -> None:
    name = f"large{secrets.token_hex(4)}"
    sets(tool, launch, "session=x; HttpOnly", f"{name}={'y' * 4000}")
    sets(tool, launch, f"{name}-2={'y' * 4200}", "b=2")
    assert given(tool, launch) == f"session=x; {name}={'y' * 4000}; b=2"
    sets(tool, launch, f"{name}-2={'y' * 4200}")
    (record,) = [each for each in caplog.records if name in each.getMessage()]
    assert "exceed 8192 bytes" in record.getMessage()
    assert "yyy" not in record.getMessage()


def test_what_a_response_deletes_makes_room_for_what_it_sets(tool: Tool, launch: Captured) -> None:
    """Litestar cuts a session that has grown into numbered cookies, and deletes the old one after
    them."""
    sets(tool, launch, f"session={'y' * 3000}; HttpOnly")
    parts = [f"session-0={'y' * 4000}", f"session-1={'y' * 2000}"]
    sets(tool, launch, *(f"{part}; HttpOnly" for part in parts), f"session=null; Expires={PAST}")
    assert given(tool, launch) == "; ".join(parts)


class TestScripts:
    """What ``ltiaas-launch.js`` is told, and tells."""

    HTML = ("Content-Type", "text/html")

    def page(self, tool: Tool, launch: Captured, *set_cookies: str, **headers: str) -> Reply:
        tool.app_headers[:] = [self.HTML, ("ETag", '"1"'), ("Cache-Control", "public")]
        tool.app_headers += [("Set-Cookie", value) for value in set_cookies]
        marks = {"Sec-Fetch-Dest": "iframe"} | headers
        reply = tool.navigate(f"{launch.prefix}/page", marks)
        tool.app_headers[:] = []
        return reply

    @staticmethod
    def told(reply: Reply) -> str | None:
        found = re.search(r'data-cookies="([^"]*)"', reply.body.decode("ascii"))
        return html.unescape(found[1]) if found else None

    @pytest.fixture(autouse=True)
    def document(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from tests import both_adapters

        monkeypatch.setattr(both_adapters, "_seen", lambda *_: b"<!doctype html><h1>page</h1>")

    def test_a_page_tells_those_that_are_not_http_only(self, tool: Tool, launch: Captured) -> None:
        utf8 = 'n="\u00e9\u20ac"'.encode().decode("latin-1")
        reply = self.page(tool, launch, "session=x; HttpOnly", "csrftoken=t&<; Path=/", utf8)
        assert self.told(reply) == 'csrftoken=t&<; n="\u00e9\u20ac"'
        assert reply["Cache-Control"] == "no-store"
        assert reply.get("ETag") is None
        assert self.told(self.page(tool, launch)) == 'csrftoken=t&<; n="\u00e9\u20ac"'
        deleted = self.page(tool, launch, f"csrftoken=x; Expires={PAST}", "n=; Max-Age=0")
        assert self.told(deleted) == ""

    def test_a_browser_that_keeps_cookies_is_told_nothing(
        self, tool: Tool, launch: Captured
    ) -> None:
        reply = self.page(tool, launch, "csrftoken=t", **launch.cookie)
        assert b"data-launch" in reply.body
        assert self.told(reply) is None
        assert reply["Cache-Control"] == "public"

    def write(self, tool: Tool, launch: Captured, text: str, **headers: str) -> Reply:
        sent = {"LTIAAS-Cookie": quote(text), "Sec-Fetch-Site": "same-origin"} | headers
        return tool.ask("POST", f"{launch.prefix}/ltiaas-cookies", sent)

    def test_what_a_script_sets_the_app_is_given(self, tool: Tool, launch: Captured) -> None:
        assert self.write(tool, launch, "theme=\u00e9; path=/").status == 204
        assert self.told(self.page(tool, launch)) == "theme=\u00e9"
        self.write(tool, launch, f"theme=; expires={PAST}")
        assert self.told(self.page(tool, launch)) == ""

    def test_a_script_sets_nothing_that_is_http_only(self, tool: Tool, launch: Captured) -> None:
        self.page(tool, launch, "session=x; HttpOnly")
        self.write(tool, launch, "session=forged")
        self.write(tool, launch, "session=; max-age=0")
        self.write(tool, launch, "other=forged; HttpOnly")
        self.write(tool, launch, "a=1\x00\x01X: 2")
        content = tool.middleware._authenticator.recall_with_jar(launch.id)[1]
        assert b"forged" not in content
        assert b'"session", "", "x"' in content
        assert b'"a"' not in content

    def test_a_script_sets_none_that_launches_share(self, make_tool: Callable[..., Tool]) -> None:
        tool = make_tool(shared_cookies=["sso"])
        launch = Captured(tool)
        assert self.write(tool, launch, "sso=forged").status == 204
        assert tool.middleware._authenticator.recall_with_jar(launch.id)[1] is None

    @pytest.mark.parametrize("site", ["cross-site", "same-site"])
    def test_another_sites_script_sets_none(self, tool: Tool, launch: Captured, site: str) -> None:
        headers = {"Sec-Fetch-Site": site, "Origin": "https://evil.example"}
        assert self.write(tool, launch, "theme=dark", **headers).status == 403
        assert tool.get(f"{launch.prefix}/ltiaas-cookies").status == 405
        assert tool.middleware._authenticator.recall_with_jar(launch.id)[1] is None


def shared_launch(first: Tool, second: Tool) -> Captured:
    launch = Captured(first)
    wait_until(lambda: second.get(launch.location).status == 200)
    return launch


def test_every_worker_has_it(workers: list[Tool]) -> None:
    first, second = workers
    launch = shared_launch(first, second)
    sets(first, launch, "session=x; HttpOnly")
    assert given(second, launch) == "session=x"
    sets(second, launch, "session=; Max-Age=0", "b=2")
    assert given(first, launch) == "b=2"
    other = shared_launch(second, first)
    assert given(first, other) is None


def test_no_worker_has_it_once_the_cookie_came_back_to_another(workers: list[Tool]) -> None:
    first, second = workers
    launch = shared_launch(first, second)
    sets(second, launch, "session=x; HttpOnly")
    assert first.get(launch.location, launch.cookie).status == 200
    jars = second.middleware._authenticator._shared
    wait_until(lambda: jars.jar(launch.id) is None)
    assert second.get(launch.location).status == 401


def test_responses_at_once_lose_nothing_of_each_other(workers: list[Tool]) -> None:
    first, second = workers
    launch = shared_launch(first, second)
    entries = [each.middleware._authenticator.recall(launch.id) for each in workers]

    def add(number: int) -> None:
        worker = workers[number % 2].middleware._authenticator

        def change(content: bytes | None) -> bytes:
            return (content or b"") + bytes([number])

        worker.change_jar(entries[number % 2], change)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(add, range(40)))
    content = first.middleware._authenticator.recall_with_jar(launch.id)[1]
    assert sorted(content or b"") == list(range(40))


def test_a_store_that_fails_leaves_each_worker_its_own(
    workers: list[Tool], monkeypatch: pytest.MonkeyPatch
) -> None:
    from ltiaas_middleware._verification.stores import StoreUnavailable

    first, second = workers
    launch = shared_launch(first, second)

    def fails(*_: Any) -> Any:
        raise StoreUnavailable

    for name in ("get", "put", "put_if_absent", "delete"):
        monkeypatch.setattr(first.middleware._authenticator._shared.store, name, fails)
    sets(first, launch, "session=x; HttpOnly")
    assert given(first, launch) == "session=x"
    assert given(second, launch) is None
