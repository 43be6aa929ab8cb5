"""What is never part of a launch and where a launch is required, for both adapters at once."""

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
        return make_tool(exclude=["/static/", "/admin"], require=True)
    return make_tool(exclude=lambda path: path.startswith(("/static/", "/admin")), require=True)


# Of /admin/users, for one server, proxy or framework or another.
SPELLINGS = [
    "/admin/users",
    "//admin/users",
    "///admin//users",
    "/./admin/users",
    "/x/../admin/users",
    "/../admin/users",
    "/x/../../admin/./users",
    "/%2e/admin/users",
    "/x/%2E%2e%2fadmin/users",
    "/%61dmin/users",
    "/%2561dmin/users",
    "/%252561dmin/users",
    "/x/%252e%252e/admin/users",
    "/ADMIN/users",
    "/%2Fadmin/users",
    "/%2f%2fadmin%2fusers",
    "/%5Cadmin\\users",
    "/x\\..\\admin/users",
    "/x/..%5cadmin/users",
    "/~61dmin~2Fusers",
    "/%7e61dmin/users",
    "/x/~2e~2E/~61dmin/users",
    "/admin/../admin/users",
    "/adm%C4%B1n/users",
    "/ADM%C4%B0N/users",
    "/admin/../page",
    "/page/../admin",
    "/admin/",
]


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


@pytest.mark.parametrize("path", [*SPELLINGS, "/admin", "/static/x.css", "/Static/../admin"])
@pytest.mark.parametrize("raw", [True, False])
def test_no_spelling_of_it_is_served_as_a_launch(make_tool, path, raw):
    for outside in (["/static/", "/admin"], lambda path: path.startswith(("/static/", "/admin"))):
        tool = make_tool(exclude=outside)
        launch = Captured(tool)
        reply = tool.get(launch.prefix + path, launch.cookie, raw=raw)
        assert reply.status == 308
        location = reply["Location"]
        assert location.startswith("/")
        assert not location.startswith(("//", "/\\", "/lti/"))
        # Outside there is no launch, and the app has it as it came.
        referer = {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Dest": "document"}
        referer["Referer"] = f"https://tool.example{launch.prefix}/page"
        for headers in (launch.cookie, referer):
            assert tool.get(location, headers, raw=raw).seen["launch"] is None
        assert tool.navigate(f"{location}?ltik={launch.ltik}", raw=raw).seen["launch"] is None


@pytest.mark.parametrize(
    "path", ["/page", "/x/static/a", "/administration2/../page", "/", "/statics"]
)
def test_all_else_is_the_launchs(make_tool, path):
    tool = make_tool(exclude=["/static/", "/admin"])
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
    reply = tool.get(f"{launch.prefix}/admin?a=1&ltik={launch.ltik}&ltiaas_one_time=AAAA&b")
    assert reply["Location"] == "/admin?a=1&b"


@pytest.mark.parametrize(
    "path", ["//evil.example/admin/", "/%2Fevil.example/../admin", "/\\evil/../admin"]
)
def test_it_never_leads_to_another_site(make_tool, path):
    tool = make_tool(exclude=lambda path: True)
    for raw in (True, False):
        location = tool.get(UNKNOWN + path, raw=raw)["Location"]
        assert location.startswith("/")
        assert not location.startswith(("//", "/\\"))


def test_a_header_counts_for_nothing_there(make_tool, upstream):
    tool = make_tool(exclude="/health", ltik_headers=["Authorization"])
    headers = {"Authorization": f"Bearer {ltik()}"}
    seen = tool.get("/health", headers).seen
    assert seen["launch"] is None
    assert seen["headers"]["authorization"] == headers["Authorization"]
    assert upstream.asked == []


class TestTheSetting:
    def test_comes_from_the_environment_too(self):
        env = {"LTIAAS_URL": "https://a.example", "LTIAAS_API_KEY": "k", "LTIAAS_EXCLUDE": "/a /b/"}
        assert Settings.from_env(env).exclude == ("/a", "/b/")

    @pytest.mark.parametrize("bad", ["static", ["/", "/x"], [1], 5, {"/x": 1}])
    def test_is_checked(self, make_tool, bad):
        with pytest.raises(SettingsError, match="exclude"):
            make_tool(exclude=bad)


class TestRequire:
    @pytest.mark.parametrize("path", SPELLINGS)
    @pytest.mark.parametrize("raw", [True, False])
    def test_no_spelling_of_what_it_covers_is_served_without_a_launch(self, make_tool, path, raw):
        for require in ("/admin/", ["/x", "/ADMIN"], lambda path: path.startswith("/admin")):
            tool = make_tool(require=require)
            reply = tool.get(path, raw=raw)
            assert (reply.status, reply.problem) == (401, "launch_required")
            assert tool.get(f"{path}?ltik={ltik()}", raw=raw).seen["user"] == "Ada"

    @pytest.mark.parametrize("path", ["/admin.json", "/admin.api/1", "/admin;v=1", "/admin%23x"])
    def test_a_suffix_is_no_way_around(self, make_tool, path):
        """Django REST framework's routers serve it, and Sanic cuts a fragment off."""
        assert make_tool(require=["/admin"]).get(path).status == 401
        assert make_tool(require=["/admin/"]).get(path).status == 401

    @pytest.mark.parametrize("root", ["/admin", "admin/", "/x/../Admin", "/\xc3\xbcbung"])
    def test_a_virtual_root_is_no_way_around(self, make_tool, root):
        """Pyramid's traversal puts it before the path."""
        root = {"X-Vhm-Root": root}
        for options in ({"require": ["/admin", "/übung"]}, {"require": True, "exclude": ["/x"]}):
            for path in ("/", "/x"):
                assert make_tool(**options).ask("GET", path, root).status == 401
        assert make_tool(require=["/staff"]).ask("GET", "/", root).reached_app

    @pytest.mark.parametrize("path", ["/", "/administrator", "/admin-2", "/page/admin", "/x"])
    def test_all_else_is_served(self, make_tool, path):
        tool = make_tool(require=["/admin"])
        assert tool.get(path).seen["launch"] is None

    def test_nothing_is_covered_by_no_prefix(self, make_tool):
        assert make_tool(require=[]).get("/admin").reached_app

    @pytest.mark.parametrize(
        "path",
        [
            "/static/../staff",
            "/static/%2e%2e/staff",
            "/static/x/../../staff",
            "/static\\..\\staff",
            "/static/%252e%252e/staff",
            "/static/..%2fstaff",
            "/static/..",
            "/x/../static/y",
            "/STATIC/x",
            "/%2573tatic/x",
            "/statics",
        ],
    )
    @pytest.mark.parametrize("require", [True, lambda path: True, ["/staff", "/static", "/x"]])
    def test_outside_lifts_it_only_if_every_reading_of_the_path_is_outside(
        self, make_tool, path, require
    ):
        for outside in (["/static"], lambda path: path.startswith("/static/")):
            tool = make_tool(require=require, exclude=outside)
            launch = Captured(tool, "/page")
            if path == "/statics" and isinstance(require, list):
                continue
            assert tool.get(path).status == 401
            navigation = tool.navigate(f"{path}?ltik={launch.ltik}")
            assert not navigation.reached_app
            assert tool.get("/static/x.css").seen["launch"] is None
            assert tool.get("/static//x.css").reached_app

    def test_it_is_not_lifted_for_whoever_makes_a_path_of_a_launchs(self, make_tool):
        tool = make_tool(require=True, exclude=["/static"])
        for path in ("//lti/AAAAAAAAAAAAAAAAAAAAAA/x", "/lti/short/static/x", "/lti"):
            assert tool.get(path).status == 401

    def test_comes_from_the_environment_too(self):
        env = {"LTIAAS_URL": "https://a.example", "LTIAAS_API_KEY": "k"}
        for text, require in (
            ("/admin /staff/", ("/admin", "/staff/")),
            ("true", True),
            ("off", False),
        ):
            assert Settings.from_env(env | {"LTIAAS_REQUIRE": text}).require == require
        for bad in ("admin", "/admin staff", "true /admin", "/"):
            with pytest.raises(SettingsError, match="LTIAAS_REQUIRE"):
                Settings.from_env(env | {"LTIAAS_REQUIRE": bad})

    @pytest.mark.parametrize("bad", ["admin", ["/", "/x"], [1], 5, {"/x": 1}])
    def test_is_checked(self, make_tool, bad):
        with pytest.raises(SettingsError, match="require"):
            make_tool(require=bad)


MALFORMED = ["%00", "%0a", "%0D%0Ax", "%09", "%1f", "%7F", "%C2%85", "%ff", "%C0%AF", "%ED%A0%80"]


@pytest.mark.parametrize("end", MALFORMED)
@pytest.mark.parametrize(
    "start", ["/admin", "/x/", "/adm", "known", "/lti/AAAAAAAAAAAAAAAAAAAAAA/"]
)
def test_what_no_browser_sends_is_400_wherever_it_is_sent(make_tool, upstream, start, end):
    for options in ({}, {"require": True}, {"exclude": ["/admin"]}, {"launch_path": None}):
        tool = make_tool(**options)
        launch = Captured(make_tool()) if "launch_path" in options else Captured(tool)
        before = len(upstream.asked)
        path = (f"{launch.prefix}/admin" if start == "known" else start) + end
        for method, query in (("GET", ""), ("POST", f"?ltik={ltik()}"), ("OPTIONS", "?a")):
            for raw in (True, False):
                reply = tool.ask(method, path + query, launch.cookie, raw=raw)
                assert (reply.status, reply.problem) == (400, "malformed_path")
        assert len(upstream.asked) == before


@pytest.mark.parametrize("path", ["admin", "http://tool.example/admin", "*", "\\admin"])
def test_so_is_a_path_without_a_slash_at_its_beginning(make_tool, path):
    for options in ({}, {"require": True}, {"exclude": lambda path: True}):
        assert make_tool(**options).get(path).problem == "malformed_path"


def test_options_of_the_server_as_a_whole_is_not(make_tool):
    assert make_tool().ask("OPTIONS", "*").seen["path"] == "*"
    assert make_tool(require=True).ask("OPTIONS", "*").status == 401
    assert make_tool().ask("OPTIONS", "**").status == 400


def test_nor_is_the_mount_point_itself(make_tool):
    assert make_tool().get("", mount="/tool").seen["path"] == ""
    assert make_tool(require=True).get("", mount="/tool").status == 401
    assert make_tool(require=["/admin"]).get("", mount="/tool").reached_app


@pytest.mark.parametrize("path", ["/\u00fcbung", "/\u7df4\u7fd2", "/caf\u00e9/x y", "/\U0001f600"])
@pytest.mark.parametrize("kind", ["prefix", "function"])
def test_paths_are_text_in_every_framework(make_tool, path, kind):
    from urllib.parse import quote

    covered = [path] if kind == "prefix" else lambda given: given.startswith(path)
    arrived = f"{quote(path)}/1"
    tool = make_tool(exclude=covered)
    launch = Captured(tool)
    reply = tool.get(launch.prefix + arrived, launch.cookie)
    assert (reply.status, reply["Location"]) == (308, arrived)
    tool = make_tool(require=covered)
    assert tool.get(arrived).status == 401
    assert tool.get(f"{arrived}?ltik={launch.ltik}").seen["path"] == f"{path}/1"
    inside = tool.navigate(f"{arrived}?ltik={launch.ltik}")["Location"]
    assert inside == launch.prefix + arrived
    assert tool.get(inside, launch.cookie).seen["path"] == f"{path}/1"
    assert tool.get(inside, launch.cookie, raw=False).seen["launch"] == launch.id
    assert tool.get("/bung").reached_app


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("/a/b/../static/x", {"/a/b/../static/x", "/a/static/x"}),
        ("/a/../../static/x", {"/a/../../static/x", "/static/x"}),
        ("/a/./b//c/", {"/a/b/c/"}),
        *((f"/a/b{end}", {"/a/b/"}) for end in ("/", "/.", "\\")),
        ("/a/b/c/..", {"/a/b/c/../", "/a/b/"}),
        *((spelled, {"/"}) for spelled in ("/", "//", "/.", "/\\")),
        ("/..", {"/../", "/"}),
        ("/A/b", {"/A/b", "/a/b"}),
        ("/a%2541", {"/a%41", "/aA", "/aa"}),
        ("/caf%25C3%25A9/x", {"/caf%C3%A9/x", "/caf%c3%a9/x", "/caf\u00e9/x"}),
    ],
)
@pytest.mark.parametrize("setting", ["require", "exclude"])
def test_a_function_is_given_the_forms_and_never_the_path_as_it_was_sent(
    make_tool, setting, path, shown
):
    asked = []
    tool = make_tool(**{setting: lambda path: bool(asked.append(path))})
    tool.get(f"{UNKNOWN}{path}" if setting == "exclude" else path)
    assert set(asked) == shown


def test_a_function_may_tell_upper_case_from_lower(make_tool):
    tool = make_tool(require=True, exclude=lambda path: path.startswith("/Health"))
    assert tool.get("/Health/live").reached_app
    assert tool.get("/health/live").status == 401
