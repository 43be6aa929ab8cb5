"""The tool's own tests, with ``ltiaas_client`` and without HTTP."""

from __future__ import annotations

import asyncio
from pathlib import Path
from unittest.mock import AsyncMock

import pytest

from ltiaas_middleware import ScoreOutcome, testing
from ltiaas_middleware.sandbox import World

from .app import Answers as Given
from .app import answer, app, grade, storage

ALL_RIGHT = {"Where is DNA?": "Nucleus", "What makes ATP?": "mitochondria "}


@pytest.fixture
def ltiaas_sandbox():
    with testing.sandbox(World.from_toml(Path(__file__).with_name("school.toml"))) as running:
        yield running


@pytest.fixture
def client(ltiaas_client):
    storage.clear()
    return ltiaas_client(app)


def answers(client, user, given=ALL_RIGHT, deck="cells", **seat):
    page = client.launch("/launch", user=user, **seat)
    assert page.status_code == 200, page.text
    return client.post(f"/api/decks/{deck}/answers", json={"answers": given})


def test_a_student_answers_and_only_the_best_result_counts(client):
    assert answers(client, "ben").json == {"right": 2, "of": 2}
    assert answers(client, "ben", {"Where is DNA?": "?"}).json == {"right": 0, "of": 2}
    client.launch("/launch", user="ada")
    found = {one["user"]: one for one in client.get("/api/decks/cells/results").json}
    assert found["ben"] == {"user": "ben", "name": "Ben Carter", "right": 2}
    assert found["chen"]["right"] is None
    assert "ada" not in found
    assert "mia" not in found


def test_a_body_that_is_none_is_refused(client):
    client.launch("/launch", user="ben")
    assert client.post("/api/decks/cells/answers", json={"answers": 1}).status_code == 422
    assert client.post("/api/decks/cells/answers", data={"a": "b"}).status_code == 422


@pytest.mark.parametrize("user", ["ada", "tess"])
def test_all_grades_are_sent_at_once(client, user):
    answers(client, "ben")
    answers(client, "chen", {"Where is DNA?": "nucleus"})
    client.launch("/launch", user=user)
    assert client.post("/api/decks/cells/grades", json={}).json == {"sent": 2, "refused": {}}
    scores = client.sandbox.scores()
    given = {name: (one["scoreGiven"], one["scoreMaximum"]) for name, one in scores.items()}
    assert given == {"ben": (2, 2), "chen": (1, 2)}


def test_one_score_that_is_refused_stops_no_other(client):
    for user in ("ben", "chen", "dora"):
        answers(client, user)
    client.sandbox.withdraw("chen")
    client.launch("/launch", user="ada")
    done = client.post("/api/decks/cells/grades", json={}).json
    assert done["sent"] == 2
    assert list(done["refused"]) == ["chen"]
    assert done["refused"]["chen"]
    assert set(client.sandbox.scores()) == {"ben", "dora"}


def test_an_activity_without_a_column_gets_one(client):
    answers(client, "ben", activity="practice")
    for _ in range(2):
        client.launch("/launch", user="ada", activity="practice")
        assert client.post("/api/decks/cells/grades", json={}).json["sent"] == 1
    (score,) = client.sandbox.scores(tag="flashcards-cells").values()
    assert score["submissions"] == 2


def test_what_the_lms_says_is_shown(client):
    client.launch("/launch", user="ada")
    client.sandbox.fault("access_refused", endpoint="/api/memberships")
    refused = client.get("/api/decks/cells/results")
    assert refused.status_code == 502
    assert refused.json["problem"] != "Your LMS did not take this."


def test_an_outage_is_told_as_one(client):
    client.launch("/launch", user="ada")
    client.sandbox.fault("status", status=500, endpoint="/api/memberships")
    assert client.get("/api/decks/cells/results").status_code == 503


@pytest.mark.parametrize(
    ("user", "method", "path"),
    [("ben", "GET", "results"), ("mia", "POST", "grades"), ("ada", "POST", "answers")],
)
def test_the_api_asks_for_roles(client, user, method, path):
    client.launch("/deep-linking", user=user)
    body = {"answers": {}}
    refused = client.open(f"/api/decks/cells/{path}", method=method, json=body)
    assert (refused.status_code, refused.headers["LTIAAS-Error"]) == (403, "role_required")


def test_administrators_see_counts_alone(client):
    answers(client, "ben")
    page = client.launch("/launch", user="adam")
    assert "biology: 1" in page.text
    assert client.get("/api/decks/cells/results").status_code == 403


def test_a_deck_that_does_not_exist(client):
    assert client.launch("/launch?deck=rocks", user="ben").status_code == 404


class TestDeepLinking:
    def pick(self, client, **form):
        client.launch("/deep-linking", user="ada", deep_linking=True)
        return client.post("/deep-linking", data={"deck": ["plants"], **form})

    def test_what_was_picked_is_launched_with_its_own_column(self, client):
        page = self.pick(client, level="hard", due="2027-03-01")
        (link,) = client.sandbox.add_content(page.text)
        (item,) = client.sandbox.content_items("biology")
        assert item["submission"] == {"endDateTime": "2027-03-01T23:59:00.000Z"}
        shown = client.launch("/launch", user="ben", activity=link)
        assert "Plants (hard)" in shown.text
        given = {"What gas do leaves take in?": "carbon dioxide"}
        done = client.post("/api/decks/plants/answers", json={"answers": given})
        assert done.json == {"right": 1, "of": 1}
        client.launch("/launch", user="ada", activity=link)
        client.post("/api/decks/plants/grades", json={})
        assert client.sandbox.scores(link)["ben"]["scoreGiven"] == 1
        assert client.sandbox.scores("quiz-1") == {}

    def test_two_decks_are_two_activities(self, client):
        page = self.pick(client, deck=["plants", "cells", "rocks"])
        assert len(client.sandbox.add_content(page.text)) == 2

    def test_students_pick_nothing(self, client):
        client.launch("/deep-linking", user="ben", deep_linking=True)
        assert client.post("/deep-linking", data={"deck": "cells"}).status_code == 403

    def test_a_resource_launch_picks_nothing(self, client):
        assert client.launch("/deep-linking", user="ada").status_code == 409

    def test_a_page_without_a_form_adds_nothing(self, client):
        with pytest.raises(ValueError, match="no deep-linking form"):
            client.sandbox.add_content("<form></form>")


class TestWithoutHttp:
    def test_an_answer(self):
        storage.clear()
        with testing.launch(user="ben") as launch:
            given = Given(answers=ALL_RIGHT)
            assert asyncio.run(answer("cells", given, launch)) == {"right": 2, "of": 2}

    def test_a_refusal(self):
        storage.clear()
        with testing.launch(user="ben") as ben:
            asyncio.run(answer("cells", Given(answers=ALL_RIGHT), ben))
        with testing.launch(user="ada", roles=["Instructor"]) as launch:
            api = launch.async_api

            async def refuse(column, scores):
                return tuple(ScoreOutcome(one, RuntimeError("attempts used up")) for one in scores)

            api.submit_scores = AsyncMock(side_effect=refuse)
            done = asyncio.run(grade("cells", launch))
        assert done == {"sent": 0, "refused": {"ben": "attempts used up"}}
