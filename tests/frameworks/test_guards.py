"""Guards that hold on launch paths: an app's own, and those of the settings, on real servers."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from typing import Any

import pytest
import requests

from ltiaas_middleware.sandbox import Sandbox

from .. import servers
from .apps.guarded import ASGI, REACHED, WSGI, asking

APP = "tests.frameworks.apps.guarded"
BROWSER = {"Accept": "text/html", "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}

Serve = Callable[..., servers.Server]


@pytest.fixture(scope="module")
def serve(account_env: dict[str, str]) -> Iterator[Serve]:
    """Starts a server of the tools when it is first asked for."""
    started: dict[Any, servers.Server] = {}
    with ExitStack() as stack:

        def serve(
            *options: str, start: Callable[..., Any] = servers.uvicorn, **env: str
        ) -> servers.Server:
            key = options, start, *env.items()
            if key not in started:
                app = f"{APP}:{'wsgi' if start is servers.gunicorn else 'asgi'}"
                running = start(app, options=options, env={**account_env, **env})
                started[key] = stack.enter_context(running)
            return started[key]

        yield serve


def serving(name: str, serve: Serve) -> servers.Server:
    return serve(start=servers.gunicorn if name in WSGI else servers.uvicorn)


def get(url: str, tool: str) -> int:
    """The status outside of a launch."""
    return requests.get(url, headers={"X-Tool": tool}, timeout=20).status_code


def enter(server: servers.Server, tool: str, sandbox: Sandbox) -> tuple[str, requests.Session]:
    """Launch into a tool; the URL of the launch path, and a browser with its cookie."""
    browser = requests.Session()
    browser.headers["X-Tool"] = tool
    url = f"{server.url}/launch?ltik={sandbox.issue(user='ada')}"
    reply = browser.get(url, headers=BROWSER, timeout=20, allow_redirects=False)
    assert reply.status_code == 303, reply.text
    home = f"{server.url}{reply.headers['Location'].removesuffix('/launch')}"
    browser.headers["Cookie"] = reply.headers["Set-Cookie"].partition(";")[0]
    return home, browser


@pytest.mark.parametrize("name", WSGI + ASGI)
def test_an_apps_own_guard_holds_in_a_launch(name: str, serve: Serve, sandbox: Sandbox) -> None:
    mount = "/site" if name == "django_in_a_dispatcher" else ""
    server, tool = serving(name, serve), asking(name, guard=f"{mount}/staff")
    assert get(f"{server.url}{mount}/staff", tool) == 403
    home, browser = enter(server, tool, sandbox)
    assert browser.get(f"{home}{mount}/launch", timeout=20).text == "page"
    reply = browser.get(f"{home}{mount}/staff", timeout=20)
    assert (reply.status_code, REACHED in reply.text) == (403, False)


def test_an_add_on_that_goes_by_the_path_finds_it_in_a_launch(
    serve: Serve, sandbox: Sandbox
) -> None:
    server, tool = serve(), asking("starlette_csrf")
    home, browser = enter(server, tool, sandbox)
    browser.headers["Cookie"] += f"; {home[-22:-14]}.session=1"
    for path, status in (("/staff", 403), ("/launch", 403), ("/hook", 200)):
        bare = {"X-Tool": tool, "Cookie": "session=1"}
        outside = requests.post(f"{server.url}{path}", headers=bare, timeout=20)
        inside = browser.post(f"{home}{path}", headers={"Origin": server.url}, timeout=20)
        assert (outside.status_code, inside.status_code) == (status, status), path


@pytest.mark.parametrize("name", ["starlette", "fastapi", "quart", "litestar"])
def test_so_it_does_below_an_outer_mount_point(name: str, serve: Serve, sandbox: Sandbox) -> None:
    """The guard knows the path with the mount point, if the framework shows it so."""
    tool = asking(name, guard="/staff" if name == "quart" else "/api/staff")
    server = serve("--root-path", "/api")
    home, browser = enter(server, tool, sandbox)
    assert "/api/lti/" in home
    assert get(f"{server.url}/staff", tool) == 403
    assert browser.get(f"{home.replace('/api/lti/', '/lti/')}/staff", timeout=20).status_code == 403


def test_fastapi_with_a_root_path_of_its_own_is_found_in_a_launch(
    serve: Serve, sandbox: Sandbox
) -> None:
    home, browser = enter(serve(), asking("fastapi", root="/proxied"), sandbox)
    assert browser.get(f"{home}/launch", timeout=20).text == "page"


def _spellings() -> list[bytes]:
    """Ways to write ``/staff`` that some program may read as it."""
    starts = rb"""
        / // /./ /x/../ /static/../ /static/%2e%2e/ /static/.%2e/ /;a/ /%2f \\ /\\ /%5c /%2e/
        /static%2f../ /static/..;/ /%252e/ /%00/ /%0a/ /%09/ /%0d%0a/ /static/../static/../
        http://tool.example/ /static/%252e%252e/ /static\\..\\
    """.split()
    words = rb"""
        staff Staff STAFF %73taff %2573taff st%61ff staff/ staff// staff/. staff/.. staff%2f
        staff;x staff%00 staff%0a sta%ffff staff%20 staff%ff %EF%BD%93taff staf%66/ staff?a=/static
        staff#/static staff\\ staff%5c staff%c0%af s%c1%b4aff staff.json staff.json/ %C5%BFtaff
    """.split()
    odd = [
        b"/staff\t",
        b"/st\xc1\xa1ff",
        b"/\xc0\xae\xc0\xae/staff",
        b"/\xef\xbd\x93taff",
        b"staff",
    ]
    return [start + word for start in starts for word in words] + odd


def ask(
    server: servers.Server,
    tool: str,
    target: bytes,
    method: bytes = b"GET",
    header: bytes = b"X: x",
) -> bytes:
    """What a tool answers to a request target that no client would send."""
    with socket.create_connection(("127.0.0.1", server.port), 20) as connection:
        connection.sendall(
            method + b" " + target + b" HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n"
            b"Origin: https://x.example\r\nAccess-Control-Request-Method: GET\r\n"
            b"X-Tool: " + tool.encode() + b"\r\n" + header + b"\r\n\r\n"
        )
        answer = b""
        try:
            while piece := connection.recv(65536):
                answer += piece
        except ConnectionResetError:
            pass
        return answer


_SPELLED = ("flask", "rest_framework", "falcon", "bottle", "pyramid", "fastapi", "starlette")


@pytest.mark.parametrize(
    ("name", "require"), [("flask", True), *((name, "/staff") for name in _SPELLED)]
)
def test_no_spelling_of_a_guarded_path_reaches_it_without_a_launch(
    name: str, require: Any, serve: Serve
) -> None:
    server, tool = serving(name, serve), asking(name, require=require)
    assert REACHED.encode() in ask(server, asking(name), b"/staff")
    spellings = _spellings()
    assert len(spellings) > 300
    targets = [*spellings, *(b"/lti/" + b"A" * 22 + word for word in spellings[:40])]
    found = [t for t in targets if REACHED.encode() in ask(server, tool, t)]
    found += [
        t for t in (b"/staff", targets[-1]) if REACHED.encode() in ask(server, tool, t, b"OPTIONS")
    ]
    assert not found
    assert b"401" in ask(server, tool, b"/staff").partition(b"\r\n")[0]


def _daphne(
    app: str, options: tuple[str, ...], env: dict[str, str]
) -> AbstractContextManager[servers.Server]:
    command = [sys.executable, "-m", "daphne", *options]
    return servers.running(lambda port: [*command, "--port", str(port), app], env=env)


@pytest.mark.parametrize("name", ["litestar", "quart", "flask_by_a2wsgi", "starlette", "fastapi"])
@pytest.mark.parametrize("start", [servers.hypercorn, _daphne], ids=["hypercorn", "daphne"])
def test_a_mount_point_that_the_server_leaves_out_is_no_way_around(
    start: Callable[..., Any], name: str, serve: Serve
) -> None:
    """These servers do not put it before the path, and frameworks look for it in other ways: some
    cut it off in the middle of a word, some wherever it is. Daphne takes it from the client."""
    server, tool = serve("--root-path", "/api", start=start), asking(name, require="/staff")
    for target in (b"/staff", b"/api/staff", b"/x/api/staff", b"/apistaff", b"/api/api/staff"):
        assert REACHED.encode() not in ask(server, tool, target), target
    for header in (b"Daphne-Root-Path: q", b"Daphne-Root-Path: /q", b"Daphne-Root-Path: /q/"):
        assert REACHED.encode() not in ask(server, tool, b"/q/staff", header=header), header
    assert b"401" in ask(server, tool, b"/staff").partition(b"\r\n")[0]


@pytest.mark.parametrize(
    ("name", "env"),
    [
        ("fastapi", {}),
        ("fastapi_in_sentry", {}),
        ("fastapi_in_a_function", {}),
        ("fastapi_in_a_class", {}),
        ("django_asgi", {"FORCE_SCRIPT_NAME": "/proxied"}),
    ],
)
def test_a_mount_point_that_only_the_app_knows_is_no_way_around(
    name: str, env: dict[str, str], serve: Serve, sandbox: Sandbox
) -> None:
    server = serve(**env)
    tool = asking(name, require="/staff", root="" if env else "/proxied")
    for target in (b"/staff", b"/proxied/staff"):
        answer = ask(server, tool, target)
        assert b"401" in answer.partition(b"\r\n")[0], answer
    home, browser = enter(server, tool, sandbox)
    assert "/proxied/lti/" in home
    # With a proxy before it that takes the mount point off, and without.
    for url in (home, home.replace("/proxied", "", 1)):
        assert browser.get(f"{url}/staff", timeout=20).text == REACHED


def test_a_header_that_moves_pyramids_root_is_no_way_around(serve: Serve) -> None:
    server = serve(start=servers.gunicorn)
    moved = b"X-Vhm-Root: /staff"
    assert REACHED.encode() in ask(server, asking("traversal"), b"/", header=moved)
    answer = ask(server, asking("traversal", require="/staff"), b"/", header=moved)
    assert b"401" in answer.partition(b"\r\n")[0], answer


def test_a_path_in_datasettes_own_encoding_is_no_way_around(serve: Serve) -> None:
    server, tool = serve(), asking("datasette", require="/staff")
    for target in (b"/staff", b"/~73taff", b"/~73t~61ff/x"):
        answer = ask(server, tool, target)
        assert b"401" in answer.partition(b"\r\n")[0], answer
