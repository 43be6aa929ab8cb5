"""``testing.launch``: a launch without HTTP."""

from __future__ import annotations

import asyncio
import unittest

import pytest

from ltiaas_middleware import (
    IdTokenError,
    LaunchExpired,
    MiddlewareMissing,
    RoleRequired,
    Score,
    current_launch,
    require_launch,
    testing,
)
from tests.testing.tools import hand_in


def test_the_apps_functions_find_it_only_inside():
    with testing.launch() as launch:
        assert require_launch() is current_launch() is launch
    assert current_launch() is None
    with pytest.raises(MiddlewareMissing):
        require_launch()


def test_it_is_the_users_with_roles_custom_parameters_and_claims():
    with testing.launch(
        user="mia",
        roles=["Instructor"],
        custom={"canvas_course_id": "7"},
        claims={"platform": {"productFamilyCode": "canvas"}, "launch": {"context": {"id": "c"}}},
    ) as launch:
        token = launch.id_token
        assert (launch.user_id, token.user.name) == ("mia", "Mia")
        assert launch.global_user_id == ("a-platform", "mia")
        assert launch.has_role("Instructor")
        assert token.launch.custom["canvas_course_id"] == "7"
        assert token.platform.product_family_code == "canvas"
        assert (token.launch.context.id, token.launch.context.title) == ("c", "A course")
        assert launch.one_time_url("/x").startswith(f"{launch.path}/x?ltiaas_one_time=")
        with pytest.raises(RoleRequired):
            launch.require_role("Administrator")


def test_it_may_be_anonymous():
    with testing.launch(user=None) as launch, pytest.raises(IdTokenError):
        assert launch.user_id


class TestItsCalls:
    def test_are_recorded_and_checked(self):
        with testing.launch(user="ben") as launch:
            assert hand_in() == "saved"
            ((column, score), _) = launch.api.submit_score.call_args
            assert column == launch.id_token.services.assignment_and_grades.line_item_id
            assert (score.user_id, score.score_given) == ("ben", 8)
            with pytest.raises(TypeError):
                launch.api.submit_score(score)
            with pytest.raises(AttributeError):
                launch.api.submit_scor(column, score)

    def test_return_and_raise_what_a_test_says(self):
        with testing.launch() as launch:
            launch.api.members.return_value = [1, 2]
            assert list(launch.api.members()) == [1, 2]
            launch.api.submit_score.side_effect = LaunchExpired("over", status=401)
            with pytest.raises(LaunchExpired):
                hand_in()

    def test_are_awaited_as_the_real_ones_are(self):
        async def view():
            api = require_launch().async_api
            await api.submit_score("column", Score(user_id="ben", score_given=1, score_maximum=1))
            return api

        with testing.launch() as launch:
            api = asyncio.run(view())
            assert api is launch.async_api
            api.submit_score.assert_awaited_once()

    def test_go_to_what_a_test_gives(self):
        given = object()
        with testing.launch(api=given) as launch:
            assert launch.api is launch.async_api is given

    def test_are_real_against_a_sandbox(self, ltiaas_sandbox):
        with testing.launch(
            user="ben", roles=["Learner"], custom={"level": "2"}, api=ltiaas_sandbox
        ) as launch:
            assert launch.id_token.user.name == "Ben Carter"
            assert launch.id_token.launch.custom["level"] == "2"
            hand_in()
        assert ltiaas_sandbox.sandbox.scores()["ben"]["scoreGiven"] == 8


class TestWithUnittest(unittest.TestCase):
    def setUp(self) -> None:
        self.launch = self.enterContext(testing.launch(user="ben"))

    def test_a_score(self) -> None:
        hand_in()
        self.launch.api.submit_score.assert_called_once()
