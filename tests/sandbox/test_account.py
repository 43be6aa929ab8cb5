"""Registrations and platforms, with the account's own credential."""

from __future__ import annotations

import pytest

from .conftest import Caller, refused

BODY = {"url": "https://new.example", "name": "New", "clientId": "c", "note": None}


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
    assert platforms[2]["consumerKey"]


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


@pytest.mark.parametrize("body", [{}, [], {"url": 1, "name": "x", "clientId": "c"}])
def test_a_platform_that_cannot_be_is_a_400(account: Caller, body: object) -> None:
    details = refused(account.post("/api/platforms", json=body), 400, "VALIDATION_ERROR")
    assert "url" in [error["field"] for error in details["errors"]]


def test_a_change_that_is_no_object_is_a_400(account: Caller) -> None:
    path = account.get("/api/platforms").json()["platforms"][0]["id"]
    answer = account("PUT", f"/api/platforms/{path}", json=["x"])
    refused(answer, 400, "VALIDATION_ERROR")


def test_a_registration_waits_to_be_completed(account: Caller) -> None:
    path = "/api/registrations/5d0f6a1e7c9b4b0e"
    assert account.get(path).json()["status"] == "pending"
    raw = account.get(f"{path}?raw=true").json()
    assert raw["registration_endpoint"].startswith(raw["issuer"])
    done = account.post(f"{path}/complete", json={"name": "Tool"}).json()
    assert (done["status"], done["options"]) == ("completed", {"name": "Tool"})
    assert account.get(path).json()["status"] == "completed"
    refused(account.post(f"{path}/complete", json=[1]), 400, "VALIDATION_ERROR")


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
