"""The LMS that a browser sees."""

from __future__ import annotations

from dataclasses import replace
from html.parser import HTMLParser
from urllib.parse import parse_qs, quote, urlsplit

import pytest
import requests

from ltiaas_middleware.sandbox import Sandbox

from .conftest import SCORE, Caller, Clock

PATHS = [
    "/",
    "/?course=drawing",
    "/?course=chemistry",
    "/lms/frame",
    "/lms/frame?deep_linking=1",
    "/lms/gradebook",
    "/lms/gradebook?course=choir",
    "/lms/registration",
    "/lms/registration/frame?url=https%3A%2F%2Fmoodle.northfield.example",
    "/lms/faults",
    "/lms/api-log",
    "/lms/return?lti_errormsg=%3Cb%3Eoh",
    "/nothing",
]


class Checker(HTMLParser):
    """What makes a page usable by everyone, and by nobody else."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.labels = 0
        self.bare_controls: list[str] = []
        self.external: list[str] = []
        self.ids: list[str] = []
        self.headings: list[str] = []
        self.lang: str | None = None

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = dict(attributes)
        if tag not in ("meta", "link", "input", "br"):
            self.open.append(tag)
        if tag == "html":
            self.lang = given.get("lang")
        if (
            tag in ("input", "select", "textarea")
            and given.get("type") != "hidden"
            and "label" not in self.open
        ):
            self.bare_controls.append(str(given))
        if (
            (tag == "script" and "src" in given)
            or tag == "img"
            or (tag == "link" and given.get("href") != "data:,")
        ):
            self.external.append(str(given))
        if "id" in given:
            self.ids.append(given["id"] or "")
        if tag == "h1":
            self.headings.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.mark.parametrize("path", PATHS)
def test_every_page_is_well_formed_labelled_and_self_contained(
    teacher: Caller, sandbox: Sandbox, path: str
) -> None:
    teacher.post(f"{teacher.line_item()}/scores", json=SCORE)
    sandbox.fault("delay", endpoint="/api/none")
    answer = teacher.get(path)
    assert answer.status_code == (404 if path == "/nothing" else 200)
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert answer.headers["Cache-Control"] == "no-store"
    checker = Checker()
    checker.feed(answer.text)
    assert checker.open == []
    assert checker.lang == "en"
    assert checker.bare_controls == []
    assert checker.external == []
    assert len(checker.ids) == len(set(checker.ids))
    assert len(checker.headings) == (0 if "/frame" in path else 1)
    assert 'name="viewport"' in answer.text


def test_the_first_page_offers_courses_activities_and_people(call: Caller) -> None:
    page = call.get("/").text
    for text in ("Introduction to Biology", "Quiz 1: The cell", "Quinn O&#39;Neill", "no role"):
        assert text in page
    assert "Anonymous (f3b1c9d2-77aa)" in page
    assert 'value="ben" selected' in page
    assert "http://tool.example/launch" in page
    assert "This LMS does not support deep linking." in call.get("/?course=chemistry").text


def test_the_frame_page_puts_the_tool_into_an_iframe(call: Caller) -> None:
    query = "course=biology&activity=lab-report&user=ben&query=" + quote("a=1&b=%2F", safe="")
    page = call.get(f"/lms/frame?{query}").text
    assert 'id="tool-frame"' in page
    source = page.split('src="')[1].split('"')[0].replace("&amp;", "&")
    step = call.get(source).headers["Location"]
    target = urlsplit(call.get(step).headers["Location"])
    assert target.query.startswith("a=1&b=%2F&ltik=")
    token = call.with_ltik(parse_qs(target.query)["ltik"][0]).get("/api/idtoken").json()
    assert token["user"]["id"] == "ben"
    assert token["launch"]["resourceLink"]["id"] == "lab-report"


def test_a_deep_linking_frame_launches_deep_linking(call: Caller) -> None:
    page = call.get("/lms/frame?course=history&deep_linking=on").text
    source = page.split('src="')[1].split('"')[0].replace("&amp;", "&")
    target = call.get(call.get(source).headers["Location"]).headers["Location"]
    token = call.with_ltik(target.split("ltik=")[1]).get("/api/idtoken").json()
    assert token["launch"]["type"] == "LtiDeepLinkingRequest"
    assert token["launch"]["context"]["id"] == "history"


@pytest.mark.parametrize(
    "path", ["/?course=x", "/lms/frame?user=x", "/lms/launch?activity=x", "/lms/gradebook?course=x"]
)
def test_what_the_world_does_not_have_is_a_page_that_says_so(call: Caller, path: str) -> None:
    answer = call.get(path)
    assert answer.status_code == 400
    assert "This cannot be launched" in answer.text


def test_a_wrong_method_is_said_to_be_one(call: Caller) -> None:
    assert call.post("/").status_code == 405
    assert call("PUT", "/nothing").status_code == 404


def test_head_is_get_without_a_body(call: Caller) -> None:
    answer = call("HEAD", "/")
    assert (answer.status_code, answer.content) == (200, b"")


def test_the_gradebook_shows_what_was_submitted(
    teacher: Caller, sandbox: Sandbox, clock: Clock
) -> None:
    scores = f"{teacher.line_item()}/scores"
    teacher.post(scores, json={**SCORE, "comment": "<Well> done"})
    clock.now += 1
    teacher.post(scores, json={**SCORE, "scoreGiven": 9.5})
    teacher.post(
        scores,
        json={"userId": "dora", "activityProgress": "Started", "gradingProgress": "Pending"},
    )
    page = teacher.get("/lms/gradebook").text
    for text in (
        "Ben Carter",
        "9.5 / 10",
        "9.5 of 10",
        "Dora Kovács",
        "Started",
        "once",
        "2 times",
    ):
        assert text in page
    assert "No scores yet." in page  # for the lab report
    assert "no gradebook columns" in teacher.get("/lms/gradebook?course=choir").text
    clock.now += 1
    teacher.post(scores, json={**SCORE, "comment": "<Well> done"})
    sandbox.override("ben", 9)
    page = teacher.get("/lms/gradebook").text
    assert "&lt;Well&gt; done" in page
    assert '9 / 10</strong> <span class="chip">changed by the teacher' in page


def post(call: Caller, path: str, **form: str) -> requests.Response:
    return call.post(path, data=form, headers={"Sec-Fetch-Site": "same-origin"})


def test_faults_are_switched_on_and_off_by_hand(call: Caller, sandbox: Sandbox) -> None:
    assert "No faults are active." in call.get("/lms/faults").text
    for form in (
        {"name": "delay", "seconds": "0.5", "endpoint": " /api/idtoken ", "times": "3"},
        {"name": "status", "status": "503", "seconds": ""},
        {"name": "redirect", "location": "https://x.example/"},
        {"name": "rate_limit", "retry_after": "9"},
    ):
        answer = post(call, "/lms/faults", **form)
        assert (answer.status_code, answer.headers["Location"]) == (303, "/lms/faults")
    assert [fault.document() for fault in sandbox.faults] == [
        {"name": "delay", "seconds": 0.5, "endpoint": "/api/idtoken", "times": 3},
        {"name": "status", "status": 503, "endpoint": None, "times": None},
        {"name": "redirect", "location": "https://x.example/", "endpoint": None, "times": None},
        {"name": "rate_limit", "retry_after": 9, "endpoint": None, "times": None},
    ]
    page = call.get("/lms/faults").text
    assert "seconds 0.5" in page
    assert "until you switch it off" in page
    post(call, "/lms/faults/end", name="delay")
    assert len(list(sandbox.faults)) == 3
    post(call, "/lms/faults/end")
    assert list(sandbox.faults) == []


@pytest.mark.parametrize(
    "form", [{}, {"name": "delay", "seconds": "soon"}, {"name": "delay", "times": "0"}]
)
def test_a_fault_that_cannot_be_is_said_on_the_page(
    call: Caller, sandbox: Sandbox, form: dict[str, str]
) -> None:
    answer = post(call, "/lms/faults", **form)
    assert answer.status_code == 400
    assert 'role="alert"' in answer.text
    assert list(sandbox.faults) == []


def test_the_api_log_page_shows_calls_and_can_be_cleared(
    call: Caller, teacher: Caller, sandbox: Sandbox
) -> None:
    assert "No calls yet." in call.get("/lms/api-log").text
    teacher.get("/api/memberships?limit=2")
    call.get("/api/memberships")
    call.with_authorization("LTIK-AUTH-V2 x").get("/api/memberships")
    sandbox.fault("reset")
    with pytest.raises(requests.ConnectionError):
        teacher.get("/api/idtoken")
    unanswered = replace(sandbox.api_log[0], answered=False, status=None)
    sandbox.api_log.arrived(unanswered)
    page = call.get("/lms/api-log").text
    for text in ("/api/memberships?limit=2", "401", "(malformed)", "cut off", "waiting", "reset"):
        assert text in page
    assert post(call, "/lms/api-log/clear").status_code == 303
    assert len(sandbox.api_log) == 0


def test_the_return_page_shows_what_the_tool_said(call: Caller) -> None:
    page = call.get("/lms/return?lti_msg=Bye&lti_errormsg=%3Cb%3E&other=hidden").text
    assert "Bye" in page
    assert "&lt;b&gt;" in page
    assert "hidden" not in page
