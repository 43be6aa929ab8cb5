"""What a browser and a program get while a launch is not verified yet."""

from __future__ import annotations

import re

import pytest

from ltiaas_middleware.errors import LaunchExpired, UpstreamError
from tests.tokens import ltik


@pytest.fixture
def tool(make_tool):
    return make_tool(waiting_page_after=0.01)


def navigate_to_the_end(tool, path):
    """Navigate as often as the waiting page asks for."""
    for _ in range(100):
        reply = tool.navigate(path)
        if reply.status != 503:
            break
        for flight in tool.middleware._authenticator._flights.under_way():
            flight.result(10)
    return reply


class TestTheWaitingPage:
    @pytest.fixture
    def token(self):
        return ltik()

    @pytest.fixture
    def waiting(self, tool, upstream, token):
        upstream.go_on.clear()
        yield tool.navigate(f"/launch?a=1&ltik={token}")
        upstream.go_on.set()

    def test_reloads_itself_and_leads_on(self, tool, upstream, waiting, token):
        assert waiting.status == 503
        assert int(waiting["Refresh"]) == int(waiting["Retry-After"]) >= 1
        assert waiting["Cache-Control"] == "no-store"
        upstream.go_on.set()
        for flight in tool.middleware._authenticator._flights.under_way():
            flight.result(10)
        found = navigate_to_the_end(tool, f"/launch?a=1&ltik={token}")
        assert found.status == 303
        assert upstream.asked == [token]

    def test_says_so_in_words_of_a_student_and_without_a_secret(self, waiting, token):
        page = waiting.body.decode()
        assert "Opening your activity" in page
        assert "continue automatically" in page
        for part in (token, token.split(".")[1], token.split(".")[2]):
            assert part not in page
            assert part not in str(waiting.headers)
        # Nothing that the policy forbids: no script, no other resource.
        assert "default-src 'none'" in waiting["Content-Security-Policy"]
        assert not re.search(r"<script|<img|<link|<iframe|src=|href=\"[^\"]", page)
        assert '<a href="">Try now</a>' in page
        assert "Error code" not in page

    def test_a_launch_path_waits_as_well(self, tool, upstream):
        reply = navigate_to_the_end(tool, f"/x?ltik={ltik()}")
        cookie = {"Cookie": reply["Set-Cookie"].partition(";")[0]}
        tool.middleware._authenticator._launches._entries.clear()
        upstream.go_on.clear()
        waiting = tool.navigate(reply["Location"], cookie)
        assert (waiting.status, waiting["Refresh"]) == (503, waiting["Retry-After"])
        upstream.go_on.set()


def test_a_program_is_answered_503_without_a_reload(tool, upstream):
    upstream.error = UpstreamError("no connection")
    reply = tool.get(f"/?ltik={ltik()}")
    assert reply.status == 503
    assert reply["Retry-After"]
    assert reply.get("Refresh") is None
    assert b"ltiaas_unavailable" in reply.body


def test_a_form_is_not_sent_again_by_itself(tool, upstream):
    reply = navigate_to_the_end(tool, f"/?ltik={ltik()}")
    cookie = {"Cookie": reply["Set-Cookie"].partition(";")[0], "Sec-Fetch-Site": "same-origin"}
    tool.middleware._authenticator._launches._entries.clear()
    upstream.error = UpstreamError("no connection")
    marks = {"Accept": "text/html", "Sec-Fetch-Mode": "navigate"}
    posted = tool.ask("POST", reply["Location"], marks | cookie)
    assert posted.status == 503
    assert posted.get("Refresh") is None


def test_the_page_gives_up_after_a_while(tool, upstream):
    upstream.error = UpstreamError("no connection")
    path = f"/?ltik={ltik()}"
    for _ in range(3):
        assert tool.navigate(path)["Refresh"]
        tool.later(70)
    last = tool.navigate(path)
    assert last.status == 503
    assert last.get("Refresh") is None
    assert "sign you in right now" in last.body.decode()


def test_what_is_refused_while_the_page_waits_is_told(tool, upstream):
    path = f"/?ltik={ltik()}"
    upstream.error = UpstreamError("no connection")
    assert tool.navigate(path)["Refresh"]
    upstream.error = LaunchExpired("Invalid or expired ltik.", status=401)
    assert navigate_to_the_end(tool, path).status == 401
