"""ltiks, and the redirect that carries one to the tool."""

from __future__ import annotations

import base64
import json
import uuid
from urllib.parse import parse_qs, urlsplit

import pytest
from cryptography.hazmat.primitives import hashes, hmac

from ltiaas_middleware.sandbox import DEFAULT_API_KEY, Sandbox, SandboxServer
from ltiaas_middleware.sandbox.tokens import InvalidToken

from .conftest import START, Caller, Clock, refused

OVER = "INVALID_LTIK_AUTH_AUTHORIZATION_HEADER"


def test_the_default_api_key_is_a_uuid_and_always_the_same() -> None:
    assert str(uuid.UUID(DEFAULT_API_KEY)) == DEFAULT_API_KEY
    assert Sandbox().api_key == DEFAULT_API_KEY


def test_an_ltik_is_a_compact_jws_of_a_usual_size(sandbox: Sandbox) -> None:
    for seat in ({}, {"deep_linking": True}, {"course": "chemistry"}, {"activity": "portfolio"}):
        ltik = sandbox.issue(**seat)
        assert 300 <= len(ltik) <= 900
        header, payload = (
            json.loads(base64.urlsafe_b64decode(part + "==")) for part in ltik.split(".")[:2]
        )
        assert header == {"alg": "HS256", "typ": "JWT"}
        assert payload["iat"] == START
        assert payload["exp"] == START + 24 * 3600


def test_each_launch_is_its_own_ltik(sandbox: Sandbox) -> None:
    assert len({sandbox.issue() for _ in range(50)}) == 50


def test_an_independent_implementation_accepts_the_signature(sandbox: Sandbox) -> None:
    signed, _, signature = sandbox.issue().rpartition(".")
    check = hmac.HMAC(sandbox.mint._key, hashes.SHA256())
    check.update(signed.encode())
    check.verify(base64.urlsafe_b64decode(signature + "="))


def test_a_restarted_sandbox_honours_the_launches_of_the_one_before(call: Caller) -> None:
    earlier = Sandbox(clock=Clock()).issue(activity="essay", user="ben")
    answer = call.with_ltik(earlier).get("/api/idtoken").json()
    assert answer["user"]["id"] == "ben"
    assert answer["launch"]["resourceLink"]["id"] == "essay"


def test_a_launch_of_another_account_is_refused(call: Caller) -> None:
    other = Sandbox(api_key="another", clock=Clock()).issue()
    refused(call.with_ltik(other).get("/api/idtoken"), 401, OVER, "Invalid or expired ltik.")


def test_an_ltik_stops_working_after_24_hours_to_the_second(
    call: Caller, sandbox: Sandbox, clock: Clock
) -> None:
    launched = call.with_ltik(sandbox.issue())
    clock.now = START + 24 * 3600 - 0.5
    assert launched.get("/api/idtoken").status_code == 200
    clock.now = START + 24 * 3600
    refused(launched.get("/api/idtoken"), 401, OVER, "Invalid or expired ltik.")


def test_a_launch_ended_by_hand_is_refused_and_others_are_not(
    call: Caller, sandbox: Sandbox
) -> None:
    ended, other = sandbox.issue(), sandbox.issue()
    sandbox.expire(ended)
    refused(call.with_ltik(ended).get("/api/idtoken"), 401, OVER, "Invalid or expired ltik.")
    assert call.with_ltik(other).get("/api/idtoken").status_code == 200


def test_only_an_ltik_of_this_sandbox_can_be_ended(sandbox: Sandbox) -> None:
    with pytest.raises(ValueError, match="not an ltik"):
        sandbox.expire("a.b.c")


def test_a_changed_ltik_is_refused(call: Caller, sandbox: Sandbox) -> None:
    header, body, signature = sandbox.issue().split(".")
    payload = json.loads(base64.urlsafe_b64decode(body + "=="))
    payload["userId"] = "ben"
    forged = base64.urlsafe_b64encode(json.dumps(payload).encode()).rstrip(b"=").decode()
    none = base64.urlsafe_b64encode(b'{"alg":"none"}').rstrip(b"=").decode()
    # The last character's lowest bits are not in the signature: a lax reader sees no difference.
    twin = signature[:-1] + chr(ord(signature[-1]) + 1)
    for ltik in (
        f"{header}.{forged}.{signature}",
        f"{none}.{body}.",
        f"{header}.{body}.{twin}",
        f"{header}.{body}",
        "abc",
    ):
        refused(call.with_ltik(ltik).get("/api/idtoken"), 401, OVER, "Invalid or expired ltik.")


def test_other_signed_values_of_the_sandbox_are_no_ltiks(call: Caller, sandbox: Sandbox) -> None:
    handshake = sandbox.launches.handshake(sandbox.world.seat())
    refused(call.with_ltik(handshake).get("/api/idtoken"), 401, OVER, "Invalid or expired ltik.")


def test_a_launch_of_a_course_that_is_gone_is_refused(call: Caller, sandbox: Sandbox) -> None:
    claims = {"contextId": "geology", "resourceLinkId": None, "userId": "ada"}
    gone = sandbox.mint.token("launch", claims, lifetime=60)
    refused(call.with_ltik(gone).get("/api/idtoken"), 401, OVER, "Invalid or expired ltik.")


def test_a_launch_is_the_instructors_in_the_first_activity_unless_told_otherwise(
    teacher: Caller,
) -> None:
    answer = teacher.get("/api/idtoken").json()
    assert answer["user"]["id"] == "ada"
    assert answer["launch"]["context"]["id"] == "biology"
    assert answer["launch"]["resourceLink"]["id"] == "quiz-1"


def test_an_activity_brings_its_course(call: Caller) -> None:
    answer = call.launched(activity="timeline").get("/api/idtoken").json()
    assert answer["launch"]["context"]["id"] == "history"
    assert answer["user"]["id"] == "noor"


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ({"course": "geology"}, "no course 'geology'; the sandbox has biology (quiz-1, "),
        ({"activity": "nap"}, "no activity 'nap'; the sandbox has biology (quiz-1, "),
        ({"course": "biology", "activity": "essay"}, "it has quiz-1, lab-report"),
        ({"user": "nobody"}, "it has ada, ben"),
        ({"course": "chemistry", "deep_linking": True}, "has no deep linking"),
    ],
)
def test_a_place_that_does_not_exist_is_an_error_that_lists_what_does(
    sandbox: Sandbox, where: dict[str, object], said: str
) -> None:
    with pytest.raises(ValueError, match="no ") as caught:
        sandbox.issue(**where)  # type: ignore[arg-type]
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("tool", "query", "expected"),
    [
        ("http://t.example/launch", "", "http://t.example/launch?ltik=L"),
        ("http://t.example/?a=1", "resource=123", "http://t.example/?a=1&resource=123&ltik=L"),
        ("http://t.example/x", "?a=%2F+b&a=%20", "http://t.example/x?a=%2F+b&a=%20&ltik=L"),
        ("http://t.example/x#top", "é= &#", "http://t.example/x?%C3%A9=%20&%23&ltik=L#top"),
    ],
)
def test_the_launch_url_keeps_every_query_and_appends_the_ltik(
    sandbox: Sandbox, tool: str, query: str, expected: str
) -> None:
    sandbox.tool = tool
    assert sandbox.launch_url("L", query) == expected


@pytest.mark.parametrize("tool", ["", "tool.example/launch", "ftp://x/", "http://", "javascript:1"])
def test_a_tool_that_is_no_http_url_is_refused(sandbox: Sandbox, tool: str) -> None:
    with pytest.raises(ValueError, match="must be a full URL"):
        sandbox.tool = tool
    with pytest.raises(ValueError, match="must be a full URL"):
        Sandbox(tool=tool)


@pytest.mark.parametrize("key", ["", "with space", "ключ", "line\n"])
def test_an_api_key_that_no_header_can_carry_is_refused(key: str) -> None:
    with pytest.raises(ValueError, match="api_key"):
        Sandbox(api_key=key)


def test_an_api_key_may_hold_a_colon() -> None:
    with SandboxServer(Sandbox(api_key="a:b:c")) as server:
        import requests

        headers = {"Authorization": f"LTIK-AUTH-V2 a:b:c:{server.sandbox.issue()}"}
        answer = requests.get(f"{server.url}/api/idtoken", headers=headers, timeout=5)
    assert answer.status_code == 200


def test_the_lms_sends_a_browser_through_the_launch_to_the_tool(
    call: Caller, sandbox: Sandbox
) -> None:
    sandbox.tool = "http://tool.example/start?theme=dark"
    form = {"course": "history", "activity": "essay", "user": "ben", "query": "resource=1%2F2"}
    first = call.post("/lms/launch", data=form)
    assert first.status_code == 302
    step = urlsplit(first.headers["Location"])
    assert step.path == "/lti/launch"
    assert step.query.startswith("resource=1%2F2&sandbox_launch=")
    second = call.get(first.headers["Location"])
    assert second.status_code == 302
    assert second.headers["Cache-Control"] == "no-store"
    target = second.headers["Location"]
    prefix = "http://tool.example/start?theme=dark&resource=1%2F2&ltik="
    assert target.startswith(prefix)
    answer = call.with_ltik(target.removeprefix(prefix)).get("/api/idtoken").json()
    assert (answer["user"]["id"], answer["launch"]["resourceLink"]["id"]) == ("ben", "essay")


def test_reloading_the_lms_page_is_a_new_launch(call: Caller) -> None:
    step = call.get("/lms/launch").headers["Location"]
    one, two = (call.get(step).headers["Location"] for _ in range(2))
    assert parse_qs(urlsplit(one).query)["ltik"] != parse_qs(urlsplit(two).query)["ltik"]


def test_a_launch_cannot_be_made_up(call: Caller, sandbox: Sandbox) -> None:
    for query in ("", "?resource=123", f"?sandbox_launch={sandbox.issue()}"):
        answer = call.get(f"/lti/launch{query}")
        assert answer.status_code == 400
        assert "starts in a course" in answer.text


def test_a_handshake_is_good_for_five_minutes(call: Caller, clock: Clock) -> None:
    step = call.get("/lms/launch").headers["Location"]
    clock.now += 301
    assert call.get(step).status_code == 400


def test_an_ltik_is_no_deep_linking_message(sandbox: Sandbox) -> None:
    with pytest.raises(InvalidToken):
        sandbox.launches.deep_linking_message(sandbox.issue())
