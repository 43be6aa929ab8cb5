"""Dynamic registration in the LMS's pages (wire.md, "Dynamic registration")."""

from __future__ import annotations

import re
from html import unescape
from urllib.parse import parse_qs, quote, urlsplit

import pytest

from ltiaas_middleware.sandbox import Sandbox

from .conftest import Caller

NORTHFIELD = "https://moodle.northfield.example"
HERITAGE = "https://lms.heritage.example"


@pytest.fixture
def sandbox() -> Sandbox:
    return Sandbox(empty=True)


def begin(call: Caller, more: str = "") -> str:
    """The address in the registration frame."""
    page = call.get(f"/lms/registration/frame?url={quote(NORTHFIELD, safe='')}{more}")
    assert page.status_code == 200
    assert "org.imsglobal.lti.close" in page.text
    return unescape(re.findall(r'src="([^"]+)"', page.text)[0])


def states(call: Caller) -> list[str]:
    return re.findall(r'class="chip \w+">([^<]+)', call.get("/lms/registration").text)


def test_an_empty_account_says_so_on_every_page_that_would_launch(call: Caller) -> None:
    assert states(call) == ["not registered"] * 3
    assert "not registered with LTIAAS" in call.get("/").text
    launch = call.get(call.get("/lms/launch").headers["Location"])
    assert launch.status_code == 400
    assert launch.json()["details"]["message"] == "UNREGISTERED_OR_INACTIVE_PLATFORM"


def test_the_browser_is_sent_to_the_pre_approval_page(call: Caller, sandbox: Sandbox) -> None:
    sandbox.pre_approval = "http://tool.example/register?a=1"
    step = call.get(begin(call))
    assert step.status_code == 302
    address = urlsplit(step.headers["Location"])
    assert address.netloc == "tool.example"
    query = parse_qs(address.query)
    assert query["a"] == ["1"]
    (id,) = query["registrationId"]
    asked = call.with_account().get(f"/api/registrations/{id}").json()
    assert asked["url"] == NORTHFIELD
    raw = call.with_account().get(f"/api/registrations/{id}?raw=true").json()
    assert raw["openIdConfiguration"]["issuer"] == NORTHFIELD
    assert states(call)[0] == "not registered"
    done = call.with_account().post(
        f"/api/registrations/{id}/complete", json={"platformName": "North", "autoActivate": True}
    )
    assert states(call)[0] == "active"
    assert done.json()["platformId"] in call.get("/lms/registration").text
    assert "not registered" not in call.get("/").text


def test_without_such_a_page_ltiaas_registers_it_inactive(call: Caller) -> None:
    answer = call.get(begin(call))
    assert answer.status_code == 200
    assert "postMessage" in answer.text
    assert states(call)[0] == "inactive"
    assert "not active" in call.get("/").text
    (platform,) = call.with_account().get("/api/platforms").json()["platforms"]
    activated = call.post("/lms/registration/activate", data={"id": platform["id"]})
    assert activated.status_code == 303
    assert states(call)[0] == "active"
    assert call.get(call.get("/lms/launch").headers["Location"]).status_code == 302


@pytest.mark.parametrize(
    ("spelling", "named"),
    [("&anonymous=1", False), ("", True)],
)
def test_an_anonymous_registration_tells_no_names(
    call: Caller, sandbox: Sandbox, spelling: str, named: bool
) -> None:
    source = begin(call, spelling)
    assert ("privacyLevel=anonymous" in source) is not named
    call.get(source)
    (platform,) = call.with_account().get("/api/platforms").json()["platforms"]
    call.post("/lms/registration/activate", data={"id": platform["id"]})
    token = call.with_ltik(sandbox.issue()).get("/api/idtoken").json()
    assert ("name" in token["user"]) is named


@pytest.mark.parametrize(
    "path",
    [
        "/lti/register",
        "/lti/register?registration_token=x.y.z",
        "/lms/registration/frame",
        f"/lms/registration/frame?url={quote(HERITAGE, safe='')}",
        "/lms/registration/frame?url=https://elsewhere.example",
    ],
)
def test_what_cannot_be_registered_is_a_page_that_says_so(call: Caller, path: str) -> None:
    answer = call.get(path)
    assert answer.status_code == 400
    assert "<h1>" in answer.text


def test_a_token_of_another_kind_registers_nothing(call: Caller, sandbox: Sandbox) -> None:
    handshake = sandbox.launches.handshake(sandbox.world.seat(), None)
    assert call.get(f"/lti/register?registration_token={handshake}").status_code == 400


def test_only_the_lms_itself_activates(call: Caller) -> None:
    call.get(begin(call))
    (platform,) = call.with_account().get("/api/platforms").json()["platforms"]
    refused = call.post(
        "/lms/registration/activate",
        data={"id": platform["id"]},
        headers={"Sec-Fetch-Site": "cross-site"},
    )
    assert refused.status_code == 403
    assert states(call)[0] == "inactive"
    assert call.post("/lms/registration/activate", data={"id": "x"}).status_code == 400
