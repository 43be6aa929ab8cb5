"""Registrations and platforms, with the account's own credential."""

from __future__ import annotations

import pytest

from ltiaas_middleware.sandbox import Sandbox

from .conftest import PLATFORM, Caller, refused

BODY = {**PLATFORM, "note": None}
PENDING = "/api/registrations/5d0f6a1e7c9b4b0e"


@pytest.fixture
def account(call: Caller) -> Caller:
    return call.with_account()


def test_the_platforms_are_the_worlds(account: Caller) -> None:
    platforms = account.get("/api/platforms").json()["platforms"]
    assert [platform["name"] for platform in platforms] == [
        "Northfield University",
        "Lakeside School",
        "Heritage College",
    ]
    assert platforms[0]["clientId"]
    assert platforms[2]["clientId"] == "heritage-consumer"


def test_older_pages_say_admin(account: Caller) -> None:
    assert account.get("/admin/platforms").json() == account.get("/api/platforms").json()
    path = account.get("/api/platforms").json()["platforms"][0]["id"]
    assert account.get(f"/admin/platforms/{path}").status_code == 200


def test_a_platform_can_be_made_changed_switched_and_deleted(account: Caller) -> None:
    made = account.post("/api/platforms", json=BODY).json()
    assert made["active"] is True
    assert "note" not in made
    path = f"/api/platforms/{made['id']}"
    assert account.get(path).json() == made
    changed = account("PUT", path, json={"name": "Newer", "id": "mine"}).json()
    assert changed == {**made, "name": "Newer"}
    assert account.post(f"{path}/deactivate").json()["active"] is False
    assert account.post(f"{path}/activate").json()["active"] is True
    assert account("DELETE", path).status_code == 204
    refused(account.get(path), 404, "NOT_FOUND")


def test_every_new_platform_has_an_id_of_its_own(account: Caller) -> None:
    ids = [account.post("/api/platforms", json=BODY).json()["id"] for _ in range(3)]
    account("DELETE", f"/api/platforms/{ids[0]}")
    ids.append(account.post("/api/platforms", json=BODY).json()["id"])
    assert len(set(ids)) == 4


def without(name: str) -> dict[str, object]:
    return {key: value for key, value in BODY.items() if key != name}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ([], ""),
        *(({**BODY, name: 1}, name) for name in BODY if name != "note"),
        *((without(name), name) for name in BODY if name != "note"),
        ({**BODY, "authConfig": {"method": "PASSWORD", "key": "x"}}, "authConfig"),
        ({**BODY, "authConfig": {"method": "JWK_SET"}}, "authConfig"),
    ],
)
def test_a_platform_that_cannot_be_is_a_400(account: Caller, body: object, field: str) -> None:
    details = refused(account.post("/api/platforms", json=body), 400, "VALIDATION_ERROR")
    assert [error["field"] for error in details["errors"]] == [field]


@pytest.mark.parametrize("body", [["x"], {"name": 1}, {"authConfig": "JWK_SET"}])
def test_a_change_that_cannot_be_is_a_400(account: Caller, body: object) -> None:
    path = account.get("/api/platforms").json()["platforms"][0]["id"]
    answer = account("PUT", f"/api/platforms/{path}", json=body)
    refused(answer, 400, "VALIDATION_ERROR")


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("url=https://moodle.northfield.example", ["Northfield University"]),
        ("clientId=lakeside-tool", ["Lakeside School"]),
        ("id=c05a7716f3e84d21b49fd8b20e6a93c7", ["Heritage College"]),
        ("clientId=nobody", []),
        ("url=https://moodle.northfield.example&clientId=lakeside-tool", []),
    ],
)
def test_the_list_can_be_filtered(account: Caller, query: str, names: list[str]) -> None:
    platforms = account.get(f"/api/platforms?{query}").json()["platforms"]
    assert [platform["name"] for platform in platforms] == names


def test_a_registration_becomes_an_inactive_platform_and_its_id_dies(account: Caller) -> None:
    assert account.get(PENDING).json()["familyCode"] == "canvas"
    raw = account.get(f"{PENDING}?raw=true").json()
    assert raw["openIdConfiguration"]["issuer"] == "https://canvas.riverside.example"
    done = account.post(f"{PENDING}/complete").json()
    assert "org.imsglobal.lti.close" in done["html"]
    platform = account.get(f"/api/platforms/{done['platformId']}").json()
    assert (platform["name"], platform["active"]) == ("Riverside Institute", False)
    for path in (PENDING, f"{PENDING}?raw=true"):
        refused(account.get(path), 404, "NOT_FOUND")
    refused(account.post(f"{PENDING}/complete"), 404, "NOT_FOUND")


def test_a_registration_can_be_named_and_activated(account: Caller) -> None:
    body = {
        "platformName": "River",
        "autoActivate": True,
        "messages": [{"type": "LtiDeepLinkingRequest", "placements": ["ContentArea"]}],
    }
    done = account.post(f"{PENDING}/complete", json=body).json()
    platform = account.get(f"/api/platforms/{done['platformId']}").json()
    assert (platform["name"], platform["active"]) == ("River", True)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ([1], ""),
        ({"platformName": 1}, "platformName"),
        ({"autoActivate": "yes"}, "autoActivate"),
        ({"messages": {}}, "messages"),
        ({"messages": [{}]}, "messages"),
        ({"messages": [{"type": "x", "placements": "y"}]}, "messages"),
    ],
)
def test_a_completion_that_cannot_be_is_a_400_and_the_registration_waits_on(
    account: Caller, body: object, field: str
) -> None:
    details = refused(account.post(f"{PENDING}/complete", json=body), 400, "VALIDATION_ERROR")
    assert [error["field"] for error in details["errors"]] == [field]
    assert account.get(PENDING).status_code == 200


INACTIVE = "UNREGISTERED_OR_INACTIVE_PLATFORM"


def test_an_inactive_platform_ends_launches_and_service_keys_until_it_is_activated(
    call: Caller, account: Caller, sandbox: Sandbox
) -> None:
    launch = call.launched()
    token = launch.get("/api/idtoken").json()
    path = f"/api/platforms/{token['platform']['id']}"
    nightly = call.with_service_key(token["services"]["serviceKey"])
    account.post(f"{path}/deactivate")
    refused(launch.get("/api/idtoken"), 400, INACTIVE)
    refused(nightly.get("/api/memberships"), 400, INACTIVE)
    with pytest.raises(ValueError, match="not registered"):
        sandbox.issue()
    frame = call.get(call.get("/lms/launch").headers["Location"])
    refused(frame, 400, INACTIVE)
    account.post(f"{path}/activate")
    assert launch.get("/api/idtoken").status_code == 200
    assert nightly.get("/api/memberships").status_code == 200
    account("DELETE", path)
    refused(launch.get("/api/idtoken"), 400, INACTIVE)


def test_an_empty_account_is_told_of_nobody() -> None:
    sandbox = Sandbox(empty=True)
    assert sandbox.platforms.documents() == []
    with pytest.raises(ValueError, match="not registered"):
        sandbox.issue()


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/registrations/none"),
        ("POST", "/api/registrations/none/complete"),
        ("GET", "/api/registrations/none/other"),
        ("GET", "/api/platforms/none"),
        ("POST", "/api/platforms/none/activate"),
        ("POST", "/api/platforms/none/other"),
        ("DELETE", "/api/platforms/none"),
    ],
)
def test_what_is_not_there_is_a_404(account: Caller, method: str, path: str) -> None:
    refused(account(method, path), 404, "NOT_FOUND")


@pytest.mark.parametrize(
    "fields", [{"active": False}, {"authorizationServer": "https://as.example"}]
)
def test_what_a_platform_is_given_beyond_the_required_is_kept(
    account: Caller, fields: dict[str, object]
) -> None:
    made = account.post("/api/platforms", json={**BODY, **fields}).json()
    assert made | fields == made
    assert account.get(f"/api/platforms/{made['id']}").json() == made


@pytest.mark.parametrize("fields", [{"active": "no"}, {"authorizationServer": 1}])
def test_its_optional_fields_have_their_types(account: Caller, fields: dict[str, object]) -> None:
    refused(account.post("/api/platforms", json={**BODY, **fields}), 400, "VALIDATION_ERROR")
