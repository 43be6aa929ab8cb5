"""What is never part of a launch, for both adapters at once."""

from __future__ import annotations

import pytest

from ltiaas_middleware import Settings
from ltiaas_middleware.errors import SettingsError
from tests.gate.test_launch_paths import Captured
from tests.tokens import ltik

UNKNOWN = "/lti/AAAAAAAAAAAAAAAAAAAAAA"


@pytest.fixture(params=["prefixes", "function"])
def tool(request, make_tool):
    if request.param == "prefixes":
        return make_tool(outside=["/static/", "/admin"], require=True)
    return make_tool(outside=lambda path: path.startswith(("/static/", "/admin")), require=True)


@pytest.fixture
def launch(tool):
    return Captured(tool)


@pytest.mark.parametrize("method", ["GET", "POST", "HEAD", "OPTIONS"])
def test_below_a_launch_path_it_leads_out(tool, launch, method):
    for headers in (launch.cookie, {}):
        reply = tool.ask(method, f"{launch.prefix}/static/a%20b.css?v=%201&v", headers)
        assert (reply.status, reply["Location"]) == (308, "/static/a%20b.css?v=%201&v")
        assert reply.get("Set-Cookie") is None


def test_also_below_a_launch_path_that_nobody_knows(tool):
    assert tool.get(f"{UNKNOWN}/admin/users")["Location"] == "/admin/users"


def test_below_a_mount_point_it_leads_to_the_same_mount_point(tool, launch):
    reply = tool.get(f"{launch.prefix}/admin", launch.cookie, mount="/tool")
    assert reply["Location"] == "/tool/admin"


@pytest.mark.parametrize(
    "path",
    [
        "/admin",
        "/admin/",
        "/admin/users",
        "//admin",
        "///admin/users",
        "/./admin",
        "/x/../admin",
        "/../admin",
        "/x/../../admin",
        "/%2e/admin",
        "/x/%2e%2e/admin",
        "/x/%2E%2e%2fadmin",
        "/%61dmin",
        "/%2561dmin",
        "/%252561dmin",
        "/x/%252e%252e/admin",
        "/ADMIN",
        "/Admin/users",
        "/%2Fadmin",
        "/%5Cadmin",
        "/x\\..\\admin",
        "/x/..%5cadmin",
        "/static/x.css",
        "/Static/../admin",
        "/static/../page",
    ],
)
@pytest.mark.parametrize("raw", [True, False])
def test_no_spelling_of_it_is_served_as_a_launch(tool, launch, path, raw):
    reply = tool.get(launch.prefix + path, launch.cookie, raw=raw)
    assert reply.status == 308
    location = reply["Location"]
    assert location.startswith("/")
    assert not location.startswith(("//", "/\\", "/lti/"))
    # Outside there is no launch, and the app has it as it came.
    assert tool.get(location, launch.cookie, raw=raw).seen["launch"] is None


@pytest.mark.parametrize(
    "path", ["/page", "/x/static/a", "/administration2/../page", "/", "/statics"]
)
def test_all_else_is_the_launchs(make_tool, path):
    tool = make_tool(outside=["/static/", "/admin"])
    launch = Captured(tool)
    assert tool.get(launch.prefix + path, launch.cookie).seen["launch"] == launch.id


@pytest.mark.parametrize("path", ["/static/x", "/admin"])
def test_elsewhere_nothing_leads_in(tool, launch, upstream, path):
    asked = len(upstream.asked)
    marks = {
        "Sec-Fetch-Site": "same-origin",
        "Sec-Fetch-Dest": "document",
        "Referer": f"https://tool.example{launch.prefix}/page",
    }
    assert tool.navigate(f"{path}?ltik={ltik()}").seen["launch"] is None
    assert tool.get(f"{path}?ltik=junk").seen["launch"] is None
    assert tool.navigate(path, marks).seen["launch"] is None
    assert tool.get(path).reached_app, "require does not cover it"
    assert len(upstream.asked) == asked


def test_it_is_never_a_way_for_a_secret_out(tool, launch):
    reply = tool.get(f"{launch.prefix}/admin?a=1&ltik={launch.ltik}&ltiaas_handoff=AAAA&b")
    assert reply["Location"] == "/admin?a=1&b"


@pytest.mark.parametrize(
    "path", ["//evil.example/admin/", "/%2Fevil.example/../admin", "/\\evil/../admin"]
)
def test_it_never_leads_to_another_site(make_tool, path):
    tool = make_tool(outside=lambda path: True)
    for raw in (True, False):
        location = tool.get(UNKNOWN + path, raw=raw)["Location"]
        assert location.startswith("/")
        assert not location.startswith(("//", "/\\"))


def test_a_header_counts_for_nothing_there(make_tool, upstream):
    tool = make_tool(outside="/health", bearer=True)
    headers = {"Authorization": f"Bearer {ltik()}"}
    seen = tool.get("/health", headers).seen
    assert seen["launch"] is None
    assert seen["headers"]["authorization"] == headers["Authorization"]
    assert upstream.asked == []


class TestTheSetting:
    def test_comes_from_the_environment_too(self):
        env = {"LTIAAS_URL": "https://a.example", "LTIAAS_API_KEY": "k", "LTIAAS_OUTSIDE": "/a /b/"}
        assert Settings.from_env(env).outside == ("/a", "/b/")

    @pytest.mark.parametrize("bad", ["static", ["/", "/x"], [1], 5, {"/x": 1}])
    def test_is_checked(self, make_tool, bad):
        with pytest.raises(SettingsError, match="outside"):
            make_tool(outside=bad)


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("/a/b/../static/x", "/a/static/x"),
        ("/a/b/../../static/x", "/static/x"),
        ("/a/./b//c/", "/a/b/c/"),
        *((f"/a/b{end}", "/a/b/") for end in ("/", "/.", "/c/..", "\\")),
        *((f"/a/b{end}", "/a/b") for end in ("", "/../b", "//../b")),
        *((spelled, "/") for spelled in ("/", "/..", "/a/..", "//")),
        # A function of the path is given characters as PEP 3333 has them: one for each byte.
        ("/caf%25C3%25A9/x", "/caf\u00c3\u00a9/x"),
    ],
)
def test_a_function_is_also_shown_the_path_as_a_file_system_reads_it(make_tool, path, shown):
    asked = []
    tool = make_tool(outside=lambda path: bool(asked.append(path)))
    tool.get(f"{UNKNOWN}{path}")
    assert asked[-1] in (shown, shown.lower())
    assert shown in asked
