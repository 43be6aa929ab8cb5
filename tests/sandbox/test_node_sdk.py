"""What LTIAAS's official Node SDK (1.0.0-beta.20) sends, and what it demands of the answers.

It stops at the first field that it cannot read, so that each list here is what keeps a tool that
uses it working. A field that may be missing must not be null. Where it demands more than LTIAAS
promises, the sandbox follows `wire.md`, and a test here says so by name.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest

from ltiaas_middleware.sandbox import Sandbox

from .conftest import Caller, Clock
from .shapes import FLAG, NUMBER, TEXT, Moment, OneOf, check

CLAIM = "https://purl.imsglobal.org/spec/lti/claim/"
LAUNCH = OneOf(["LtiResourceLinkRequest", "LtiDeepLinkingRequest", "basic-lti-launch-request"])
CONTEXT = {"id!": TEXT, "type": [TEXT], "label": TEXT, "title": TEXT}
LINK = {"id!": TEXT, "title": TEXT, "description": TEXT}
AVAILABLE = {"available!": FLAG}

ID_TOKEN = {
    "ltiVersion!": TEXT,
    "user!": {
        "id!": TEXT,
        "roles!": [TEXT],
        "name": TEXT,
        "email": TEXT,
        "givenName": TEXT,
        "familyName": TEXT,
        "roleScopeMentor": [TEXT],
    },
    "platform!": dict.fromkeys(
        [
            "id", "url", "clientId", "deploymentId", "name", "description", "guid",
            "contactEmail", "version", "productFamilyCode", "consumerKey",
        ],
        TEXT,
    )
    | {"lis": {}},
    "launch!": {
        "type!": LAUNCH,
        "target": TEXT,
        "context": CONTEXT,
        "resourceLink": LINK,
        "custom": {},
        "presentation": dict.fromkeys(
            ["documentTarget", "width", "height", "returnUrl", "locale"], TEXT
        ),
    },
    "services!": {
        "outcomes!": AVAILABLE,
        "deepLinking!": AVAILABLE
        | {
            "acceptTypes": [TEXT],
            "acceptPresentationDocumentTargets": [TEXT],
            "acceptMediaTypes": [TEXT],
            "acceptMultiple": FLAG,
            "title": TEXT,
            "text": TEXT,
        },
        "assignmentAndGrades!": AVAILABLE | {"scopes": [TEXT], "lineItemId": TEXT},
        "namesAndRoles!": AVAILABLE,
        "serviceKey": TEXT,
    },
}  # fmt: skip
RAW_ID_TOKEN = {
    "ltiVersion!": OneOf(["1.3.0"]),
    "iss!": TEXT,
    "sub!": TEXT,
    "aud!": TEXT,
    "exp!": NUMBER,
    "iat!": NUMBER,
    "nonce!": TEXT,
    **dict.fromkeys(["azp", "given_name", "family_name", "name", "email", "locale"], TEXT),
    f"{CLAIM}message_type!": LAUNCH,
    f"{CLAIM}deployment_id!": TEXT,
    f"{CLAIM}target_link_uri!": TEXT,
    f"{CLAIM}roles!": [TEXT],
    f"{CLAIM}tool_platform": dict.fromkeys(
        ["guid", "name", "description", "contactEmail", "version", "product_family_code"], TEXT
    )
    | {"lis": [TEXT]},
    f"{CLAIM}context": CONTEXT,
    f"{CLAIM}resource_link": LINK,
    f"{CLAIM}launch_presentation": dict.fromkeys(
        ["document_target", "width", "height", "return_url", "locale"], TEXT
    ),
    f"{CLAIM}role_scope_mentor": [TEXT],
    f"{CLAIM}custom": {},
    f"{CLAIM}lis": {},
}
#: Every other value of it is text, too, where it is there.
OAUTH_PAYLOAD = {
    "ltiVersion!": OneOf(["1.2.0"]),
    "lti_message_type!": LAUNCH,
    "resource_link_id!": TEXT,
}
ROSTER = {
    "id!": TEXT,
    "context!": {"id!": TEXT, "label": TEXT, "title": TEXT},
    "members!": [
        {"userId!": TEXT, "roles!": [TEXT]}
        | dict.fromkeys(
            [
                "status", "email", "name", "givenName", "familyName", "middleName", "picture",
                "lisPersonSourcedId", "lti11LegacyUserId",
            ],
            TEXT,
        )
    ],
    "next": TEXT,
}  # fmt: skip
PAGE = dict.fromkeys(["next", "first", "last", "prev"], TEXT)
LINE_ITEM = {
    "id!": TEXT,
    "label!": TEXT,
    "scoreMaximum!": NUMBER,
    "resourceLinkId": TEXT,
    "resourceId": TEXT,
    "tag": TEXT,
    "startDateTime": Moment,
    "endDateTime": Moment,
    "gradesReleased": FLAG,
}
LINE_ITEMS = PAGE | {"lineItems!": [LINE_ITEM]}
RESULTS = PAGE | {
    "scores!": [
        {
            "id!": TEXT,
            "userId!": TEXT,
            "scoreOf!": TEXT,
            "timestamp!": Moment,
            "resultScore": NUMBER,
            "resultMaximum": NUMBER,
            "comment": TEXT,
        }
    ]
}
PLATFORM = {
    **dict.fromkeys(
        [
            "id!", "url!", "clientId!", "name!", "authenticationEndpoint!", "accesstokenEndpoint!",
            "publicKey!", "authorizationServer",
        ],
        TEXT,
    ),
    "authConfig!": {"key!": TEXT, "method!": OneOf(["JWK_SET", "JWK_KEY", "RSA_KEY"])},
    "active": FLAG,
}  # fmt: skip
REGISTRATION = {
    "url!": TEXT,
    "familyCode!": TEXT,
    "version!": TEXT,
    "supportedScopes!": [TEXT],
    "supportedMessages!": [{"type!": LAUNCH, "placements": [TEXT]}],
}
RAW_REGISTRATION = {
    "openIdConfiguration!": {
        **dict.fromkeys(
            [
                "issuer!", "authorization_endpoint!", "token_endpoint!", "jwks_uri!",
                "registration_endpoint!", "authorization_server",
            ],
            TEXT,
        ),
        **{
            name: [TEXT]
            for name in (
                "token_endpoint_auth_methods_supported!",
                "token_endpoint_auth_signing_alg_values_supported!",
                "scopes_supported!",
                "response_types_supported!",
                "subject_types_supported!",
                "id_token_signing_alg_values_supported!",
                "claims_supported!",
            )
        },
        "https://purl.imsglobal.org/spec/lti-platform-configuration!": {
            "messages_supported!": [{"type!": TEXT, "placements": [TEXT]}],
            "product_family_code": TEXT,
            "version": TEXT,
            "variables": [TEXT],
        },
    },
    "registrationToken!": TEXT,
}  # fmt: skip
ERROR = {
    "status!": NUMBER,
    "error!": TEXT,
    "details": {"message": TEXT, "bodyReceived": None, "externalError": FLAG, "externalUrl": TEXT},
}
NEW_ITEM = {
    "label": "Essay", "scoreMaximum": 20, "resourceLinkId": "quiz-1", "resourceId": "own",
    "tag": "node", "startDateTime": "2026-03-01T12:00:00Z",
    "endDateTime": "2026-03-08T12:00:00+01:00", "gradesReleased": True,
}  # fmt: skip
NEW_PLATFORM = {
    "url": "https://new.example", "clientId": "c", "name": "New",
    "authenticationEndpoint": "https://new.example/auth",
    "accesstokenEndpoint": "https://new.example/token",
    "authConfig": {"method": "JWK_SET", "key": "https://new.example/jwks"},
    "authorizationServer": "https://new.example", "active": True,
}  # fmt: skip
REGISTERING = "/api/registrations/5d0f6a1e7c9b4b0e"


def component(text: str) -> str:
    """As ``encodeURIComponent`` does: a line item's id is one segment of the path."""
    return quote(text, safe="!'()*~")


def parameter(text: str) -> str:
    """As axios encodes a value of the query, which leaves some punctuation as it is."""
    return quote(text, safe="!'()*~:$,").replace("%20", "+")


def reads(answer: Any, shape: Any, status: int = 200) -> Any:
    assert answer.status_code == status, answer.text
    document = answer.json()
    check(document, shape, f"{answer.request.method} {answer.request.path_url}", further=True)
    return document


@pytest.mark.parametrize("course", ["biology", "history", "choir"])
def test_it_reads_every_launch_of_a_full_lms(call: Caller, sandbox: Sandbox, course: str) -> None:
    found = sandbox.world.course(course)
    assert found is not None
    for user in found.members:
        for where in ({"activity": found.activities[0].id}, {"deep_linking": True}):
            launched = call.launched(course=course, user=user.id, **where)
            reads(launched.get("/api/idtoken"), ID_TOKEN)
            reads(launched.get("/api/idtoken?raw=true"), RAW_ID_TOKEN)


def test_it_reads_a_legacy_launchs_form_fields_all_of_which_are_text(
    call: Caller, sandbox: Sandbox
) -> None:
    for user in ("1001", "1002"):
        launched = call.launched(course="chemistry", user=user)
        for _ in range(2):
            payload = reads(launched.get("/api/idtoken?raw=true"), OAUTH_PAYLOAD)
            check(payload, dict.fromkeys(payload, TEXT), "payload")
            # An activity without a column has no address of it.
            column = sandbox.gradebook.column_of("titration")
            if column is not None:
                sandbox.gradebook.delete(column)
        assert "custom_lineitem_url" not in payload


@pytest.mark.parametrize("scheme", ["launch", "service key"])
def test_it_reads_rosters_and_gradebooks(call: Caller, clock: Clock, scheme: str) -> None:
    caller = call.launched()
    if scheme == "service key":
        token = caller.get("/api/idtoken").json()
        caller = call.with_service_key(token["services"]["serviceKey"])
    roster = reads(caller.get("/api/memberships?limit=5"), ROSTER)
    reads(caller.get(f"/api/memberships?url={parameter(roster['next'])}"), ROSTER)
    role = "http://purl.imsglobal.org/vocab/lis/v2/membership#Learner"
    learners = reads(caller.get(f"/api/memberships?role={parameter(role)}&limit=100"), ROSTER)
    assert len(learners["members"]) > 5

    made = reads(caller.post("/api/lineitems", json=NEW_ITEM), LINE_ITEM, 201)
    assert made == {**NEW_ITEM, "id": made["id"]}
    query = "resourceLinkId=quiz-1&resourceId=own&tag=node&limit=5"
    (found,) = reads(caller.get(f"/api/lineitems?{query}"), LINE_ITEMS)["lineItems"]
    assert found == made
    first = reads(caller.get("/api/lineitems?limit=1"), LINE_ITEMS)
    reads(caller.get(f"/api/lineitems?url={parameter(first['next'])}"), LINE_ITEMS)

    path = f"/api/lineitems/{component(made['id'])}"
    reads(caller.get(path), LINE_ITEM)
    reads(caller("PUT", path, json={"label": "Poem", "scoreMaximum": 10}), LINE_ITEM, 201)
    words = ["Initialized", "Started", "InProgress", "Submitted", "Completed"]
    for user, word in zip(["ben", "chen", "dora", "emil", "hana"], words, strict=True):
        score = {"userId": user, "activityProgress": word, "gradingProgress": "NotReady"}
        assert caller.post(f"{path}/scores", json=score).status_code == 204
    graded = {
        "userId": "ben", "activityProgress": "Completed", "gradingProgress": "FullyGraded",
        "scoreGiven": 4, "scoreMaximum": 5, "comment": "ok", "https://lms.example/more": 1,
    }  # fmt: skip
    clock.now += 1
    assert caller.post(f"{path}/scores", json=graded).status_code == 204
    assert len(reads(caller.get(f"{path}/scores"), RESULTS)["scores"]) == 5
    (result,) = reads(caller.get(f"{path}/scores?userId=ben&limit=1"), RESULTS)["scores"]
    assert (result["resultScore"], result["resultMaximum"]) == (8, 10)
    following = reads(caller.get(f"{path}/scores?limit=2"), RESULTS)["next"]
    reads(caller.get(f"{path}/scores?url={parameter(following)}"), RESULTS)
    assert caller("DELETE", path).status_code == 204
    reads(caller.get(path), ERROR, 404)


@pytest.mark.parametrize("options", [None, {"message": "m", "log": "l"}, {"errMessage": "e"}])
def test_it_reads_deep_linkings_answers(call: Caller, options: dict[str, str] | None) -> None:
    choosing = call.launched(deep_linking=True)
    items = [
        {"type": "ltiResourceLink", "custom": {"a": 1}, "iframe": {"width": 9}},
        {"type": "link", "url": "https://a.example/"},
        {"type": "file", "url": "https://a.example/", "expiresAt": "2026-03-01T12:00:00Z"},
        {"type": "image", "url": "https://a.example/"},
        {"type": "html", "html": "<p>"},
    ]
    body: dict[str, Any] = {"contentItems": items}
    if options is not None:
        body["options"] = options
    reads(choosing.post("/api/deeplinking/form", json=body), {"form!": TEXT})
    parts = choosing.post("/api/deeplinking", json=body)
    reads(parts, {"message!": TEXT, "target!": TEXT})


def test_it_reads_the_accounts_answers(call: Caller) -> None:
    account = call.with_account()
    registration = reads(account.get(REGISTERING), REGISTRATION)
    reads(account.get(f"{REGISTERING}?raw=true"), RAW_REGISTRATION)
    body = {
        "platformName": "School",
        "autoActivate": True,
        "messages": registration["supportedMessages"],
    }
    done = account.post(f"{REGISTERING}/complete", json=body)
    id = reads(done, {"html!": TEXT, "platformId!": TEXT})["platformId"]
    made = reads(account.post("/api/platforms", json=NEW_PLATFORM), PLATFORM)
    # One row that it cannot read, and it reads none.
    rows = reads(account.get("/api/platforms"), {"platforms!": [PLATFORM]})["platforms"]
    assert {id, made["id"]} <= {row["id"] for row in rows}
    assert len(rows) == 5
    query = f"url={parameter(NEW_PLATFORM['url'])}&clientId=c"
    rows = reads(account.get(f"/api/platforms?{query}"), {"platforms!": [PLATFORM]})["platforms"]
    assert rows == [made]
    path = f"/api/platforms/{made['id']}"
    reads(account.get(path), PLATFORM)
    reads(account("PUT", path, json={**NEW_PLATFORM, "name": "Newer"}), PLATFORM)
    # These two go without a body, and their answers are not looked at.
    for step in ("deactivate", "activate"):
        assert account.post(f"{path}/{step}").status_code == 200
    assert account("DELETE", path).status_code == 204


def test_it_reads_every_error(call: Caller, teacher: Caller) -> None:
    for answer in (
        call.with_ltik("a.b.c").get("/api/idtoken"),
        call.with_service_key("x").get("/api/memberships"),
        call.with_authorization("Bearer x").get("/api/platforms"),
        teacher.post("/api/lineitems", json={}),
        call.launched(course="chemistry").get("/api/memberships"),
    ):
        reads(answer, ERROR, answer.status_code)


@pytest.mark.parametrize(
    ("change", "seen"),
    [
        (lambda token: token["launch"]["presentation"].update(width=1024), "width"),
        (lambda token: token["services"].pop("outcomes"), "outcomes"),
        (lambda token: token["user"].update(email=None), "email"),
        (lambda token: token.pop("ltiVersion"), "ltiVersion"),
        (lambda token: token["launch"].update(type="LtiSubmissionReviewRequest"), "type"),
    ],
)
def test_these_lists_see_what_it_cannot_read(
    teacher: Caller, change: Callable[[Any], Any], seen: str
) -> None:
    token = teacher.get("/api/idtoken").json()
    check(token, ID_TOKEN, "token", further=True)
    change(token)
    with pytest.raises(AssertionError, match=seen):
        check(token, ID_TOKEN, "token", further=True)


# Where it demands more than LTIAAS promises


def test_deviation_it_demands_user_ids_as_text_and_a_legacy_lms_has_numbers(call: Caller) -> None:
    token = call.launched(course="chemistry").get("/api/idtoken").json()
    assert token["user"]["id"] == 1001
    check(token, {**ID_TOKEN, "user!": None}, "token", further=True)


def test_deviation_it_demands_what_the_sparse_lms_leaves_out(call: Caller) -> None:
    token = call.launched(course="drawing").get("/api/idtoken").json()
    with pytest.raises(AssertionError, match="ltiVersion"):
        check(token, ID_TOKEN, "token", further=True)
    assert "outcomes" not in token["services"]
    assert token["launch"]["presentation"]["width"] == 1024
