from __future__ import annotations

import json
import pickle
from datetime import datetime, timezone

import pytest

from ltiaas_middleware import IdToken, IdTokenError, InvalidRequest, ServiceKeyCredential, Settings
from ltiaas_middleware._crypto.one_time_tokens import OneTimeTokens
from ltiaas_middleware._verification.launches import CachedLaunch
from ltiaas_middleware.api.decoded import DecodedTokens
from ltiaas_middleware.api.id_token import Lis
from ltiaas_middleware.launch import Account, GlobalUserId, Launch

FULL = {
    "ltiVersion": "1.3.0",
    "user": {
        "id": "u-1",
        "name": "Ada Lovelace",
        "email": "ada@school.example",
        "givenName": "Ada",
        "familyName": "Lovelace",
        "roleScopeMentor": ["u-2"],
        "roles": [
            "http://purl.imsglobal.org/vocab/lis/v2/membership#Instructor",
            "http://purl.imsglobal.org/vocab/lis/v2/institution/person#Administrator",
        ],
        "somethingNew": 1,
    },
    "platform": {
        "id": "p-1",
        "url": "https://lms.example",
        "clientId": "client",
        "deploymentId": 1,
        "name": "School",
        "description": "d",
        "guid": "g",
        "productFamilyCode": "canvas",
        "version": "cloud",
        "contactEmail": "it@school.example",
        "lis": {"person_sourcedid": "x"},
    },
    "launch": {
        "type": "LtiResourceLinkRequest",
        "target": "https://tool.example/launch",
        "context": {"id": "c-1", "label": "BIO", "title": "Biology", "type": ["CourseSection"]},
        "resourceLink": {"id": "r-1", "title": "Quiz", "description": "q"},
        "presentation": {
            "documentTarget": "iframe",
            "locale": "en",
            "returnUrl": "https://lms.example/return",
            "width": "800",
            "height": 600,
        },
        "custom": {"resource": "123"},
    },
    "services": {
        "deepLinking": {"available": False},
        "namesAndRoles": {"available": True},
        "assignmentAndGrades": {
            "available": True,
            "lineItemId": "https://lms.example/li/1",
            "scopes": ["score"],
        },
        "outcomes": {"available": False},
        "serviceKey": "the-service-key",
    },
}


SUB = "http://purl.imsglobal.org/vocab/lis/v2/membership/"


def with_(path, value):
    raw = json.loads(json.dumps(FULL))
    *parents, last = path.split(".")
    place = raw
    for name in parents:
        place = place[name]
    place[last] = value
    return raw


def test_a_full_token():
    token = IdToken.parse(FULL)
    assert token.user.id == "u-1"
    assert token.user.given_name == "Ada"
    assert token.user.role_scope_mentor == ("u-2",)
    assert token.platform.deployment_id == "1"
    assert token.platform.lis == token.lis
    assert token.lis.person_sourcedid == "x"
    assert token.launch.type == "LtiResourceLinkRequest"
    assert token.launch.context.title == "Biology"
    assert token.launch.context.type == ("CourseSection",)
    assert token.launch.resource_link.title == "Quiz"
    assert (token.launch.presentation.width, token.launch.presentation.height) == (800, 600)
    assert token.launch.custom == {"resource": "123"}
    assert token.services.names_and_roles_available
    assert token.services.assignment_and_grades.line_item_id == "https://lms.example/li/1"
    assert token.services.assignment_and_grades.scopes == ("score",)
    assert token.services.service_key == "the-service-key"
    assert token.lti_version == "1.3.0"
    assert token.raw == FULL
    assert token.raw["user"]["somethingNew"] == 1


def test_the_least_that_is_a_token():
    token = IdToken.parse({"user": {"id": 7}})
    assert token.user.id == "7"
    assert token.user.roles == ()
    assert token.user.name is None
    assert token.launch.context is None
    assert token.launch.resource_link is None
    assert token.launch.presentation.width is None
    assert token.launch.custom == {}
    assert token.services.service_key is None
    assert token.services.deep_linking.accept_multiple is None
    assert not token.services.outcomes_available
    assert token.lti_version is None


@pytest.mark.parametrize(
    "raw",
    [
        None,
        [],
        "text",
        1,
        {},
        {"user": None},
        {"user": []},
        {"error": "x", "status": 200},
    ],
)
def test_what_has_no_part_of_a_token_is_none(raw):
    with pytest.raises(IdTokenError):
        IdToken.parse(raw)


@pytest.mark.parametrize("id", ["", None, True, {}, []])
def test_a_launch_may_be_anonymous(id):
    assert IdToken.parse({"user": {"id": id, "roles": ["Learner"]}}).user.id is None
    assert IdToken.parse({"user": {"roles": ["Learner"]}}).user.roles == ("Learner",)
    assert IdToken.parse({"platform": {"id": "p"}}).user.id is None


@pytest.mark.parametrize(
    ("path", "value", "read", "expected"),
    [
        ("user.name", None, lambda t: t.user.name, None),
        ("user.name", "", lambda t: t.user.name, None),
        ("user.roles", None, lambda t: t.user.roles, ()),
        ("user.roles", "Instructor, ,,Learner,", lambda t: t.user.roles, ("Instructor", "Learner")),
        ("user.roles", ["", "Learner", None, 1], lambda t: t.user.roles, ("Learner", "1")),
        ("platform.id", 12, lambda t: t.platform.id, "12"),
        ("platform.lis", "x", lambda t: t.platform.lis, Lis()),
        ("launch.context", [], lambda t: t.launch.context, None),
        ("launch.resourceLink", None, lambda t: t.launch.resource_link, None),
        (
            "launch.presentation",
            {"document_target": "window", "width": "wide", "height": 1e400},
            lambda t: (
                t.launch.presentation.document_target,
                t.launch.presentation.width,
                t.launch.presentation.height,
            ),
            ("window", None, None),
        ),
        ("services", None, lambda t: t.services.service_key, None),
        ("services.serviceKey", None, lambda t: t.services.service_key, None),
        ("services.outcomes", {"available": "true"}, lambda t: t.services.outcomes_available, True),
        (
            "services.deepLinking",
            {"available": True, "acceptTypes": ["link"], "acceptMultiple": False},
            lambda t: (
                t.services.deep_linking.accept_types,
                t.services.deep_linking.accept_multiple,
            ),
            (("link",), False),
        ),
    ],
)
def test_every_variation_is_taken(path, value, read, expected):
    assert read(IdToken.parse(with_(path, value))) == expected


def test_a_legacy_launch():
    raw = with_("services", {"legacyServiceKey": "old-key"})
    raw["ltiVersion"] = "1.2.0"
    raw["platform"] = {"id": "p", "consumerKey": "ck"}
    raw["launch"]["type"] = "basic-lti-launch-request"
    token = IdToken.parse(raw)
    assert token.platform.consumer_key == "ck"
    assert token.platform.client_id is None
    assert token.services.service_key == "old-key"


def test_custom_parameters_are_found_at_the_top_level_too():
    raw = {"user": {"id": "u"}, "custom": {"a": "1"}}
    assert IdToken.parse(raw).launch.custom == {"a": "1"}


class TestRoles:
    @pytest.mark.parametrize(
        ("has", "asked", "answer"),
        [
            ("http://purl.imsglobal.org/vocab/lis/v2/membership#Instructor", "Instructor", True),
            ("Instructor", "Instructor", True),
            ("urn:lti:role:ims/lis/Instructor", "Instructor", True),
            (
                "Instructor",
                "http://purl.imsglobal.org/vocab/lis/v2/membership#Instructor",
                True,
            ),
            ("Learner", "Instructor", False),
            ("instructor", "Instructor", True),
            # A teacher of the institution may be a learner in this course.
            (
                "http://purl.imsglobal.org/vocab/lis/v2/institution/person#Instructor",
                "Instructor",
                False,
            ),
            (
                "http://purl.imsglobal.org/vocab/lis/v2/institution/person#Instructor",
                "http://purl.imsglobal.org/vocab/lis/v2/institution/person#Instructor",
                True,
            ),
            # LTI 1.1 knows "Learner/Instructor", who is a learner.
            ("urn:lti:role:ims/lis/Learner/Instructor", "Instructor", False),
            # So is this one, although the sub-role is called Instructor.
            (f"{SUB}Learner#Instructor", "Instructor", False),
            (f"{SUB}Learner#Instructor", "Learner", True),
            (f"{SUB}Learner#Instructor", f"{SUB}Learner#Instructor", True),
            (f"{SUB}Instructor#TeachingAssistant", "TeachingAssistant", True),
            (f"{SUB}Instructor#TeachingAssistant", "Instructor", True),
            (f"{SUB}Instructor#TeachingAssistant", f"{SUB}Instructor#TeachingAssistant", True),
            (f"{SUB}Instructor#TeachingAssistant", "Instructor#TeachingAssistant", True),
            (f"{SUB}Instructor#TeachingAssistant", f"{SUB}Instructor#Grader", False),
            (f"{SUB}Instructor#TeachingAssistant", "Learner", False),
            (
                f"{SUB}Instructor#TeachingAssistant",
                "http://purl.imsglobal.org/vocab/lis/v2/membership#Instructor",
                True,
            ),
            ("Instructor", "TeachingAssistant", False),
            ("Instructor", f"{SUB}Instructor#TeachingAssistant", False),
            ("urn:lti:role:ims/lis/TeachingAssistant", "TeachingAssistant", True),
            ("urn:lti:role:ims/lis/Instructor/TeachingAssistant", "TeachingAssistant", True),
            ("Instructor#TeachingAssistant", "Instructor", True),
            ("http://purl.imsglobal.org/vocab/lti/system/person#TestUser", "TestUser", False),
        ],
    )
    def test_a_bare_name_is_a_role_in_the_course(self, has, asked, answer):
        assert IdToken.parse(with_("user.roles", [has])).has_role(asked) is answer


def test_it_does_not_show_names_nor_the_service_key():
    shown = repr(IdToken.parse(FULL))
    for private in ("Ada", "ada@school.example", "the-service-key"):
        assert private not in shown


class TestLaunch:
    @pytest.fixture
    def launch(self):
        return self.make(FULL)

    def make(self, claims, url="https://your.ltiaas.com"):
        settings = Settings(url=url, api_key="the-key")
        entry = CachedLaunch(
            id="A" * 22,
            ltik="aaa.bbb.ccc",
            claims=json.dumps(claims).encode(),
            ends_at=1e9,
            ends=0,
            refresh=0,
            trusted=0,
        )
        return Launch(
            entry,
            Account(settings, OneTimeTokens(settings.signing_secrets, lambda: 0), DecodedTokens()),
            "/lti/x",
        )

    def test_tells_who_where_and_until_when(self, launch):
        assert launch.id == "A" * 22
        assert launch.id_token is launch.id_token
        assert launch.id_token.user.name == "Ada Lovelace"
        assert launch.has_role("Instructor")
        assert launch.global_user_id == GlobalUserId("p-1", "u-1")
        assert launch.expires_at == datetime(2001, 9, 9, 1, 46, 40, tzinfo=timezone.utc)
        assert launch.credential.authorization == "LTIK-AUTH-V2 the-key:aaa.bbb.ccc"
        assert launch.credential.expires_at == launch.expires_at
        assert launch.service_credential == ServiceKeyCredential(
            "https://your.ltiaas.com", "the-key", "the-service-key"
        )

    def test_knows_ltiaass_addresses(self, launch):
        assert launch.api_url("memberships") == "https://your.ltiaas.com/api/memberships"
        assert (
            launch.api_url("/lineitems", "https://lms.example/li/1?a=b c", "scores")
            == "https://your.ltiaas.com/api/lineitems/"
            "https%3A%2F%2Flms.example%2Fli%2F1%3Fa%3Db%20c/scores"
        )

    def test_without_a_service_has_no_service_credential(self):
        launch = self.make({"user": {"id": "u"}})
        assert launch.service_credential is None

    def test_that_is_anonymous_has_no_user_id_of_either_kind(self):
        launch = self.make({"user": {}, "platform": {"id": "p"}})
        for name in ("user_id", "global_user_id"):
            with pytest.raises(IdTokenError, match="anonymous"):
                getattr(launch, name)

    def test_knows_the_addresses_of_launches(self, launch):
        assert launch.launch_url() == "https://your.ltiaas.com/lti/launch"
        assert (
            launch.launch_url({"a b": "c&d"}, resource="Block:1/é")
            == "https://your.ltiaas.com/lti/launch?a%20b=c%26d&resource=Block%3A1%2F%C3%A9"
        )
        for wrong in ({"ltik": "x"}, {"a": 1}, {"a": "\ud800"}):
            with pytest.raises(InvalidRequest):
                launch.launch_url(wrong)

    def test_shows_its_id_alone_and_is_not_pickled(self, launch):
        assert repr(launch) == f"<Launch {'A' * 22}>"
        assert repr(launch._entry) == f"<CachedLaunch {'A' * 22}>"
        with pytest.raises(TypeError, match="cannot be pickled"):
            pickle.dumps(launch)
