"""Worlds from TOML, the LMSes' presets, roles, and what can be set of one launch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests

from ltiaas_middleware.sandbox import Sandbox, SandboxServer, World
from ltiaas_middleware.sandbox.roles import ROLES, full_role, has_role
from ltiaas_middleware.sandbox.world_file import PRESETS

from .conftest import Caller

CLAIM = "https://purl.imsglobal.org/spec/lti/claim/"
LIS = "http://purl.imsglobal.org/vocab/lis/v2/"

SCHOOL = """
[settings]
tool = "http://tool.example/start"
faults = ["delay:seconds=0,times=1"]

[platforms.west]
preset = "canvas"
name = "West High"
url = "https://west.example"
custom = { section = "$CourseSection.sourcedId" }

[users]
kim = { given_name = "Kim", family_name = "Ho", email = "kim@west.example" }
lou = { id = "77", numeric_id = true }

[[courses]]
id = "geo"
label = "GEO"
title = "Geography"
platform = "west"
custom = { term = "autumn" }
activities = [
    { id = "maps", title = "Maps", score_maximum = 5, tag = "exam", resource_id = "r1" },
    { id = "notes", title = "Notes", score_maximum = 0, custom = { level = "2" } },
]

[courses.members]
kim = "teacher"
lou = "student"
max = "ta"
ned = ["institution/person#Alumni", "urn:lti:role:ims/lis/Learner"]
old = { roles = "student", status = "Inactive" }
"""


@contextmanager
def serving(sandbox: Sandbox) -> Iterator[Caller]:
    with SandboxServer(sandbox) as server, requests.Session() as session:
        session.trust_env = False
        yield Caller(server, session)


def test_a_world_of_a_toml_file_has_everything_that_it_names(tmp_path: Path) -> None:
    path = tmp_path / "school.toml"
    path.write_text(SCHOOL, "utf-8")
    sandbox = Sandbox(world=World.from_toml(path))
    assert sandbox.tool == "http://tool.example/start"
    assert [fault.name for fault in sandbox.faults] == ["delay"]
    with serving(sandbox) as call:
        teacher, learner = call.launched(), call.launched(user="77")
        token = teacher.get("/api/idtoken").json()
        assert token["user"]["email"] == "kim@west.example"
        assert token["platform"]["productFamilyCode"] == "canvas"
        assert token["launch"]["custom"]["canvas_api_domain"] == "west.example"
        assert token["launch"]["custom"]["section"] == "sis:geo"
        assert token["launch"]["custom"]["term"] == "autumn"
        notes = call.launched(activity="notes").get("/api/idtoken").json()
        assert notes["launch"]["custom"]["level"] == "2"
        assert "lineItemId" not in notes["services"]["assignmentAndGrades"]
        assert learner.get("/api/idtoken").json()["user"]["id"] == 77
        members = teacher.get("/api/memberships").json()["members"]
        assert [member["status"] for member in members] == ["Active"] * 4 + ["Inactive"]
        assert members[3]["roles"] == [
            f"{LIS}institution/person#Alumni",
            "urn:lti:role:ims/lis/Learner",
        ]
        (item,) = teacher.get("/api/lineitems").json()["lineItems"]
        assert (item["scoreMaximum"], item["tag"], item["resourceId"]) == (5, "exam", "r1")


def test_a_world_may_withhold_names(tmp_path: Path) -> None:
    path = tmp_path / "school.toml"
    path.write_text(SCHOOL.replace('name = "West High"', "anonymous = true"), "utf-8")
    with serving(Sandbox(world=World.from_toml(path))) as call:
        teacher = call.launched(custom={"who": "$Person.name.full"})
        token = teacher.get("/api/idtoken").json()
        assert set(token["user"]) == {"id", "roles"}
        assert token["launch"]["custom"] == {"who": "$Person.name.full"}
        assert "name" not in teacher.get("/api/idtoken?raw=true").json()
        assert "name" not in teacher.get("/api/memberships").json()["members"][0]


def test_a_legacy_lms_may_withhold_names(tmp_path: Path) -> None:
    path = tmp_path / "school.toml"
    legacy = 'anonymous = true\nlti_version = "1.2.0"'
    path.write_text(SCHOOL.replace('name = "West High"', legacy), "utf-8")
    with serving(Sandbox(world=World.from_toml(path))) as call:
        raw = call.launched().get("/api/idtoken?raw=true").json()
    assert raw["user_id"] == "kim"
    assert not [name for name in raw if name.startswith("lis_person")]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("[settings]", "[setting]"), "the file has no 'setting'; it may have settings"),
        (
            ('preset = "canvas"', 'preset = "sakai"'),
            "unknown preset 'sakai'; valid presets: canvas, moodle",
        ),
        (('label = "GEO"', 'lable = "GEO"'), "courses[0] has no 'lable'"),
        (('title = "Geography"', "title = 5"), "courses[0].title cannot be 5"),
        (('title = "Geography"', ""), "missing 1 required positional argument: 'title'"),
        (
            ('platform = "west"', 'platform = "east"'),
            "unknown platform 'east'; the world has west",
        ),
        (('kim = "teacher"', "kim = 5"), "courses[0].members.kim must be a table"),
        (("score_maximum = 5", "score_maximum = true"), "score_maximum cannot be True"),
        (("[[courses]]", "[courses]"), "must be a table"),
        (("[users]", "[users"), "Expected"),
        (("delay:seconds", "sulk:seconds"), "unknown fault 'sulk'"),
    ],
)
def test_a_world_that_cannot_be_says_where(
    tmp_path: Path, change: tuple[str, str], said: str
) -> None:
    path = tmp_path / "school.toml"
    path.write_text(SCHOOL.replace(*change), "utf-8")
    with pytest.raises(ValueError, match=r".") as caught:
        Sandbox(world=World.from_toml(path))
    assert said in str(caught.value)


def test_a_course_without_anybody_is_an_error() -> None:
    course = Sandbox().world.courses[0]
    with pytest.raises(ValueError, match="needs an activity"):
        type(course)("x", "x", "x", course.platform, [], [])


def test_two_sandboxes_of_one_world_share_nothing() -> None:
    world = World.preset("moodle")
    one, other = Sandbox(world=world), Sandbox(world=world)
    one.conclude()
    one.withdraw("ben")
    assert not other.world.courses[0].concluded
    found = other.world.courses[0].member("ben")
    assert found is not None
    assert found.gradable


PRODUCTS = ["canvas", "moodle", "BlackboardLearn", "desire2learn"]


@pytest.mark.parametrize(("preset", "product"), list(zip(PRESETS, PRODUCTS, strict=True)))
def test_a_preset_is_that_lms(preset: str, product: str) -> None:
    with serving(Sandbox(world=World.preset(preset))) as call:
        teacher = call.launched()
        raw = teacher.get("/api/idtoken?raw=true").json()
        assert raw[f"{CLAIM}tool_platform"]["product_family_code"] == product
        assert f"{LIS}membership#Instructor" in raw[f"{CLAIM}roles"]
        assert raw[f"{CLAIM}lis"]["person_sourcedid"] == "sis:ada"
        assert all("$" not in str(value) for value in raw[f"{CLAIM}lis"].values())
        # The platform's own claims are for the raw ID token alone.
        assert not any(":" in name for name in teacher.get("/api/idtoken").json())
        assert teacher.get("/api/lineitems").status_code == 200


def test_canvas_sends_what_tools_on_canvas_read() -> None:
    with serving(Sandbox(world=World.preset("canvas"))) as call:
        for activity in ("quiz-1", "rehearsal"):
            custom = call.launched(activity=activity).get("/api/idtoken").json()["launch"]["custom"]
            assert custom["canvas_course_id"].isdigit()
            assert custom["canvas_user_id"].isdigit()
            assert custom["canvas_user_login_id"] == "ada"
        raw = call.launched(user="tess").get("/api/idtoken?raw=true").json()
        assert raw["https://www.instructure.com/placement"] == "course_navigation"
        # A TA is Instructor with a sub-role (wire.md).
        assert f"{LIS}membership/Instructor#TeachingAssistant" in raw[f"{CLAIM}roles"]
        assert f"{LIS}membership#Instructor" in raw[f"{CLAIM}roles"]


def test_a_preset_that_does_not_exist_is_an_error_that_lists_the_others() -> None:
    with pytest.raises(ValueError, match="unknown preset 'sakai'; valid presets:"):
        World.preset("sakai")


def test_the_default_world_has_an_administrator_and_a_ta(call: Caller) -> None:
    ta = call.launched(user="tess").get("/api/idtoken").json()["user"]["roles"]
    assert f"{LIS}membership/Instructor#TeachingAssistant" in ta
    admin = call.launched(user="adam").get("/api/idtoken").json()["user"]["roles"]
    assert f"{LIS}institution/person#Administrator" in admin


@pytest.mark.parametrize(
    ("short", "uri"),
    [
        ("Learner", f"{LIS}membership#Learner"),
        ("membership#Learner", f"{LIS}membership#Learner"),
        ("Instructor#Grader", f"{LIS}membership/Instructor#Grader"),
        ("institution/person#Faculty", f"{LIS}institution/person#Faculty"),
        ("system/person#SysAdmin", f"{LIS}system/person#SysAdmin"),
        ("urn:lti:sysrole:ims/lis/User", "urn:lti:sysrole:ims/lis/User"),
    ],
)
def test_every_role_of_the_vocabulary_can_be_written_short(
    sandbox: Sandbox, short: str, uri: str
) -> None:
    assert full_role(short) == uri
    assert uri in ROLES or uri.startswith("urn:")
    assert sandbox.launches.verify(sandbox.issue(roles=[short])).seat.user.roles == (uri,)


def test_the_vocabulary_is_all_there() -> None:
    assert len(ROLES) == len(set(ROLES)) == 81
    assert f"{LIS}membership/Officer#Vice-Chair" in ROLES


@pytest.mark.parametrize(
    ("role", "learner"),
    [
        ("Learner", True),
        ("Student", True),
        (f"{LIS}membership#Learner", True),
        (f"{LIS}membership/Learner#GuestLearner", True),
        ("urn:lti:role:ims/lis/Learner/NonCreditLearner", True),
        (f"{LIS}institution/person#Student", False),
        (f"{LIS}membership/Instructor#TeachingAssistant", False),
        ("Mentor", False),
    ],
)
def test_a_learner_is_one_in_every_spelling(role: str, learner: bool) -> None:
    assert has_role([role], "Learner") is learner


def launched_by_form(call: Caller, **form: str | list[str]) -> dict[str, Any]:
    frame = call.get("/lms/frame", params=form)
    source = frame.text.split('src="')[1].split('"')[0].replace("&amp;", "&")
    target = call.get(call.get(source).headers["Location"]).headers["Location"]
    token: dict[str, Any] = call.with_ltik(target.split("ltik=")[1]).get("/api/idtoken").json()
    return token


def test_the_lmss_page_sets_roles_and_custom_parameters(call: Caller) -> None:
    page = call.get("/").text
    assert all(role.replace("+", "&#43;") in page for role in ROLES)
    token = launched_by_form(
        call,
        user="ben",
        roles=[
            f"{LIS}membership/Instructor#TeachingAssistant",
            "institution/person#Staff, Auditor",
        ],
        custom="canvas_course_id=17\r\nwho=$User.id\r\n",
    )
    assert token["user"]["id"] == "ben"
    assert token["user"]["roles"] == [
        f"{LIS}membership/Instructor#TeachingAssistant",
        f"{LIS}institution/person#Staff",
        f"{LIS}membership#Auditor",
    ]
    assert token["launch"]["custom"] == {"canvas_course_id": "17", "who": "ben"}


def test_a_custom_parameter_without_a_value_is_said(call: Caller) -> None:
    answer = call.get("/lms/frame?custom=oops")
    assert answer.status_code == 400
    assert "as a line name=value" in answer.text


def test_variables_that_have_no_value_stay_as_they_are(call: Caller) -> None:
    custom = {
        "a": "$ResourceLink.id",
        "b": "$Nothing.known",
        "c": "${Context.id}!",
        "d": ["$User.id"],
    }
    token = call.launched(custom=custom).get("/api/idtoken").json()
    assert token["launch"]["custom"] == {
        "a": "quiz-1", "b": "$Nothing.known", "c": "biology!", "d": ["ada"],
    }  # fmt: skip
    deep = call.launched(deep_linking=True, custom=custom).get("/api/idtoken").json()
    assert deep["launch"]["custom"]["a"] == "$ResourceLink.id"
