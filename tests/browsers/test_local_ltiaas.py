"""The sandbox on a developer's own machine shows what a real LMS does: it frames the tool across
sites, over plain http, and the tool's cookies come back all the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from urllib.parse import urlencode

import pytest
import requests

from ltiaas_middleware.commands.demo.run import Demo, serve_demo

from .browser import Browser

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def demo() -> Iterator[Demo]:
    with serve_demo(0, 0) as running:
        yield running


def activity(demo: Demo, user: str) -> str:
    query = urlencode({"course": "biology", "activity": "quiz-1", "user": user})
    return f"{demo.server.lms_url}/lms/frame?{query}"


@pytest.mark.parametrize("profile", ["third-party-allowed", "third-party-blocked"])
def test_the_demo_is_across_sites_and_keeps_its_own_session(
    profile: str,
    browser: Callable[..., Browser],
    demo: Demo,
    picture: Callable[[Browser, str], None],
) -> None:
    person = browser(profile)
    tabs = {}
    for user in ("ada", "ben"):
        tabs[user] = person.open(activity(demo, user), new_tab=True)
        # Ben does not begin with Ada's count: the cookie is the launch's.
        person.text("#opened", "1")
        assert person.driver.execute_script("return location.origin") == demo.tool_url
    picture(person, f"demo-{profile}")
    for count in ("2", "3"):
        person.show(tabs["ada"])
        person.reload_frame()
        person.text("#opened", count)
    person.show(tabs["ben"])
    person.reload_frame()
    person.text("#opened", "2")

    # The launch's own cookie came back, so that its path alone opens it no more.
    address = person.driver.execute_script("return location.href")
    assert address.startswith(f"{demo.tool_url}/lti/")
    assert requests.get(address, timeout=10).status_code == 401
