"""Requests that no browser or no page of the tool's sends, byte by byte over sockets."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any, NamedTuple

import pytest

from ltiaas_middleware.sandbox import Sandbox

from .. import servers
from .apps.echoing import MARK

APP = "tests.frameworks.apps.echoing:app"
STARTS = {"flask": servers.gunicorn, "starlette": servers.uvicorn}
#: What these servers believe of a proxy: by default this machine is one.
UNPROXIED = {
    "flask": ("--forwarded-allow-ips", "192.0.2.1"),
    "starlette": ("--no-proxy-headers",),
}
NAVIGATION = "Accept: text/html", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Site: cross-site"
EVIL = "Origin: https://evil.example"
OWN = "Sec-Fetch-Site: same-origin"
PREFLIGHT = "Access-Control-Request-Method: POST"
HANDSHAKE = (
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
)


class Answers(NamedTuple):
    """What came back on one connection."""

    text: str

    @property
    def statuses(self) -> list[int]:
        return [int(each) for each in re.findall(r"^HTTP/1\.[01] (\d{3})", self.text, re.M)]

    @property
    def reached(self) -> list[dict[str, Any]]:
        """What the app said of each request that reached it."""
        return [json.loads(each) for each in re.findall(rf"{MARK}(.*)", self.text)]

    def header(self, name: str) -> list[str]:
        return re.findall(rf"(?im)^{name}: (.*)\r$", self.text)


class Server:
    """A tool on a real server."""

    def __init__(self, server: servers.Server, sandbox: Sandbox) -> None:
        self.server, self.port, self._sandbox = server, server.port, sandbox
        self.ltiks: list[str] = []

    def send(self, start: str, *headers: str, body: str = "", until: str = "") -> Answers:
        """Send one request, and what follows as ``body``.

        Args:
            start: method and target.
            headers: as lines, after the server's own ``Host``.
            body: sent as it is, whatever the headers say of it.
            until: read until this came back; by default until the server closes.
        """
        lines = [f"{start} HTTP/1.1", f"Host: 127.0.0.1:{self.port}"]
        if not any(line.startswith("Connection:") for line in headers) and "HTTP/" not in body:
            lines.append("Connection: close")
        text = "\r\n".join([*lines, *headers, "", body])
        with socket.create_connection(("127.0.0.1", self.port), 20) as connection:
            connection.sendall(text.encode("latin-1"))
            found = b""
            try:
                while piece := connection.recv(65536):
                    found += piece
                    if until and until.encode() in found:
                        break
            except ConnectionResetError:
                pass
        return Answers(found.decode("latin-1"))

    def launch(self, user: str, *headers: str) -> Launched:
        ltik = self._sandbox.issue(user=user)
        self.ltiks.append(ltik)
        answers = self.send(f"GET /page?ltik={ltik}", *NAVIGATION, *headers)
        assert answers.statuses == [303], answers.text
        home = answers.header("Location")[0].removesuffix("/page")
        pairs = [each.partition(";")[0] for each in answers.header("Set-Cookie")]
        return Launched(home, ltik, f"Cookie: {'; '.join(pairs)}", user)


class Launched(NamedTuple):
    home: str
    ltik: str
    cookie: str
    user: str


@pytest.fixture(scope="module")
def start(account_env: dict[str, str], request: pytest.FixtureRequest) -> Iterator[Any]:
    with ExitStack() as stack:
        started: dict[Any, Server] = {}

        def start(name: str, *options: str, **env: str) -> Server:
            key = (name, options, tuple(env.items()))
            if key not in started:
                given = {
                    **account_env,
                    "TOOL": name,
                    "LTIAAS_REQUIRE": "/staff",
                    "LTIAAS_EXCLUDE": "/static",
                    "LTIAAS_TRUSTED_ORIGINS": "https://good.example",
                    **env,
                }
                running = stack.enter_context(STARTS[name](APP, options=options, env=given))
                started[key] = Server(running, request.getfixturevalue("account").sandbox)
            return started[key]

        yield start
        for each in started.values():
            output = each.server.stop()
            # Starlette's own, of a client that hung up, and uvicorn's, of what is no request.
            known = r"(?m)^starlette.requests.ClientDisconnect|^h11._util.LocalProtocolError"
            assert output.count("Traceback") == len(re.findall(known, output)), output
            assert not [ltik for ltik in each.ltiks if ltik[-40:] in output]


@pytest.fixture(params=["flask", "starlette"])
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def server(name: str, start: Callable[..., Server]) -> Server:
    return start(name)


WITHOUT_A_LAUNCH: list[tuple[str, ...]] = [
    ("GET http://other.example/staff",),
    ("GET http://127.0.0.1/staff",),
    ("GET https://user:pass@other.example:1/staff",),
    ("TRACE /staff",),
    ("CONNECT /staff",),
    ("HEAD /staff",),
    ("PURGE /staff",),
    ("GET /staff", "Host: other.example"),
    ("POST /staff", "X-HTTP-Method-Override: OPTIONS"),
    ("OPTIONS /staff", EVIL, PREFLIGHT, "X-HTTP-Method-Override: GET"),
    ("OPTIONS /staff", "Origin: https://good.example", EVIL, PREFLIGHT),
    ("OPTIONS /staff", EVIL, "Origin: https://good.example", PREFLIGHT),
    ("OPTIONS /staff", "Origin: https://good.example", PREFLIGHT),
    ("GET /staff", "X-Original-URL: /static", "X-Rewrite-URL: /static"),
    ("GET /staff", "X-Forwarded-For: 127.0.0.1", "X-Forwarded-Host: evil.example"),
    ("GET /staff", "X-Forwarded-Prefix: /static", "X-Script-Name: /static"),
    ("GET /staff", "SCRIPT_NAME: /static"),
    ("GET /static/staff", "SCRIPT_NAME: /static"),
    ("GET /xstaff", "SCRIPT_NAME: /x"),
    ("GET /x", "SCRIPT_NAME: /x", "PATH_INFO: /staff"),
    ("GET /staff", "PATH_INFO: /static", "REQUEST_URI: /static", "RAW_URI: /static"),
    ("GET /staff", "LTIAAS-Launch: x", "ltiaas_launch: x", "LTIAAS-Cookie: session=1"),
    ("GET /staff", *HANDSHAKE),
    ("GET /staff", *HANDSHAKE, "Sec-WebSocket-Protocol: ltik, ,x;y"),
]


@pytest.mark.parametrize("proxied", [True, False], ids=["proxied", "not-proxied"])
@pytest.mark.parametrize("lines", WITHOUT_A_LAUNCH, ids=" ".join)
def test_nobody_reaches_what_needs_a_launch(
    lines: tuple[str, ...], proxied: bool, name: str, start: Callable[..., Server]
) -> None:
    server = start(name) if proxied else start(name, *UNPROXIED[name])
    # What only names itself so is another page.
    assert not [each for each in server.send(*lines).reached if each["path"].startswith("/staff")]


@pytest.mark.parametrize("origin", [EVIL, "Origin: https://good.example"])
def test_what_follows_a_preflight_is_a_request_of_its_own(origin: str, server: Server) -> None:
    hidden = f"GET /staff HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nConnection: close\r\n\r\n"
    answered = 204 if "good" in origin else 403
    length = f"Content-Length: {len(hidden)}"
    piped = server.send("OPTIONS /staff", origin, PREFLIGHT, body=hidden)
    assert piped.reached == []
    # gunicorn's synchronous worker closes the connection first.
    assert piped.statuses in ([answered, 401], [answered])
    as_body = server.send("OPTIONS /staff", origin, PREFLIGHT, length, body=hidden + hidden)
    assert as_body.reached == []
    assert as_body.statuses in ([answered, 401], [answered])
    both = server.send(
        "OPTIONS /staff", origin, PREFLIGHT, length, "Transfer-Encoding: chunked", body=hidden
    )
    assert both.reached == []


FROM_ANOTHER_ORIGIN: list[tuple[str, ...]] = [
    ("POST {home}/act", EVIL),
    ("POST {home}/act", "Origin: null"),
    ("POST {home}/act", EVIL, "Origin: {own}"),
    ("POST {home}/act", "Origin: {own}", EVIL),
    ("POST {home}/act", EVIL, OWN, "Sec-Fetch-Site: cross-site"),
    ("POST {home}/act", EVIL, "Sec-Fetch-Site: cross-site", OWN),
    ("POST {home}/act", EVIL, "Sec-Fetch-Site: none"),
    ("POST {home}/act", EVIL, "Sec-Fetch-Site: same-site", "X-HTTP-Method-Override: GET"),
    ("POST {home}/act", EVIL, "X-Forwarded-Host: evil.example", "X-Forwarded-Proto: https"),
    ("POST {home}/act", EVIL, "Host: evil.example"),
    ("POST {home}/act", "Origin: {own}.evil.example"),
    ("POST {home}/act", "Origin: http://user@127.0.0.1"),
    ("OPTIONS {home}/act", EVIL, PREFLIGHT, "X-HTTP-Method-Override: POST"),
    ("OPTIONS {home}/act", EVIL, PREFLIGHT, "Access-Control-Request-Headers: x-http-method"),
    ("POST {home}/ltiaas-cookies", EVIL, "LTIAAS-Cookie: session=1"),
    ("POST {home}/page?ltik={ltik}", EVIL),
    ("POST /page?ltik={ltik}", EVIL),
    ("GET {home}/act", EVIL, *HANDSHAKE),
    ("GET {home}/act", EVIL, *HANDSHAKE, "Sec-WebSocket-Protocol: same-origin, ,{own}"),
    ("GET {home}/act", EVIL, "Origin: {own}", *HANDSHAKE),
]


@pytest.mark.parametrize("lines", FROM_ANOTHER_ORIGIN, ids=" ".join)
def test_another_origins_page_changes_nothing(lines: tuple[str, ...], server: Server) -> None:
    ada = server.launch("ada")
    own = f"http://127.0.0.1:{server.port}"
    start, *headers = (line.format(home=ada.home, ltik=ada.ltik, own=own) for line in lines)
    answers = server.send(start, ada.cookie, *headers)
    assert answers.reached == []
    # Some of it the server refuses itself.
    expected = 403 if answers.header("LTIAAS-Error") else 400
    assert answers.statuses == [expected], answers.text
    # The same of its own is served.
    assert [each["user"] for each in server.send(f"POST {ada.home}/act", ada.cookie, OWN).reached]


@pytest.mark.parametrize("protocols", ["chat", "ltik, x;y", "a,,b", "\xe9"])
def test_a_handshake_of_its_own_page_is_the_launchs(protocols: str, server: Server) -> None:
    ada = server.launch("ada")
    own = f"Origin: http://127.0.0.1:{server.port}"
    sent = (ada.cookie, own, *HANDSHAKE, f"Sec-WebSocket-Protocol: {protocols}")
    answers = server.send(f"GET {ada.home}/talk", *sent, until=MARK)
    # Werkzeug has no websockets, and websockets takes no odd names.
    has_them = "uvicorn" in server.server.command and protocols in ("chat", "a,,b")
    assert answers.statuses == [101 if has_them else 400]
    assert ada.ltik not in answers.text


def test_a_forwarded_scheme_only_closes(server: Server) -> None:
    """The cookie of https has another name, so that plain http proves nothing there."""
    ada = server.launch("ada")
    assert server.send(f"GET {ada.home}/page", ada.cookie).statuses == [200]
    forwarded = server.send(f"GET {ada.home}/page", ada.cookie, "X-Forwarded-Proto: https")
    assert (forwarded.reached, forwarded.statuses) == ([], [401])
    for value in ("https", "HTTPS", "https, http", "wss", "x"):
        answers = server.send(f"GET {ada.home}/page", f"X-Forwarded-Proto: {value}")
        assert answers.reached == []


@pytest.mark.parametrize("method", ["TRACE", "GET", "POST"])
def test_no_method_shows_the_ltik(method: str, server: Server) -> None:
    ada = server.launch("ada")
    for cookies in ([ada.cookie], ["Cookie: a=1", ada.cookie], [ada.cookie, "Cookie: a=1"]):
        answers = server.send(f"{method} {ada.home}/page", OWN, *cookies)
        assert ada.ltik[-40:] not in answers.text
        assert {each["user"] for each in answers.reached} <= {"ada"}


def test_a_launchs_cookie_opens_no_other(server: Server) -> None:
    ada, ben = server.launch("ada"), server.launch("ben")
    for each in (ada, ben):
        server.send(f"GET {each.home}/page", each.cookie)
    for headers in ([ben.cookie], [ben.cookie, "Cookie: x=1"], []):
        assert server.send(f"GET {ada.home}/page", *headers).statuses == [401]
        write = server.send(f"POST {ada.home}/ltiaas-cookies", OWN, "LTIAAS-Cookie: x=1", *headers)
        assert write.statuses == [401]
    # With both, each path is its own launch.
    for each in (ada, ben):
        for cookies in ([ada.cookie, ben.cookie], [ben.cookie, ada.cookie]):
            (seen,) = server.send(f"GET {each.home}/page", *cookies).reached
            assert seen["user"] == each.user


def test_a_jar_is_its_launchs_alone(server: Server) -> None:
    ada, ben = server.launch("ada"), server.launch("ben")
    server.send(f"GET {ada.home}/sign-in?as=ada")
    server.send(f"GET {ben.home}/sign-in?as=ben")
    (seen,) = server.send(f"GET {ada.home}/page", ben.cookie).reached
    assert (seen["user"], seen["headers"]["cookie"]) == ("ada", "session=ada")
    # Neither ben's cookie at ada's path nor ada's path has bound ben's launch.
    (seen,) = server.send(f"GET {ben.home}/page").reached
    assert (seen["user"], seen["headers"]["cookie"]) == ("ben", "session=ben")
    # Once bound, the jar is gone for whoever has only the path.
    (seen,) = server.send(f"GET {ada.home}/page", ada.cookie).reached
    assert "session=" not in seen["headers"].get("cookie", "")
    assert server.send(f"GET {ada.home}/page").reached == []


def test_another_user_in_the_same_browser(name: str, start: Callable[..., Server]) -> None:
    server = start(name, LTIAAS_ONE_USER_PER_BROWSER="true")
    ada, ben = server.launch("ada"), server.launch("ben")
    assert server.send(f"GET {ada.home}/page", ada.cookie).statuses == [200]
    own, mark = ada.cookie.removeprefix("Cookie: ").split("; ")
    bens = ben.cookie.partition("; ")[2]
    for cookies in (
        [f"Cookie: {own}; {bens}"],
        [f"Cookie: {own}; {mark}; {bens}"],
        [f"Cookie: {own}", f"Cookie: {bens}"],
        [f"Cookie: {bens}", f"Cookie: {mark}; {own}"],
        [f"Cookie: {own}"],
        [f"Cookie: {own}; {mark}x"],
    ):
        answers = server.send(f"GET {ada.home}/page", *cookies)
        assert (answers.reached, answers.statuses) == ([], [401]), cookies
    assert server.send(f"GET {ben.home}/page", ben.cookie).statuses == [200]


def test_the_header_of_launch_from_is_the_middlewares_alone(server: Server) -> None:
    ada, ben = server.launch("ada"), server.launch("ben")
    (seen,) = server.send(f"GET {ben.home}/page", ben.cookie).reached
    bens = seen["headers"]["ltiaas-launch"]
    for line in (f"LTIAAS-Launch: {bens}", f"ltiaas_launch: {bens}", f"LTIAAS_Launch: {bens}"):
        for headers in ([line], [line, line]):
            (seen,) = server.send("GET /page", *headers).reached
            assert "ltiaas-launch" not in seen["headers"]
            (seen,) = server.send(f"GET {ada.home}/page", ada.cookie, *headers).reached
            assert seen["headers"]["ltiaas-launch"] not in ("", bens)
            assert bens not in seen["headers"]["ltiaas-launch"]


@pytest.mark.parametrize(
    "referer",
    [
        "http://user:pass@127.0.0.1:{port}{home}/page",
        "http://127.0.0.1:1{home}/page",
        "https://evil.example{home}/page",
        "http://127.0.0.1:{port}//evil.example{home}/page",
        "http://127.0.0.1:{port}/#{home}/page",
        "http://127.0.0.1:{port}/?{home}/page",
        "http://127.0.0.1:{port}/x/..{home}/page",
        "http://127.0.0.1:{port}{home}.evil/page",
        "http://[{home}/page",
        "{home}/page",
    ],
)
@pytest.mark.parametrize("target", ["/staff", "//evil.example/staff", "/page", r"/\evil.example"])
def test_a_referer_opens_nothing_and_leads_to_no_other_host(
    target: str, referer: str, server: Server
) -> None:
    ada = server.launch("ada")
    server.send(f"GET {ada.home}/page", ada.cookie)
    given = "Referer: " + referer.format(port=server.port, home=ada.home)
    for site in (OWN, "Sec-Fetch-Site: cross-site", "X-None: 1"):
        answers = server.send(f"GET {target}", given, site, "Sec-Fetch-Dest: document")
        assert not any(each["user"] for each in answers.reached)
        for location in answers.header("Location"):
            assert location.startswith(f"{ada.home}/"), location
            assert server.send(f"GET {location}").reached == []


def test_no_redirect_leads_to_another_host(server: Server) -> None:
    ada = server.launch("ada")
    for path in ("//evil.example/x", "/%2fevil.example/x", r"/\evil.example/x", "/%5cevil.example"):
        fresh = server.send(f"GET {path}?ltik={ada.ltik}", *NAVIGATION)
        out = server.send(f"GET {ada.home}{path}/../static", ada.cookie)
        static = server.send(f"GET {ada.home}//static{path}", ada.cookie)
        for answers in (fresh, out, static):
            for location in answers.header("Location"):
                assert re.match(r"/(?![/\\])", location), location
    for target in ("http://evil.example/page", "//evil.example/page"):
        answers = server.send(f"GET {target}?ltik={ada.ltik}", *NAVIGATION, "Host: evil.example")
        assert not any("evil" in each.partition("/lti/")[0] for each in answers.header("Location"))


def test_who_hangs_up_leaves_nothing_behind(server: Server) -> None:
    ada = server.launch("ada")
    host = f"Host: 127.0.0.1:{server.port}\r\n"
    cookie = f"{ada.cookie}\r\n{OWN}\r\n"
    for text in (
        f"POST {ada.home}/act HTTP/1.1\r\n{host}{cookie}Content-Length: 1000\r\n\r\nabc",
        f"POST /page?ltik={ada.ltik} HTTP/1.1\r\n{host}Content-Length: 1000\r\n\r\nabc",
        f"GET {ada.home}/act HTTP/1.1\r\n{host}{cookie}" + "\r\n".join([*HANDSHAKE, "", ""]),
        f"GET {ada.home}/act HTTP/1.1\r\n{host}Upgrade: websocket\r\nConnection: Upg",
        f"GET /page?ltik={ada.ltik} HTTP/1.1\r\n{host}\r\n",
    ):
        with socket.create_connection(("127.0.0.1", server.port), 20) as connection:
            connection.sendall(text.encode())
    (seen,) = server.send(f"GET {ada.home}/page", ada.cookie).reached
    assert seen["user"] == "ada"
