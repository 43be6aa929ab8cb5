"""What an LMS refused, relayed by LTIAAS: its words, who said it, and when it is asked again."""

from __future__ import annotations

import json
import logging
import pickle
from typing import Any

import pytest

from ltiaas_middleware import (
    ApiError,
    ApiKeyRejected,
    Forbidden,
    LaunchExpired,
    LmsError,
    RateLimited,
    RetryPolicy,
    Score,
    UpstreamError,
)
from ltiaas_middleware.api.error_answers import error_for, retry_after
from ltiaas_middleware.api.exchange import Answer, Call, Pause, exchange
from tests.account import Account, Caller

SCORE = Score(user_id="ben", score_given=7, score_maximum=10)
WHY = "User not found in course or is not a student"
LTIK_CODE = "INVALID_LTIK_AUTH_AUTHORIZATION_HEADER"


def body(**details: Any) -> bytes:
    """An error document of LTIAAS's."""
    return json.dumps({"status": 400, "error": "x", "details": details}).encode()


def relayed(**details: Any) -> bytes:
    return body(message="EXTERNAL_REQUEST_FAILED", **details)


@pytest.mark.parametrize(
    "details",
    [
        {"bodyReceived": WHY},
        {"bodyReceived": {"message": WHY}},
        {"bodyReceived": json.dumps({"errors": [{"message": WHY}]})},
        {"bodyReceived": {"error": {"message": WHY}}},
        {"bodyReceived": {"status": 400, "reason": WHY}, "externalError": True},  # Moodle
        {"externalError": WHY},
        {"externalError": {"error_description": WHY}},
        {"errors": [{"field": "userId", "message": WHY}]},
        {"externalUrl": "https://lms.example", "description": WHY},
        {"externalUrl": "https://lms.example", "bodyReceived": f" {WHY}\n"},
    ],
)
def test_the_lmss_own_words_are_in_the_error(api: Caller, world: Any, details: Any) -> None:
    document = {"status": 422, "details": {"message": "EXTERNAL_REQUEST_FAILED", **details}}
    world("/api/lineitems/1/scores", document, status=422)
    with pytest.raises(LmsError) as caught:
        api("submit_score", "1", SCORE, with_=world.credential)
    error = caught.value
    assert error.lms_message == WHY
    assert (error.status, error.code) == (422, "EXTERNAL_REQUEST_FAILED")
    assert error.details == document["details"]
    assert not error.temporary
    assert WHY in str(error)
    assert error.summary == "POST /api/lineitems/1/scores: 422 EXTERNAL_REQUEST_FAILED"
    assert pickle.loads(pickle.dumps(error)).lms_message == WHY


def test_the_error_as_text_is_short_and_nothing_quotes_what_was_sent() -> None:
    token = "eyJhbGciOiJI.eyJzdWIiOiIx.c2lnbmF0dXJl"
    long = f"{token} " + "no student " * 400
    content = relayed(bodyReceived=[long], bodySent={"userId": "mia"}, externalUrl=[{"a": token}])
    error = error_for(422, content, None, "POST", "/api/x")
    assert len(str(error)) < 200
    assert error.lms_message is not None
    assert 1000 < len(error.lms_message) <= 2000
    assert "bodySent" not in error.details
    for text in (str(error), repr(error), error.lms_message, repr(error.details), error.summary):
        assert token not in text
        assert "mia" not in text


@pytest.mark.parametrize("which", ["credential", "service_key", "account"])
def test_an_error_quotes_no_part_of_the_credential(api: Caller, world: Any, which: str) -> None:
    credential = getattr(world, which)
    secrets = str(credential.authorization).partition(" ")[2].split(":")
    said = f"Invalid: {' of '.join(secrets)}!"
    details = {"message": "BAD_KEY", "description": said, "bodyReceived": {"errors": [said]}}
    world("/api/x", {"status": 400, "details": details}, status=400)
    with pytest.raises(ApiError) as caught:
        api("request", "GET", "x", with_=credential)
    error = caught.value
    hidden = " of ".join(["[hidden]"] * len(secrets))
    assert error.description == error.lms_message == f"Invalid: {hidden}!"
    assert not [one for one in secrets if one in f"{error}{error.details}"]


@pytest.mark.parametrize(
    ("status", "content", "kind", "temporary"),
    [
        # Who said it: LTIAAS itself…
        (500, body(message="INTERNAL"), UpstreamError, True),
        (500, b"<h1>oops", UpstreamError, True),
        (401, b"<h1>oops", UpstreamError, True),
        (401, body(message=LTIK_CODE, description="Invalid API key"), ApiKeyRejected, False),
        (401, body(message=LTIK_CODE, description="INVALID API KEY"), ApiKeyRejected, False),
        (401, body(message=LTIK_CODE, description="invalid Api Key."), ApiKeyRejected, False),
        (401, body(message=LTIK_CODE, description="Invalid ltik."), LaunchExpired, False),
        (401, body(message=LTIK_CODE, description="EXPIRED LTIK"), LaunchExpired, False),
        (403, b'{"message": "Forbidden"}', Forbidden, False),
        (400, body(errors=[{"field": "x", "message": "y"}]), ApiError, False),
        # …or the LMS.
        (500, relayed(bodyReceived="oops"), LmsError, False),
        (500, body(externalError="oops"), LmsError, False),
        (503, relayed(bodyReceived="oops"), LmsError, True),
        (504, relayed(), LmsError, True),
        (401, relayed(bodyReceived="invalid api key"), LmsError, False),
        (401, body(message=LTIK_CODE, description="Invalid API key", externalUrl="u"), LmsError,
         False),
        (403, relayed(bodyReceived="not yours"), LmsError, False),
        (409, relayed(), LmsError, False),
        # Canvas, which has no status of its own for it.
        (403, relayed(bodyReceived="403 Forbidden (Rate Limit Exceeded)"), RateLimited, True),
        (403, relayed(externalError={"message": "rate limit exceeded"}), RateLimited, True),
        (429, relayed(bodyReceived="slow down"), RateLimited, True),
    ],
)  # fmt: skip
def test_who_refused_decides_what_it_means(
    status: int, content: bytes, kind: type[ApiError], temporary: bool
) -> None:
    error = error_for(status, content, None, "POST", "/api/x")
    assert type(error) is kind
    assert error.temporary is temporary


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE"])
@pytest.mark.parametrize(
    "answer",
    [
        Answer(429, b"{}", "4"),
        Answer(403, relayed(bodyReceived="403 Forbidden (Rate Limit Exceeded)"), "4"),
        Answer(403, b'{"message": "Rate Limit Exceeded"}', "4"),
    ],
)
def test_whatever_was_throttled_is_asked_again_within_the_policy(
    account: Account, method: str, answer: Answer
) -> None:
    call = Call(method, "lineitems", lambda document: "done", body={})

    def flow(policy: RetryPolicy) -> Any:
        made = exchange(
            call, account.launch(), policy, monotonic=lambda: 0.0, jitter=lambda low, high: low
        )
        next(made)
        return made

    repeated = flow(RetryPolicy())
    assert repeated.send(answer) == Pause(4.05)
    repeated.send(None)
    with pytest.raises(StopIteration) as done:
        repeated.send(Answer(204, b""))
    assert done.value.value == "done"
    for policy in (RetryPolicy(attempts=1), RetryPolicy(timeout=3), RetryPolicy(max_retry_after=3),
                   RetryPolicy(repeat_on=frozenset())):  # fmt: skip
        with pytest.raises(RateLimited):
            flow(policy).send(answer)


@pytest.mark.parametrize(
    ("asked", "believed"),
    [(None, None), ("0", 1), ("1", 1), ("-5", None), ("30", 30), ("60", 60), ("86400", 60),
     ("9" * 400, 60), ("9" * 5000, None), ("²", None), ("Wed, 01 Jan 2020 00:00:00 GMT", 1),
     ("Fri, 01 Jan 2100 00:00:00 GMT", 60), ("", None), ("soon", None)],
)  # fmt: skip
def test_a_wait_is_believed_between_a_second_and_a_minute(
    account: Account, asked: str | None, believed: float | None
) -> None:
    assert retry_after(asked) == believed
    call = Call("GET", "idtoken", lambda document: document)
    policy = RetryPolicy(timeout=1000)
    flow = exchange(call, account.launch(), policy, jitter=lambda low, high: 0.25)
    next(flow)
    assert flow.send(Answer(429, b"{}", asked)) == Pause((believed or 0) + 0.25)


def test_a_wait_beyond_the_policys_is_left_to_the_caller(account: Account) -> None:
    call = Call("GET", "idtoken", lambda document: document)
    for asked, waited in (("4", True), ("5", False)):
        flow = exchange(call, account.launch(), RetryPolicy(max_retry_after=4))
        next(flow)
        if waited:
            assert isinstance(flow.send(Answer(503, b"{}", asked)), Pause)
        else:
            with pytest.raises(UpstreamError) as caught:
                flow.send(Answer(503, b"{}", asked))
            assert caught.value.retry_after == 5


def test_what_the_lms_says_reaches_no_log(
    api: Caller, world: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "ltiaas_middleware")
    document = {"details": {"message": "EXTERNAL_REQUEST_FAILED", "bodyReceived": WHY}}
    world("/api/lineitems/1/scores", document, status=422)
    with pytest.raises(LmsError):
        api("submit_score", "1", SCORE, with_=world.credential)
    assert WHY not in caplog.text
