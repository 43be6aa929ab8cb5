"""The usual request of a launch is decided in one go, and as the gate's steps would decide it."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest

from ltiaas_middleware.errors import LaunchExpired

from .test_launch_paths import Captured

METHODS = ("GET", "POST")
PATHS = ("/page", "/", "", "/ltiaas-new-tabs.js", "/ltiaas-handoff", "/static/x", "/a//../b")
QUERIES = ("", "a=1", "ltiaas_handoff=x", "ltik=x", "b=ltik")
SITES = ("same-origin", "same-site", "cross-site", None)
MORE = (
    {},
    {"Origin": "https://evil.example"},
    {"Upgrade": "websocket", "Connection": "Upgrade"},
)


def cookies(name: str, ltik: str) -> list[str | None]:
    ours, bad = f"{name}={ltik}", f"{name}={ltik[:-1]}{'A' if ltik[-1] != 'A' else 'B'}"
    return [
        None,
        ours,
        f"{ours};",
        f"{ours}; session=1",
        f"{ours};session=1",
        f"{ours}; session=1; csrf=2; session=3",
        f"{ours}; session=1,2",
        f"session=1; {ours}",
        f"{ours}; {bad}",
        f"{bad}; {ours}",
        f"{ours}; {name}-tab={ltik}",
        f"{name}-tab={ltik}; {ours}",
        f"{name}-tab={ltik}",
        f"{ours}, {ours}",
        f"{ours}; a=1,{ours}",
        f"{ours}; a=1; {bad}",
        f"{ours}; a=1; {name}-tab={ltik}",
        f"{ours} ; x=1",
        f" {ours}",
        bad,
        f"{name}={ltik}é",
        f"{name}={ltik[1:]}",
        f"{name}=",
        f"{'x' * len(name)}={ltik}",
        name,
    ]


def answers(tool: Any, launch: Captured, mount: str) -> list[tuple[Any, Any]]:
    found = []
    for scheme in ("https", "http"):
        name = launch.set_cookie.partition("=")[0]
        if scheme == "http":
            name = name.removeprefix("__Secure-")
        headers = cookies(name, launch.ltik)
        for method, path, query, site, more, cookie in (
            *product(METHODS, PATHS, QUERIES, SITES, MORE, headers[:2]),
            *product(METHODS, PATHS[:1], QUERIES[:1], SITES, MORE[:1], headers),
        ):
            address = f"{launch.prefix.removeprefix(mount)}{path}?{query}"
            sent = {**more, "Sec-Fetch-Site": site, "Cookie": cookie}
            sent = {key: value for key, value in sent.items() if value is not None}
            reply = tool.ask(method, address, sent, mount=mount, scheme=scheme)
            found.append(((method, address, sent), reply))
    return found


@pytest.mark.parametrize(("mount", "fit_frame"), [("", True), ("/tool", False)])
def test_they_are_answered_as_by_the_gates_steps(
    make_tool: Any, monkeypatch: pytest.MonkeyPatch, mount: str, fit_frame: bool
) -> None:
    tool = make_tool(fit_frame=fit_frame, outside=["/static/"])
    launch = Captured(tool, mount=mount)
    gate = tool.middleware._gate
    hits = []
    serve = gate._hits.serve

    def counted(*asked: Any) -> Any:
        hits.append(serve(*asked))
        return hits[-1]

    monkeypatch.setattr(gate._hits, "serve", counted)
    # Not confirmed yet: the path alone would do.
    tool.get(
        f"{launch.prefix.removeprefix(mount)}/page", {"Sec-Fetch-Site": "same-origin"}, mount=mount
    )
    assert hits == [None]
    tool.get(
        f"{launch.prefix.removeprefix(mount)}/page",
        {"Sec-Fetch-Site": "same-origin", **launch.cookie},
        mount=mount,
    )
    assert hits == [None, None]
    quick = answers(tool, launch, mount)
    served = sum(hit is not None for hit in hits)
    monkeypatch.setattr(gate._hits, "serve", lambda *asked: None)
    for (asked, as_before), (_, by_steps) in zip(quick, answers(tool, launch, mount), strict=True):
        assert as_before == by_steps, asked
    assert served > 50
    assert any(hit is None for hit in hits[2:])


def test_one_is_counted(tool: Any) -> None:
    launch = Captured(tool)
    asked = {"Sec-Fetch-Site": "same-origin", **launch.cookie}
    for _ in range(3):
        assert tool.get(f"{launch.prefix}/page", asked).seen["user"] == "Ada"
    assert tool.middleware.stats()["hits"] == 3


def test_once_a_launch_is_due_it_goes_through_the_steps(tool: Any, upstream: Any) -> None:
    launch = Captured(tool)
    asked = {"Sec-Fetch-Site": "same-origin", **launch.cookie}
    for _ in range(2):
        assert tool.get(f"{launch.prefix}/page", asked).status == 200
    upstream.error = LaunchExpired("over")
    tool.later(24 * 3600 + 1)
    assert tool.get(f"{launch.prefix}/page", asked).status == 401
