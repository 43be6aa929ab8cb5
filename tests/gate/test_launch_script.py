"""How the script is served, and the one-time links it asks for, for both adapters at once. What it
does in a browser is shown in tests/browsers."""

from __future__ import annotations

import json
import re
from urllib.parse import quote

import pytest

from tests.gate.test_launch_paths import Captured

SCRIPT = "/lti/ltiaas-launch.js"
OWN = {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"}


@pytest.fixture
def launch(tool):
    return Captured(tool)


def ask(tool, launch, to, headers=None, **more):
    address = f"{launch.prefix}/ltiaas-one-time-link?to={quote(to, safe='')}"
    return tool.ask("POST", address, OWN | launch.cookie | (headers or {}), **more)


def test_the_script_is_the_same_for_everybody_and_needs_no_authentication(tool):
    reply = tool.get(SCRIPT)
    assert reply.status == 200
    assert reply["Content-Type"] == "text/javascript; charset=utf-8"
    assert reply["X-Content-Type-Options"] == "nosniff"
    assert reply["Cache-Control"] == "public, max-age=3600"
    again = tool.get(SCRIPT, {"If-None-Match": f"W/{reply['ETag']}"})
    assert (again.status, again.body, again["ETag"]) == (304, b"", reply["ETag"])
    head = tool.ask("HEAD", SCRIPT)
    assert (head.status, head["ETag"]) == (200, reply["ETag"])
    refused = tool.ask("POST", SCRIPT)
    assert (refused.status, refused["Allow"]) == (405, "GET, HEAD")


def test_the_script_is_under_10_kb_as_it_is_served(tool):
    body = tool.get(SCRIPT).body
    assert len(body) < 10_000
    assert b"\n" not in body
    assert b"// " not in body


def test_the_script_knows_the_settings(make_tool):
    tool = make_tool(
        launch_path="/a.b/lti", exclude=["/static/", "/übung"], shared_cookies=["sso"], require=True
    )
    known = re.search(rb'=(\{"launches.*?\}),', tool.get("/a.b/lti/ltiaas-launch.js").body)
    assert json.loads(known[1]) == {
        "launches": r"/a\.b/lti",
        "exclude": "/static|/%C3%BCbung",
        "shared": ["sso"],
    }
    by_function = make_tool(exclude=lambda path: path == "/x")
    assert b'"exclude":"(?!)"' in by_function.get(SCRIPT).body


@pytest.mark.parametrize("to", ["/", "/report?a=1&b=%20#part", "/a%2Fb", "//evil.example/x"])
def test_a_one_time_link_is_made_for_the_launchs_own_page(tool, launch, to):
    reply = ask(tool, launch, to)
    assert (reply.status, reply["Content-Type"]) == (200, "application/json")
    assert reply["Cache-Control"] == "no-store"
    assert reply["X-Content-Type-Options"] == "nosniff"
    url = json.loads(reply.body)["url"]
    assert url.startswith(f"{launch.prefix}/")
    address, _, fragment = url.partition("#")
    assert fragment == to.partition("#")[2]
    opened = tool.navigate(address)
    assert (opened.status, opened["Location"]) == (303, launch.prefix + to.partition("#")[0])
    assert tool.navigate(address).status == 401 or not launch.cookie


def test_it_needs_the_proof_of_the_launch(tool, launch):
    assert ask(tool, launch, "/x").status == 200
    assert ask(tool, launch, "/x", {"Cookie": ""}).status == 401
    assert ask(tool, Captured(tool), "/x", launch.cookie).status == 200, "its path alone opens it"


@pytest.mark.parametrize(
    "marks",
    [{"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "", "Origin": "https://e.example"}],
)
def test_another_sites_page_gets_none(tool, launch, marks):
    assert ask(tool, launch, "/x", marks).status == 403


@pytest.mark.parametrize(
    "query", ["", "to=", "to=report", "to=https://e.example/", "to=/%0d%0aX:1", "to=/&to=/"]
)
def test_it_needs_a_path(tool, launch, query):
    reply = tool.ask("POST", f"{launch.prefix}/ltiaas-one-time-link?{query}", OWN | launch.cookie)
    assert reply.status == 400


def test_it_is_not_got(tool, launch):
    assert tool.get(f"{launch.prefix}/ltiaas-one-time-link?to=/", OWN | launch.cookie).status == 405


def test_elsewhere_both_paths_are_the_apps_own(tool):
    assert tool.get("/ltiaas-launch.js").reached_app
    assert tool.ask("POST", "/ltiaas-one-time-link?to=/").reached_app


def test_below_a_mount_point(tool):
    launch = Captured(tool, mount="/tool")
    address = f"{launch.prefix.removeprefix('/tool')}/ltiaas-one-time-link?to=/x"
    reply = tool.ask("POST", address, OWN | launch.cookie, mount="/tool")
    assert json.loads(reply.body)["url"].startswith(f"{launch.prefix}/x?")


def test_a_one_time_link_is_made_by_post_alone(tool, launch):
    reply = tool.get(f"{launch.prefix}/ltiaas-one-time-link?to=/", launch.cookie)
    assert (reply.status, reply["Allow"]) == (405, "POST")
