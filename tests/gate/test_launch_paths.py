"""One launch per URL (design.md), for both adapters at once."""

from __future__ import annotations

import logging
import re
from http.cookies import SimpleCookie

import pytest

from ltiaas_middleware.errors import LaunchExpired, UpstreamError
from ltiaas_middleware.launch import Launch
from tests.tokens import ltik


class Captured:
    """A launch as a browser holds it after the redirect."""

    def __init__(self, tool, path="/launch?a=1", headers=None, **ask):
        joint = "&" if "?" in path else "?"
        self.ltik = ltik()
        self.reply = tool.navigate(f"{path}{joint}ltik={self.ltik}", headers, **ask)
        assert self.reply.status == 303
        self.location = self.reply["Location"]
        self.prefix = re.match(r".*/lti/[\w-]{22}", self.location)[0]
        self.id = self.prefix[-22:]
        self.set_cookie = self.reply.get("Set-Cookie")
        self.cookie = {"Cookie": self.set_cookie.split(";")[0]} if self.set_cookie else {}


@pytest.fixture
def launch(tool):
    return Captured(tool)


def forget(tool):
    """As another worker, or this one after a restart."""
    tool.middleware._authenticator._launches._entries.clear()


def test_the_launch_path_is_moved_to_the_mount_point(tool, launch):
    seen = tool.navigate(launch.location, launch.cookie).seen
    assert (seen["mount"], seen["path"], seen["query"]) == (launch.prefix, "/launch", "a=1")
    assert (seen["launch"], seen["user"]) == (launch.id, "Ada")
    assert seen["launch_path"] == launch.prefix
    reply = tool.navigate(launch.location, launch.cookie)
    assert reply["Referrer-Policy"] == "strict-origin-when-cross-origin"


def test_the_same_launch_always_has_the_same_path(tool, launch, make_tool):
    again = tool.navigate(f"/launch?a=1&ltik={launch.ltik}")["Location"]
    elsewhere = make_tool().navigate(f"/launch?a=1&ltik={launch.ltik}")["Location"]
    other_key = make_tool(secrets="another secret, long").navigate(f"/launch?ltik={launch.ltik}")
    assert again == elsewhere == launch.location
    assert launch.id not in other_key["Location"]


def test_the_cookie_is_kept_in_a_cross_site_frame_and_sent_nowhere_else(launch):
    cookie = SimpleCookie(launch.set_cookie.replace("; Partitioned", ""))
    (name, morsel) = next(iter(cookie.items()))
    assert name == "__Secure-ltiaas-launch"
    assert morsel.value == launch.ltik
    assert morsel["path"] == launch.prefix
    # On a shared computer it ends with the browser.
    assert not morsel["max-age"]
    assert not morsel["expires"]
    assert morsel["httponly"]
    assert morsel["secure"]
    assert morsel["samesite"] == "None"
    assert "; Partitioned" in launch.set_cookie
    assert "Domain" not in launch.set_cookie


@pytest.mark.parametrize("host", ["127.0.0.1:5000", "localhost", "tool.localhost:1", "[::1]:5000"])
@pytest.mark.parametrize(
    "marks", [{"Sec-Fetch-Site": "same-site"}, {"Referer": "http://lms.localhost:8400/"}]
)
def test_on_a_developers_machine_the_cookie_works_without_tls(tool, caplog, host, marks):
    """Browsers trust loopback as they do TLS, and keep the cookie in a frame of another site."""
    launch = Captured(tool, scheme="http", host=host, headers=marks)
    assert launch.reply["Set-Cookie"] == (
        f"ltiaas-launch={launch.ltik}; Path={launch.prefix}; HttpOnly; Secure; SameSite=None; "
        "Partitioned"
    )
    assert caplog.text == ""
    reply = tool.navigate(launch.location, launch.cookie, scheme="http", host=host)
    assert reply.seen["user"] == "Ada"


@pytest.mark.parametrize("host", ["tool.example", "tool.example:80", "[::1", ""])
def test_on_plain_http_elsewhere_no_cookie_is_sent_in_vain_and_the_log_says_so_once(
    tool, caplog, host
):
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            assert Captured(tool, scheme="http", host=host).set_cookie is None
    assert caplog.text.count("plain http") == 1


def test_the_app_does_not_see_the_launchs_cookie_but_its_own(tool, launch):
    header = f"{launch.id[:8]}.a=1; {launch.cookie['Cookie']}; {launch.id[:8]}.b=2"
    seen = tool.navigate(launch.location, {"Cookie": header}).seen
    assert [part.strip() for part in seen["headers"]["cookie"].split(";")] == ["a=1", "b=2"]
    assert "cookie" not in tool.navigate(launch.location, launch.cookie).seen["headers"]


def test_a_worker_that_never_saw_the_launch_serves_it_from_the_cookie(tool, launch, upstream):
    forget(tool)
    assert tool.navigate(launch.location, launch.cookie).seen["launch"] == launch.id
    assert tool.navigate(launch.location, launch.cookie).seen["launch"] == launch.id
    assert upstream.asked == [launch.ltik] * 2


@pytest.mark.parametrize(
    "marks",
    [
        {"X-Forwarded-Proto": "https"},
        {"X-Forwarded-Proto": "HTTPS, http"},
        {"Forwarded": 'for=192.0.2.1;proto="https"'},
        {"X-Forwarded-Ssl": "on"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "cross-site", "Referer": "https://lms.example/"},
        {"Sec-Fetch-Site": "cross-site", "Referer": "https://["},
    ],
)
def test_a_proxy_that_does_not_tell_is_told_of_and_the_cookie_works_all_the_same(
    tool, caplog, marks
):
    """nginx's default Host is its upstream's address, so that a public tool looks like a
    developer's machine."""
    marks = {"Sec-Fetch-Site": "none"} | marks
    for _ in range(2):
        launch = Captured(tool, scheme="http", host="127.0.0.1:8000", headers=marks)
        (cookie,) = launch.reply.all("Set-Cookie")
        assert cookie.endswith("; Secure; SameSite=None; Partitioned")
    assert caplog.text.count("plain http") == 1
    assert "X-Forwarded-Proto" in caplog.text


class TestWithoutACookie:
    def test_a_browser_that_keeps_none_is_served_on_the_path_alone(self, tool, launch):
        for _ in range(2):
            assert tool.navigate(launch.location).seen["launch"] == launch.id

    def test_the_path_alone_opens_nothing_once_the_cookie_came_back(self, tool, launch):
        tool.navigate(launch.location, launch.cookie)
        reply = tool.get(launch.location)
        assert (reply.status, reply.problem) == (401, "launch_unknown")
        assert tool.navigate(launch.location, launch.cookie).reached_app

    def test_that_outlives_a_refresh_of_the_id_token(self, tool, launch, upstream):
        tool.navigate(launch.location, launch.cookie)
        tool.later(601)
        assert tool.navigate(launch.location, launch.cookie).reached_app
        assert len(upstream.asked) == 2
        assert tool.get(launch.location).status == 401

    def test_that_holds_for_a_worker_that_learned_of_it_from_the_cookie(self, tool, launch):
        forget(tool)
        tool.navigate(launch.location, launch.cookie)
        assert tool.get(launch.location).status == 401

    def test_an_unknown_path_is_401_and_says_how_to_come_back(self, tool, upstream):
        reply = tool.navigate("/lti/AAAAAAAAAAAAAAAAAAAAAA/launch")
        assert reply.status == 401
        assert "open the activity there" in reply.body.decode()
        assert upstream.asked == []


class TestAOneTimeLink:
    @pytest.fixture
    def cookie_bound(self, tool, launch):
        assert tool.navigate(launch.location, launch.cookie).reached_app
        entry = tool.middleware._authenticator.peek(launch.id)
        return Launch(entry, tool.middleware._gate._account, launch.prefix)

    def test_opens_the_launch_once_and_leaves_the_address_clean(self, tool, launch, cookie_bound):
        url = cookie_bound.one_time_url("/report?x=%20y&x=+#part")
        assert url.endswith("#part")
        reply = tool.navigate(url.partition("#")[0])
        assert (reply.status, reply["Location"]) == (303, f"{launch.prefix}/report?x=%20y&x=+")
        assert reply["Set-Cookie"].startswith("__Secure-ltiaas-launch-tab=")
        assert reply["Set-Cookie"].endswith("; HttpOnly; Secure; SameSite=None; Partitioned")
        tab = {"Cookie": reply["Set-Cookie"].partition(";")[0]}
        seen = tool.navigate(reply["Location"], tab).seen
        assert (seen["launch"], seen["query"]) == (launch.id, "x=%20y&x=+")
        assert "cookie" not in seen["headers"]
        again = tool.navigate(url.partition("#")[0])
        assert again.status == 401
        assert again.get("Set-Cookie") is None

    @pytest.mark.parametrize("age", [0, 601])
    def test_is_used_up_by_a_tab_that_could_have_done_without(
        self, tool, launch, cookie_bound, age
    ):
        url = cookie_bound.one_time_url("/x")
        tool.later(age)
        for _ in range(2):
            reply = tool.navigate(url, launch.cookie)
            assert (reply.status, reply["Location"]) == (303, f"{launch.prefix}/x")
        assert tool.navigate(url).status == 401

    @pytest.mark.parametrize("disguise", ["{}==", "{}!!!!", "{}=", "{} ", "%20{}", "changed"])
    def test_has_one_spelling(self, tool, launch, cookie_bound, disguise):
        """What is used up is its text: no second text may stand for the same token."""
        url = cookie_bound.one_time_url("/x")
        assert tool.navigate(url).status == 303
        address, _, token = url.rpartition("=")
        # The last of 38 characters holds four bits; the two that are left over say nothing.
        again = token[:-1] + chr(ord(token[-1]) + 1) if disguise == "changed" else ""
        disguised = again or disguise.format(token)
        assert tool.navigate(f"{address}={disguised}").status == 401

    def test_that_only_looks_like_one_is_the_apps_own_parameter(self, tool, launch, cookie_bound):
        for query in ("not_ltiaas_one_time=1", "a=ltiaas_one_time"):
            reply = tool.navigate(f"{launch.prefix}/x?{query}", launch.cookie)
            assert reply.seen["query"] == query

    def test_of_another_launch_opens_nothing(self, tool, launch, cookie_bound):
        other = Captured(tool)
        tool.navigate(other.location, other.cookie)
        query = cookie_bound.one_time_url("/x").partition("?")[2]
        assert tool.navigate(f"{other.prefix}/x?{query}").status == 401

    def test_is_over_after_a_minute(self, tool, cookie_bound, monkeypatch):
        url = cookie_bound.one_time_url("/x")
        tokens = tool.middleware._gate._account.one_time_tokens
        clock = tokens._clock
        monkeypatch.setattr(tokens, "_clock", lambda: clock() + 61)
        assert tool.navigate(url).status == 401

    @pytest.mark.parametrize("token", ["", "AAAA", "A" * 38, "é", "%00", "A" * 39])
    def test_that_is_forged_opens_nothing(self, tool, launch, cookie_bound, token):
        assert tool.navigate(f"{launch.prefix}/x?ltiaas_one_time={token}").status == 401

    @pytest.mark.parametrize(
        "marks",
        [
            {"Sec-Fetch-Mode": "cors"},
            {"Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"},
            {"Sec-Fetch-Site": "same-origin"},
            {"Upgrade": "websocket"},
            {"Sec-Fetch-Mode": "navigate", "Sec-Purpose": "prefetch"},
            {"Sec-Fetch-Mode": "navigate", "Sec-Purpose": "prefetch;prerender"},
            {"Sec-Fetch-Mode": "navigate", "Purpose": "prefetch"},
            {"Purpose": "Prefetch"},
            {"X-Moz": "prefetch"},
        ],
    )
    @pytest.mark.parametrize("proved", [True, False])
    def test_is_used_up_by_nobody_but_who_follows_it(
        self, tool, launch, cookie_bound, marks, proved
    ):
        url = cookie_bound.one_time_url("/x?a=1")
        reply = tool.get(url, marks | (launch.cookie if proved else {}))
        if proved:
            assert reply.seen["query"] == "a=1"
        else:
            assert reply.status == 401
        assert reply.get("Set-Cookie") is None
        assert tool.navigate(url).status == 303

    @pytest.mark.parametrize("method", ["HEAD", "POST", "OPTIONS"])
    def test_is_not_used_up_by_another_method(self, tool, launch, cookie_bound, method):
        url = cookie_bound.one_time_url("/x")
        marks = {"Sec-Fetch-Mode": "navigate"}
        assert tool.ask(method, url, marks).status == 401
        assert tool.navigate(url).status == 303

    @pytest.mark.parametrize("accept", [{}, {"Accept": "*/*"}, {"Accept": "text/html, */*;q=.2"}])
    @pytest.mark.parametrize("age", [0, 601])
    def test_of_a_download_is_served_at_once(self, tool, launch, cookie_bound, accept, age):
        """A webview's download manager sends neither cookie nor Fetch Metadata, and keeps no cookie
        over a redirect. A browser older than Fetch Metadata does the same, and keeps the cookie."""
        url = cookie_bound.one_time_url("/file.pdf?a=1")
        tool.later(age)
        reply = tool.get(url, accept)
        assert (reply.seen["launch"], reply.seen["query"]) == (launch.id, "a=1")
        assert reply["Set-Cookie"].startswith("__Secure-ltiaas-launch-tab=")
        assert reply["Cache-Control"] == "no-store"
        assert tool.get(url, accept).status == 401

    def test_says_nothing_about_the_frames_cookies(self, tool, launch):
        """A frame that keeps no cookie goes on being served on its path."""
        entry = tool.middleware._authenticator.peek(launch.id)
        url = Launch(entry, tool.middleware._gate._account, launch.prefix).one_time_url("/x")
        reply = tool.navigate(url)
        tab = {"Cookie": reply["Set-Cookie"].partition(";")[0]}
        for _ in range(2):
            assert tool.navigate(reply["Location"], tab).reached_app
        forget(tool)
        assert tool.navigate(reply["Location"], tab).reached_app
        own = {"Sec-Fetch-Site": "same-origin"}
        assert tool.ask("POST", launch.location, own).seen["launch"] == launch.id
        both = {"Cookie": f"{tab['Cookie']}; {launch.cookie['Cookie']}"}
        assert tool.navigate(launch.location, both).reached_app
        assert tool.ask("POST", launch.location, own).status == 401
        assert tool.navigate(launch.location, tab).reached_app

    def test_of_the_browser_that_has_the_launch_brings_no_second_cookie(
        self, tool, launch, cookie_bound
    ):
        assert (
            tool.navigate(cookie_bound.one_time_url("/x"), launch.cookie).get("Set-Cookie") is None
        )

    def test_opens_nothing_where_the_launch_is_not_known(self, tool, launch, cookie_bound):
        url = cookie_bound.one_time_url("/x")
        forget(tool)
        assert tool.navigate(url).status == 401

    def test_needs_a_path_and_a_launch_path(self, cookie_bound, make_tool):
        with pytest.raises(ValueError, match="slash"):
            cookie_bound.one_time_url("report")
        settings = make_tool(launch_path=None).middleware._gate._account
        with pytest.raises(ValueError, match="launch_path"):
            Launch(cookie_bound._entry, settings).one_time_url("/x")

    def test_survives_a_rotation_of_the_secret(self, make_tool, cookie_bound, tool):
        account = tool.middleware._gate._account
        from ltiaas_middleware._crypto.one_time_tokens import OneTimeTokens

        old, new = account.settings.api_key, "a new secret, long enough"
        token = OneTimeTokens([old], account.one_time_tokens._clock).make("A" * 22)
        assert OneTimeTokens([new, old], account.one_time_tokens._clock).check(token, "A" * 22)
        assert not OneTimeTokens([new], account.one_time_tokens._clock).check(token, "A" * 22)


class TestForeignCookies:
    def test_another_launchs_cookie_opens_nothing_here(self, tool, launch):
        other = Captured(tool)
        tool.navigate(launch.location, launch.cookie)
        assert tool.get(launch.location, other.cookie).status == 401

    def test_another_launchs_cookie_opens_nothing_in_a_new_worker(self, tool, launch, upstream):
        other = Captured(tool)
        forget(tool)
        asked = list(upstream.asked)
        assert tool.get(launch.location, other.cookie).status == 401
        assert upstream.asked == asked

    @pytest.mark.parametrize("known", [True, False])
    def test_a_planted_cookie_of_the_same_name_does_not_get_in_the_way(self, tool, launch, known):
        tool.navigate(launch.location, launch.cookie)
        if not known:
            forget(tool)
        name, _, value = launch.cookie["Cookie"].partition("=")
        for header in (f"{name}=a.b.c; {name}={value}", f"{name}={value};{name}=a.b.c; {name}"):
            assert tool.navigate(launch.location, {"Cookie": header}).seen["launch"] == launch.id

    @pytest.mark.parametrize("known", [True, False])
    @pytest.mark.parametrize(
        "value", ["", "a.b.c", "\xe9\xff", "=", ";;;", "a" * 9000 + ".b.c", '"quoted"', "\x00"]
    )
    def test_garbage_is_no_proof_and_no_crash(self, tool, launch, upstream, known, value):
        tool.navigate(launch.location, launch.cookie)
        if not known:
            forget(tool)
        asked = len(upstream.asked)
        reply = tool.get(launch.location, {"Cookie": f"__Secure-ltiaas-launch={value}"})
        assert reply.status == 401
        assert len(upstream.asked) == asked

    def test_a_cookie_without_the_secure_prefix_is_not_taken_over_https(self, tool, launch):
        tool.navigate(launch.location, launch.cookie)
        assert tool.get(launch.location, {"Cookie": f"ltiaas-launch={launch.ltik}"}).status == 401


class TestAnotherSite:
    @pytest.mark.parametrize("marks", [{"Upgrade": "WebSocket"}, {"Sec-Fetch-Mode": "websocket"}])
    def test_cannot_open_a_websocket(self, tool, launch, marks):
        tool.navigate(launch.location, launch.cookie)
        mine = launch.cookie | marks
        assert tool.get(launch.location, mine | {"Sec-Fetch-Site": "cross-site"}).status == 403
        assert tool.get(launch.location, mine | {"Sec-Fetch-Site": "same-origin"}).reached_app


class TestTheRedirect:
    @pytest.mark.parametrize(
        "query",
        [
            "",
            "a=1",
            "b=2&a=1&b=3&a",
            "empty=&=x&&",
            "q=a+b%20c%2Bd&u=%C3%A9%c3%a9",
            "url=https://x.example/?y=1&z=%26%3D",
            "strange=[1]{2}|3^4`5\"<>\\'",
        ],
    )
    @pytest.mark.parametrize("place", ["first", "last"])
    def test_keeps_every_other_query_byte(self, tool, query, place):
        token = f"ltik={ltik()}"
        parts = [token, query] if place == "first" else [query, token]
        whole = "&".join(parts) if query else token
        location = tool.navigate(f"/launch?{whole}")["Location"]
        assert location.partition("?")[2] == query
        assert ("?" in location) is bool(query)

    def test_encodes_what_cannot_stand_in_a_header(self, tool):
        location = tool.navigate(f"/launch?a=\xe9 b&ltik={ltik()}")["Location"]
        assert location.endswith("/launch?a=%E9%20b")

    @pytest.mark.parametrize("raw", [True, False])
    @pytest.mark.parametrize(
        "path", ["/", "/a/b/", "/caf%C3%A9/x", "/a%20b", "/a:b@c;d=e,f", "/%25"]
    )
    def test_keeps_the_path(self, tool, path, raw):
        launch = Captured(tool, path, raw=raw)
        assert launch.location == launch.prefix + path
        seen = tool.navigate(launch.location, launch.cookie, raw=raw).seen
        from urllib.parse import unquote

        assert seen["path"] == unquote(path)

    @pytest.mark.parametrize("path", ["/a%2Fb", "/caf%C3%A9%2Fx"])
    @pytest.mark.parametrize("mount", ["", "/tool"])
    def test_keeps_an_encoded_slash_where_the_server_tells_of_it(self, tool, path, mount):
        launch = Captured(tool, path, mount=mount)
        assert launch.location == f"{mount}/lti/{launch.id}{path}"

    @pytest.mark.parametrize("path", ["//evil.example/x", "/%2F%2Fevil.example", "/\\evil.example"])
    def test_never_leads_to_another_site(self, tool, path):
        for raw in (True, False):
            location = tool.navigate(f"{path}?ltik={ltik()}", raw=raw)["Location"]
            assert re.match(r"/lti/[\w-]{22}/", location)

    @pytest.mark.parametrize(
        "mount", ["//evil.example", "///evil.example/", "/a\r\nX: 1", "/caf\xe9"]
    )
    def test_is_not_led_astray_by_a_spoofed_mount_point(self, tool, mount):
        location = tool.navigate(f"/launch?ltik={ltik()}", mount=mount)["Location"]
        assert re.match(r"/[^/]", location)
        assert location.isascii()
        assert "\r" not in location

    def test_a_mount_point_adds_nothing_to_the_cookie(self, tool):
        reply = tool.navigate(f"/launch?ltik={ltik()}", mount="/a;Domain=example;Max-Age=9")
        assert reply["Set-Cookie"].count(";") == 5
        assert "Domain=example;" not in reply["Set-Cookie"]

    def test_stays_below_the_mount_point(self, tool):
        launch = Captured(tool, mount="/tool")
        assert launch.prefix == f"/tool/lti/{launch.id}"
        assert f"Path={launch.prefix};" in launch.set_cookie
        inside = launch.location.removeprefix("/tool")
        seen = tool.navigate(inside, launch.cookie, mount="/tool").seen
        assert (seen["mount"], seen["launch_path"]) == (launch.prefix, launch.prefix)

    def test_of_a_launch_below_another_launchs_path_leads_to_its_own(self, tool, launch):
        token = ltik()
        location = tool.navigate(f"{launch.prefix}/page?b=1&ltik={token}")["Location"]
        assert location.endswith("/page?b=1")
        assert location.count("/lti/") == 1
        assert launch.id not in location

    def test_of_the_same_launch_again_takes_the_ltik_out_of_the_address(self, tool, launch):
        reply = tool.navigate(f"{launch.prefix}/page?ltik={launch.ltik}")
        assert reply["Location"] == f"{launch.prefix}/page"


class TestAnLtikOnALaunchPath:
    def test_of_this_launch_is_served_in_place(self, tool, launch):
        seen = tool.get(f"{launch.prefix}/data?ltik={launch.ltik}").seen
        assert (seen["launch"], seen["mount"]) == (launch.id, launch.prefix)

    def test_of_another_launch_is_400_for_a_program(self, tool, launch):
        assert tool.get(f"{launch.prefix}/data?ltik={ltik()}").status == 400

    def test_in_a_header_proves_the_launch_but_does_not_close_the_path(self, make_tool):
        tool = make_tool(ltik_headers=["Authorization"])
        launch = Captured(tool)
        bearer = {"Authorization": f"Bearer {launch.ltik}"}
        assert tool.get(launch.location, bearer).seen["launch"] == launch.id
        assert tool.navigate(launch.location).reached_app
        tool.navigate(launch.location, launch.cookie)
        assert tool.get(launch.location).status == 401
        assert tool.get(launch.location, bearer).seen["launch"] == launch.id

    def test_in_a_header_and_not_of_this_launch_is_400(self, make_tool):
        tool = make_tool(ltik_headers=["Authorization"])
        launch = Captured(tool)
        assert tool.get(launch.location, {"Authorization": f"Bearer {ltik()}"}).status == 400


@pytest.mark.parametrize(
    "path",
    [
        *("/lti", "/lti/", "/lti/short/x", "/lti/AAAAAAAAAAAAAAAAAAAAAAA/x", "/ltix/y", "/lti/é"),
        *("/lti/submission-review-page", "/lti/submission-review-page/2"),
    ],
)
def test_a_path_of_another_shape_is_the_apps_own(tool, path):
    seen = tool.get(path).seen
    assert (seen["path"], seen["mount"]) == (path, "")


def test_what_only_looks_like_a_launch_is_not_redirected_for_good(tool):
    reply = tool.get("/lti/what-has-this-ending-g")
    assert (reply.status, reply["Location"]) == (307, "/lti/what-has-this-ending-g/")


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
def test_the_bare_launch_path_gets_its_slash(tool, launch, method):
    """Without it a page's relative links would leave the launch."""
    reply = tool.ask(method, f"{launch.prefix}?a=1&a=%20", launch.cookie)
    assert (reply.status, reply["Location"]) == (308, f"{launch.prefix}/?a=1&a=%20")
    mounted = tool.ask(method, f"{launch.prefix}?a=1", launch.cookie, mount="/tool")
    assert mounted["Location"] == f"/tool{launch.prefix}/?a=1"
    assert tool.navigate(f"{launch.prefix}/", launch.cookie).seen["path"] == "/"


def test_a_websocket_on_the_bare_launch_path_is_opened_because_it_cannot_be_redirected(
    tool, launch
):
    marks = {"Upgrade": "websocket", "Sec-Fetch-Site": "same-origin"}
    assert tool.get(launch.prefix, launch.cookie | marks).seen["path"] == "/"


def test_require_does_not_get_in_the_way_of_a_launch_path(make_tool):
    tool = make_tool(require=True)
    launch = Captured(tool)
    assert tool.navigate(launch.location, launch.cookie).reached_app


class TestWhileLtiaasFails:
    def test_a_launch_verified_before_is_served_on(self, tool, launch, upstream):
        upstream.error = UpstreamError("no connection")
        tool.later(601)
        asked = len(upstream.asked)
        for _ in range(3):
            assert tool.navigate(launch.location, launch.cookie).seen["user"] == "Ada"
        assert len(upstream.asked) == asked + 1

    def test_a_launch_that_is_refused_on_refresh_is_over_at_once(self, tool, launch, upstream):
        upstream.error = LaunchExpired("Invalid or expired ltik.", status=401)
        tool.later(601)
        assert tool.get(launch.location, launch.cookie).problem == "launch_expired"
        assert tool.get(launch.location, launch.cookie).problem == "launch_expired"
        assert tool.get(launch.location).status == 401

    def test_a_worker_that_never_saw_it_says_so(self, tool, launch, upstream):
        forget(tool)
        upstream.error = UpstreamError("no connection")
        assert tool.get(launch.location, launch.cookie).status == 503


def test_a_rotated_secret_ends_nobodys_launch(make_tool, upstream):
    old, new = "the old secret, long enough", "the new secret, long enough"
    launch = Captured(make_tool(secrets=old))
    rotated = make_tool(secrets=[new, old])
    assert rotated.navigate(launch.location, launch.cookie).seen["launch"] == launch.id
    assert rotated.get(launch.location).status == 401
    assert Captured(rotated).id != launch.id
    assert make_tool(secrets=new).get(launch.location, launch.cookie).status == 401


def test_an_ltik_in_a_header_opens_a_launch_that_this_worker_does_not_know(make_tool, upstream):
    tool = make_tool(ltik_headers=["Authorization"])
    launch = Captured(tool)
    forget(tool)
    reply = tool.get(launch.location, {"Authorization": f"Bearer {launch.ltik}"})
    assert reply.seen["launch"] == launch.id
    assert upstream.asked == [launch.ltik] * 2
    # A program's header says nothing of the browser's cookies: the path alone still opens it.
    assert tool.get(launch.location).seen["launch"] == launch.id


def test_a_one_time_link_that_was_not_needed_leads_on_with_the_rest_of_its_query(tool, launch):
    made = tool.middleware._gate._account.one_time_tokens.make(launch.id)
    address = f"{launch.prefix}/page?a=1&ltiaas_one_time={made}&b=%202"
    reply = tool.navigate(address, launch.cookie)
    assert (reply.status, reply["Location"]) == (303, f"{launch.prefix}/page?a=1&b=%202")
    assert reply.get("Set-Cookie") is None


def test_served_in_place_the_app_has_its_cookies_as_they_came(tool):
    cookies = {"Cookie": "a=1; a=2,b; c"}
    assert tool.get(f"/page?ltik={ltik()}", cookies).seen["headers"]["cookie"] == "a=1; a=2,b; c"


def test_a_preflight_with_an_ltik_in_its_query_moves_nothing(tool):
    asks = {"Origin": "https://elsewhere.example", "Access-Control-Request-Method": "PUT"}
    for mount in ("", "/tool"):
        seen = tool.ask("OPTIONS", f"/page?a=1&ltik={ltik()}", asks, mount=mount).seen
        assert (seen["mount"], seen["path"], seen["query"]) == (mount, "/page", "a=1")


def test_served_in_place_its_path_is_the_mount_point(tool):
    seen = tool.get(f"/page?ltik={ltik()}", mount="/tool").seen
    assert (seen["launch_path"], seen["mount"]) == ("/tool", "/tool")


@pytest.mark.parametrize(
    ("mount", "path"),
    [
        ("/", ""),
        ("/tool/", "/tool"),
        ("/X/tool/X", "/X/tool/X"),
        ("/a b/c", "/a%20b/c"),
        ("/o'neill!", "/o'neill!"),
        ("/caf\u00e9", "/caf%C3%A9"),
    ],
)
def test_a_launchs_path_is_percent_encoded(tool, mount, path):
    given = mount.encode().decode("latin-1") if tool.kind == "wsgi" else mount
    launch = Captured(tool, mount=given)
    below = f"/lti/{launch.id}/page"
    assert launch.prefix == f"{path}/lti/{launch.id}"
    seen = tool.get(below, launch.cookie, mount=given).seen
    assert seen["launch_path"] == launch.prefix


def test_a_tabs_cookie_that_proves_nothing_takes_nothing_from_the_frames(tool, launch):
    frame = launch.cookie["Cookie"]
    tab = f"{frame.partition('=')[0]}-tab={ltik()}"
    for cookies in (f"{frame}; {tab}", f"{tab}; {frame}"):
        assert tool.get(launch.location, {"Cookie": cookies}).seen["launch"] == launch.id


def test_a_request_of_a_cached_launch_is_counted(tool, launch):
    for _ in range(3):
        assert tool.get(f"{launch.prefix}/page", launch.cookie).seen["user"] == "Ada"
    assert tool.middleware.stats()["hits"] == 3


def test_a_launch_that_is_over_is_not_served_from_memory(tool, launch, upstream):
    for _ in range(2):
        assert tool.get(f"{launch.prefix}/page", launch.cookie).reached_app
    upstream.error = LaunchExpired("over")
    tool.later(24 * 3600 + 1)
    assert tool.get(f"{launch.prefix}/page", launch.cookie).status == 401


def test_what_a_cookie_proved_by_tls_it_does_not_prove_without(tool, launch):
    for _ in range(2):
        assert tool.get(launch.location, launch.cookie).reached_app
    assert tool.get(launch.location, launch.cookie, scheme="http").status == 401


def test_headers_of_many_cookies_do_not_fill_the_memory(tool, launch, monkeypatch):
    monkeypatch.setattr("ltiaas_middleware._gate.authentication._REMEMBERED", 10)
    for n in range(50):
        cookies = {"Cookie": f"{launch.cookie['Cookie']}; {launch.id[:8]}.n={n}"}
        assert tool.get(launch.location, cookies).seen["headers"]["cookie"] == f"n={n}"
    assert len(tool.middleware._gate._cookies._found) <= 10


class TestAProxysPrefixThatTheMiddlewareDoesNotSee:
    """A home-made ``ReverseProxied`` inside the middleware instead of around it."""

    @pytest.mark.parametrize("header", ["X-Script-Name", "X-Forwarded-Prefix"])
    def test_is_logged_once_at_the_first_launch(self, tool, caplog, header):
        for _ in range(2):
            tool.navigate(f"/launch?ltik={ltik()}", {header: "/tools/quiz"})
        (record,) = [one for one in caplog.records if "the proxy says" in one.getMessage()]
        assert "mounted at '/tools/quiz'" in record.getMessage()
        assert "around the middleware" in record.getMessage()

    @pytest.mark.parametrize("named", ["/tools/quiz", "/tools/quiz/", "/x, /tools/quiz", "/", ""])
    def test_is_none_if_the_mount_point_is_the_prefix(self, tool, caplog, named):
        tool.navigate(f"/launch?ltik={ltik()}", {"X-Forwarded-Prefix": named}, mount="/tools/quiz")
        assert "the proxy says" not in caplog.text
