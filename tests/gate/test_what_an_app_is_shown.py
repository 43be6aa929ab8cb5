"""What the gate hides from the app, adds to its answers, and makes of odd requests, for both
adapters at once."""

from __future__ import annotations

import re

import pytest

from ltiaas_middleware import wsgi
from tests.gate.test_launch_paths import Captured, forget
from tests.tokens import ltik


@pytest.fixture
def launch(tool):
    return Captured(tool)


def test_a_cookies_value_brings_no_other_cookie(make_tool):
    tool = make_tool(shared_cookies=["sso"])
    launch = Captured(tool)
    cookies = [launch.cookie["Cookie"], f"{launch.id[:8]}.search=x,sso=planted"]
    for more in ([], ["sso=site"]):
        seen = tool.get(launch.location, {"Cookie": "; ".join(cookies + more)}).seen
        assert seen["headers"]["cookie"] == "; ".join(["search=x,sso=planted", *more])


def test_no_cookie_is_set_again_with_every_answer(tool, launch):
    for _ in range(2):
        assert tool.navigate(launch.location).get("Set-Cookie") is None
    for _ in range(2):
        assert tool.navigate(launch.location, launch.cookie).get("Set-Cookie") is None
    assert tool.ask("POST", launch.location, launch.cookie).get("Set-Cookie") is None
    forget(tool)
    assert tool.navigate(launch.location, launch.cookie).get("Set-Cookie") is None
    assert tool.get("/page").get("Set-Cookie") is None
    assert tool.get(f"/page?ltik={ltik()}").get("Set-Cookie") is None
    assert tool.get(f"{launch.prefix}/page?ltik={launch.ltik}").get("Set-Cookie") is None


@pytest.mark.parametrize(
    ("options", "header", "scheme"),
    [
        ({"ltik_headers": ["Authorization"]}, "Authorization", "Bearer "),
        ({"ltik_headers": ["X-Ltik"]}, "X-Ltik", ""),
    ],
)
@pytest.mark.parametrize("known", [True, False])
def test_a_header_with_an_ltik_is_hidden_on_a_launch_path_too(
    make_tool, options, header, scheme, known
):
    tool = make_tool(**options)
    launch = Captured(tool)
    if not known:
        forget(tool)
    for query in ("", f"?ltik={launch.ltik}"):
        sent = {header: scheme + launch.ltik} | launch.cookie
        reply = tool.get(f"{launch.prefix}/page{query}", sent)
        assert reply.seen["launch"] == launch.id
        assert header.lower() not in reply.seen["headers"]
        assert launch.ltik not in reply.body.decode()


def test_a_header_of_another_scheme_is_left_to_the_app(make_tool):
    tool = make_tool(ltik_headers=["Authorization"])
    launch = Captured(tool)
    seen = tool.get(launch.location, launch.cookie | {"Authorization": "Basic dTpw"}).seen
    assert seen["headers"]["authorization"] == "Basic dTpw"


@pytest.mark.parametrize("key", ["RAW_URI", "REQUEST_URI"])
@pytest.mark.parametrize(
    "raw",
    ["/elsewhere/x?y", "//evil.example/launch", "https://tool.example/launch", "*", "", "launch"],
)
@pytest.mark.parametrize("make_tool", ["wsgi"], indirect=True)
def test_a_raw_address_that_disagrees_with_the_path_is_not_believed(tool, key, raw):
    """A proxy may have rewritten the one and not the other."""
    assert isinstance(tool.middleware, wsgi.LTIAASMiddleware)
    started = []
    environ = {
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": "",
        "PATH_INFO": "/launch a",
        "QUERY_STRING": f"ltik={ltik()}",
        "wsgi.url_scheme": "https",
        "HTTP_HOST": "tool.example",
        "HTTP_SEC_FETCH_MODE": "navigate",
        key: raw,
    }
    tool.middleware(environ, lambda status, headers, *_: started.extend((status, dict(headers))))
    assert re.fullmatch(r"/lti/[\w-]{22}/launch%20a", started[1]["Location"])


class TestNeverInCircles:
    """A redirect to its own address outside of the launch would be led back for ever."""

    @pytest.mark.parametrize("to", ["/a?b=1", "https://tool.example/a?b=1", "/a?b=1#c", "/%61?b=1"])
    @pytest.mark.parametrize("policy", [[], [("Referrer-Policy", "same-origin")]])
    def test_it_is_let_go_without_what_it_would_be_led_back_by(self, make_tool, to, policy):
        tool = make_tool(app_headers=[("Location", to), *policy])
        launch = Captured(tool)
        reply = tool.get(f"{launch.prefix}/a?b=1", launch.cookie)
        assert reply.all("Referrer-Policy") == ["no-referrer"]

    @pytest.mark.parametrize(
        "to", ["/a", "/a?b=2", "/b?b=1", "a?b=1", "https://other.example/a?b=1", "https://[", ""]
    )
    def test_any_other_redirect_keeps_it(self, make_tool, to):
        tool = make_tool(app_headers=[("Location", to)])
        launch = Captured(tool)
        reply = tool.get(f"{launch.prefix}/a?b=1", launch.cookie)
        assert reply["Referrer-Policy"] == "strict-origin-when-cross-origin"

    def test_a_form_that_leads_to_its_own_page_is_led_back(self, make_tool):
        tool = make_tool(app_headers=[("Location", "/a")])
        launch = Captured(tool)
        reply = tool.ask("POST", f"{launch.prefix}/a", launch.cookie)
        assert reply["Referrer-Policy"] == "strict-origin-when-cross-origin"

    def test_below_a_mount_point(self, make_tool):
        tool = make_tool(app_headers=[("Location", "/to%20ol/a")])
        launch = Captured(tool, mount="/to ol")
        inside = launch.prefix.removeprefix("/to%20ol")
        reply = tool.get(f"{inside}/a", launch.cookie, mount="/to ol")
        assert reply["Referrer-Policy"] == "no-referrer"
