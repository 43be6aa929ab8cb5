"""``launch_from``: the launch for code that a framework calls outside of the request."""

from __future__ import annotations

import contextvars

import flask
import pytest

from ltiaas_middleware import current_launch, launch_from, require_launch
from tests.both_adapters import Tool
from tests.gate.test_launch_paths import Captured, forget

NAME = "ltiaas-launch"


@pytest.fixture
def launch(tool: Tool) -> Captured:
    return Captured(tool)


def shown(tool: Tool, launch: Captured, **headers: str) -> dict[str, str]:
    """The headers that the app is given in a launch."""
    found: dict[str, str] = tool.get(launch.location, launch.cookie | headers).seen["headers"]
    return found


def test_the_apps_headers_lead_to_the_launch(tool: Tool, launch: Captured) -> None:
    found = launch_from(shown(tool, launch))
    assert found is not None
    assert (found.id, found.path, found.id_token.user.name) == (launch.id, launch.prefix, "Ada")
    in_capitals = {name.upper(): value for name, value in shown(tool, launch).items()}
    assert launch_from(in_capitals) is not None


def test_below_a_mount_point(tool: Tool) -> None:
    launch = Captured(tool, mount="/tools")
    seen = tool.get(launch.location.removeprefix("/tools"), launch.cookie, mount="/tools").seen
    found = launch_from(seen["headers"])
    assert found is not None
    assert found.path == launch.prefix


def test_in_place(make_tool, tool: Tool, launch: Captured) -> None:
    seen = tool.get(f"/api?ltik={launch.ltik}").seen
    found = launch_from(seen["headers"])
    assert found is not None
    assert (found.id, found.path) == (launch.id, "")


def test_only_the_middleware_can_set_it(tool: Tool, launch: Captured) -> None:
    own = shown(tool, launch)[NAME]
    other = shown(tool, Captured(tool))[NAME]
    assert shown(tool, launch, **{"LTIAAS-Launch": other})[NAME] == own
    # Neither without a launch nor on a path that is nobody's.
    for path in ("/page", "/lti/short"):
        assert NAME not in tool.get(path, {"LTIAAS-Launch": own}).seen["headers"]


@pytest.mark.parametrize("value", ["", "x", "{id} {path}", "{id} {path} 0", "{id} {path} é", "   "])
def test_a_value_that_the_middleware_did_not_make_leads_nowhere(
    tool: Tool, launch: Captured, value: str
) -> None:
    made_up = value.format(id=launch.id, path=launch.prefix)
    assert launch_from({NAME: made_up}) is None
    assert launch_from({}) is None


def test_a_changed_path_leads_nowhere(tool: Tool, launch: Captured) -> None:
    value = shown(tool, launch)[NAME]
    assert launch_from({NAME: value.replace(launch.prefix, "/evil")}) is None


def test_a_launch_that_is_over_or_unknown_is_none(tool: Tool, launch: Captured) -> None:
    headers = shown(tool, launch)
    assert launch_from(headers) is not None
    forget(tool)
    assert launch_from(headers) is None
    again = Captured(tool)
    headers = shown(tool, again)
    tool.later(86_500)
    assert launch_from(headers) is None


def test_current_launch_is_that_of_flasks_request(tool: Tool, launch: Captured) -> None:
    given = launch_from(shown(tool, launch))
    app = flask.Flask(__name__)

    def handler() -> None:
        with app.test_request_context(environ_overrides={"ltiaas.launch": given}):
            assert current_launch() is given
            assert require_launch() is given
        with app.test_request_context():
            assert current_launch() is None
        assert current_launch() is None

    contextvars.Context().run(handler)
