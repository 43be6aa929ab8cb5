"""``Launch.end``: a "log out" link, through both adapters."""

from __future__ import annotations

from typing import Any

import pytest

from tests.both_adapters import Tool

from .test_app_answers import Launched


@pytest.mark.parametrize("mount", ["", "/tool"])
def test_it_deletes_the_cookie_and_nobody_opens_the_launch_again(
    tool: Tool, upstream: Any, mount: str
) -> None:
    launched = Launched(tool, mount=mount)
    assert launched.get().reached_app
    reply = launched.get(path="/log-out")
    assert reply.reached_app
    deleted = reply.all("Set-Cookie")
    assert len(deleted) == 4
    name = launched.cookie["Cookie"].partition("=")[0]
    assert f"{name}=; Path={launched.path}; " in "".join(deleted)
    assert all("; Max-Age=0" in one and "; Partitioned" in one for one in deleted)
    asked = len(upstream.asked)
    # With its cookie, by its path alone, and from the LMS's history.
    assert launched.get().status == 401
    assert tool.get(launched.path.removeprefix(mount) + "/page", mount=mount).status == 401
    assert tool.navigate(f"/launch?ltik={launched.ltik}", mount=mount).status == 401
    assert len(upstream.asked) == asked


def test_other_launches_go_on(tool: Tool) -> None:
    ended, other = Launched(tool), Launched(tool)
    ended.get(path="/log-out")
    assert other.get().reached_app
    assert other.get().all("Set-Cookie") == []


def test_in_place_it_ends_too_and_there_is_no_cookie_to_delete(make_tool: Any) -> None:
    tool = make_tool(launch_path=None)
    launched = Launched(make_tool())
    reply = tool.get(f"/log-out?ltik={launched.ltik}")
    assert (reply.reached_app, reply.all("Set-Cookie")) == (True, [])
    assert tool.get(f"/page?ltik={launched.ltik}").status == 401
