"""What every tool writes: columns found or created, many scores, content items with a column."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from ltiaas_middleware import (
    ApiKeyRejected,
    ContentItem,
    Iframe,
    Image,
    InvalidRequest,
    InvalidResponse,
    ItemColumn,
    LaunchExpired,
    LineItem,
    NewLineItem,
    Period,
    Score,
    Window,
)
from tests.account import Account, Caller

NOON = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)
QUIZ = {"id": "https://lms.example/1", "label": "Quiz", "scoreMaximum": 10, "tag": "quiz"}


def posts(account: Account) -> list[Any]:
    return [entry.body for entry in account.sandbox.api_log if entry.method == "POST"]


def test_a_column_is_created_once_and_found_afterwards(api: Caller) -> None:
    made = api("column", tag="quiz", label="Quiz", score_maximum=10)
    assert (made.tag, made.label, made.score_maximum) == ("quiz", "Quiz", 10)
    assert api("column", tag="quiz", label="Renamed", score_maximum=20) == made
    assert posts(api.account) == [{"tag": "quiz", "label": "Quiz", "scoreMaximum": 10}]
    with pytest.raises(InvalidRequest):
        api("column", tag="other", label="", score_maximum=10)


def test_a_column_is_looked_for_on_every_page_and_among_what_the_filter_let_through(
    api: Caller, world: Any
) -> None:
    page = {"lineItems": [{**QUIZ, "tag": "other"}], "next": "https://lms.example/2"}
    world("GET /api/lineitems", page)
    second = "/api/lineitems?url=https%3A%2F%2Flms.example%2F2"
    rows = [{**QUIZ, "label": "Old"}, {**QUIZ, "id": "https://lms.example/2"}]
    world(second, {"lineItems": rows})
    found = api("column", tag="quiz", label="Quiz", score_maximum=10, with_=world.credential)
    assert found.id == "https://lms.example/2"
    assert [(method, path) for method, path, _ in world.asked] == [
        ("GET", "/api/lineitems?tag=quiz"), ("GET", second),
    ]  # fmt: skip


@pytest.mark.parametrize("document", [None, {}, {"id": ""}])
def test_a_column_whose_id_is_not_given_is_read_again(
    api: Caller, world: Any, document: Any
) -> None:
    world("POST /api/lineitems", document, status=201)
    world("GET /api/lineitems", {"lineItems": [QUIZ, {**QUIZ, "id": "2", "label": "Another"}]})
    new = NewLineItem(label="Quiz", score_maximum=10, tag="quiz")
    assert api("create_line_item", new, with_=world.credential) == LineItem.parse(QUIZ)
    # A job that repeats what is temporary would create a second.
    world("GET /api/lineitems", {"lineItems": []})
    with pytest.raises(InvalidResponse, match="look for it") as caught:
        api("create_line_item", new, with_=world.credential)
    assert not caught.value.temporary
    assert (caught.value.method, caught.value.path) == ("POST", "/api/lineitems")


@pytest.mark.parametrize("name", ["create_line_item", "line_item"])
def test_what_was_taken_is_not_called_temporary(api: Caller, world: Any, name: str) -> None:
    world("/api/lineitems", [[[[]]]])
    world("/api/lineitems/1", {"id": "1"})
    args = (NewLineItem(label="x", score_maximum=1),) if name == "create_line_item" else ("1",)
    world("POST /api/lineitems", "<html>")
    with pytest.raises(InvalidResponse) as caught:
        api(name, *args, with_=world.credential)
    assert caught.value.temporary is (name == "line_item" or caught.value.method == "GET")


def scores(*users: str) -> list[Score]:
    return [Score(user_id=user, score_given=1, score_maximum=2) for user in users]


def test_one_score_that_fails_stops_no_other(api: Caller) -> None:
    outcomes = api("submit_scores", api.account.line_item(), scores("ben", "nobody", "chen"))
    assert [outcome.score.user_id for outcome in outcomes] == ["ben", "nobody", "chen"]
    assert [outcome.error is None for outcome in outcomes] == [True, False, True]
    assert outcomes[1].error.status == 400
    held = api.account.sandbox.scores(activity="quiz-1")
    assert {"ben", "chen"} <= held.keys()


@pytest.mark.parametrize(
    ("description", "kind"),
    [("Invalid or expired ltik.", LaunchExpired), ("Invalid API key", ApiKeyRejected)],
)
def test_what_no_score_can_get_past_is_asked_once(
    api: Caller, world: Any, description: str, kind: type[Exception]
) -> None:
    code = "INVALID_LTIK_AUTH_AUTHORIZATION_HEADER"
    document = {"details": {"message": code, "description": description}}
    world("/api/lineitems/1/scores", document, status=401)
    outcomes = api("submit_scores", "1", scores("a", "b", "c"), with_=world.credential)
    assert [type(outcome.error) for outcome in outcomes] == [kind] * 3
    assert len(world.asked) == 1


def test_a_score_says_when_the_work_was_done() -> None:
    body = Score(
        user_id="ben", started_at=NOON, submitted_at=NOON + timedelta(hours=1), timestamp=NOON
    ).body()
    assert body["submission"] == {
        "startedAt": "2026-03-01T12:00:00.000Z", "submittedAt": "2026-03-01T13:00:00.000Z",
    }  # fmt: skip
    assert "submission" not in Score(user_id="ben").body()
    for wrong in ({"started_at": NOON, "submitted_at": NOON - timedelta(1)},
                  {"submitted_at": datetime(2026, 1, 1)}):  # fmt: skip
        with pytest.raises(InvalidRequest):
            Score(user_id="ben", **wrong)


class Int64(int):
    """As numpy's: a number, and no ``int`` to JSON's encoder of its own."""


@pytest.mark.parametrize(
    ("value", "sent"), [(Decimal("8.50"), 8.5), (Fraction(1, 4), 0.25), (Int64(7), 7), (0, 0)]
)
def test_every_number_is_one(value: Any, sent: float) -> None:
    body = Score(user_id="ben", score_given=value, score_maximum=Decimal(10)).body()
    assert (body["scoreGiven"], body["scoreMaximum"]) == (sent, 10)
    assert type(body["scoreGiven"]) in (int, float)


@pytest.mark.parametrize(
    "value", [Decimal("NaN"), Decimal("-1"), Fraction(10**400), complex(1), "1", True]
)
def test_what_is_no_number_is_refused(value: Any) -> None:
    with pytest.raises(InvalidRequest, match="from 0"):
        Score(user_id="ben", score_given=value, score_maximum=10)


def test_pages_that_do_not_end_are_given_up(api: Caller, world: Any) -> None:
    world("/api/memberships", {"members": [], "next": "https://lms.example/1"})
    for number in range(1, 30):
        page = {"members": [], "next": f"https://lms.example/{number + 1}"}
        world(f"/api/memberships?url=https%3A%2F%2Flms.example%2F{number}", page)
    with pytest.raises(InvalidResponse, match="do not end"):
        api("members", with_=world.credential)
    assert len(world.asked) == 10


def test_empty_pages_among_others_are_passed_over(api: Caller, world: Any) -> None:
    world("/api/memberships", {"members": [], "next": "https://lms.example/1"})
    for number in range(1, 30):
        rows = [{"userId": number}] if number % 9 == 0 else []
        page = {"members": rows, "next": f"https://lms.example/{number + 1}"}
        world(f"/api/memberships?url=https%3A%2F%2Flms.example%2F{number}", page)
    world("/api/memberships?url=https%3A%2F%2Flms.example%2F30", {"members": [{"userId": 30}]})
    assert [m.user_id for m in api("members", with_=world.credential)] == ["9", "18", "27", "30"]


def test_a_content_item_has_all_that_the_lms_takes() -> None:
    item = ContentItem(
        title="Quiz",
        line_item=ItemColumn(score_maximum=10, label="Quiz", tag="q", grades_released=False),
        available=Period(start=NOON),
        submission=Period(start=NOON, end=NOON + timedelta(hours=1)),
        expires_at=NOON,
        icon=Image(url="https://tool.example/i.png", width=16, height=16),
        thumbnail=Image(url="https://tool.example/t.png"),
        window=Window(target_name="quiz", width=800, window_features="noopener"),
        iframe=Iframe(width=400, height=300),
        custom={},
        extra={"https://lms.example/x": 1},
    )
    at = "2026-03-01T12:00:00.000Z"
    assert item.body() == {
        "type": "ltiResourceLink",
        "title": "Quiz",
        "lineItem": {"scoreMaximum": 10, "label": "Quiz", "tag": "q", "gradesReleased": False},
        "available": {"startDateTime": at},
        "submission": {"startDateTime": at, "endDateTime": "2026-03-01T13:00:00.000Z"},
        "expiresAt": at,
        "icon": {"url": "https://tool.example/i.png", "width": 16, "height": 16},
        "thumbnail": {"url": "https://tool.example/t.png"},
        "window": {"targetName": "quiz", "width": 800, "windowFeatures": "noopener"},
        "iframe": {"width": 400, "height": 300},
        "custom": {},
        "https://lms.example/x": 1,
    }
    for wrong in (
        {"line_item": ItemColumn(score_maximum=0)},
        {"available": Period(start=datetime(2026, 1, 1))},
        {"line_item": ItemColumn(score_maximum=1), "extra": {"lineItem": {}}},
    ):
        with pytest.raises(InvalidRequest):
            ContentItem(**wrong).body()
