"""The demo tool's pages, within launches of a real sandbox."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any

import pytest
import requests

from ltiaas_middleware.commands.demo import tool
from ltiaas_middleware.commands.demo.run import Demo, serve_demo
from ltiaas_middleware.sandbox import world, world_file


@dataclass
class Tab:
    """A browser's tab on a launch."""

    session: requests.Session
    page: requests.Response

    @property
    def text(self) -> str:
        return self.page.text

    def go(self, method: str, path: str, **data: str) -> requests.Response:
        base = re.match(r".*/lti/[\w-]{22}", self.page.url)
        assert base is not None
        self.page = self.session.request(
            method, base[0] + path, data=data or None, headers={"Accept": "text/html"}, timeout=10
        )
        return self.page


def launched(demo: Demo, **seat: Any) -> Tab:
    session = requests.Session()
    ltik = demo.sandbox.issue(**seat)
    page = session.get(
        demo.sandbox.launch_url(ltik, "resource=1"), headers={"Accept": "text/html"}, timeout=10
    )
    assert page.status_code == 200
    return Tab(session, page)


def test_it_shows_who_is_there_and_where(demo: Demo) -> None:
    text = launched(demo, activity="quiz-1", user="ada").text
    for word in ("Ada Moreau", "Instructor", "BIO-101", "Introduction to Biology", "Quiz 1"):
        assert word in text
    # The roster's second page, and a name with an apostrophe in it.
    assert "Amir Karimi" in text
    assert "Quinn O&#39;Neill" in text


def test_it_may_be_framed_and_runs_no_script_of_its_own(demo: Demo) -> None:
    page = launched(demo).page
    assert "X-Frame-Options" not in page.headers
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors" not in policy
    assert page.text.count("<script") == page.text.count("ltiaas-launch.js") == 1
    assert "script-src 'self'" in policy
    assert page.headers["Cache-Control"] == "no-store"


def test_every_address_on_the_page_stays_in_the_launch(demo: Demo) -> None:
    tab = launched(demo)
    found = re.findall(r'(?:href|action|src)="([^"]*)"', tab.text)
    script, *rest = found
    assert script == "/lti/ltiaas-launch.js"
    assert rest
    for address in rest:
        assert re.match(r"/lti/[\w-]{22}/", address)
    assert tab.go("GET", "/").url.endswith("/launch")


def test_each_launch_has_its_own_colours(demo: Demo) -> None:
    one, two = (re.search(r"--hue:\d+;--other:\d+", launched(demo).text) for _ in range(2))
    assert one is not None
    assert two is not None
    assert one[0] != two[0]


def test_an_anonymous_person_is_said_to_be_one(demo: Demo) -> None:
    text = launched(demo, activity="quiz-1", user="f3b1c9d2-77aa").text
    assert "The LMS keeps this person anonymous" in text
    assert "Anonymous user" in text


def test_what_the_lms_does_not_offer_is_said_politely(demo: Demo) -> None:
    text = launched(demo, activity="portfolio", user="pupil-1").text
    assert "The LMS does not share its roster with this activity." in text
    assert "The LMS does not record grades for this activity." in text
    assert "No course" in text
    assert "<form" not in text
    assert demo.sandbox.api_log.count("/api/memberships") == 0
    # No grades in this course, although its LMS has them elsewhere.
    assert "does not record grades" in launched(demo, activity="concert").text


def test_a_teacher_gives_a_score_to_a_learner(demo: Demo) -> None:
    tab = launched(demo, activity="quiz-1", user="ada")
    tab.go("POST", "/score", learner="ben", score="82.5", comment="Well done")
    assert tab.page.history[0].status_code == 303
    assert "Saved. The score is in the gradebook." in tab.text
    # 82.5 of 100, in a column of 10 points.
    assert "8.25 / 10" in tab.text
    score = demo.sandbox.scores("quiz-1")["ben"]
    assert (score["scoreGiven"], score["comment"]) == (82.5, "Well done")
    assert score["gradingProgress"] == "FullyGraded"


def test_a_learner_scores_nobody_else_and_sees_no_one_elses(demo: Demo) -> None:
    teacher = launched(demo, activity="quiz-1", user="ada")
    teacher.go("POST", "/score", learner="chen", score="31.5")
    tab = launched(demo, activity="quiz-1", user="ben")
    assert "Not submitted yet." in tab.text
    tab.go("POST", "/score", learner="chen", score="90")
    scores = demo.sandbox.scores("quiz-1")
    assert scores["ben"]["scoreGiven"] == 90
    assert scores["chen"]["scoreGiven"] == 31.5
    assert "9 / 10" in tab.text
    assert "3.15" not in tab.text


def test_a_teacher_of_an_lms_without_roster_may_only_score_themselves(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    biology = world_file.default_world().courses[0]
    course = replace(biology, platform=replace(biology.platform, roster=False))
    monkeypatch.setattr(
        "ltiaas_middleware.sandbox.app.default_world", lambda: world.World((course,))
    )
    with serve_demo(0, 0) as demo:
        tab = launched(demo)
        assert "Without a roster, the score is your own." in tab.text
        # A teacher is no student: the LMS takes no score.
        assert tab.go("POST", "/score", score="50").status_code == 502


@pytest.mark.parametrize("score", ["", "no", "-1", "100.1", "nan", "inf"])
def test_a_score_that_is_none_is_refused_and_stays_in_the_form(demo: Demo, score: str) -> None:
    tab = launched(demo, activity="quiz-1", user="ada")
    tab.go("POST", "/score", learner="chen", score=score, comment="kept")
    assert tab.page.status_code == 400
    assert 'role="alert">The score must be a number from 0 to 100.' in tab.text
    assert 'value="kept"' in tab.text
    assert '<option value="chen" selected>' in tab.text
    assert demo.sandbox.scores("quiz-1") == {}


def test_a_score_for_an_activity_without_grades_is_refused(demo: Demo) -> None:
    tab = launched(demo, activity="sketchbook")
    assert tab.go("POST", "/score", score="5").status_code == 409
    assert "The LMS does not record grades for this activity." in tab.text


def test_a_user_whom_the_lms_does_not_know_is_refused_in_its_words(demo: Demo) -> None:
    tab = launched(demo, activity="quiz-1", user="ada")
    assert tab.go("POST", "/score", learner="nobody", score="5").status_code == 502
    assert "Not saved. " in tab.text
    assert "LMS responded with 400" in tab.text


def test_what_an_lms_sends_is_escaped(monkeypatch: pytest.MonkeyPatch) -> None:
    evil = '"><script>alert(1)</script>'
    made = world_file.default_world()
    biology = made.courses[0]
    quiz = replace(biology.activities[0], title=evil)
    ada = replace(biology.members[0], given_name=evil, roles=(*biology.members[0].roles, evil))
    ben = replace(biology.members[1], id=evil, family_name=evil)
    course = replace(biology, title=evil, label=evil, activities=(quiz,), members=(ada, ben))
    monkeypatch.setattr(
        "ltiaas_middleware.sandbox.app.default_world", lambda: world.World((course,))
    )
    with serve_demo(0, 0) as demo:
        tab = launched(demo)
        assert "<script>" not in tab.text
        tab.go("POST", "/score", learner=evil, score=evil, comment=evil)
        assert "<script>" not in tab.text
        assert tab.text.count("&lt;script&gt;") > 8


@pytest.mark.parametrize("fault", ["reset", "status", "rate_limit", "refuse", "not_json", "delay"])
def test_a_failing_service_leaves_the_rest_of_the_page(
    demo: Demo, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tool, "_LIMITS", replace(tool._LIMITS, read_timeout=2))
    options = {"seconds": 30} if fault == "delay" else {}
    demo.sandbox.faults.switch_on({"name": fault, "endpoint": "/api/memberships", **options})
    tab = launched(demo, activity="quiz-1", user="ada")
    assert '<p class="notice bad">Not available right now. LTIAAS: ' in tab.text
    assert "Ada Moreau" in tab.text
    # The form is there all the same.
    assert "Save score" in tab.text


def test_content_is_chosen_without_script(demo: Demo) -> None:
    tab = launched(demo, course="biology", deep_linking=True)
    assert "Choose content" in tab.text
    assert tab.go("POST", "/content", item="nothing").status_code == 400
    assert "Choose one of these." in tab.text
    tab.go("POST", "/content", item="exam")
    assert "Practice exam" in tab.text
    form = re.search(
        r'action="([^"]+)">\s*<input type="hidden" name="JWT" value="([^"]+)"', tab.text
    )
    assert form is not None
    requests.post(form[1], data={"JWT": form[2]}, timeout=10).raise_for_status()
    assert [item["title"] for item in demo.sandbox.content_items("biology")] == ["Practice exam"]


def test_content_that_ltiaas_does_not_sign_is_said_to_be_none(demo: Demo) -> None:
    tab = launched(demo, course="biology", deep_linking=True)
    demo.sandbox.fault("status", status=503, endpoint="/api/deeplinking")
    assert tab.go("POST", "/content", item="exam").status_code == 502
    assert "503" in tab.text


def test_without_a_launch_there_is_a_way_to_one(demo: Demo) -> None:
    home = requests.get(f"{demo.tool_url}/", timeout=10)
    assert f'href="{demo.server.url}/"' in home.text
    page = requests.get(f"{demo.tool_url}/launch", headers={"Accept": "text/html"}, timeout=10)
    assert page.status_code == 401
    assert "Open this from your course" in page.text


def test_addresses_that_there_are_not_are_answered_as_such(demo: Demo) -> None:
    page = requests.get(f"{demo.tool_url}/nowhere", timeout=10)
    assert page.status_code == 404
    assert 'role="alert"' in page.text
