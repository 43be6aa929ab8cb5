"""The table of design.md, for both adapters at once."""

from __future__ import annotations

import logging

import pytest

from ltiaas_middleware import LtikCredential, Response
from ltiaas_middleware.errors import ApiKeyRejected, LaunchExpired, RateLimited, UpstreamError
from ltiaas_middleware.scrubbing import scrub
from tests.tokens import ltik


def test_a_request_without_a_token_runs_without_a_launch(tool, upstream):
    seen = tool.get("/page?a=1&not=ltik").seen
    assert seen["launch"] is None
    assert (seen["path"], seen["query"]) == ("/page", "a=1&not=ltik")
    assert upstream.asked == []


def test_an_ltik_is_verified_again_after_the_ttl(tool, upstream):
    token = ltik()
    assert tool.navigate(f"/launch?ltik={token}").status == 303
    tool.later(700)
    upstream.error = LaunchExpired("Invalid or expired ltik.", status=401)
    assert tool.navigate(f"/launch?ltik={token}").status == 401


def test_a_navigation_is_verified_and_sent_to_its_launch_path(tool, upstream):
    token = ltik()
    reply = tool.navigate(f"/launch?resource=123&ltik={token}")
    assert reply.status == 303
    assert upstream.asked == [token]
    assert reply["Location"].startswith("/lti/")
    assert reply["Location"].endswith("/launch?resource=123")
    assert token not in reply["Location"]
    assert reply["Cache-Control"] == "no-store"
    assert reply["Referrer-Policy"] == "no-referrer"
    # PEP 3333's validator asks for one, also where the body is empty.
    assert (reply["Content-Type"], reply.body) == ("text/plain; charset=utf-8", b"")


def test_a_program_is_served_in_place_and_the_app_does_not_see_the_ltik(tool):
    token = ltik()
    reply = tool.get(f"/data?a=1&ltik={token}&b=2")
    assert reply.seen["user"] == "Ada"
    assert reply.seen["query"] == "a=1&b=2"
    assert reply.seen["mount"] == ""
    assert token not in reply.body.decode()


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "HEAD"])
def test_any_other_method_is_served_in_place(tool, method):
    reply = tool.ask(method, f"/launch?ltik={ltik()}", {"Sec-Fetch-Mode": "navigate"})
    assert reply.seen["user"] == "Ada"


def test_a_fetch_is_served_in_place_although_it_would_take_html(tool):
    headers = {"Sec-Fetch-Mode": "cors", "Accept": "text/html"}
    assert tool.get(f"/launch?ltik={ltik()}", headers).reached_app


def test_without_launch_paths_a_navigation_is_served_in_place(make_tool):
    tool = make_tool(launch_path=None)
    reply = tool.navigate(f"/launch?resource=1&ltik={ltik()}")
    assert reply.seen["user"] == "Ada"
    assert reply.seen["query"] == "resource=1"
    assert reply.seen["launch_path"] == ""
    assert tool.get("/lti/AAAAAAAAAAAAAAAAAAAAAA/x").seen["path"] == "/lti/AAAAAAAAAAAAAAAAAAAAAA/x"


def test_an_ltik_is_asked_for_once_and_then_known(tool, upstream):
    token = ltik()
    for _ in range(3):
        tool.get(f"/?ltik={token}")
    assert upstream.asked == [token]


@pytest.mark.parametrize(
    "query",
    [
        "ltik=",
        "ltik",
        "ltik=abc",
        "ltik=a.b",
        "ltik=a.b.c.d",
        "ltik=a..c",
        "ltik=a.b.c%0d%0aX-Evil:%201",
        "ltik=a.b.c%00",
        "ltik=a.b.c%20",
        "ltik=a.b.%C3%A9",
        "ltik=a.b.\xe9",
        "ltik=" + "a" * 5000 + ".b.c",
        "ltik=a.b.c&ltik=a.b.c",
        "ltik=a.b.c&x=1&ltik=d.e.f",
        "ltik=a.b.c&ltik=",
    ],
)
def test_a_malformed_ltik_is_400_without_a_call(tool, upstream, query):
    reply = tool.get(f"/launch?{query}")
    assert (reply.status, reply.problem) == (400, "malformed_ltik")
    assert upstream.asked == []


def test_a_percent_encoded_ltik_is_read(tool, upstream):
    token = ltik()
    assert tool.get(f"/?ltik={token.replace('.', '%2E')}").reached_app
    assert upstream.asked == [token]


def test_a_refused_ltik_is_401_and_not_asked_for_again(tool, upstream):
    upstream.error = LaunchExpired("Invalid or expired ltik.", status=401)
    token = ltik()
    for _ in range(3):
        reply = tool.get(f"/?ltik={token}")
        assert (reply.status, reply.problem) == (401, "launch_expired")
        assert reply["WWW-Authenticate"]
        assert reply["Cache-Control"] == "no-store"
    assert len(upstream.asked) == 1


def test_an_ltik_past_its_24_hours_is_401_without_a_call(tool, upstream):
    reply = tool.get(f"/?ltik={ltik(iat=1_600_000_000)}")
    assert (reply.status, reply.problem) == (401, "launch_expired")
    assert upstream.asked == []


def test_a_new_launch_is_503_while_ltiaas_fails(tool, upstream):
    upstream.error = UpstreamError("no connection")
    reply = tool.get(f"/?ltik={ltik()}")
    assert (reply.status, reply.problem, reply["Retry-After"]) == (503, "ltiaas_unavailable", "5")


def test_retry_after_is_passed_on(tool, upstream):
    upstream.error = RateLimited("slow down", status=429, retry_after=17.2)
    assert tool.get(f"/?ltik={ltik()}")["Retry-After"] == "18"


def test_a_failure_is_not_remembered(tool, upstream):
    token = ltik()
    upstream.error = UpstreamError("no connection")
    assert tool.get(f"/?ltik={token}").status == 503
    upstream.error = None
    assert tool.get(f"/?ltik={token}").reached_app


def test_a_rejected_api_key_is_502_and_an_error_in_the_log(tool, upstream, caplog):
    upstream.error = ApiKeyRejected("Invalid API key", status=401)
    reply = tool.get(f"/?ltik={ltik()}")
    assert (reply.status, reply.problem) == (502, "api_key_rejected")
    (record,) = [r for r in caplog.records if r.levelno == logging.ERROR]
    assert "API key" in record.getMessage()
    page = tool.navigate(f"/?ltik={ltik()}")
    assert (page.status, page["Content-Type"]) == (502, "text/html; charset=utf-8")


class TestOtherSources:
    def test_are_off_by_default(self, tool, upstream):
        headers = {"Authorization": f"Bearer {ltik()}", "X-Ltik": ltik()}
        seen = tool.get("/", headers).seen
        assert seen["launch"] is None
        assert seen["headers"]["authorization"] == headers["Authorization"]
        assert upstream.asked == []

    @pytest.mark.parametrize(
        ("options", "header", "scheme"),
        [
            ({"ltik_headers": ["Authorization"]}, "Authorization", "Bearer "),
            ({"ltik_headers": ["Authorization"]}, "Authorization", "bearer  "),
            ({"ltik_headers": ["X-Ltik"]}, "X-Ltik", ""),
        ],
    )
    def test_are_served_in_place_and_hidden_from_the_app(self, make_tool, options, header, scheme):
        token = ltik()
        reply = make_tool(**options).navigate("/x?a=1", {header: scheme + token})
        assert reply.seen["user"] == "Ada"
        assert reply.seen["query"] == "a=1"
        assert token not in reply.body.decode()

    def test_another_scheme_is_none_of_our_business(self, make_tool, upstream):
        seen = (
            make_tool(ltik_headers=["Authorization"]).get("/", {"Authorization": "Basic dTpw"}).seen
        )
        assert seen["launch"] is None
        assert seen["headers"]["authorization"] == "Basic dTpw"

    @pytest.mark.parametrize("token", ["opaque", "a.b.c d", "a.b.c,a.b.c"])
    def test_a_malformed_bearer_is_400_without_a_call(self, make_tool, upstream, token):
        reply = make_tool(ltik_headers=["Authorization"]).get(
            "/", {"Authorization": f"Bearer {token}"}
        )
        assert reply.status == 400
        assert upstream.asked == []

    def test_two_different_ltiks_are_400(self, make_tool, upstream):
        tool = make_tool(ltik_headers=["Authorization"])
        reply = tool.get(f"/?ltik={ltik()}", {"Authorization": f"Bearer {ltik()}"})
        assert reply.status == 400
        assert upstream.asked == []

    def test_the_same_ltik_twice_is_one(self, make_tool):
        token = ltik()
        tool = make_tool(ltik_headers=["Authorization"])
        reply = tool.get(f"/?ltik={token}", {"Authorization": f"Bearer {token}"})
        assert reply.seen["user"] == "Ada"
        assert token not in reply.body.decode()


class TestRequire:
    def test_true_covers_everything(self, make_tool):
        reply = make_tool(require=True).get("/anything")
        assert (reply.status, reply.problem) == (401, "launch_required")

    def test_a_predicate_covers_its_paths(self, make_tool):
        tool = make_tool(require=lambda path: path.startswith("/private"))
        assert tool.get("/public").reached_app
        assert tool.get("/private/x").status == 401
        assert tool.get(f"/private/x?ltik={ltik()}").reached_app

    def test_the_predicate_sees_the_path_below_the_mount(self, make_tool):
        paths = []
        tool = make_tool(require=lambda path: bool(paths.append(path)))
        tool.get("/x", mount="/tool")
        assert paths == ["/x"]

    def test_a_view_that_requires_a_launch_is_answered_401(self, tool):
        reply = tool.get("/requires")
        assert (reply.status, reply.problem) == (401, "launch_required")
        assert tool.get(f"/requires?ltik={ltik()}").reached_app


class TestRefusals:
    def test_a_person_gets_a_page_that_an_iframe_shows(self, tool):
        reply = tool.navigate("/launch?ltik=broken")
        assert reply["Content-Type"] == "text/html; charset=utf-8"
        assert "open the activity again" in reply.body.decode()
        assert reply.get("X-Frame-Options") is None
        policy = reply["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors" not in policy
        assert reply["Cache-Control"] == "no-store"
        assert int(reply["Content-Length"]) == len(reply.body)

    def test_an_older_browser_is_known_by_what_it_accepts(self, tool):
        reply = tool.get("/?ltik=broken", {"Accept": "text/html,application/xml"})
        assert reply["Content-Type"].startswith("text/html")

    def test_a_head_has_no_body(self, tool):
        reply = tool.ask("HEAD", "/?ltik=broken")
        assert (reply.status, reply.body) == (400, b"")

    def test_on_refusal_replaces_them(self, make_tool):
        given = []

        def on_error(info, request):
            given.append(info)
            return Response(418, (("Content-Type", "text/plain"),), b"mine")

        reply = make_tool(on_error=on_error).get("/?ltik=broken")
        assert (reply.status, reply.body) == (418, b"mine")
        assert reply["Cache-Control"] == "no-store"
        assert (given[0].code, given[0].status) == ("malformed_ltik", 400)

    def test_on_refusal_may_pass(self, make_tool):
        assert make_tool(on_error=lambda info, request: None).get("/?ltik=broken").status == 400

    def test_an_on_refusal_that_fails_is_logged_and_replaced(self, make_tool, caplog):
        reply = make_tool(on_error=lambda info, request: 1 / 0).get("/?ltik=broken")
        assert reply.status == 400
        assert "on_error failed" in caplog.text

    def test_none_of_them_tells_a_secret(self, tool, upstream):
        token = ltik()
        upstream.error = UpstreamError("no connection")
        replies = [tool.navigate(f"/?ltik={token}"), tool.get(f"/?ltik={token}")]
        for reply in replies:
            shown = repr(reply)
            assert token not in shown
            assert tool.middleware.settings.api_key not in shown


def test_an_app_may_set_its_own_referrer_policy(make_tool):
    tool = make_tool(app_headers=[("referrer-policy", "no-referrer")])
    assert tool.get(f"/?ltik={ltik()}").all("Referrer-Policy") == ["no-referrer"]


def test_a_changed_claim_reaches_no_other_request(upstream, make_tool):
    from ltiaas_middleware import current_launch

    tool = make_tool()
    token = ltik()
    tool.get(f"/?ltik={token}")
    entry = tool.middleware._authenticator.peek(tool.middleware._gate._ids.of(token))
    from ltiaas_middleware.launch import Launch

    first = Launch(entry, tool.middleware._gate._account)
    first.id_token.raw["user"]["id"] = "someone else"
    second = Launch(entry, tool.middleware._gate._account)
    assert second.id_token.user.id == "u1"
    assert isinstance(second.credential, LtikCredential)
    assert current_launch() is None


@pytest.mark.parametrize("status", [400, 401])
def test_a_refusal_says_what_caches_browsers_and_supporters_need(tool, status):
    path = "/?ltik=x" if status == 400 else "/lti/AAAAAAAAAAAAAAAAAAAAAA/"
    code = "malformed_ltik" if status == 400 else "launch_unknown"
    for ask in (tool.get, tool.navigate):
        reply = ask(path)
        assert reply.status == status
        # One address has a page for people and a document for programs.
        assert reply["Vary"] == "Accept, Accept-Language, Sec-Fetch-Mode"
        assert reply["X-Content-Type-Options"] == "nosniff"
        assert reply["Referrer-Policy"] == "no-referrer"
        assert reply["Cache-Control"] == "no-store"
        challenge = None if status == 400 else 'LTI-Launch realm="launch"'
        assert reply.get("WWW-Authenticate") == challenge
        assert code in reply.body.decode()
        assert reply["LTIAAS-Error"] == code
        assert reply.get("X-Frame-Options") is None
    assert f"Error code: {code} · " in tool.navigate(path).body.decode()


@pytest.mark.parametrize("address", ["192.0.2.7", ""])
def test_calls_are_made_for_the_address_that_the_server_tells(tool, address):
    upstream = tool.middleware._authenticator._fetching.upstream
    submit, told = upstream.submit, []

    def noting(flight):
        told.append(flight.client)
        return submit(flight)

    upstream.submit = noting
    assert tool.get(f"/?ltik={ltik()}", address=address).reached_app
    assert told == [address]


def test_the_hook_also_answers_for_what_ltiaas_says(make_tool, upstream):
    tool = make_tool(on_error=lambda info, request: Response(418, (), info.code.encode()))
    for error, code in (
        (LaunchExpired("over", status=401), b"launch_expired"),
        (UpstreamError("no connection"), b"ltiaas_unavailable"),
        (ApiKeyRejected("Invalid API key", status=401), b"api_key_rejected"),
    ):
        upstream.error = error
        reply = tool.get(f"/?ltik={ltik()}")
        assert (reply.status, reply.body) == (418, code)


def test_an_ltik_may_have_4000_characters_and_no_more(tool):
    for length, status in ((4000, 200), (4001, 400)):
        token = ltik()
        token = token.replace(".", "." + "A" * (length - len(token)), 1)
        assert tool.get(f"/?ltik={token}").status == status


class TestALegacyLaunch:
    """LTIAAS names the token of an LTI 1.1 launch ``legacy-ltik`` (wire.md)."""

    def test_is_a_launch(self, tool, upstream):
        token = ltik()
        reply = tool.navigate(f"/launch?a=1&legacy-ltik={token}&b=2")
        assert reply["Location"].endswith("/launch?a=1&b=2")
        assert tool.get(f"/launch?legacy-ltik={token}").seen["query"] == ""
        assert upstream.asked == [token]

    def test_may_carry_the_token_twice_but_not_two(self, tool, upstream):
        token = ltik()
        assert tool.get(f"/?ltik={token}&legacy-ltik={token}").seen["query"] == ""
        assert tool.get(f"/?ltik={token}&legacy-ltik={ltik()}").problem == "malformed_ltik"
        assert tool.get(f"/?legacy-ltik={token}&legacy-ltik={token}").problem == "malformed_ltik"
        assert upstream.asked == [token]

    def test_leaves_no_token_in_a_url_outside(self, make_tool):
        tool = make_tool(exclude=["/static"])
        reply = tool.get(f"/lti/AAAAAAAAAAAAAAAAAAAAAA/static/x?legacy-ltik={ltik()}&a=1")
        assert (reply.status, reply["Location"]) == (308, "/static/x?a=1")

    def test_leaves_no_token_in_a_log(self, tool):
        token = ltik()
        for shown in (f"legacy-ltik={token}", f"legacy-ltik%3D{token}", "legacy-ltik=junk"):
            assert scrub(f"GET /x?{shown} HTTP/1.1") in (
                "GET /x?legacy-ltik=[hidden] HTTP/1.1",
                "GET /x?legacy-ltik%3D[hidden] HTTP/1.1",
            )


def test_other_parameters_may_carry_it_and_no_others_do(make_tool, upstream):
    tool = make_tool(ltik_parameters=["launch_token"])
    token = ltik()
    assert tool.get(f"/?launch_token={token}").seen["user"] == "Ada"
    assert tool.get(f"/?ltik={token}").seen["launch"] is None
    assert scrub("launch_token=junk") == "launch_token=[hidden]"
    home = tool.navigate(f"/x?launch_token={token}")
    cookie = {"Cookie": home["Set-Cookie"].partition(";")[0]}
    other = ltik()
    reply = tool.navigate(f"{home['Location']}?launch_token={other}", cookie)
    assert reply["Location"] == f"/lti/{tool.middleware._gate._ids.of(other)}/x"
