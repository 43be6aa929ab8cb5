"""`GET /api/idtoken`, in every shape that wire.md knows."""

from __future__ import annotations

from typing import Any

import pytest

from ltiaas_middleware.sandbox import Sandbox

from .conftest import START, Caller, refused

CLAIM = "https://purl.imsglobal.org/spec/lti/claim/"


def test_a_resource_launch_has_what_wire_md_lists(teacher: Caller, call: Caller) -> None:
    answer = teacher.get("/api/idtoken")
    assert answer.headers["Content-Type"] == "application/json; charset=utf-8"
    assert answer.headers["Cache-Control"] == "no-store"
    token = answer.json()
    assert token["ltiVersion"] == "1.3.0"
    assert token["user"] == {
        "id": "ada",
        "roles": [
            "http://purl.imsglobal.org/vocab/lis/v2/membership#Instructor",
            "http://purl.imsglobal.org/vocab/lis/v2/institution/person#Faculty",
        ],
        "name": "Ada Moreau",
        "givenName": "Ada",
        "familyName": "Moreau",
        "email": "ada@students.example",
    }
    assert set(token["platform"]) == {
        "id", "url", "name", "clientId", "deploymentId", "description", "guid",
        "productFamilyCode", "version", "contactEmail", "lis",
    }  # fmt: skip
    launch = token["launch"]
    assert launch["type"] == "LtiResourceLinkRequest"
    assert launch["target"] == "http://tool.example/launch"
    assert set(launch["context"]) == {"id", "label", "title", "type"}
    assert isinstance(launch["context"]["type"], list)
    assert set(launch["resourceLink"]) == {"id", "title", "description"}
    assert launch["presentation"] == {
        "documentTarget": "iframe",
        "locale": "en-GB",
        "returnUrl": f"{call.server.url}/lms/return",
        "width": "1024",
        "height": "768",
    }
    assert launch["custom"] == {"resource": "resource-quiz-1", "attempt_limit": 3}
    services = token["services"]
    assert services["deepLinking"] == {"available": False}
    assert services["namesAndRoles"] == {"available": True}
    assert services["outcomes"] == {"available": False}
    assert services["assignmentAndGrades"]["available"] is True
    assert services["assignmentAndGrades"]["lineItemId"].startswith("https://")
    assert services["serviceKey"]
    assert "sandbox" in token  # a field that nobody knows


def test_a_deep_linking_launch_has_no_resource_link(call: Caller) -> None:
    token = call.launched(deep_linking=True).get("/api/idtoken").json()
    assert token["launch"]["type"] == "LtiDeepLinkingRequest"
    assert "resourceLink" not in token["launch"]
    deep_linking = token["services"]["deepLinking"]
    assert deep_linking["available"] is True
    assert deep_linking["acceptMultiple"] is True
    assert "ltiResourceLink" in deep_linking["acceptTypes"]
    assert "lineItemId" not in token["services"]["assignmentAndGrades"]


def test_an_anonymised_user_has_an_id_and_roles_and_nothing_else(call: Caller) -> None:
    token = call.launched(user="f3b1c9d2-77aa").get("/api/idtoken").json()
    assert set(token["user"]) == {"id", "roles"}


def test_roles_come_as_uris_as_bare_names_and_not_at_all(call: Caller) -> None:
    roles = {
        user: call.launched(user=user).get("/api/idtoken").json()["user"]["roles"]
        for user in ("chen", "ben", "gil")
    }
    assert all("#" in role for role in roles["chen"])
    assert roles["ben"] == ["Learner"]
    assert roles["gil"] == []


def test_a_mentor_has_role_scope_mentor(call: Caller) -> None:
    mentor = call.launched(user="mia")
    assert mentor.get("/api/idtoken").json()["user"]["roleScopeMentor"] == ["ben"]
    raw = mentor.get("/api/idtoken?raw=true").json()
    assert raw[f"{CLAIM}role_scope_mentor"] == ["ben"]


def test_a_platform_without_services_gives_a_sparse_token_and_no_service_key(
    call: Caller,
) -> None:
    token = call.launched(course="drawing").get("/api/idtoken").json()
    assert "ltiVersion" not in token
    assert token["services"] == {
        "deepLinking": {"available": False},
        "namesAndRoles": {"available": False},
        "assignmentAndGrades": {"available": False},
    }
    assert set(token["platform"]) == {"id", "url", "name", "clientId", "deploymentId"}
    presentation = token["launch"]["presentation"]
    assert presentation["document_target"] == "iframe"
    assert (presentation["width"], presentation["height"]) == (1024, 768)
    assert "custom" not in token["launch"]
    assert token["custom"]["resource"] == "resource-sketchbook"
    assert token["user"]["roles"] == ["Instructor"]


def test_one_launch_has_no_context(call: Caller) -> None:
    portfolio = call.launched(activity="portfolio")
    assert "context" not in portfolio.get("/api/idtoken").json()["launch"]
    assert f"{CLAIM}context" not in portfolio.get("/api/idtoken?raw=true").json()


def test_a_legacy_launch_has_a_guid_numeric_user_ids_and_no_services(
    call: Caller, sandbox: Sandbox
) -> None:
    ltik = sandbox.issue("chemistry")
    legacy = call.with_ltik(ltik)
    token = legacy.get("/api/idtoken").json()
    assert token["ltiVersion"] == "1.2.0"
    assert token["launch"]["type"] == "basic-lti-launch-request"
    assert token["user"]["id"] == 1001
    assert token["platform"] == {
        "guid": "lms.heritage.example",
        "name": "Heritage College",
        "version": "9.1",
        "productFamilyCode": "heritage",
    }
    services = ("deepLinking", "namesAndRoles", "assignmentAndGrades", "outcomes")
    assert token["services"] == {name: {"available": False} for name in services}
    refused(legacy.get("/api/lineitems"), 403, "INACTIVE_SERVICE")
    assert sandbox.launch_url(ltik) == f"http://tool.example/launch?legacy-ltik={ltik}"
    step = call.get("/lms/launch?course=chemistry").headers["Location"]
    assert step.startswith("/lti/legacy/launch?")
    assert "?legacy-ltik=" in call.get(step).headers["Location"]


def test_user_ids_are_unique_within_one_platform_only(call: Caller) -> None:
    here = call.launched(user="ada").get("/api/idtoken").json()
    there = call.launched(course="drawing", user="ada").get("/api/idtoken").json()
    assert here["user"]["id"] == there["user"]["id"]
    assert here["user"]["name"] != there["user"]["name"]
    assert here["platform"]["id"] != there["platform"]["id"]


def test_the_raw_token_has_the_claims_of_lti_13(teacher: Caller) -> None:
    raw = teacher.get("/api/idtoken", params={"raw": "true"}).json()
    assert raw["sub"] == "ada"
    assert raw["iss"] == "https://moodle.northfield.example"
    assert raw["iat"] == START
    assert raw[f"{CLAIM}message_type"] == "LtiResourceLinkRequest"
    assert raw[f"{CLAIM}context"]["id"] == "biology"
    assert raw[f"{CLAIM}resource_link"]["id"] == "quiz-1"
    assert raw[f"{CLAIM}deployment_id"] == "1"
    endpoint = raw["https://purl.imsglobal.org/spec/lti-ags/claim/endpoint"]
    assert endpoint["lineitem"].startswith(endpoint["lineitems"].split("?")[0])
    roster = raw["https://purl.imsglobal.org/spec/lti-nrps/claim/namesroleservice"]
    assert roster["service_versions"] == ["2.0"]
    assert "https://purl.imsglobal.org/spec/lti-dl/claim/deep_linking_settings" not in raw
    assert raw["nonce"] != teacher.server.sandbox.issue()


def test_the_raw_token_of_a_deep_linking_launch_has_its_settings(call: Caller) -> None:
    raw = call.launched(deep_linking=True).get("/api/idtoken?raw=true").json()
    settings = raw["https://purl.imsglobal.org/spec/lti-dl/claim/deep_linking_settings"]
    assert settings["accept_multiple"] is True
    endpoint = raw["https://purl.imsglobal.org/spec/lti-ags/claim/endpoint"]
    assert "lineitem" not in endpoint


def test_the_raw_token_withholds_what_the_lms_withholds(call: Caller) -> None:
    raw = call.launched(user="f3b1c9d2-77aa").get("/api/idtoken?raw=true").json()
    assert not {"name", "given_name", "family_name", "email"} & set(raw)


def test_the_raw_token_of_a_legacy_launch_is_its_oauth_payload(call: Caller) -> None:
    raw = call.launched(course="chemistry", user="1002").get("/api/idtoken?raw=true").json()
    assert raw["lti_message_type"] == "basic-lti-launch-request"
    assert raw["user_id"] == "1002"
    assert raw["roles"] == "Learner"
    assert raw["oauth_consumer_key"] == "heritage-consumer"
    assert raw["resource_link_id"] == "titration"
    assert raw["ltiVersion"] == "1.2.0"


def test_raw_false_is_not_raw(teacher: Caller) -> None:
    assert "user" in teacher.get("/api/idtoken?raw=false").json()


@pytest.mark.parametrize("how", ["python", "http"])
def test_a_launch_has_roles_custom_parameters_and_claims_of_its_own(
    call: Caller, sandbox: Sandbox, how: str
) -> None:
    uri = "https://purl.imsglobal.org/spec/lti/claim/lti1p1"
    given: dict[str, Any] = {
        "user": "ben",
        "roles": ["TeachingAssistant", "http://purl.imsglobal.org/vocab/lis/v2/system/person#User"],
        "custom": {"canvas_course_id": "17"},
        "claims": {"extra": {"a": 1}, uri: {"user_id": "old"}},
    }
    if how == "python":
        ltik = sandbox.issue(**given)
    else:
        ltik = call.post("/sandbox/launches", json=given).json()["ltik"]
    token = call.with_ltik(ltik).get("/api/idtoken").json()
    assert token["user"]["id"] == "ben"
    assert token["user"]["roles"] == [
        "http://purl.imsglobal.org/vocab/lis/v2/membership#TeachingAssistant",
        "http://purl.imsglobal.org/vocab/lis/v2/system/person#User",
    ]
    assert token["launch"]["custom"] == {"canvas_course_id": "17"}
    assert token["extra"] == {"a": 1}
    assert uri not in token
    raw = call.with_ltik(ltik).get("/api/idtoken?raw=true").json()
    assert raw[uri] == {"user_id": "old"}
    assert raw["https://purl.imsglobal.org/spec/lti/claim/custom"] == {"canvas_course_id": "17"}
    plain = call.launched(user="ben").get("/api/idtoken").json()
    assert plain["launch"]["custom"] != token["launch"]["custom"]
    assert plain["user"]["roles"] != token["user"]["roles"]


@pytest.mark.parametrize("roles", ["Learner", [1]])
def test_roles_are_a_list_of_texts(sandbox: Sandbox, roles: Any) -> None:
    with pytest.raises(ValueError, match="roles must be a list"):
        sandbox.issue(roles=roles)
