"""Which credential opens what, and how each refusal reads (wire.md, both tables)."""

from __future__ import annotations

import pytest

from ltiaas_middleware.sandbox import Sandbox

from .conftest import PLATFORM, SCORE, Caller, refused

HEADER = "INVALID_LTIK_AUTH_AUTHORIZATION_HEADER"
NORTHFIELD = "/api/platforms/8f1d0c5ae2b94c7f9d36c1a4e0b7f215"
REGISTRATION = "/api/registrations/5d0f6a1e7c9b4b0e"
CONTENT = {"contentItems": []}
LINE_ITEM = {"label": "Extra", "scoreMaximum": 5}

LAUNCH_ONLY = [
    ("GET", "/api/idtoken", None),
    ("POST", "/api/deeplinking/form", CONTENT),
    ("POST", "/api/deeplinking", CONTENT),
]
SERVICES = [
    ("GET", "/api/memberships", None),
    ("GET", "/api/lineitems", None),
    ("POST", "/api/lineitems", LINE_ITEM),
    ("GET", "{item}", None),
    ("PUT", "{item}", LINE_ITEM),
    ("GET", "{item}/scores", None),
    ("POST", "{item}/scores", SCORE),
    ("DELETE", "{item}", None),
]
ACCOUNT = [
    ("GET", REGISTRATION, None),
    ("POST", f"{REGISTRATION}/complete", {}),
    ("GET", "/api/platforms", None),
    ("POST", "/api/platforms", PLATFORM),
    ("GET", NORTHFIELD, None),
    ("PUT", NORTHFIELD, {"name": "Renamed"}),
    ("POST", f"{NORTHFIELD}/activate", None),
    ("POST", f"{NORTHFIELD}/deactivate", None),
    ("DELETE", NORTHFIELD, None),
    ("GET", "/admin/platforms", None),
]
TABLE = [
    *((*row, {"launch"}) for row in LAUNCH_ONLY),
    *((*row, {"launch", "service"}) for row in SERVICES),
    *((*row, {"account"}) for row in ACCOUNT),
]


@pytest.mark.parametrize(("method", "path", "body", "admitted"), TABLE)
@pytest.mark.parametrize("scheme", ["launch", "service", "account", "none"])
def test_each_endpoint_takes_its_own_credentials_only(
    call: Caller, scheme: str, method: str, path: str, body: object, admitted: set[str]
) -> None:
    launch = call.launched(deep_linking=True)
    if "{item}" in path:
        path = path.format(item=launch.line_item())
    key = launch.get("/api/idtoken").json()["services"]["serviceKey"]
    caller = {
        "launch": launch,
        "service": call.with_service_key(key),
        "account": call.with_account(),
        "none": call,
    }[scheme]
    answer = caller(method, path, json=body) if body is not None else caller(method, path)
    if scheme in admitted:
        expected = 201 if body is LINE_ITEM else 200
        if method == "DELETE" or (method == "POST" and path.endswith("/scores")):
            expected = 204
        assert answer.status_code == expected, answer.text
        assert bool(answer.content) == (expected != 204)
    else:
        refused(answer, 401, "INVALID_AUTHORIZATION_HEADER")


@pytest.mark.parametrize(
    ("path", "header"),
    [
        ("/api/idtoken", "LTIK-AUTH-V2 {wrong}:{ltik}"),
        ("/api/memberships", "SERVICE-AUTH-V1 {wrong}:{service}"),
        ("/api/platforms", "Bearer {wrong}"),
        ("/api/idtoken", "LTIK-AUTH-V2 {wrong}:gone"),
    ],
)
def test_a_wrong_api_key_is_said_to_be_one_before_the_launch_is_looked_at(
    teacher: Caller, sandbox: Sandbox, path: str, header: str
) -> None:
    service = teacher.get("/api/idtoken").json()["services"]["serviceKey"]
    filled = header.format(wrong="not-the-key", ltik=sandbox.issue(), service=service)
    answer = teacher.with_authorization(filled).get(path)
    refused(answer, 401, HEADER, "Invalid API key")


@pytest.mark.parametrize(
    "header",
    [
        "LTIK-AUTH-V2",
        "LTIK-AUTH-V2 {key}",
        "LTIK-AUTH-V2  {key}:{ltik}",
        "LTIK-AUTH-V2 {key}: {ltik}",
        "LTIK-AUTH-V2 {key}:{ltik},",
        "LTIK-AUTH-V2 {key}:{ltik}, LTIK-AUTH-V2 {key}:{ltik}",
        "LTIK-AUTH-V1 Token={ltik},Additional=Bearer {key}",
    ],
)
def test_a_header_that_is_not_byte_for_byte_right_is_refused(
    call: Caller, sandbox: Sandbox, header: str
) -> None:
    filled = header.format(key=sandbox.api_key, ltik=sandbox.issue())
    answer = call.with_authorization(filled).get("/api/idtoken")
    refused(answer, 401, HEADER, "Malformed authorization header.")
    assert sandbox.api_log[-1].well_formed is False


@pytest.mark.parametrize("header", ["Basic eDp5", "ltik-auth-v2 {key}:{ltik}", "{ltik}"])
def test_an_unknown_scheme_is_refused_and_not_written_down(
    call: Caller, sandbox: Sandbox, header: str
) -> None:
    filled = header.format(key=sandbox.api_key, ltik=sandbox.issue())
    answer = call.with_authorization(filled).get("/api/idtoken")
    refused(answer, 401, "INVALID_AUTHORIZATION_HEADER", "This endpoint takes LTIK-AUTH-V2 only.")
    assert sandbox.api_log[-1].scheme is None


def test_the_older_launch_scheme_still_works(call: Caller, sandbox: Sandbox) -> None:
    header = f"LTIK-AUTH-V1 Token={sandbox.issue()}, Additional=Bearer {sandbox.api_key}"
    assert call.with_authorization(header).get("/api/idtoken").status_code == 200


def test_a_made_up_service_key_is_refused(call: Caller) -> None:
    answer = call.with_service_key("sk-made-up").get("/api/memberships")
    refused(answer, 401, "INVALID_SERVICE_AUTH_AUTHORIZATION_HEADER", "Invalid service key.")


def test_a_service_key_is_the_same_at_every_launch_of_one_activity_and_never_expires(
    call: Caller, clock: object
) -> None:
    def key(**where: str) -> str:
        services = call.launched(**where).get("/api/idtoken").json()["services"]
        found: str = services["serviceKey"]
        return found

    quiz = key()
    assert quiz == key(user="ben")
    assert len({quiz, key(activity="lab-report"), key(activity="essay")}) == 3
    clock.now += 400 * 24 * 3600  # type: ignore[attr-defined]
    answer = call.with_service_key(quiz).get("/api/memberships")
    assert answer.json()["context"]["id"] == "biology"


def test_a_service_key_is_opaque(teacher: Caller) -> None:
    key = teacher.get("/api/idtoken").json()["services"]["serviceKey"]
    for told in ("biology", "quiz", "8f1d0c5a"):
        assert told not in key


@pytest.mark.parametrize("path", ["/api", "/api/", "/api/nothing", "/api/idtoken/x", "/api/scores"])
def test_an_unknown_path_is_a_404_of_the_same_shape(teacher: Caller, path: str) -> None:
    refused(teacher.get(path), 404, "NOT_FOUND")


def test_a_method_that_an_endpoint_does_not_have_is_a_405(teacher: Caller) -> None:
    answer = teacher("DELETE", "/api/lineitems")
    refused(answer, 405, "METHOD_NOT_ALLOWED")
    assert answer.headers["Allow"] == "GET, POST"


@pytest.mark.parametrize("slashes", ["//", "///"])
def test_doubled_slashes_before_the_path_are_served_without_a_redirect(
    teacher: Caller, slashes: str
) -> None:
    assert teacher.get(f"{slashes}api/idtoken").status_code == 200
