"""What lasts until somebody changes the account, the LMS or the tool has a status and a page of its
own, which says whom to tell, and costs no call to LTIAAS for every request."""

from __future__ import annotations

from typing import Any

import pytest

from tests.both_adapters import Tool
from tests.tokens import ltik

REFUSALS: list[tuple[int, Any, str, str]] = [
    (403, {"message": "Forbidden"}, "access_forbidden", "tool's support"),
    (403, {"status": 403, "details": {"message": "NO"}}, "access_forbidden", "tool's support"),
    (
        400,
        {"details": {"message": "UNREGISTERED_OR_INACTIVE_PLATFORM"}},
        "platform_inactive",
        "activate the connection",
    ),
    (
        400,
        {"details": {"message": "Inactive.", "code": "UNREGISTERED_OR_INACTIVE_PLATFORM"}},
        "platform_inactive",
        "activate the connection",
    ),
    (404, {"details": {"message": "NO_SUCH_LAUNCH"}}, "launch_refused", "tool's support"),
    (200, {"user": {"roles": []}, "platform": {"id": "p"}}, "anonymous_launch", "user information"),
    (200, {"platform": {"id": "p"}, "launch": {}}, "anonymous_launch", "user information"),
]


@pytest.fixture(params=["wsgi", "asgi"])
def make(request: pytest.FixtureRequest, world: Any) -> Any:
    made = []

    def make(**options: Any) -> Tool:
        account = {"url": world.url, "api_key": "the-key", "cache": "memory"}
        made.append(Tool(request.param, account | options))
        return made[-1]

    yield make
    for tool in made:
        tool.middleware.close()


@pytest.mark.parametrize(("status", "document", "code", "whom"), REFUSALS)
def test_it_has_a_page_of_its_own_and_is_asked_for_once(
    make: Any, world: Any, status: int, document: Any, code: str, whom: str
) -> None:
    world("/api/idtoken", document, status=status)
    tool = make()
    token = ltik()
    page = tool.navigate(f"/launch?ltik={token}")
    assert page.status == 403
    assert page["Content-Type"] == "text/html; charset=utf-8"
    assert whom in page.body.decode()
    assert page.get("Retry-After") is None
    assert tool.get(f"/launch?ltik={token}").problem == code
    assert tool.get(f"/launch?ltik={token}").status == 403
    assert len(world.asked) == 1
    # Somebody has activated it.
    world("/api/idtoken", {"user": {"id": "u1"}, "platform": {"id": "p"}})
    tool.later(31)
    assert tool.get(f"/launch?ltik={token}").reached_app
    assert len(world.asked) == 2


def test_it_opens_no_breaker_and_ends_no_launch(make: Any, world: Any) -> None:
    world("/api/idtoken", {"user": {"id": "u1"}, "platform": {"id": "p"}})
    tool = make()
    known = ltik()
    assert tool.get(f"/launch?ltik={known}").reached_app
    world("/api/idtoken", {"message": "Forbidden"}, status=403)
    for _ in range(20):
        assert tool.get(f"/launch?ltik={ltik()}").status == 403
    tool.later(700)
    assert tool.get(f"/launch?ltik={known}").reached_app
    world("/api/idtoken", {"user": {"id": "u1"}, "platform": {"id": "p"}})
    assert tool.get(f"/launch?ltik={ltik()}").reached_app


def test_an_anonymous_launch_is_let_through_where_the_tool_says_so(make: Any, world: Any) -> None:
    world("/api/idtoken", {"user": {"roles": ["Learner"]}, "platform": {"id": "p"}})
    reply = make(allow_anonymous=True).get(f"/launch?ltik={ltik()}")
    assert reply.reached_app
    assert reply.seen["user"] is None


def test_nonsense_is_an_outage_all_the_same(make: Any, world: Any) -> None:
    for document in ({}, [], {"error": "x"}, {"user": "text"}):
        world("/api/idtoken", document)
        for options in ({}, {"allow_anonymous": True}):
            reply = make(**options).get(f"/launch?ltik={ltik()}")
            assert (reply.status, reply.problem) == (503, "ltiaas_unavailable")
