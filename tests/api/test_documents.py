"""What goes over the wire and what is made of it: unknown fields, dates, numbers, refusals."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, replace
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from ltiaas_middleware import LineItem, NewLineItem, Result, Score
from ltiaas_middleware.api.content_items import ContentItem, DeepLinkingMessage
from ltiaas_middleware.api.registrations import (
    AuthConfig,
    PlatformDetails,
    PlatformRegistration,
    Registration,
)
from ltiaas_middleware.api.roster import Member
from ltiaas_middleware.api.values import moment, number
from ltiaas_middleware.errors import InvalidRequest, UpstreamError
from tests.account import Caller

NOON = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)


def test_a_line_item_that_is_read_changed_and_sent_loses_nothing(api: Caller) -> None:
    made = api(
        "create_line_item",
        NewLineItem(
            label="Essay",
            score_maximum=12.5,
            tag="final",
            start_date_time=datetime(2026, 3, 1, 13, 30, tzinfo=timezone(timedelta(hours=1))),
            end_date_time=NOON + timedelta(days=7),
            grades_released=False,
            extra={"https://lms.example/hidden": {"from": "guests"}, "submissionReview": {"a": 1}},
        ),
    )
    read = api("line_item", made.id)
    assert read == made
    assert read.start_date_time == datetime(2026, 3, 1, 12, 30, tzinfo=timezone.utc)
    assert (read.score_maximum, read.grades_released) == (12.5, False)
    api("update_line_item", replace(read, label="Long essay"))
    sent = api.account.sandbox.api_log[-1].body
    assert sent == {
        "label": "Long essay",
        "scoreMaximum": 12.5,
        "tag": "final",
        "startDateTime": "2026-03-01T12:30:00.000Z",
        "endDateTime": "2026-03-08T12:00:00.000Z",
        "gradesReleased": False,
        "https://lms.example/hidden": {"from": "guests"},
        "submissionReview": {"a": 1},
    }
    assert api("line_item", made.id) == replace(read, label="Long essay")


def test_a_known_field_that_cannot_be_read_survives_an_update() -> None:
    raw = {"id": "1", "scoreMaximum": "10", "startDateTime": "soon", "gradesReleased": 7, "new": 1}
    item = LineItem.parse(raw)
    assert (item.start_date_time, item.grades_released, item.label) == (None, None, "")
    assert replace(item, label="x").body() == {
        "label": "x", "scoreMaximum": 10.0, "startDateTime": "soon", "gradesReleased": 7, "new": 1,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"label": ""}, "label"),
        ({"score_maximum": 0}, "above 0"),
        ({"score_maximum": float("inf")}, "above 0"),
        ({"start_date_time": datetime(2026, 1, 1)}, "time zone"),
        ({"end_date_time": "2026-01-01T00:00:00Z"}, "time zone"),
        (
            {"end_date_time": datetime.min.replace(tzinfo=timezone(timedelta(hours=1)))},
            "out of range",
        ),
        ({"extra": {"label": "another"}}, "extra cannot contain label"),
    ],
)
def test_a_line_item_that_cannot_be_sent_is_refused(
    api: Caller, changes: dict[str, Any], why: str
) -> None:
    item = replace(LineItem(id="1", label="x", score_maximum=1), **changes)
    for name in ("create_line_item", "update_line_item"):
        with pytest.raises(InvalidRequest, match=why):
            api(name, item)
    assert api.account.sandbox.api_log.count() == 0


def test_a_score_is_sent_with_what_the_tool_adds(api: Caller) -> None:
    column = api.account.line_item()
    extension = {"https://canvas.instructure.com/lti/submission": {"new_submission": True}}
    score = Score(
        user_id="ben",
        score_given=1,
        score_maximum=5,
        activity_progress="Submitted",
        grading_progress="FullyGraded",
        timestamp=datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=timezone.utc),
        comment="Not yet",
        extra=extension,
    )
    api("submit_score", column, score)
    assert api.account.sandbox.api_log[-1].body == {
        "userId": "ben",
        "scoreGiven": 1,
        "scoreMaximum": 5,
        "activityProgress": "Submitted",
        "gradingProgress": "FullyGraded",
        "timestamp": "2026-03-01T12:00:00.123Z",
        "comment": "Not yet",
        **extension,
    }
    (result,) = api("scores", column, user_id="ben")
    assert (result.user_id, result.score, result.maximum, result.comment) == (
        "ben",
        2,
        10,
        "Not yet",
    )
    assert result.line_item_id == column
    assert result.raw["scoreOf"] == column


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"score_given": 1}, "score_given requires score_maximum"),
        ({"score_given": -1, "score_maximum": 1}, "from 0"),
        ({"score_given": float("nan"), "score_maximum": 1}, "from 0"),
        ({"score_given": True, "score_maximum": 1}, "from 0"),
        ({"score_given": "1", "score_maximum": 1}, "from 0"),
        ({"score_given": 0, "score_maximum": 0}, "above 0"),
        ({"activity_progress": "Begun"}, "Initialized"),
        ({"grading_progress": "Graded"}, "FullyGraded"),
        ({"timestamp": datetime(2026, 1, 1)}, "time zone"),
        ({"user_id": ""}, "user_id"),
        ({"user_id": 7}, "user_id"),
        ({"extra": {"userId": "another"}}, "extra cannot contain userId"),
    ],
)
def test_a_score_that_breaks_a_rule_is_refused_where_it_is_made(
    fields: dict[str, Any], why: str
) -> None:
    with pytest.raises(InvalidRequest, match=why):
        Score(**{"user_id": "ben", **fields})


def test_a_score_may_tell_of_progress_alone() -> None:
    body = Score(user_id="ben", activity_progress="Started", grading_progress="NotReady").body()
    assert body == {"userId": "ben", "activityProgress": "Started", "gradingProgress": "NotReady"}


@pytest.mark.parametrize(
    ("raw", "share"),
    [
        ({"resultScore": 5, "resultMaximum": 20}, 0.25),
        ({"resultScore": "0.5"}, 0.5),
        ({"resultScore": 3, "resultMaximum": 0}, 3),
        ({"resultScore": None, "resultMaximum": 20}, None),
        ({"resultScore": "A+"}, None),
    ],
)
def test_a_results_share_is_of_its_maximum_or_of_1(raw: dict[str, Any], share: Any) -> None:
    assert Result.parse({"userId": 7, **raw}).share == share
    assert Result.parse({"userId": 7, **raw}).user_id == "7"


def test_a_member_is_read_and_what_is_new_is_kept(api: Caller) -> None:
    members = {member.user_id: member for member in api("members")}
    ben = members["ben"]
    assert (ben.name, ben.given_name, ben.family_name) == ("Ben Carter", "Ben", "Carter")
    assert (ben.status, ben.email) == ("Active", "ben@students.example")
    assert (ben.lis_person_sourced_id, ben.raw["lisPersonSourcedId"]) == ("sis:ben", "sis:ben")
    assert ben.has_role("Learner")
    assert not ben.has_role("Instructor")
    assert members["chen"].has_role("http://purl.imsglobal.org/vocab/lis/v2/membership#Learner")
    anonymous = members["f3b1c9d2-77aa"]
    assert (anonymous.name, anonymous.email, anonymous.given_name) == (None, None, None)
    assert "Ben Carter" not in repr(ben)
    with pytest.raises(FrozenInstanceError):
        ben.name = "someone else"  # type: ignore[misc]


@pytest.mark.parametrize(
    "parse",
    [Member.parse, LineItem.parse, Result.parse, PlatformRegistration.parse, Registration.parse,
     DeepLinkingMessage.parse],
)  # fmt: skip
@pytest.mark.parametrize("raw", [None, [], "text", 7])
def test_what_is_no_document_is_a_value_error(parse: Any, raw: Any) -> None:
    with pytest.raises(ValueError, match=r"has no|is no"):
        parse(raw)


def test_deep_linking_hands_back_what_was_picked(api: Caller) -> None:
    launch = api.account.launch(deep_linking=True)
    items = [
        ContentItem(
            url=f"{api.account.url}/lti/launch?resource=1",
            title="One",
            text="The first",
            custom={"resource": "1"},
            extra={"lineItem": {"scoreMaximum": 5}},
        ),
        {"type": "link", "url": "https://tool.example/", "https://lms.example/open": "new"},
    ]
    form = api("deep_linking_form", items, with_=launch, message="Two", log="two items")
    assert form.startswith("<form")
    sent = api.account.sandbox.api_log[-1].body
    assert sent["contentItems"][0]["lineItem"] == {"scoreMaximum": 5}
    assert sent["contentItems"][1] == items[1]
    assert sent["options"] == {"message": "Two", "log": "two items"}
    message = api("deep_linking_message", [], with_=launch, error_message="No", error_log="why")
    assert message.target.endswith("/lms/deep-linking/return")
    assert message.message not in repr(message)
    sent = api.account.sandbox.api_log[-1].body
    assert sent == {"contentItems": [], "options": {"errMessage": "No", "errLog": "why"}}


@pytest.mark.parametrize(
    ("items", "options"),
    [
        ([ContentItem(type="")], {}),
        ([{"url": "https://tool.example/"}], {}),
        ([ContentItem(extra={"type": "link"})], {}),
        ([], {"message": "done", "error_log": "failed"}),
    ],
)
def test_content_that_cannot_be_is_refused(
    api: Caller, items: list[Any], options: dict[str, str]
) -> None:
    for name in ("deep_linking_form", "deep_linking_message"):
        with pytest.raises(InvalidRequest):
            api(name, items, **options)
    assert api.account.sandbox.api_log.count() == 0


def test_registrations_and_platforms_are_read_with_all_that_is_in_them(api: Caller) -> None:
    account = api.account.api_key()
    pending = "5d0f6a1e7c9b4b0e"
    assert api("registration", pending, with_=account).raw
    api("complete_registration", pending, auto_activate=True, with_=account)
    assert api.account.sandbox.api_log[-1].body == {"autoActivate": True}
    platform = next(p for p in api("platforms", with_=account) if "northfield" in (p.url or ""))
    assert (platform.name, platform.active) == ("Northfield University", True)
    assert platform.client_id == platform.raw["clientId"]
    api("deactivate_platform", platform.id, with_=account)
    assert api("platform", platform.id, with_=account).active is False
    api("activate_platform", platform.id, with_=account)
    assert api("update_platform", platform.id, PlatformDetails(name="N"), with_=account).name == "N"
    details = PlatformDetails(
        url="https://n.example",
        name="n",
        client_id="c",
        authentication_endpoint="https://n.example/auth",
        accesstoken_endpoint="https://n.example/token",
        auth_config=AuthConfig("JWK_SET", "https://n.example/jwks"),
    )
    made = api("create_platform", details, with_=account)
    for incomplete in ({"url": "https://n.example"}, {"client_id": "c"}):
        with pytest.raises(InvalidRequest, match="client_id"):
            api("create_platform", PlatformDetails(**incomplete), with_=account)
    api("delete_platform", made.id, with_=account)
    assert made.id not in {one.id for one in api("platforms", with_=account)}


def test_answers_of_another_shape_are_upstream_errors(api: Caller, world: Any) -> None:
    world("/api/platforms", [{"id": 1, "active": 2}])
    (platform,) = api("platforms", with_=world.account)
    assert (platform.id, platform.active) == ("1", None)
    world("/api/platforms", {"platforms": None})
    with pytest.raises(UpstreamError, match="no platforms"):
        api("platforms", with_=world.account)
    world("/api/idtoken", [1])
    with pytest.raises(UpstreamError, match="not a JSON object"):
        api("raw_id_token", with_=world.credential)
    world("/api/deeplinking/form", {"form": None})
    with pytest.raises(UpstreamError, match="no form"):
        api("deep_linking_form", [], with_=world.credential)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-03-01T12:00:00Z", NOON),
        ("2026-03-01T12:00:00", NOON),
        ("2026-03-01t13:00+01:00", NOON),
        ("2026-03-01 13:00:00.0+0100", NOON),
        ("2026-03-01T13:00:00+01", NOON),
        ("2026-03-01T11:59:59.9999999z", NOON - timedelta(microseconds=1)),
        ("2026-03-01T12:00:00,5Z", NOON + timedelta(milliseconds=500)),
        ("2026-03-01T07:00:00-05:00", NOON),
        ("2026-02-30T12:00:00Z", None),
        ("2026-03-01", None),
        ("tomorrow", None),
        (1772366400, None),
        (None, None),
    ],
)
def test_dates_are_read_as_lmses_write_them_and_are_aware(text: Any, expected: Any) -> None:
    read = moment(text)
    assert read == expected
    assert read is None or read.utcoffset() is not None


@pytest.mark.parametrize(
    ("value", "expected"),
    [(1, 1), (1.5, 1.5), ("1.5", 1.5), (True, None), ("x", None), (None, None),
     (float("nan"), None), ("1e999", None), (10**400, None), ([], None)],
)  # fmt: skip
def test_numbers_may_come_as_text(value: Any, expected: Any) -> None:
    assert number(value) == expected
