"""What an LMS refuses, in whose words, and what its gradebook makes of a score."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests

from ltiaas_middleware.sandbox import Sandbox, SandboxServer, World
from ltiaas_middleware.sandbox.lms_errors import REFUSALS

from .conftest import SCORE, Caller, Clock, refused

RELAYED = "EXTERNAL_REQUEST_FAILED"
InLms = Callable[[str], Caller]


@pytest.fixture
def in_lms(clock: Clock) -> Iterator[InLms]:
    """A teacher's launch in the LMS of a preset."""
    servers: list[SandboxServer] = []
    session = requests.Session()
    session.trust_env = False

    def opened(preset: str) -> Caller:
        sandbox = Sandbox(world=World.preset(preset), clock=clock)
        servers.append(SandboxServer(sandbox).start())
        return Caller(servers[-1], session).launched()

    yield opened
    session.close()
    for server in servers:
        server.stop()


def scored(caller: Caller, stamp: str, **change: Any) -> requests.Response:
    score = {**SCORE, "timestamp": stamp, **change}
    return caller.post(f"{caller.line_item()}/scores", json=score)


# Timestamps


def test_moodle_takes_newer_scores_only_in_whole_seconds(in_lms: InLms) -> None:
    moodle = in_lms("moodle")
    assert scored(moodle, "2026-01-01T00:00:05.100Z").status_code == 204
    for stamp in ("2026-01-01T00:00:04Z", "2026-01-01T00:00:05.900Z"):
        details = refused(scored(moodle, stamp, scoreGiven=1), 409, RELAYED)
        reason = details["bodyReceived"]["reason"]
        assert reason.startswith("Refusing score with an earlier timestamp")
    assert scored(moodle, "2026-01-01T01:00:06+01:00", scoreGiven=2).status_code == 204
    assert moodle.server.sandbox.scores()["ben"]["scoreGiven"] == 2


def test_canvas_takes_an_equal_timestamp_again_as_an_attempt_and_no_older_one(
    in_lms: InLms,
) -> None:
    canvas = in_lms("canvas")
    assert scored(canvas, "2026-01-01T00:00:05.1Z").status_code == 204
    assert scored(canvas, "2026-01-01T00:00:05.1Z", scoreGiven=9).status_code == 204
    details = refused(scored(canvas, "2026-01-01T00:00:05.05Z", scoreGiven=1), 400, RELAYED)
    assert details["bodyReceived"]["errors"]["message"] == (
        "Provided timestamp of 2026-01-01T00:00:05.05Z before last updated timestamp of "
        "2026-01-01T00:00:05.100000+00:00"
    )
    column = canvas.server.sandbox.scores()["ben"]
    assert (column["scoreGiven"], column["submissions"]) == (9, 2)


@pytest.mark.parametrize("preset", ["blackboard", "brightspace"])
def test_elsewhere_a_timestamp_that_is_not_newer_is_refused(in_lms: InLms, preset: str) -> None:
    lms = in_lms(preset)
    assert scored(lms, "2026-01-01T00:00:05.1Z").status_code == 204
    assert scored(lms, "2026-01-01T00:00:05.1Z").status_code == 400
    assert scored(lms, "2026-01-01T00:00:05.2Z").status_code == 204


# Results


def test_moodle_omits_a_result_of_zero(in_lms: InLms) -> None:
    moodle, canvas = in_lms("moodle"), in_lms("canvas")
    for caller in (moodle, canvas):
        assert scored(caller, "2026-01-01T00:00:05Z", scoreGiven=0).status_code == 204
    (result,) = moodle.get(f"{moodle.line_item()}/scores").json()["scores"]
    assert set(result) == {"id", "userId"}
    (result,) = canvas.get(f"{canvas.line_item()}/scores").json()["scores"]
    assert result["resultScore"] == 0


@pytest.mark.parametrize(
    ("preset", "grading", "counts"),
    [
        ("moodle", "PendingManual", False),
        ("canvas", "PendingManual", True),
        ("moodle", "FullyGraded", True),
        ("canvas", "Pending", False),
    ],
)
def test_a_score_counts_once_it_is_graded(
    in_lms: InLms, preset: str, grading: str, counts: bool
) -> None:
    lms = in_lms(preset)
    assert scored(lms, "2026-01-01T00:00:05Z", gradingProgress=grading).status_code == 204
    (result,) = lms.get(f"{lms.line_item()}/scores").json()["scores"]
    assert ("resultScore" in result) is counts


@pytest.mark.parametrize(("preset", "stays"), [("moodle", True), ("canvas", False)])
def test_a_teachers_own_grade(in_lms: InLms, clock: Clock, preset: str, stays: bool) -> None:
    lms = in_lms(preset)
    sandbox = lms.server.sandbox
    sandbox.override("ben", 10, "quiz-1")
    (result,) = lms.get(f"{lms.line_item()}/scores").json()["scores"]
    assert result["resultScore"] == 10
    clock.now += 5
    lms.post(f"{lms.line_item()}/scores", json=SCORE)
    (result,) = lms.get(f"{lms.line_item()}/scores").json()["scores"]
    assert result["resultScore"] == (10 if stays else 8)
    assert ("override" in sandbox.scores()["ben"]) is stays


def test_moodles_time_of_a_teachers_grade_makes_earlier_scores_too_old(in_lms: InLms) -> None:
    moodle = in_lms("moodle")
    moodle.server.sandbox.override("ben", 10)
    refused(scored(moodle, "2026-01-01T00:00:05Z"), 409, RELAYED)


def test_an_override_needs_a_column(sandbox: Sandbox) -> None:
    with pytest.raises(ValueError, match="no such column"):
        sandbox.override("ben", 1, "rehearsal")


# Withdrawing and concluding


@pytest.mark.parametrize("how", ["python", "http"])
def test_a_withdrawn_student_gets_no_score(in_lms: InLms, how: str) -> None:
    canvas = in_lms("canvas")
    assert scored(canvas, "2026-01-01T00:00:05Z").status_code == 204
    if how == "python":
        canvas.server.sandbox.withdraw("ben", "biology")
    else:
        assert canvas.post("/sandbox/withdraw", json={"user": "ben"}).status_code == 204
    details = refused(scored(canvas, "2026-01-01T00:00:06Z"), 422, RELAYED)
    assert details["bodyReceived"] == {
        "errors": {
            "type": "unprocessable_entity",
            "message": "User not found in course or is not a student",
        }
    }
    members = canvas.get("/api/memberships").json()["members"]
    assert next(row for row in members if row["userId"] == "ben")["status"] == "Deleted"


@pytest.mark.parametrize("how", ["python", "http"])
def test_a_concluded_course_refuses_its_gradebook(in_lms: InLms, how: str) -> None:
    canvas = in_lms("canvas")
    item = canvas.line_item()
    if how == "python":
        canvas.server.sandbox.conclude("biology")
    else:
        assert canvas.post("/sandbox/conclude", json={"course": "biology"}).status_code == 204
    for answer in (canvas.get("/api/lineitems"), canvas.post(f"{item}/scores", json=SCORE)):
        details = refused(answer, 422, RELAYED)
        assert "This course has concluded." in details["bodyReceived"]["errors"]["message"]
    assert canvas.get("/api/memberships").status_code == 200
    assert "Concluded" in canvas.get("/").text


def test_the_control_says_what_it_takes(in_lms: InLms) -> None:
    canvas = in_lms("canvas")
    body = {"user": "ben", "grade": 9.5}
    assert canvas.post("/sandbox/override", json=body).status_code == 204
    assert canvas.server.sandbox.scores()["ben"]["override"] == 9.5
    for body, said in (({"grade": 1}, "user (str), grade (number)"), ({"user": 1}, "user: ")):
        answer = canvas.post("/sandbox/override", json=body)
        assert said in refused(answer, 400, "VALIDATION_ERROR")["description"]
    answer = canvas.post("/sandbox/withdraw", json={"user": "nobody"})
    assert "no user 'nobody'" in refused(answer, 400, "VALIDATION_ERROR")["description"]


# Faults that are refusals of the LMS


def test_every_refusal_of_the_lms_but_two_can_be_a_fault(sandbox: Sandbox) -> None:
    for name in set(REFUSALS) - {"older_score", "no_such_page"}:
        sandbox.fault(name)


@pytest.mark.parametrize(
    ("fault", "status", "words"),
    [
        ("not_a_student", 422, "User not found in course or is not a student"),
        ("attempts_used_up", 422, "The maximum number of allowed attempts has been reached"),
        ("column_gone", 404, "The specified resource does not exist."),
        ("course_concluded", 422, "This course has concluded."),
        ("access_refused", 401, "Invalid Developer Key"),
        ("throttled", 403, "403 Forbidden (Rate Limit Exceeded)"),
        ("lms_down", 500, "An error occurred."),
    ],
)
def test_a_refusal_has_the_lmss_status_and_words(
    teacher: Caller, sandbox: Sandbox, fault: str, status: int, words: str
) -> None:
    item = teacher.line_item()
    sandbox.fault(fault, times=1)
    # Not the business of an LMS:
    assert teacher.get("/api/idtoken").status_code == 200
    details = refused(teacher.post(f"{item}/scores", json=SCORE), status, RELAYED)
    assert "description" not in details
    assert words in str(details["bodyReceived"])
    assert sandbox.scores() == {}
    assert teacher.post(f"{item}/scores", json=SCORE).status_code == 204


@pytest.mark.parametrize("shape", ["bodyReceived", "externalError", "errors"])
def test_the_words_are_where_wire_md_has_them(
    teacher: Caller, sandbox: Sandbox, shape: str
) -> None:
    sandbox.fault("lms_down", shape=shape)
    details = refused(teacher.get("/api/lineitems"), 500, RELAYED)
    words = "An error occurred."
    assert words in str(details["errors"][0]["message"] if shape == "errors" else details[shape])
    assert sum(words in str(value) for value in details.values()) == 1


def test_a_refusal_may_have_no_details(teacher: Caller, sandbox: Sandbox) -> None:
    sandbox.fault("lms_down", shape="none")
    answer = teacher.get("/api/lineitems")
    assert answer.status_code == 500
    assert set(answer.json()) == {"status", "error"}


@pytest.mark.parametrize(
    ("lms", "body"),
    [
        ("canvas", {"errors": [{"message": "The specified resource does not exist."}]}),
        ("moodle", {"status": 404, "reason": "Not Found: Grade item 7 doesn't exist."}),
        ("BlackboardLearn", "The specified resource does not exist."),
    ],
)
def test_a_refusal_is_spoken_as_the_lms_does(
    teacher: Caller, sandbox: Sandbox, lms: str, body: object
) -> None:
    item = teacher.line_item()
    sandbox.fault("column_gone", lms=lms)
    assert refused(teacher.get(item), 404, RELAYED)["bodyReceived"] == body


def test_a_refused_service_key_leaves_launches_alone(
    call: Caller, teacher: Caller, sandbox: Sandbox
) -> None:
    key = teacher.get("/api/idtoken").json()["services"]["serviceKey"]
    sandbox.fault("service_key_refused")
    nightly = call.with_service_key(key)
    refused(nightly.get("/api/lineitems"), 401, "INVALID_SERVICE_AUTH_AUTHORIZATION_HEADER")
    assert teacher.get("/api/lineitems").status_code == 200


def test_a_limit_per_second_takes_as_many_and_no_more(
    teacher: Caller, sandbox: Sandbox, clock: Clock
) -> None:
    sandbox.fault("per_second", limit=3, endpoint="/api/memberships")
    statuses = []
    for _ in range(2):
        statuses += [teacher.get("/api/memberships").status_code for _ in range(5)]
        clock.now += 1
    assert statuses == [200, 200, 200, 429, 429] * 2
    clock.now -= 1
    answer = teacher.get("/api/memberships")
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "1")
    assert teacher.get("/api/idtoken").status_code == 200


def test_a_lost_answer_is_of_a_request_that_was_carried_out(
    teacher: Caller, sandbox: Sandbox
) -> None:
    item = teacher.line_item()
    sandbox.fault("lost_answer", times=1)
    with pytest.raises(requests.ConnectionError):
        teacher.post(f"{item}/scores", json=SCORE)
    assert sandbox.scores()["ben"]["scoreGiven"] == 8
    assert sandbox.api_log[-1].status is None
