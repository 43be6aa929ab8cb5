"""Routing, URL building and `current_launch()` in each framework, on a real server each."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import quote

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from ltiaas_middleware.sandbox import Sandbox

from .browser import NAVIGATION, Browser, Reply, path_of
from .matrix import FRAMEWORKS, Framework, Mounting

Browse = Callable[..., Browser]


def cases(names: str, found: Iterable[tuple[Framework, *tuple[Any, ...]]]) -> pytest.MarkDecorator:
    """A test for each framework, and what else is found of it."""
    params = [
        pytest.param(
            *case,
            id=" ".join([case[0].name, *case[1:]]),
            marks=[pytest.mark.slow] if case[0].slow else [],
        )
        for case in found
    ]
    return pytest.mark.parametrize(names, params)


in_each_framework = cases("framework", ((each,) for each in FRAMEWORKS))
with_websockets = cases("framework", ((each,) for each in FRAMEWORKS if each.sockets))
wherever_it_stands = cases(
    "framework, mounting", ((each, mount) for each in FRAMEWORKS for mount in each.mountings)
)
in_each_view = cases(
    "framework, view", ((each, f"/views/{kind}") for each in FRAMEWORKS for kind in each.views)
)
in_each_stream = cases(
    "framework, stream", ((each, stream) for each in FRAMEWORKS for stream in each.streams)
)

# Order, repetition, plus signs, empty values and names, percent-encoding in both cases, and what
# some parsers take for a separator.
QUERY = "b=2&a=1&a=&plus=1+2&pct=%C3%A9%2b%26&bare&=nameless&semi=x;y&a=3&url=https%3A%2F%2Fa.b%2F"

NAMES = ["naïve ☃ 日本", "a b?c#d%e+f&g=h", "100%25"]
ADDRESSES = [
    f"/launch?{QUERY}&ltik={{ltik}}",
    f"/launch?ltik={{ltik}}&{QUERY}",
    f"/launch?{QUERY.replace('&bare', '&ltik={ltik}&bare', 1)}",
]


def enter(browser: Browser, sandbox: Sandbox, path: str = "/launch") -> Reply:
    """Launch into the tool, as the instructor of the first course."""
    return browser.open(f"{browser.prefix}{path}?ltik={sandbox.issue(user='ada')}")


# Routing and links


@wherever_it_stands
def test_every_link_that_the_framework_builds_stays_in_the_launch(
    framework: Framework, mounting: Mounting, browse: Browse, sandbox: Sandbox
) -> None:
    browser = browse(framework, mounting)
    entered = enter(browser, sandbox)
    home = entered.json["path"]
    assert re.fullmatch(rf"{browser.prefix}/lti/[\w-]{{22}}", home)
    assert entered.path == f"{home}/launch"
    assert (entered.json["user"], entered.json["carried"]) == ("Ada Moreau", True)

    link = entered.json["link"]
    assert path_of(link) == f"{home}/items/first"
    for _ in range(2):
        followed = browser.open(link)
        assert followed.path == f"{home}/items/first"
        assert followed.json["launch"] == entered.json["launch"]
        assert (followed.json["name"], followed.json["path"]) == ("first", home)
        link = followed.json["link"]
        assert path_of(link) == f"{home}/items/first"


@wherever_it_stands
def test_a_redirect_of_the_framework_stays_in_the_launch(
    framework: Framework, mounting: Mounting, browse: Browse, sandbox: Sandbox
) -> None:
    browser = browse(framework, mounting)
    home = enter(browser, sandbox).json["path"]
    went = browser.open(f"{home}/go")
    assert (went.path, went.json["path"]) == (f"{home}/items/first", home)
    if framework.redirects_slashes:
        went = browser.open(f"{home}/folder")
        assert (went.path, went.json["path"]) == (f"{home}/folder/", home)


@wherever_it_stands
def test_a_form_is_posted_in_the_launch(
    framework: Framework, mounting: Mounting, browse: Browse, sandbox: Sandbox
) -> None:
    browser = browse(framework, mounting)
    home = enter(browser, sandbox).json["path"]
    posted = browser.ask("POST", f"{home}/launch", NAVIGATION, "answer=42")
    assert (posted.json["form"], posted.json["path"]) == ("42", home)


@wherever_it_stands
def test_the_launch_may_go_to_the_root_of_the_tool(
    framework: Framework, mounting: Mounting, browse: Browse, sandbox: Sandbox
) -> None:
    browser = browse(framework, mounting)
    entered = enter(browser, sandbox, "/")
    assert re.fullmatch(rf"{browser.prefix}/lti/[\w-]{{22}}/", entered.path)
    assert (entered.status, entered.text) == (200, "home")
    assert browser.open(entered.path.rstrip("/")).text == "home"


@wherever_it_stands
def test_a_request_without_a_launch_is_the_frameworks_own(
    framework: Framework, mounting: Mounting, browse: Browse
) -> None:
    browser = browse(framework, mounting)
    prefix = browser.prefix
    assert browser.open(f"{prefix}/").text == "home"
    seen = browser.open(f"{prefix}/launch?{QUERY}")
    assert seen.path == f"{prefix}/launch"
    assert seen.json["query"] == QUERY
    assert (seen.json["launch"], seen.json["path"], seen.json["carried"]) == (None, None, True)
    assert path_of(seen.json["link"]) == f"{prefix}/items/first"
    followed = browser.open(seen.json["link"])
    assert (followed.path, followed.json["name"]) == (f"{prefix}/items/first", "first")
    assert browser.ask("POST", f"{prefix}/launch", body="answer=42").json["form"] == "42"
    for reply in (seen, followed):
        assert not reply.all("Set-Cookie")
        assert not reply.all("Referrer-Policy")
    for unknown in ("/nothing", "/lti", "/lti/", "/lti/no-launch-id/launch"):
        assert browser.ask("GET", prefix + unknown).status == 404


@in_each_framework
def test_a_path_of_the_frameworks_own_404_stays_404_in_the_launch(
    framework: Framework, browse: Browse, sandbox: Sandbox
) -> None:
    browser = browse(framework)
    home = enter(browser, sandbox).json["path"]
    assert browser.open(f"{home}/nothing").status == 404


# Paths and queries, byte for byte


@wherever_it_stands
def test_an_encoded_path_survives_the_launch(
    framework: Framework, mounting: Mounting, browse: Browse, sandbox: Sandbox
) -> None:
    browser = browse(framework, mounting)
    for name in NAMES:
        path = f"/items/{quote(name, safe='')}"
        entered = enter(browser, sandbox, path)
        home = entered.json["path"]
        assert entered.path == home + path
        assert entered.json["name"] == name
        assert path_of(entered.json["link"]) == f"{home}/items/{name}"
        assert browser.open(entered.json["link"]).json["name"] == name


@in_each_framework
def test_an_encoded_slash_reaches_the_app_as_it_does_without_a_launch(
    framework: Framework, browse: Browse, sandbox: Sandbox
) -> None:
    """Servers decode the path before any app sees it (PEP 3333, ASGI), so that %2F is a slash to a
    router. The launch keeps it in the address, and changes nothing else about it.
    """
    browser = browse(framework)
    without = browser.open("/items/a%2Fb").json["name"]
    entered = enter(browser, sandbox, "/items/a%2Fb")
    assert entered.path == entered.json["path"] + "/items/a%2Fb"
    assert entered.json["name"] == without == "a/b"


@in_each_framework
def test_the_query_survives_the_launch_byte_for_byte(
    framework: Framework, browse: Browse, sandbox: Sandbox
) -> None:
    browser = browse(framework)
    for address in ADDRESSES:
        entered = browser.open(address.format(ltik=sandbox.issue()))
        assert entered.json["query"] == QUERY
        assert entered.address == f"{entered.json['path']}/launch?{QUERY}"


@in_each_framework
def test_a_program_is_served_in_place_and_its_query_kept(
    framework: Framework, browse: Browse, sandbox: Sandbox
) -> None:
    browser = browse(framework)
    reply = browser.ask("GET", f"/launch?{QUERY}&ltik={sandbox.issue(user='ada')}")
    assert (reply.json["user"], reply.json["path"]) == ("Ada Moreau", "")
    assert reply.json["query"] == QUERY
    assert path_of(reply.json["link"]) == "/items/first"


# current_launch() in whatever the framework runs


@in_each_view
def test_a_view_sees_its_own_launch_and_the_next_request_none(
    framework: Framework, view: str, browse: Browse, sandbox: Sandbox
) -> None:
    """On one connection, and under gunicorn on one thread, launches take turns with requests that
    carry none.
    """
    browser = browse(framework)
    launches = [
        browser.open(f"/launch?ltik={sandbox.issue(user=user)}").json for user in ("ada", "ben")
    ]
    port = browser.local_port
    for _ in range(3):
        for launch in launches:
            inside = browser.open(f"{launch['path']}{view}").json
            assert (inside["launch"], inside["user"]) == (launch["launch"], launch["user"])
            outside = browser.open(view).json
            assert (outside["launch"], outside["carried"]) == (None, True)
    assert browser.local_port == port, "the connection was not kept"
    assert [launch["user"] for launch in launches] == ["Ada Moreau", "Ben Carter"]


@in_each_stream
def test_a_streamed_body_sees_its_launch_and_leaves_none_behind(
    framework: Framework, stream: str, browse: Browse, sandbox: Sandbox
) -> None:
    browser = browse(framework)
    launch = enter(browser, sandbox).json
    port = browser.local_port
    for _ in range(2):
        assert browser.open(launch["path"] + stream).text.split() == [launch["launch"]] * 3
        assert browser.open(stream).text.split() == ["None"] * 3
        assert browser.open("/views/sync").json["launch"] is None
    assert browser.local_port == port, "the connection was not kept"


@in_each_framework
def test_what_runs_after_the_answer_sees_its_launch_and_leaves_none_behind(
    framework: Framework, browse: Browse, sandbox: Sandbox
) -> None:
    """Background tasks, on the loop and in threads; Flask's teardown and call_on_close; close()."""
    browser = browse(framework)
    launch = enter(browser, sandbox).json
    for where, expected in ((launch["path"], launch["launch"]), ("", None)):
        key = f"{where}-{framework.name}-later"
        assert browser.open(f"{where}/later?key={key}").text == "begun"
        found = browser.open(f"/recorded?key={key}&times={len(framework.later)}").json
        if isinstance(found, dict):  # Bottle answers no bare lists.
            found = found["recorded"]
        assert {what: seen for one in found for what, seen in one.items()} == dict.fromkeys(
            framework.later, expected
        )


def test_falcons_sync_to_async_starts_its_threads_without_any_context(
    browse: Browse, sandbox: Sandbox
) -> None:
    """No context variable reaches them, this one neither. The launch in the scope does, and
    `asyncio.to_thread` has both.
    """
    (falcon,) = (each for each in FRAMEWORKS if each.name == "falcon_asgi")
    browser = browse(falcon)
    home = enter(browser, sandbox).json["path"]
    seen = browser.open(f"{home}/thread-of-falcon").json
    assert (seen["launch"], seen["carried"]) == (None, False)


@with_websockets
def test_a_websocket_sees_its_launch(
    framework: Framework, browse: Browse, sandbox: Sandbox
) -> None:
    browser = browse(framework)
    origin = browser.origin.replace("http", "ws", 1)
    ltik = sandbox.issue(user="ada")
    home = browser.open(f"/launch?ltik={ltik}").json["path"]
    for address, path, user in (
        (f"{home}/socket/first", home, "Ada Moreau"),
        (f"/socket/first?ltik={ltik}", "", "Ada Moreau"),
        ("/socket/first", None, None),
    ):
        headers = browser.cookie_header(address.partition("?")[0])
        with connect(origin + address, additional_headers=headers) as socket:
            first = _json(socket.recv(timeout=10))
            socket.send("again")
            for seen in (first, _json(socket.recv(timeout=10))):
                assert (seen["user"], seen["path"], seen["carried"]) == (user, path, True)
                assert path_of(seen["link"]) == f"{path or ''}/items/first"


@cases(
    "framework, mounting",
    (
        (each, mount)
        for each in FRAMEWORKS
        for mount in each.mountings
        if each.sockets and mount != "root"
    ),
)
def test_a_websocket_of_a_mounted_tool_stays_in_the_launch(
    framework: Framework, mounting: Mounting, browse: Browse, sandbox: Sandbox
) -> None:
    browser = browse(framework, mounting)
    home = enter(browser, sandbox).json["path"]
    address = f"{home}/socket/first"
    with connect(
        browser.origin.replace("http", "ws", 1) + browser.on_the_wire(address),
        additional_headers=browser.cookie_header(address),
    ) as socket:
        seen = _json(socket.recv(timeout=10))
    assert (seen["user"], seen["path"]) == ("Ada Moreau", home)
    assert path_of(seen["link"]) == f"{home}/items/first"


@with_websockets
def test_a_websocket_of_an_unknown_launch_is_refused(
    framework: Framework, browse: Browse, sandbox: Sandbox
) -> None:
    browser = browse(framework)
    origin = browser.origin.replace("http", "ws", 1)
    with pytest.raises(InvalidStatus) as refused, connect(f"{origin}/lti/{'A' * 22}/socket/first"):
        pass
    assert refused.value.response.status_code in (401, 403)


# require_launch()


@wherever_it_stands
def test_a_view_that_requires_a_launch_answers_401_without_one(
    framework: Framework, mounting: Mounting, browse: Browse, sandbox: Sandbox
) -> None:
    browser = browse(framework, mounting)
    path = f"{browser.prefix}/required"
    page = browser.open(path)
    assert (page.status, page.all("LTIAAS-Error")) == (401, ["launch_required"])
    assert "Open this from your course" in page.text
    refused = browser.ask("GET", path)
    assert (refused.status, json.loads(refused.body)["code"]) == (401, "launch_required")
    assert refused.all("Content-Type") == ["application/problem+json"]
    launch = enter(browser, sandbox).json
    assert browser.open(f"{launch['path']}/required").json["required"] == launch["launch"]
    assert browser.open(path).status == 401
    # A page of the launch that asks outside of it is redirected into it, whatever it asks for.
    marks = {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Dest": "image"}
    marks["Referer"] = f"{browser.origin}{launch['path']}/"
    left = browser.ask("GET", path, marks)
    assert (left.status, left.all("Location")) == (307, [f"{launch['path']}/required"])


def _json(message: str | bytes) -> dict[str, object]:
    found: dict[str, object] = json.loads(message)
    return found
