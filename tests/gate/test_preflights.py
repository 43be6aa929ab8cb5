"""CORS, for both adapters at once: preflights where a launch is needed, and what scripts of trusted
origins can read."""

from __future__ import annotations

import pytest

from ltiaas_middleware import Response
from ltiaas_middleware.errors import UpstreamError
from tests.gate.test_launch_paths import Captured
from tests.tokens import ltik

APP = "https://app.example"
UNKNOWN = "/lti/AAAAAAAAAAAAAAAAAAAAAA"
ASKS = {
    "Origin": APP,
    "Access-Control-Request-Method": "PUT",
    "Access-Control-Request-Headers": "content-type,x-csrf-token",
}


@pytest.fixture
def trusting(make_tool):
    return lambda **options: make_tool(trusted_origins=[APP], **options)


def needs_launch(trusting):
    """Tools and paths where nobody may come without a launch."""
    tool = trusting(require=True, exclude=["/static"])
    launch = Captured(tool)
    tool.get(launch.location, launch.cookie)
    for path in (
        "/grades",
        f"/grades?ltik={launch.ltik}",
        "/grades?ltik=junk",
        "/static/../grades",
        UNKNOWN,
        f"{UNKNOWN}/grades",
        f"{UNKNOWN}/static/x",
        f"{launch.prefix}/grades",
        f"{launch.prefix}/ltiaas-one-time-link?to=/x",
        f"{launch.prefix}/grades?ltik={launch.ltik}",
    ):
        yield tool, launch, path
    yield trusting(require=["/grades"]), launch, "//GRADES/1"
    yield trusting(require=lambda path: path == "/grades"), launch, "/grades"


def test_a_preflight_of_a_trusted_origin_is_answered_if_a_launch_is_needed(trusting):
    for tool, _, path in needs_launch(trusting):
        reply = tool.ask("OPTIONS", path, ASKS)
        assert (reply.status, reply.reached_app, reply.body) == (204, False, b""), path
        assert reply["Access-Control-Allow-Origin"] == APP
        assert reply["Access-Control-Allow-Credentials"] == "true"
        assert reply["Access-Control-Allow-Methods"] == "PUT"
        assert reply["Access-Control-Allow-Headers"] == "content-type,x-csrf-token"
        varies = ", ".join(reply.all("Vary"))
        for name in ("Origin", "Access-Control-Request-Method", "Access-Control-Request-Headers"):
            assert name in varies
        assert reply.get("Set-Cookie") is None


def test_a_preflight_that_names_no_headers_is_allowed_none(trusting):
    asks = {name: value for name, value in ASKS.items() if not name.endswith("Headers")}
    reply = trusting(require=True).ask("OPTIONS", "/x", asks)
    assert (reply.status, reply.get("Access-Control-Allow-Headers")) == (204, None)


@pytest.mark.parametrize(
    "changed",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": f"{APP}.evil.example"},
        {"Origin": "https://tool.example"},
        {"Access-Control-Request-Headers": "x: y"},
        {"Access-Control-Request-Method": "PUT\x0bX"},
    ],
)
def test_any_other_preflight_is_refused_there(trusting, changed):
    for tool, launch, path in needs_launch(trusting):
        # No browser sends the cookie; whoever does gets no further.
        for cookie in ({}, launch.cookie):
            reply = tool.ask("OPTIONS", path, ASKS | changed | cookie)
            code = "iframe_sandboxed" if changed.get("Origin") == "null" else "cross_site"
            assert (reply.status, reply.problem) == (403, code), path
            assert reply.get("Access-Control-Allow-Methods") is None


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": APP},
        {"Access-Control-Request-Method": "GET"},
        ASKS | {"Sec-Fetch-Site": "same-origin"},
        {"Content-Length": "5", "X-HTTP-Method-Override": "POST"},
    ],
)
@pytest.mark.parametrize("path", ["/grades", f"{UNKNOWN}/grades", "known"])
def test_any_other_options_needs_a_launch_as_all_else_does(trusting, headers, path):
    tool = trusting(require=True)
    launch = Captured(tool)
    tool.get(launch.location, launch.cookie)
    path = launch.location if path == "known" else path
    assert tool.ask("OPTIONS", path, headers).status == 401
    with_launch = tool.ask("OPTIONS", launch.location, headers | launch.cookie)
    assert with_launch.seen["launch"] == launch.id


@pytest.mark.parametrize("origin", [APP, "https://elsewhere.example"])
def test_elsewhere_preflights_are_the_apps(trusting, upstream, origin):
    for options, path in (
        ({}, "/grades"),
        ({}, f"/grades?ltik={ltik()}"),
        ({"require": ["/staff"]}, "/grades"),
        ({"require": True, "exclude": ["/static"]}, "/static/x"),
        ({"launch_path": None}, f"{UNKNOWN}/grades"),
    ):
        seen = trusting(**options).ask("OPTIONS", path, ASKS | {"Origin": origin}).seen
        # The app does not see the ltik.
        assert (seen["launch"], seen["query"]) == (None, "")
        assert seen["headers"]["access-control-request-method"] == "PUT"
    assert upstream.asked == []


def refusals(tool, upstream):
    launch = Captured(tool)
    tool.get(launch.location, launch.cookie)
    yield 401, "GET", "/private", {}
    yield 401, "GET", "/requires", {}
    yield 401, "GET", f"{UNKNOWN}/x", {}
    yield 401, "GET", launch.location, {}
    yield 400, "GET", "/x?ltik=junk", {}
    yield 400, "GET", "/x%00", {}
    upstream.error = UpstreamError("no connection")
    yield 503, "POST", f"/x?ltik={ltik()}", {}


def test_scripts_of_a_trusted_origin_can_read_why_they_are_refused(trusting, upstream):
    tool = trusting(require=["/private"])
    for status, method, path, headers in refusals(tool, upstream):
        reply = tool.ask(method, path, headers | {"Origin": APP, "Sec-Fetch-Site": "cross-site"})
        assert reply.status == status, path
        assert reply.problem
        assert reply["Access-Control-Allow-Origin"] == APP
        assert reply["Access-Control-Allow-Credentials"] == "true"
        assert "Retry-After" in reply["Access-Control-Expose-Headers"]
        assert "Origin" in reply.all("Vary")


def test_nobody_else_can(trusting, make_tool, upstream):
    for tool, origin in (
        (trusting(require=["/private"]), {"Origin": "https://evil.example"}),
        (trusting(require=["/private"]), {"Origin": "null"}),
        (trusting(require=["/private"]), {}),
        (make_tool(require=["/private"]), {"Origin": APP}),
        (make_tool(require=["/private"]), {"Origin": "https://tool.example"}),
    ):
        upstream.error = None
        for _, _, path, headers in refusals(tool, upstream):
            reply = tool.ask("GET", path, headers | origin)
            assert not [name for name, _ in reply.headers if name.startswith("Access-Control")]


def test_they_can_read_what_the_hook_answers_and_redirects_and_what_is_ours(trusting):
    tool = trusting(require=True, exclude=["/static"], on_error=lambda info, request: Response(418))
    launch = Captured(tool)
    for path in (
        "/x",
        launch.prefix,
        f"{launch.prefix}/static/x",
        f"{launch.prefix}/ltiaas-one-time-link",
    ):
        reply = tool.get(path, launch.cookie | {"Origin": APP})
        assert (reply.reached_app, reply["Access-Control-Allow-Origin"]) == (False, APP)
    own = Response(418, (("access-control-allow-origin", "*"),))
    reply = trusting(require=True, on_error=lambda info, request: own).get("/x", {"Origin": APP})
    assert reply.all("Access-Control-Allow-Origin") == ["*"], "the hook has said so itself"


def test_a_preflight_that_is_the_apps_shows_it_no_ltik_of_a_header(trusting):
    token = ltik()
    reply = trusting(ltik_headers=["X-Ltik"]).ask("OPTIONS", "/grades", ASKS | {"X-Ltik": token})
    assert reply.seen["launch"] is None
    assert token not in reply.body.decode()
