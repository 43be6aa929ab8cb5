"""The control over HTTP, and who is kept away from it."""

from __future__ import annotations

import http.client
from urllib.parse import urlsplit

import pytest

from ltiaas_middleware.sandbox import Sandbox, SandboxServer

from .conftest import SCORE, Caller, refused


def test_a_launch_can_be_issued(call: Caller) -> None:
    body = {"course": "history", "activity": "essay", "user": "ben", "query": "resource=1"}
    made = call.post("/sandbox/launches", json=body).json()
    assert made["launchUrl"] == f"http://tool.example/launch?resource=1&ltik={made['ltik']}"
    token = call.with_ltik(made["ltik"]).get("/api/idtoken").json()
    assert token["user"]["id"] == "ben"
    assert token["launch"]["resourceLink"]["id"] == "essay"


def test_everything_of_a_launch_may_be_left_out(call: Caller) -> None:
    for options in ({}, {"json": {}}, {"json": {"course": None, "deep_linking": None}}):
        made = call.post("/sandbox/launches", **options).json()
        token = call.with_ltik(made["ltik"]).get("/api/idtoken").json()
        assert token["user"]["id"] == "ada"
    made = call.post("/sandbox/launches", json={"deep_linking": True}).json()
    token = call.with_ltik(made["ltik"]).get("/api/idtoken").json()
    assert token["launch"]["type"] == "LtiDeepLinkingRequest"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"course": "geology"}, "no course 'geology'"),
        ({"course": 1}, "course: the body takes course (str)"),
        ({"deep_linking": "yes"}, "deep_linking (bool)"),
        ({"colour": "red"}, "colour: the body takes"),
        ([], "must be a JSON object"),
    ],
)
def test_a_launch_that_cannot_be_is_a_400(call: Caller, body: object, said: str) -> None:
    details = refused(call.post("/sandbox/launches", json=body), 400, "VALIDATION_ERROR")
    assert said in details["description"]


def test_a_launch_can_be_expired(call: Caller, sandbox: Sandbox) -> None:
    ltik = sandbox.issue()
    assert call.post("/sandbox/expire", json={"ltik": ltik}).status_code == 204
    assert call.with_ltik(ltik).get("/api/idtoken").status_code == 401
    refused(call.post("/sandbox/expire", json={"ltik": "x"}), 400, "VALIDATION_ERROR")


def test_faults_can_be_switched_on_and_off(call: Caller, teacher: Caller) -> None:
    body = {"name": "status", "status": 503, "endpoint": "/api/idtoken", "times": 5}
    made = call.post("/sandbox/faults", json=body)
    assert made.status_code == 201
    assert teacher.get("/api/idtoken").status_code == 503
    assert call.get("/sandbox/faults").json() == {"faults": [{**body, "times": 4}]}
    assert call("DELETE", "/sandbox/faults").status_code == 204
    assert teacher.get("/api/idtoken").status_code == 200


@pytest.mark.parametrize(
    "body", [{}, {"name": "sulk"}, {"name": ["delay"]}, {"name": "delay", "self": 1}]
)
def test_a_fault_that_cannot_be_is_a_400(call: Caller, body: object) -> None:
    refused(call.post("/sandbox/faults", json=body), 400, "VALIDATION_ERROR")


def test_the_api_log_can_be_read_and_emptied(call: Caller, teacher: Caller) -> None:
    teacher.get("/api/idtoken")
    (entry,) = call.get("/sandbox/api-log").json()["entries"]
    assert (entry["path"], entry["status"], entry["scheme"]) == (
        "/api/idtoken",
        200,
        "LTIK-AUTH-V2",
    )
    assert call("DELETE", "/sandbox/api-log").status_code == 204
    assert call.get("/sandbox/api-log").json() == {"entries": []}


def test_the_gradebook_can_be_read(call: Caller, teacher: Caller) -> None:
    teacher.post(f"{teacher.line_item()}/scores", json=SCORE)
    columns = call.get("/sandbox/gradebook").json()["columns"]
    assert [column["course"] for column in columns] == ["biology"] * 2 + ["history"] * 2
    assert columns[0]["lineItem"]["label"] == "Quiz 1: The cell"
    assert columns[0]["scores"]["ben"]["scoreGiven"] == 8


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/sandbox/launches"), ("GET", "/sandbox/"), ("PUT", "/sandbox/x")]
)
def test_what_is_not_there_is_a_404(call: Caller, method: str, path: str) -> None:
    refused(call(method, path), 404, "NOT_FOUND")


HOSTS = ["evil.example:{port}", "localhost", "127.0.0.1:1", "127.0.0.1:x", "", "[::"]
PAGES = ["/lms/launch", "/lti/launch", "/sandbox/api-log", "/sandbox/gradebook"]


@pytest.mark.parametrize(
    ("path", "host"),
    [*(("/", host) for host in HOSTS), *((path, "evil.example") for path in ["/", *PAGES])],
)
def test_a_name_that_is_not_the_sandboxs_is_refused(call: Caller, path: str, host: str) -> None:
    answer = call.get(path, headers={"Host": host.format(port=call.server.port)})
    refused(answer, 403, "NOT_YOUR_SANDBOX")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "LOCALHOST", "[::1]", "192.0.2.7"])
def test_its_own_names_and_plain_addresses_are_not(call: Caller, host: str) -> None:
    answer = call.get("/sandbox/api-log", headers={"Host": f"{host}:{call.server.port}"})
    assert answer.status_code == 200


@pytest.mark.parametrize(("host", "status"), [("127.0.0.1:1", 200), ("evil.example", 403)])
def test_the_api_has_any_port_of_this_machine(teacher: Caller, host: str, status: int) -> None:
    assert teacher.get("/api/idtoken", headers={"Host": host}).status_code == status


def test_a_request_without_a_host_is_refused(server: SandboxServer) -> None:
    parts = urlsplit(server.url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=5)
    connection.putrequest("GET", "/sandbox/api-log", skip_host=True)
    connection.endheaders()
    answer = connection.getresponse()
    assert answer.status == 403
    answer.read()
    connection.close()


WRITES = [
    ("POST", "/sandbox/launches"),
    ("DELETE", "/sandbox/faults"),
    ("POST", "/lms/faults"),
    ("POST", "/lms/launch"),
    ("POST", "/api/platforms"),
]
FOREIGN = [
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://["},
    {"Sec-Fetch-Site": "same-site"},
    {"Origin": "http://127.0.0.1:1"},
    {"Origin": "http://192.0.2.7:{port}"},
    {"Sec-Fetch-Site": "same-origin", "Origin": "https://evil.example"},
]


@pytest.mark.parametrize(
    ("method", "path", "headers"),
    [
        *((*write, {"Sec-Fetch-Site": "cross-site"}) for write in WRITES),
        *(("DELETE", "/sandbox/faults", headers) for headers in FOREIGN),
    ],
)
def test_another_sites_page_may_not_change_anything(
    call: Caller, sandbox: Sandbox, method: str, path: str, headers: dict[str, str]
) -> None:
    sandbox.fault("refuse")
    sent = {name: value.replace("{port}", str(call.server.port)) for name, value in headers.items()}
    refused(call(method, path, headers=sent), 403, "NOT_YOUR_SANDBOX")
    assert len(list(sandbox.faults)) == 1


def test_the_sandboxs_own_pages_and_curl_may(call: Caller) -> None:
    for headers in (
        {},
        {"Origin": call.server.url},
        {"Sec-Fetch-Site": "same-origin", "Origin": call.server.url},
        {"Sec-Fetch-Site": "none"},
    ):
        assert call.post("/sandbox/launches", headers=headers).status_code == 200
