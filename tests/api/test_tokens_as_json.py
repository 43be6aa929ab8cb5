"""A token, and a launch, as tools print, return and hand them on: without a secret."""

from __future__ import annotations

import asyncio
import contextvars
import copy
import dataclasses
import inspect
import json
import pickle
from typing import Any

import fastapi
import flask
import httpx
import pytest
from fastapi.encoders import jsonable_encoder
from flask.json.provider import DefaultJSONProvider

from ltiaas_middleware import (
    ActivityKey,
    GlobalUserId,
    IdToken,
    IdTokenError,
    Launch,
    LtikCredential,
    MiddlewareMissing,
    RoleRequired,
    asgi,
    current_launch,
)
from ltiaas_middleware.api.roster import has_role
from ltiaas_middleware.launch import current

from . import test_id_token
from .test_id_token import FULL

KEY = "the-service-key"
LTI_1P1 = "https://purl.imsglobal.org/spec/lti/claim/lti1p1"


async def _get(app: Any) -> Any:
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="https://tool.example") as client:
        return (await client.get("/")).json()


def launched(document: Any = FULL, url: str = "https://your.ltiaas.com") -> Launch:
    return test_id_token.TestLaunch().make(document, url)


@pytest.fixture(params=["parsed", "launched"])
def token(request: pytest.FixtureRequest) -> IdToken:
    return IdToken.parse(FULL) if request.param == "parsed" else launched().id_token


def test_nothing_that_shows_a_token_shows_its_service_key(token: IdToken) -> None:
    app = flask.Flask("tool")
    shown = [
        repr(token), str(token), repr(token.raw), f"{token.raw}", repr(token.raw["services"]),
        repr(vars(type(token))), json.dumps(token.to_dict()), repr(dataclasses.asdict(token)),
        DefaultJSONProvider(app).dumps(token), DefaultJSONProvider(app).dumps({"t": [token]}),
        json.dumps(jsonable_encoder(token)), repr(pickle.dumps(token)),
        repr(token.services),
    ]  # fmt: skip
    for text in shown:
        assert KEY not in text
    assert "Ada Lovelace" in shown[6]
    assert json.loads(shown[8]) == json.loads(shown[10]) == token.to_dict() | json.loads(shown[6])


def test_the_service_key_is_there_for_those_who_ask(token: IdToken) -> None:
    assert token.services.service_key == KEY
    assert json.loads(json.dumps(token.raw)) == FULL
    assert copy.deepcopy(token).services.service_key == KEY
    legacy = IdToken.parse({"user": {"id": 1}, "services": {"legacyServiceKey": KEY}})
    assert legacy.services.service_key == KEY
    assert KEY not in repr(legacy.raw)


def test_views_return_tokens() -> None:
    app = flask.Flask("tool")
    app.add_url_rule("/", view_func=lambda: flask.jsonify(launched().id_token))
    told = app.test_client().get("/").get_json()
    assert told["user"]["name"] == "Ada Lovelace"
    api = fastapi.FastAPI()
    api.add_api_route("/", lambda: launched().id_token)
    assert asyncio.run(_get(api)) == told


def test_a_launch_has_one_api_whose_counter_is_right(world: Any) -> None:
    world("/api/memberships", {"members": [{"userId": 1}, {}, {"roles": []}]})
    launch = launched(url=world.url)
    assert launch.api is launch.api
    assert launch.async_api is launch.async_api
    assert isinstance(launch.api.credential, LtikCredential)
    assert [member.user_id for member in launch.api.members()] == ["1"]
    assert launch.api.skipped == 2

    async def main() -> None:
        async for _ in launch.async_api.members():
            pass
        await launch.async_api.aclose()

    asyncio.run(main())
    assert launch.async_api.skipped == 2
    assert launched(url=world.url).api.skipped == 0


LEGACY = {"user": {"id": "42"}, "platform": {"guid": "lms.example"}, "launch": {}}


def test_a_legacy_launch_has_a_global_user_id_and_an_activity_key() -> None:
    launch = launched(LEGACY)
    assert launch.global_user_id == GlobalUserId("guid:lms.example", "42")
    assert launch.activity_key == ActivityKey("guid:lms.example", None, None)
    # An LMS chooses its guid, and must not be another by choosing that one's id.
    other = launched({**LEGACY, "platform": {"id": "lms.example"}})
    assert other.global_user_id != launch.global_user_id
    key = launched().activity_key
    assert key == ActivityKey("p-1", "c-1", "r-1")
    assert pickle.loads(pickle.dumps(key)) == key
    nameless = launched({"user": {"id": "42"}})
    for name in ("global_user_id", "activity_key"):
        with pytest.raises(IdTokenError, match="platform"):
            getattr(nameless, name)


def test_one_of_several_roles_is_enough() -> None:
    launch = launched()  # an instructor
    assert launch.has_role("TeachingAssistant", "Instructor")
    assert not launch.has_role("TeachingAssistant", "Learner")
    assert not launch.has_role()
    launch.require_role("TeachingAssistant", "Instructor")
    with pytest.raises(RoleRequired) as caught:
        launch.require_role("Learner")
    assert caught.value.code == "role_required"


@pytest.mark.parametrize(
    ("has", "asked", "answer"),
    [
        ("Student", "Learner", True),
        ("student", "Learner", True),
        ("Learner", "Student", True),
        ("urn:lti:role:ims/lis/Student", "Learner", True),
        ("INSTRUCTOR", "Instructor", True),
        ("instructor#teachingassistant", "TeachingAssistant", True),
        ("http://purl.imsglobal.org/vocab/lis/v2/membership#learner", "Learner", True),
        ("learner#instructor", "Instructor", False),
        ("Students", "Learner", False),
        ("http://purl.imsglobal.org/vocab/lis/v2/institution/person#Student", "Learner", False),
        # Empty parts name nothing.
        ("Instructor#", "Instructor", True),
        ("#TeachingAssistant", "Instructor", False),
        ("", "Instructor", False),
        ("", "", False),
        ("#", "", False),
        ("Instructor", "", False),
        ("Instructor", "Instructor#", True),
        ("http://purl.imsglobal.org/vocab/lis/v2/membership#", "", False),
    ],
)  # fmt: skip
def test_roles_are_read_as_what_they_mean(has: str, asked: str, answer: bool) -> None:
    assert has_role([has], [asked]) is answer


@pytest.mark.parametrize("nothing", ["", None, [], {}])
def test_an_empty_field_of_the_newer_spelling_hides_none_of_the_older(nothing: Any) -> None:
    """Without it, the service keys of a whole course fall into one row."""
    older = {"id": "r-1", "title": "Quiz", "description": "d"}
    newer = {"id": nothing, "title": "Renamed", "description": nothing}
    token = IdToken.parse({"user": {"id": 1}, "launch": {"resource": older, "resourceLink": newer}})
    link = token.launch.resource_link
    assert link is not None
    assert (link.id, link.title, link.description) == ("r-1", "Renamed", "d")


def test_a_null_of_the_newer_spelling_hides_no_list_of_the_older() -> None:
    user = {"id": 1, "roleScopeMentor": None, "role_scope_mentor": ["m-1"]}
    assert IdToken.parse({"user": user}).user.role_scope_mentor == ("m-1",)


def test_what_tools_ask_of_a_user_is_an_attribute() -> None:
    token = IdToken.parse(
        {
            "user": {"id": 1, "picture": "https://lms.example/1.png"},
            "platform": {"lis": {"person_sourcedid": "sis-1", "course_section_sourcedid": "s-1"}},
            LTI_1P1: {"user_id": "old-1", "oauth_consumer_key": "k", "resource_link_id": "old-r"},
        }
    )
    assert token.user.picture == "https://lms.example/1.png"
    assert (token.lis.person_sourcedid, token.lis.course_section_sourcedid) == ("sis-1", "s-1")
    assert token.lti11 is not None
    assert (token.lti11.user_id, token.lti11.resource_link_id) == ("old-1", "old-r")
    plain = IdToken.parse({"user": {"id": 1}})
    assert (plain.user.picture, plain.lis.person_sourcedid, plain.lti11) == (None, None, None)


def test_asgi_has_a_require_launch_that_fastapi_runs_in_the_loop() -> None:
    assert inspect.iscoroutinefunction(asgi.require_launch)
    launch = launched()

    async def main() -> None:
        with pytest.raises(MiddlewareMissing):
            await asgi.require_launch()
        token = current.set(launch)
        assert await asgi.require_launch() is launch is current_launch()
        current.reset(token)

    contextvars.copy_context().run(asyncio.run, main())
