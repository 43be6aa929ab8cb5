"""Every answer of the sandbox, field by field, against what wire.md lists: nothing that is always
there is missing, and nothing is there that is not documented.

Two are the exceptions: the ID token's ``sandbox`` ("Unknown fields are added over time and must
survive", and so there is one), and a member's ``lisPersonSourcedId``, which the official SDK reads.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ltiaas_middleware.sandbox import Sandbox

from .conftest import SCORE, Caller
from .shapes import FLAG, NUMBER, TEXT, check

WIRE = (Path(__file__).parents[2] / "docs" / "wire.md").read_text("utf-8")

ID = (str, int)
ID_TOKEN = {
    "ltiVersion": TEXT,
    "user!": {
        "id!": ID,
        "roles!": [TEXT],
        "name": TEXT,
        "email": TEXT,
        "givenName": TEXT,
        "familyName": TEXT,
        "given_name": TEXT,
        "family_name": TEXT,
        "roleScopeMentor": [ID],
    },
    "platform!": {
        "id": ID,
        "url": TEXT,
        "clientId": TEXT,
        "deploymentId": TEXT,
        "name": TEXT,
        "description": TEXT,
        "guid": TEXT,
        "productFamilyCode": TEXT,
        "version": TEXT,
        "contactEmail": TEXT,
        "lis": None,
        "consumerKey": TEXT,
    },
    "launch!": {
        "type!": TEXT,
        "target": TEXT,
        "context": {"id!": ID, "label": TEXT, "title": TEXT, "type": [TEXT]},
        "resourceLink": {"id!": ID, "title": TEXT, "description": TEXT},
        "resource": {"id!": ID, "title": TEXT},
        "presentation": {
            "documentTarget": TEXT,
            "document_target": TEXT,
            "locale": TEXT,
            "returnUrl": TEXT,
            "width": (str, int),
            "height": (str, int),
        },
        "custom": None,
    },
    "custom": None,
    "services!": {
        "deepLinking": {
            "available!": FLAG,
            "acceptTypes": [TEXT],
            "acceptMultiple": FLAG,
            "acceptPresentationDocumentTargets": [TEXT],
            "acceptMediaTypes": TEXT,
            "title": TEXT,
            "text": TEXT,
        },
        "namesAndRoles": {"available!": FLAG},
        "assignmentAndGrades": {"available!": FLAG, "lineItemId": TEXT, "scopes": [TEXT]},
        "outcomes": {"available!": FLAG},
        "serviceKey": TEXT,
    },
    "sandbox": None,
}
PAGE = {"next": TEXT, "prev": TEXT, "first": TEXT, "last": TEXT}
ROSTER = PAGE | {
    "id!": TEXT,
    "context!": {"id!": ID, "label": TEXT, "title": TEXT},
    "members!": [
        {
            "userId!": ID,
            "roles!": [TEXT],
            "status": TEXT,
            "name": TEXT,
            "givenName": TEXT,
            "familyName": TEXT,
            "email": TEXT,
            "lisPersonSourcedId": TEXT,
        }
    ],
}
LINE_ITEM = {
    "id!": TEXT,
    "label!": TEXT,
    "scoreMaximum!": NUMBER,
    "resourceLinkId": TEXT,
    "resourceId": TEXT,
    "tag": TEXT,
    "startDateTime": TEXT,
    "endDateTime": TEXT,
}
RESULTS = PAGE | {
    "scores!": [
        {
            "id!": TEXT,
            "userId!": ID,
            "scoreOf!": TEXT,
            "resultScore": NUMBER,
            "resultMaximum!": NUMBER,
            "comment": TEXT,
            "timestamp!": TEXT,
        }
    ]
}
PLATFORM = {
    "id!": TEXT,
    "url!": TEXT,
    "clientId!": TEXT,
    "name!": TEXT,
    "authenticationEndpoint!": TEXT,
    "accesstokenEndpoint!": TEXT,
    "authConfig!": {"method!": TEXT, "key!": TEXT},
    "publicKey!": TEXT,
    "active!": FLAG,
}
ERROR = {
    "status!": NUMBER,
    "error!": TEXT,
    "details!": {
        "message!": TEXT,
        "description": TEXT,
        "code": TEXT,
        "bodySent": None,
        "bodyReceived": None,
        "externalError": None,
        "externalUrl": TEXT,
        "errors": None,
    },
}


def seats(sandbox: Sandbox) -> Iterator[dict[str, Any]]:
    """Every person in every activity, and every deep-linking launch."""
    for course in sandbox.world.courses:
        for user in course.members:
            for activity in course.activities:
                yield {"course": course.id, "activity": activity.id, "user": user.id}
            if course.platform.deep_linking:
                yield {"course": course.id, "user": user.id, "deep_linking": True}


def test_every_id_token_of_the_world(call: Caller, sandbox: Sandbox) -> None:
    tokens = []
    for seat in seats(sandbox):
        token = call.launched(**seat).get("/api/idtoken").json()
        check(token, ID_TOKEN, f"idtoken of {seat}")
        tokens.append(token)
    # What both official SDKs demand, and what the Node SDK reads as text, the full LMSes have.
    full = [token for token in tokens if "ltiVersion" in token]
    assert 0 < len(full) < len(tokens)
    for token in full:
        assert "outcomes" in token["services"]
        assert isinstance(token["launch"]["presentation"]["width"], str)
    # Each shape that the page tells of is met by somebody.
    assert any("id" not in token["platform"] for token in tokens)
    assert any("document_target" in token["launch"]["presentation"] for token in tokens)
    assert any("roleScopeMentor" in token["user"] for token in tokens)
    assert any(isinstance(token["user"]["id"], int) for token in tokens)
    assert any(not token["user"]["roles"] for token in tokens)


def test_every_page_of_every_roster_and_gradebook(call: Caller, sandbox: Sandbox) -> None:
    met = set()
    for seat in seats(sandbox):
        caller = call.launched(**seat)
        for path, shape in (
            ("/api/memberships", ROSTER),
            ("/api/lineitems", PAGE | {"lineItems!": [LINE_ITEM]}),
        ):
            answer = caller.get(f"{path}?limit=3")
            shape = shape if answer.status_code == 200 else ERROR
            check(answer.json(), shape, f"{path} of {seat}")
            met.add((path, answer.status_code == 200))
    assert len(met) == 4


def test_everything_a_gradebook_answers(teacher: Caller) -> None:
    body = {"label": "Essay", "scoreMaximum": 10, "tag": "t", "resourceId": "r"}
    made = teacher.post("/api/lineitems", json=body)
    assert made.status_code == 201
    check(made.json(), LINE_ITEM, "POST lineitems")
    path = teacher.line_item()
    check(teacher.get(path).json(), LINE_ITEM, "GET lineitem")
    changed = teacher("PUT", path, json=body)
    assert changed.status_code == 201
    check(changed.json(), LINE_ITEM, "PUT lineitem")
    sent = teacher.post(f"{path}/scores", json=SCORE | {"comment": "good"})
    assert (sent.status_code, sent.content) == (204, b"")
    check(teacher.get(f"{path}/scores").json(), RESULTS, "GET scores")
    gone = teacher("DELETE", path)
    assert (gone.status_code, gone.content) == (204, b"")


def test_everything_deep_linking_answers(call: Caller) -> None:
    choosing = call.launched(deep_linking=True)
    body = {"contentItems": [{"type": "link", "url": "https://a.example/"}]}
    check(
        choosing.post("/api/deeplinking", json=body).json(),
        {"message!": TEXT, "target!": TEXT},
        "deeplinking",
    )
    check(choosing.post("/api/deeplinking/form", json=body).json(), {"form!": TEXT}, "form")


def test_everything_the_account_answers(call: Caller) -> None:
    account = call.with_account()
    platforms = account.get("/api/platforms").json()
    check(platforms, {"platforms!": [PLATFORM]}, "platforms")
    path = f"/api/platforms/{platforms['platforms'][0]['id']}"
    for answer in (
        account.get(path),
        account("PUT", path, json={"name": "x"}),
        account.post(f"{path}/deactivate"),
        account.post(f"{path}/activate"),
    ):
        check(answer.json(), PLATFORM, f"{answer.request.method} {answer.request.path_url}")
    pending = "/api/registrations/5d0f6a1e7c9b4b0e"
    check(
        account.get(pending).json(),
        {
            "url!": TEXT,
            "familyCode!": TEXT,
            "version!": TEXT,
            "supportedScopes!": [TEXT],
            "supportedMessages!": [{"type!": TEXT, "placements": [TEXT]}],
        },
        "registration",
    )
    check(
        account.get(f"{pending}?raw=true").json(),
        {"openIdConfiguration!": None, "registrationToken!": TEXT},
        "raw registration",
    )
    check(
        account.post(f"{pending}/complete", json={}).json(),
        {"html!": TEXT, "platformId!": TEXT},
        "complete",
    )


def test_every_kind_of_error(call: Caller, teacher: Caller) -> None:
    for answer in (
        call.get("/api/idtoken"),
        call.with_ltik("a.b.c").get("/api/idtoken"),
        call.with_authorization("Bearer wrong").get("/api/platforms"),
        call.with_service_key("made-up").get("/api/memberships"),
        teacher.get("/api/memberships?limit=x"),
        teacher.get("/api/nothing"),
        teacher("PATCH", "/api/lineitems"),
        teacher.post("/api/lineitems", data=b"{"),
        teacher.post(f"{teacher.line_item()}/scores", json={}),
        call.launched(course="chemistry").get("/api/memberships"),
    ):
        assert answer.status_code >= 400
        check(answer.json(), ERROR, f"{answer.request.method} {answer.request.path_url}")


@pytest.mark.parametrize(
    "shape",
    [ID_TOKEN, ERROR["details!"], PLATFORM, RESULTS["scores!"][0], ROSTER["members!"][0]],
    ids=["idtoken", "error", "platform", "result", "member"],
)
def test_the_lists_above_are_wire_mds(shape: dict[str, Any]) -> None:
    """Every name of them is on the page, but for the two exceptions."""
    words = set(re.findall(r"\w+", WIRE))

    def names(part: Any) -> Iterator[str]:
        if isinstance(part, list):
            part = part[0]
        if isinstance(part, dict):
            for name, value in part.items():
                yield name.rstrip("!")
                yield from names(value)

    assert set(names(shape)) - {"sandbox", "lisPersonSourcedId"} <= words
