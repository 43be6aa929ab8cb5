"""Whoever has a launch path whose cookie has come back, and not the cookie, is refused whatever
headers they make up (design.md, "One launch per URL")."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import product
from secrets import token_hex
from typing import Any

import pytest

from tests.both_adapters import Tool
from tests.tokens import ltik
from tests.waiting import wait_until

from .test_launch_paths import Captured

# What a browser says of itself, each of it in a program's hands as well.
SITES = (None, "same-origin", "same-site", "cross-site", "none")
MODES = (None, "navigate", "cors", "websocket")
DESTINATIONS = (None, "document", "iframe", "empty", "script")
REFERERS = (None, "its own page", "the tool", "elsewhere")


def claims(launch: Captured, scheme: str) -> list[dict[str, str]]:
    """Headers that something may take for a proof, or for another address."""
    name = launch.set_cookie.partition("=")[0]
    wrong = launch.ltik[:-1] + ("A" if launch.ltik[-1] != "A" else "B")
    outside = f"https://tool.example{launch.prefix}/page"
    return [
        {},
        {"Origin": f"{scheme}://tool.example"},
        {"Cookie": f"{name}={launch.id}"},
        {"Cookie": f"{name}={wrong}"},
        {"Cookie": f"{name}={ltik()}"},
        {"Cookie": f"{name}="},
        {"Cookie": f"{name}-tab={wrong}; {name}={wrong}"},
        {"Cookie": f'{name}="{launch.ltik}'},
        {"Cookie": f"x{name}={launch.ltik}"},
        {"Cookie": f"{name.lower()}={launch.ltik}"},
        {"Authorization": f"Bearer {launch.ltik}"},
        {"Authorization": f"LTIK-AUTH-V2 key:{launch.ltik}"},
        {"X-Ltik": launch.ltik},
        {"X-Original-URL": "/page", "X-Rewrite-URL": "/page"},
        {"X-Forwarded-Prefix": launch.prefix, "X-Forwarded-For": "127.0.0.1"},
        {"X-Forwarded-Host": "tool.example", "X-Forwarded-Proto": "http"},
        {"X-HTTP-Method-Override": "OPTIONS", "Access-Control-Request-Method": "GET"},
        {"Sec-Purpose": "prefetch", "Purpose": "prefetch"},
        {"Upgrade": "websocket", "Connection": "Upgrade"},
        {"Location": outside, "Content-Location": outside, "Host": "127.0.0.1"},
    ]


def tries(launch: Captured, scheme: str) -> Iterator[tuple[str, dict[str, str]]]:
    referers = {
        None: None,
        "its own page": f"https://tool.example{launch.prefix}/page",
        "the tool": "https://tool.example/page",
        "elsewhere": "https://evil.example/",
    }
    for site, mode, destination, referer in product(SITES, MODES, DESTINATIONS, REFERERS):
        marks = {
            "Sec-Fetch-Site": site,
            "Sec-Fetch-Mode": mode,
            "Sec-Fetch-Dest": destination,
            "Referer": referers[referer],
            "Accept": "text/html" if mode == "navigate" else "*/*",
        }
        yield "GET", {name: value for name, value in marks.items() if value is not None}
    browser = {
        "Sec-Fetch-Site": "same-origin",
        "Sec-Fetch-Mode": "navigate",
        "Sec-Fetch-Dest": "document",
        "Referer": f"https://tool.example{launch.prefix}/page",
    }
    for method, claim, marks in product(
        ("GET", "HEAD", "POST", "PUT"), claims(launch, scheme), ({}, browser)
    ):
        yield method, marks | claim


@pytest.mark.parametrize("scheme", ["https", "http"])
def test_nothing_but_the_cookie_opens_it(tool: Any, upstream: Any, scheme: str) -> None:
    launch = Captured(tool)
    assert tool.navigate(launch.location, launch.cookie).seen["launch"] == launch.id
    asked = len(upstream.asked)
    count = 0
    for method, headers in tries(launch, scheme):
        reply = tool.ask(method, f"{launch.prefix}/page", headers, scheme=scheme)
        # 403 where the request says that another site made it.
        others = headers.get("Sec-Fetch-Site") in ("same-site", "cross-site")
        assert reply.status in ((401, 403) if others else (401,)), (method, headers)
        assert not reply.reached_app
        count += 1
    assert count == 560
    # Whoever proves nothing causes no call either, and takes nothing from who has the cookie.
    assert len(upstream.asked) == asked
    assert tool.navigate(launch.location, launch.cookie).seen["launch"] == launch.id


@pytest.mark.parametrize("in_worker", ["this", "another"])
def test_what_waits_for_ltiaas_while_the_cookie_comes_back_is_refused(
    in_worker: str, make_tool: Callable[..., Tool], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its path alone would open the launch, with the app's cookies."""
    options = {} if in_worker == "this" else {"cache": "auto", "cache_prefix": token_hex(8)}
    tool = make_tool(**options)
    launch = Captured(tool)
    other = tool if in_worker == "this" else make_tool(**options)
    wait_until(lambda: other.get(launch.location).reached_app)
    tool.later(700)
    authenticator, elsewhere = (each.middleware._authenticator for each in (tool, other))
    recall = authenticator.recall_with_jar

    def bound_after_the_first_look(launch_id: str) -> Any:
        seen = recall(launch_id)
        if not elsewhere.peek(launch_id).cookie_bound:
            elsewhere.use(elsewhere.peek(launch_id), binds=True)
            assert elsewhere.peek(launch_id).cookie_bound
            wait_until(lambda: recall(launch_id)[0].cookie_bound)
        return seen

    monkeypatch.setattr(authenticator, "recall_with_jar", bound_after_the_first_look)
    refused = tool.get(launch.location)
    assert (refused.status, refused["LTIAAS-Error"]) == (401, "launch_unknown")
    assert tool.get(launch.location, launch.cookie).reached_app


def test_the_log_says_once_why(tool: Any, make_tool: Any, caplog: Any) -> None:
    unknown = Captured(make_tool())
    other_secret = Captured(make_tool(secrets="another secret, long enough"))
    bound = Captured(tool)
    assert tool.navigate(bound.location, bound.cookie).reached_app
    for launch, headers, words in (
        (unknown, {}, "is unknown here"),
        (other_secret, other_secret.cookie, "created with another secret"),
        (bound, {}, "did not have its cookie, although its browser keeps cookies"),
    ):
        caplog.clear()
        for _ in range(2):
            assert tool.navigate(launch.location, headers).status == 401
        (line,) = [record.getMessage() for record in caplog.records]
        assert f"launch {launch.id} " in line
        assert words in line
        assert launch.ltik not in line


def test_the_log_says_what_to_check_if_workers_share_launches(make_tool: Any, caplog: Any) -> None:
    unknown = Captured(make_tool())
    for cache, words in (
        ("auto", "set cache (LTIAAS_CACHE) to a Redis URL"),
        ("redis://127.0.0.1:1", "look for 'Redis failed' in this log"),
    ):
        caplog.clear()
        assert make_tool(cache=cache).navigate(unknown.location).status == 401
        (line,) = [one for one in caplog.messages if "is unknown here" in one]
        assert words in line
        assert "LTIAAS_SECRETS" in line
        assert ("to a Redis URL" in line) == (cache == "auto")
