"""Memberships, line items and scores: paging, filters, encoding, validation."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from urllib.parse import quote

import httpx
import pytest
import requests

from ltiaas_middleware.sandbox import Sandbox, SandboxServer, World
from ltiaas_middleware.sandbox.world import User
from ltiaas_middleware.sandbox.world_file import default_world

from .conftest import SCORE, START, Caller, Clock, refused

MEMBERSHIP = "http://purl.imsglobal.org/vocab/lis/v2/membership#"


def pages(caller: Caller, path: str, query: str = "") -> list[dict[str, Any]]:
    """Every page, by following `next` as wire.md says."""
    answer = caller.get(f"{path}{query}")
    found = [answer.json()]
    while "next" in found[-1]:
        answer = caller.get(path, params={"url": found[-1]["next"]})
        assert answer.status_code == 200, answer.text
        found.append(answer.json())
        assert len(found) < 100
    return found


def everyone(caller: Caller, query: str = "") -> list[str]:
    return [
        member["userId"]
        for page in pages(caller, "/api/memberships", query)
        for member in page["members"]
    ]


# Memberships


def test_a_roster_has_its_id_its_context_and_members(teacher: Caller) -> None:
    roster = teacher.get("/api/memberships").json()
    assert roster["id"].startswith("https://moodle.northfield.example/")
    assert roster["context"] == {
        "id": "biology",
        "label": "BIO-101",
        "title": "Introduction to Biology",
    }
    ada = roster["members"][0]
    assert ada["userId"] == "ada"
    assert ada["status"] == "Active"
    assert ada["roles"]
    assert ada["email"] == "ada@students.example"
    assert "id" not in ada


def test_a_roster_withholds_what_the_lms_withholds(teacher: Caller) -> None:
    members = teacher.get("/api/memberships?limit=100").json()["members"]
    anonymous = next(member for member in members if member["userId"] == "f3b1c9d2-77aa")
    assert not {"name", "givenName", "familyName", "email"} & set(anonymous)
    assert {member["status"] for member in members} == {"Active", "Inactive"}


def test_a_member_is_active_inactive_deleted_or_says_nothing(call: Caller) -> None:
    members = call.launched(course="history").get("/api/memberships?limit=100").json()["members"]
    of = {member["userId"]: member.get("status", "nothing") for member in members}
    assert (of["noor"], of["dele"], of["sol"]) == ("Active", "Deleted", "nothing")


@pytest.mark.parametrize("limit", [None, 1, 2, 3, 7, 10, 32, 33, 34, 100, 1000])
def test_following_next_meets_everyone_once(
    teacher: Caller, sandbox: Sandbox, limit: int | None
) -> None:
    expected = [user.id for user in sandbox.world.courses[0].members]
    assert len(expected) > 25
    assert everyone(teacher, "" if limit is None else f"?limit={limit}") == expected


def test_a_tool_that_never_asks_for_the_next_page_misses_people(teacher: Caller) -> None:
    first = teacher.get("/api/memberships").json()
    assert len(first["members"]) == 20
    assert first["next"].startswith("https://moodle.northfield.example/")
    assert "url" not in first["next"]


def test_a_page_links_first_last_and_previous(teacher: Caller) -> None:
    found = pages(teacher, "/api/memberships", "?limit=10")
    assert [len(page["members"]) for page in found] == [10, 10, 10, 3]
    assert "prev" not in found[0]
    assert "next" not in found[-1]

    def at(url: str) -> Any:
        return teacher.get("/api/memberships", params={"url": url}).json()["members"]

    assert at(found[2]["prev"]) == found[1]["members"]
    assert at(found[3]["first"]) == found[0]["members"]
    assert at(found[0]["last"]) == found[3]["members"]


@pytest.mark.parametrize("role", ["Learner", f"{MEMBERSHIP}Learner"])
def test_the_role_filter_takes_a_uri_or_a_bare_name_and_keeps_over_pages(
    teacher: Caller, sandbox: Sandbox, role: str
) -> None:
    found = everyone(teacher, f"?limit=9&role={quote(role, safe='')}")
    assert len(found) == len(set(found)) == 28
    assert "ben" in found  # his role is a bare name
    assert not {"ada", "mia", "gil"} & set(found)


def test_the_resource_link_filter_takes_links_of_the_course_only(teacher: Caller) -> None:
    assert len(everyone(teacher, "?resourceLinkId=lab-report")) == 33
    refused(teacher.get("/api/memberships?resourceLinkId=essay"), 404, "NOT_FOUND")


def test_numeric_user_ids_stay_numbers() -> None:
    member = User("1002", ("Learner",), "Hugo", "Weiss", numeric_id=True)
    biology = default_world().courses[0]
    sandbox = Sandbox(world=World((replace(biology, members=[*biology.members, member]),)))
    with SandboxServer(sandbox) as server, requests.Session() as session:
        teacher = Caller(server, session).launched()
        item = teacher.line_item()
        assert teacher.post(f"{item}/scores", json={**SCORE, "userId": 1002}).status_code == 204
        assert teacher.get(f"{item}/scores").json()["scores"][0]["userId"] == 1002
        assert len(teacher.get(f"{item}/scores?userId=1002").json()["scores"]) == 1


@pytest.mark.parametrize("limit", ["0", "-1", "x", "", "1.5", "²"])
def test_a_limit_that_is_no_whole_number_is_a_400(teacher: Caller, limit: str) -> None:
    for path in ("/api/memberships", "/api/lineitems"):
        refused(teacher.get(path, params={"limit": limit}), 400, "VALIDATION_ERROR")


def test_a_page_url_encoded_twice_is_no_url(teacher: Caller) -> None:
    following = teacher.get("/api/memberships").json()["next"]
    twice = quote(quote(following, safe=""), safe="")
    details = refused(teacher.get(f"/api/memberships?url={twice}"), 400, "EXTERNAL_REQUEST_FAILED")
    assert details["externalError"] is True
    assert details["externalUrl"] == quote(following, safe="")


def test_a_page_url_of_another_collection_or_site_is_refused(call: Caller, teacher: Caller) -> None:
    other = call.launched(course="history").get("/api/memberships?limit=2").json()["next"]
    for url in (other, "https://evil.example/", teacher.server.url, "file:///etc/passwd"):
        answer = teacher.get("/api/memberships", params={"url": url})
        refused(answer, 400, "EXTERNAL_REQUEST_FAILED")


def test_a_cursor_that_is_no_number_is_a_400(teacher: Caller) -> None:
    url = teacher.get("/api/memberships").json()["next"].replace("after=20", "after=x")
    refused(teacher.get("/api/memberships", params={"url": url}), 400, "VALIDATION_ERROR")


# Services that are not there


@pytest.mark.parametrize(
    ("where", "path", "message"),
    [
        ({"course": "drawing"}, "/api/memberships", "INACTIVE_SERVICE"),
        ({"course": "drawing"}, "/api/lineitems", "INACTIVE_SERVICE"),
        ({"course": "chemistry"}, "/api/memberships", "INACTIVE_SERVICE"),
        ({"course": "choir"}, "/api/lineitems", "SERVICE_NOT_AVAILABLE_FOR_CONTEXT"),
    ],
)
def test_a_service_that_is_not_offered_says_so(
    call: Caller, where: dict[str, str], path: str, message: str
) -> None:
    refused(call.launched(**where).get(path), 403, message)


# Line items


def test_each_activity_has_a_line_item(teacher: Caller) -> None:
    items = teacher.get("/api/lineitems").json()["lineItems"]
    assert [item["resourceLinkId"] for item in items] == ["quiz-1", "lab-report"]
    assert items[0]["scoreMaximum"] == 10
    assert all(item["id"].startswith("https://") for item in items)


def test_line_items_can_be_made_read_changed_and_deleted(teacher: Caller) -> None:
    body = {"label": "Bonus", "scoreMaximum": 5, "tag": None, "https://x.example/ext": {"a": [1]}}
    made = teacher.post("/api/lineitems", json=body)
    assert made.status_code == 201
    item = made.json()
    assert "tag" not in item
    assert item["https://x.example/ext"] == {"a": [1]}
    path = f"/api/lineitems/{quote(item['id'], safe='')}"
    assert teacher.get(path).json() == item
    changed = teacher("PUT", path, json={"id": "x", "label": "Bonus 2", "scoreMaximum": 6})
    assert changed.status_code == 201
    assert changed.json() == {"id": item["id"], "label": "Bonus 2", "scoreMaximum": 6}
    assert teacher.get(path).json() == changed.json()
    deleted = teacher("DELETE", path)
    assert (deleted.status_code, deleted.content) == (204, b"")
    refused(teacher.get(path), 404, "EXTERNAL_REQUEST_FAILED")


def test_a_line_item_id_is_one_segment_slashes_encoded(teacher: Caller, sandbox: Sandbox) -> None:
    item = teacher.get("/api/lineitems").json()["lineItems"][0]["id"]
    right = quote(item, safe="")
    assert "/" not in right
    assert teacher.get(f"/api/lineitems/{right}").status_code == 200
    assert sandbox.api_log[-1].path == f"/api/lineitems/{right}"
    # httpx sends %2F as it is given, too.
    header = {"Authorization": teacher.authorization or ""}
    with httpx.Client(base_url=teacher.server.url, headers=header, trust_env=False) as client:
        assert client.get(f"/api/lineitems/{right}").status_code == 200
    refused(teacher.get(f"/api/lineitems/{quote(item)}"), 404, "NOT_FOUND")
    twice = teacher.get(f"/api/lineitems/{quote(right, safe='')}")
    refused(twice, 404, "EXTERNAL_REQUEST_FAILED")
    refused(teacher.get(f"/api/lineitems/{quote(item)}/scores"), 404, "NOT_FOUND")


def test_a_line_item_of_another_course_is_not_there(call: Caller, teacher: Caller) -> None:
    other = call.launched(course="history").line_item()
    refused(teacher.get(other), 404, "EXTERNAL_REQUEST_FAILED")
    refused(teacher.post(f"{other}/scores", json=SCORE), 404, "EXTERNAL_REQUEST_FAILED")


def test_line_item_filters(teacher: Caller) -> None:
    extra = {
        "label": "x",
        "scoreMaximum": 1,
        "resourceLinkId": "quiz-1",
        "resourceId": "r",
        "tag": "t",
    }
    teacher.post("/api/lineitems", json=extra)

    def labels(query: str) -> list[str]:
        items = teacher.get(f"/api/lineitems?{query}").json()["lineItems"]
        return [item["label"] for item in items]

    assert labels("resourceLinkId=quiz-1") == ["Quiz 1: The cell", "x"]
    assert labels("resourceId=r") == ["x"]
    assert labels("tag=graded") == ["Quiz 1: The cell", "Lab report"]
    assert labels("tag=t&resourceLinkId=quiz-1") == ["x"]
    assert labels("tag=none") == []


def test_line_item_pages_hold_while_items_come_and_go(teacher: Caller) -> None:
    ids = [
        teacher.post(
            "/api/lineitems", json={"label": str(n), "scoreMaximum": 1, "tag": "p"}
        ).json()["id"]
        for n in range(7)
    ]
    first = teacher.get("/api/lineitems?tag=p&limit=3").json()
    assert [item["id"] for item in first["lineItems"]] == ids[:3]
    teacher("DELETE", f"/api/lineitems/{quote(ids[0], safe='')}")
    teacher.post("/api/lineitems", json={"label": "new", "scoreMaximum": 1, "tag": "p"})
    rest = []
    page = first
    while "next" in page:
        page = teacher.get("/api/lineitems", params={"url": page["next"]}).json()
        rest += [item["label"] for item in page["lineItems"]]
    assert rest == ["3", "4", "5", "6", "new"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"scoreMaximum": 5}, "label"),
        ({"label": "", "scoreMaximum": 5}, "label"),
        ({"label": "x"}, "scoreMaximum"),
        ({"label": "x", "scoreMaximum": None}, "scoreMaximum"),
        ({"label": "x", "scoreMaximum": 0}, "scoreMaximum"),
        ({"label": "x", "scoreMaximum": "5"}, "scoreMaximum"),
        ({"label": "x", "scoreMaximum": True}, "scoreMaximum"),
        ({"label": "x", "scoreMaximum": 5, "tag": 1}, "tag"),
        ({"label": "x", "scoreMaximum": 5, "resourceLinkId": "essay"}, "resourceLinkId"),
        ([], ""),
    ],
)
def test_a_line_item_that_cannot_be_is_a_400_that_names_the_field(
    teacher: Caller, body: object, field: str
) -> None:
    details = refused(teacher.post("/api/lineitems", json=body), 400, "VALIDATION_ERROR")
    assert [error["field"] for error in details["errors"]] == [field]
    assert details["bodyReceived"] == body


# Scores


def test_a_score_arrives_in_the_gradebook(teacher: Caller, sandbox: Sandbox) -> None:
    item = teacher.line_item()
    answer = teacher.post(f"{item}/scores", json={**SCORE, "comment": "Good"})
    assert (answer.status_code, answer.content) == (204, b"")
    assert sandbox.scores(activity="quiz-1") == {
        "ben": {
            "scoreGiven": 8,
            "scoreMaximum": 10,
            "activityProgress": "Completed",
            "gradingProgress": "FullyGraded",
            "comment": "Good",
            "timestamp": "2027-01-15T08:00:00.000+00:00",
            "submissions": 1,
        }
    }
    assert START == 1_800_000_000
    assert sandbox.scores("lab-report") == {}


def test_the_last_score_stands_and_submissions_are_counted(
    teacher: Caller, sandbox: Sandbox
) -> None:
    item = teacher.line_item()
    for given, second in ((3, 1), (9, 2)):
        stamp = {"timestamp": f"2026-01-01T00:00:0{second}Z"}
        teacher.post(f"{item}/scores", json={**SCORE, **stamp, "scoreGiven": given})
    column = sandbox.scores()["ben"]
    assert (column["scoreGiven"], column["submissions"]) == (9, 2)
    assert column["timestamp"] == "2026-01-01T00:00:02Z"


def test_results_are_scaled_to_the_line_items_maximum(teacher: Caller) -> None:
    item = teacher.line_item()
    sent = "2027-01-02T03:04:05.678+00:00"
    body = {**SCORE, "scoreGiven": 1, "scoreMaximum": 3, "comment": "a third", "timestamp": sent}
    teacher.post(f"{item}/scores", json=body)
    line_item = teacher.get(item).json()
    (result,) = teacher.get(f"{item}/scores").json()["scores"]
    assert result.pop("id").startswith(line_item["id"].split("?")[0])
    assert result == {
        "userId": "ben",
        "scoreOf": line_item["id"],
        "resultScore": 3.333333,
        "resultMaximum": 10,
        "comment": "a third",
        "timestamp": sent,
    }


def test_a_score_without_points_is_a_result_without_points(teacher: Caller) -> None:
    item = teacher.line_item()
    body = {**SCORE, "scoreGiven": None, "scoreMaximum": None, "gradingProgress": "Pending"}
    assert teacher.post(f"{item}/scores", json=body).status_code == 204
    (result,) = teacher.get(f"{item}/scores").json()["scores"]
    assert "resultScore" not in result
    assert "comment" not in result


def test_unknown_keys_of_a_score_pass_through(teacher: Caller, sandbox: Sandbox) -> None:
    extension = {"https://canvas.instructure.com/lti/submission": {"new_submission": True}}
    teacher.post(f"{teacher.line_item()}/scores", json={**SCORE, **extension})
    assert sandbox.scores()["ben"].items() >= extension.items()


def test_scores_page_and_filter_by_user(teacher: Caller, sandbox: Sandbox, clock: Clock) -> None:
    item = teacher.line_item()
    graded = [user.id for user in sandbox.world.courses[0].members if user.gradable]
    for user in graded:
        teacher.post(f"{item}/scores", json={**SCORE, "userId": user})
    clock.now += 1
    teacher.post(f"{item}/scores", json=SCORE)  # once more: it keeps its place
    for query in ("", "?limit=7"):
        found = pages(teacher, f"{item}/scores", query)
        assert [score["userId"] for page in found for score in page["scores"]] == graded
    only = teacher.get(f"{item}/scores?userId=dora").json()["scores"]
    assert [score["userId"] for score in only] == ["dora"]
    assert teacher.get(f"{item}/scores?userId=nobody").json()["scores"] == []


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"userId": None}, "userId"),
        ({"userId": ""}, "userId"),
        ({"userId": True}, "userId"),
        ({"userId": 1.5}, "userId"),
        ({"activityProgress": None}, "activityProgress"),
        ({"activityProgress": "Begun"}, "activityProgress"),
        ({"gradingProgress": None}, "gradingProgress"),
        ({"gradingProgress": "Graded"}, "gradingProgress"),
        ({"gradingProgress": ["FullyGraded"]}, "gradingProgress"),
        ({"scoreMaximum": None}, "scoreMaximum"),
        ({"scoreMaximum": 0}, "scoreMaximum"),
        ({"scoreMaximum": "10"}, "scoreMaximum"),
        ({"scoreGiven": -1}, "scoreGiven"),
        ({"scoreGiven": "8"}, "scoreGiven"),
        ({"scoreGiven": False}, "scoreGiven"),
        ({"comment": 5}, "comment"),
        ({"timestamp": 5}, "timestamp"),
        ({"timestamp": "yesterday"}, "timestamp"),
        ({"timestamp": "2026-01-01T00:00:00"}, "timestamp"),
    ],
)
def test_a_score_that_cannot_be_is_a_400_that_names_the_field(
    teacher: Caller, sandbox: Sandbox, change: dict[str, object], field: str
) -> None:
    body = {**SCORE, **change}
    answer = teacher.post(f"{teacher.line_item()}/scores", json=body)
    details = refused(answer, 400, "VALIDATION_ERROR")
    assert [error["field"] for error in details["errors"]] == [field]
    assert details["bodyReceived"] == body
    assert sandbox.scores() == {}


def test_every_documented_progress_is_taken(teacher: Caller, clock: Clock) -> None:
    path = f"{teacher.line_item()}/scores"
    for progress in ("Initialized", "Initiated", "Started", "InProgress", "Submitted", "Completed"):
        for grading in ("FullyGraded", "Pending", "PendingManual", "Failed", "NotReady"):
            clock.now += 1
            body = {**SCORE, "activityProgress": progress, "gradingProgress": grading}
            assert teacher.post(path, json=body).status_code == 204


def test_a_score_may_be_above_its_maximum_and_may_be_zero(teacher: Caller, clock: Clock) -> None:
    item = teacher.line_item()
    for given in (0, 12.5):
        clock.now += 1
        body = {**SCORE, "scoreGiven": given}
        assert teacher.post(f"{item}/scores", json=body).status_code == 204
    assert teacher.get(f"{item}/scores").json()["scores"][0]["resultScore"] == 12.5


@pytest.mark.parametrize("user", ["noor", "ada", "mia", "gil", "ines"])
def test_a_score_for_whoever_is_no_active_learner_here_is_the_lmss_error(
    teacher: Caller, sandbox: Sandbox, user: str
) -> None:
    answer = teacher.post(f"{teacher.line_item()}/scores", json={**SCORE, "userId": user})
    details = refused(answer, 400, "EXTERNAL_REQUEST_FAILED")
    assert details["externalError"] is True
    assert details["bodyReceived"]["reason"].startswith("Incorrect score received")
    assert details["bodySent"]["userId"] == user
    assert sandbox.scores() == {}


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"{", "application/json"),
        (b'{"userId": NaN}', "application/json"),
        (b"\xff", "application/json"),
        (b"userId=ben", "application/x-www-form-urlencoded"),
        (b"{}", "text/plain"),
    ],
)
def test_a_body_that_is_no_json_is_a_400(teacher: Caller, data: bytes, kind: str) -> None:
    answer = teacher.post(
        f"{teacher.line_item()}/scores", data=data, headers={"Content-Type": kind}
    )
    details = refused(answer, 400, "VALIDATION_ERROR")
    assert details["bodyReceived"] == data.decode("utf-8", "replace")


def test_a_missing_body_is_a_400(teacher: Caller) -> None:
    for path in ("/api/lineitems", f"{teacher.line_item()}/scores"):
        refused(teacher.post(path), 400, "VALIDATION_ERROR")


def test_a_body_may_come_in_chunks(teacher: Caller, sandbox: Sandbox) -> None:
    import json

    text = json.dumps(SCORE).encode()
    answer = teacher.post(
        f"{teacher.line_item()}/scores",
        data=iter([text[:10], text[10:]]),
        headers={"Content-Type": "application/json"},
    )
    assert answer.status_code == 204
    assert sandbox.api_log[-1].body == SCORE


def test_an_enormous_body_is_refused(teacher: Caller) -> None:
    answer = teacher.post("/api/lineitems", json={"label": "x" * 10_000_001, "scoreMaximum": 1})
    refused(answer, 413, "PAYLOAD_TOO_LARGE")


def test_a_column_can_be_asked_for_by_its_line_item(teacher: Caller, sandbox: Sandbox) -> None:
    made = teacher.post("/api/lineitems", json={"label": "x", "scoreMaximum": 1}).json()["id"]
    teacher.post(f"/api/lineitems/{quote(made, safe='')}/scores", json=SCORE)
    assert list(sandbox.scores(line_item=made)) == ["ben"]
    assert sandbox.scores(line_item="https://nothing.example") == {}


def test_a_deleted_column_has_no_scores(teacher: Caller, sandbox: Sandbox) -> None:
    item = teacher.line_item()
    teacher.post(f"{item}/scores", json=SCORE)
    teacher("DELETE", item)
    assert sandbox.scores("quiz-1") == {}
    services = teacher.get("/api/idtoken").json()["services"]
    assert "lineItemId" not in services["assignmentAndGrades"]
    with pytest.raises(ValueError, match="no activity 'nap'"):
        sandbox.scores("nap")


def test_a_column_is_found_by_its_tag(teacher: Caller, sandbox: Sandbox) -> None:
    column = {"label": "Mine", "scoreMaximum": 1, "tag": "mine"}
    made = teacher.post("/api/lineitems", json=column).json()["id"]
    assert sandbox.scores(tag="mine") == {}
    sandbox.override("ben", 1, line_item=made)
    assert sandbox.scores(tag="mine")["ben"]["override"] == 1
    assert sandbox.scores(tag="nobody's") == {}
