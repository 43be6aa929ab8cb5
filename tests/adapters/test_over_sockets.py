"""What only real servers can show: one call for 200 at once, and no secret in anything printed."""

from __future__ import annotations

import contextlib
import socket
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from ltiaas_middleware.sandbox import Sandbox, SandboxServer
from tests import servers
from tests.frameworks.jar import Jar

BROWSER = {"Accept": "text/html"}


@pytest.fixture(scope="module")
def account():
    with SandboxServer(Sandbox()) as server:
        yield server


@pytest.fixture
def sandbox(account):
    yield account.sandbox
    account.sandbox.clear_faults()
    account.sandbox.api_log.clear()


@pytest.fixture(scope="module")
def env(account):
    return {"LTIAAS_URL": account.url, "LTIAAS_API_KEY": account.sandbox.api_key}


def serve_asgi(env):
    return servers.uvicorn("tests.adapters.apps:make_asgi", options=["--factory"], env=env)


@pytest.fixture(scope="module")
def asgi_server(env):
    with serve_asgi(env) as server:
        yield server


@pytest.fixture(scope="module")
def wsgi_server(env):
    env = env | {"LTIAAS_MAX_BLOCKED_THREADS": "205"}
    with servers.gunicorn("tests.adapters.apps:make_wsgi()", threads=210, env=env) as server:
        yield server


@pytest.mark.parametrize("server", ["wsgi_server", "asgi_server"])
class TestManyAtOnce:
    def test_two_hundred_ask_ltiaas_once(self, server, sandbox, request):
        url = f"{request.getfixturevalue(server).url}/?ltik={sandbox.issue()}"
        sandbox.fault("delay", seconds=2)
        with ThreadPoolExecutor(200) as pool:
            answers = list(pool.map(lambda _: requests.get(url, timeout=30), range(200)))
        assert [answer.status_code for answer in answers] == [200] * 200
        assert {answer.json()["user"] for answer in answers} == {answers[0].json()["user"]}
        assert answers[0].json()["user"]
        assert sandbox.api_log.count("/api/idtoken") == 1

    def test_and_the_first_may_hang_up(self, server, sandbox, request):
        running, token = request.getfixturevalue(server), sandbox.issue()
        sandbox.fault("delay", seconds=1)
        with ThreadPoolExecutor(20) as pool:
            with socket.create_connection(("127.0.0.1", running.port)) as first:
                first.sendall(f"GET /?ltik={token} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
                sandbox.api_log.wait_for(1, "/api/idtoken", timeout=20)
            url = f"{running.url}/?ltik={token}"
            answers = list(pool.map(lambda _: requests.get(url, timeout=30), range(20)))
        assert [answer.status_code for answer in answers] == [200] * 20
        assert sandbox.api_log.count("/api/idtoken") == 1


def test_workers_that_never_saw_a_launch_serve_it_from_the_cookie_alone(env, sandbox):
    """Four workers with nothing shared, then four new ones after a full restart: each of them asks
    LTIAAS once, and none asks the user for anything."""
    env = env | {"LTIAAS_CACHE": "memory"}
    token = sandbox.issue()
    location = cookie = None
    asked = 0
    for _ in range(2):
        with servers.gunicorn("tests.adapters.apps:make_wsgi()", workers=4, env=env) as server:
            workers = set()
            if location is None:
                url = f"{server.url}/launch?ltik={token}"
                reply = requests.get(url, headers=BROWSER, timeout=20, allow_redirects=False)
                location = reply.headers["Location"]
                cookie = reply.headers["Set-Cookie"].split(";")[0]
                sandbox.api_log.clear()
                captured = 1
            while len(workers) < 4:
                # Each on a connection of its own, so that any worker may take it.
                headers = BROWSER | {"Cookie": cookie, "Connection": "close"}
                reply = requests.get(server.url + location, headers=headers, timeout=20)
                assert reply.status_code == 200
                assert reply.json()["user"]
                workers.add(reply.json()["pid"])
            asked += len(workers) - captured
            captured = 0
            assert sandbox.api_log.count("/api/idtoken") == asked


def test_the_event_loop_goes_on_while_ltiaas_is_slow(env, sandbox):
    sandbox.fault("delay", seconds=60)
    with ThreadPoolExecutor(1) as pool, serve_asgi(env | {"LTIAAS_TIMEOUT": "60"}) as server:
        slow = pool.submit(requests.get, f"{server.url}/?ltik={sandbox.issue()}", timeout=60)
        sandbox.api_log.wait_for(1, "/api/idtoken", timeout=20)
        assert requests.get(server.url, timeout=30).status_code == 200
        assert not slow.done()


SERVERS = [
    pytest.param(
        lambda env: servers.gunicorn(
            "tests.adapters.apps:make_wsgi()",
            workers=2,
            options=[
                *("--log-level", "debug"),
                *("--access-logformat", "%(r)s %(U)s %(q)s %(f)s %({raw_uri}e)s %({cookie}i)s"),
            ],
            env=env,
        ),
        id="gunicorn",
    ),
    pytest.param(
        lambda env: servers.uvicorn(
            "tests.adapters.apps:make_asgi",
            workers=2,
            options=["--factory", "--log-level", "debug"],
            env=env,
        ),
        id="uvicorn",
    ),
    pytest.param(
        lambda env: servers.gunicorn(
            "tests.adapters.apps:make_asgi()",
            workers=2,
            options=["--worker-class", "asgi", "--log-level", "debug"],
            env=env,
        ),
        id="gunicorn-asgi",
    ),
    pytest.param(
        lambda env: servers.werkzeug("tests.adapters.apps:wsgi_app", env=env), id="werkzeug"
    ),
]


@pytest.mark.parametrize("serve", SERVERS)
def test_no_secret_is_printed_logged_or_raised(serve, env, sandbox):
    token, refused, unverified, crashing = (sandbox.issue() for _ in range(4))
    sandbox.expire(refused)
    # As browsers do, and unlike requests, this jar sends ``Secure`` cookies to loopback: the next
    # request may go to a worker that does not know the launch.
    jar = Jar()
    with serve(env) as server:

        def get(path, expected, **headers):
            sent = {**BROWSER, "Cookie": jar.header(path.partition("?")[0]), **headers}
            answer = requests.get(
                server.url + path, headers=sent, timeout=20, allow_redirects=False
            )
            assert answer.status_code == expected, answer.text
            for value in answer.raw.headers.getlist("Set-Cookie"):
                jar.keep(value, path)
            return answer

        # A launch, as a browser does it and as a program does it.
        location = get(f"/launch?a=1&ltik={token}", 303).headers["Location"]
        get(location, 200, Referer=f"{server.url}/launch?ltik={token}")
        get(f"/in/place?ltik={token}", 200, Accept="*/*")
        # Refusals.
        get(f"/launch?ltik={refused}", 401)
        get(f"/launch?ltik={token}&ltik={token}", 400)
        sandbox.fault("reset")
        get(f"/launch?ltik={unverified}", 503)
        sandbox.clear_faults()
        sandbox.fault("bad_api_key")
        get(f"/launch?ltik={unverified}", 502)
        sandbox.clear_faults()
        # Crashes.
        get(f"/crash?ltik={crashing}", 500, Accept="*/*")
        location = get(f"/crash?ltik={crashing}", 303).headers["Location"]
        get(location, 500)
        server.wait_for_output("crashed in", times=2)
    printed = server.output
    assert "/in/place" in printed
    for secret in (token, refused, unverified, crashing, sandbox.api_key):
        assert secret not in printed, printed[: printed.index(secret)][-300:]
        # Not even the part that makes it one.
        assert secret.split(".")[-1] not in printed


def test_the_servers_log_their_lines_as_before(asgi_server, sandbox):
    """The filter takes the token and leaves the rest of the line; what the app is served, a server
    that logs from the scope logs as the app sees it."""
    address = f"{asgi_server.url}/x?a=1&ltik={sandbox.issue()}&b=2"
    requests.get(address, headers=BROWSER, timeout=20, allow_redirects=False)
    asgi_server.wait_for_output('"GET /x?a=1&ltik=[hidden]&b=2 HTTP/1.1" 303')
    requests.get(address, timeout=20)
    asgi_server.wait_for_output('"GET /x?a=1&b=2 HTTP/1.1" 200')


def _chatty_uvicorn(env):
    options = ["--factory", "--log-level", "trace"]
    return servers.uvicorn("tests.adapters.apps:make_asgi", options=options, env=env)


def _chatty_gunicorn(env):
    line = "%(r)s %({cookie}i)s %({x-quiz}i)s %({authorization}i)s %(U)s?%(q)s"
    return servers.gunicorn(
        "tests.adapters.apps:make_wsgi()", options=["--access-logformat", line], env=env
    )


@pytest.mark.parametrize("serve", [_chatty_uvicorn, _chatty_gunicorn])
def test_a_server_that_is_told_to_log_all_shows_no_secret(serve, env, sandbox):
    """The scope, and headers and cookies of names that the settings chose."""
    names = {"LTIAAS_LTIK_HEADERS": "X-Quiz Authorization", "LTIAAS_COOKIE_NAME": "quiz"}
    in_query, in_header, as_bearer = (sandbox.issue() for _ in range(3))
    with serve({**env, **names}) as server, requests.Session() as browser:
        browser.get(f"{server.url}/launch?ltik={in_query}", headers=BROWSER, timeout=20)
        browser.get(server.url, headers={"X-Quiz": in_header}, timeout=20)
        browser.get(server.url, headers={"Authorization": f"Bearer {as_bearer}"}, timeout=20)
        cookie = {"Cookie": f"a=1; quiz={in_query}; b=2"}
        browser.get(f"{server.url}/end", headers=cookie, timeout=20)
        server.wait_for_output("/end")
        # The tool prints what it is given; outside of a launch that is the request as it came.
        logged = [
            line
            for line in server.output.splitlines()
            if not line.startswith(("environ:", "scope:"))
        ]
    assert any("/end" in line for line in logged)
    for token in (in_query, in_header, as_bearer):
        assert not [line for line in logged if token.rpartition(".")[2] in line]


def test_a_megabyte_of_header_is_the_servers_to_refuse(asgi_server):
    huge = {"Cookie": "ltiaas-launch=" + "a" * 1_000_000}
    # Refused, or hung up on before all of it was sent.
    with contextlib.suppress(requests.ConnectionError, requests.exceptions.ChunkedEncodingError):
        assert requests.get(asgi_server.url, headers=huge, timeout=20).status_code in (400, 431)
    assert requests.get(asgi_server.url, timeout=20).status_code == 200
