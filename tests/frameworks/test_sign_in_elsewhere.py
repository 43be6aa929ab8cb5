"""An OAuth sign-in inside a launch, on a real server, with a provider that compares redirect URLs
exactly and a library that keeps ``state`` in the app's session."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from urllib.parse import urlencode, urljoin

import pytest
import requests
from werkzeug.serving import make_server
from werkzeug.wrappers import Request, Response

from ltiaas_middleware.sandbox import Sandbox

from .. import servers
from .browser import NAVIGATION, Browser, Reply


class Provider:
    """Of one registered redirect URL, and one code for each sign-in."""

    def __init__(self) -> None:
        self.redirect_uri = ""
        self.codes: set[str] = set()
        self._server = make_server("127.0.0.1", 0, self._answer, threaded=True)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @Request.application
    def _answer(self, request: Request) -> Response:
        given = request.values
        if given["redirect_uri"] != self.redirect_uri:
            return Response("redirect_uri_mismatch", 400)
        if request.path == "/token":
            self.codes.remove(given["code"])
            return Response(f'{{"access_token": "for {given["code"]}"}}')
        code = f"code-{len(self.codes)}"
        self.codes.add(code)
        query = urlencode({"code": code, "state": given["state"], "iss": self.url})
        return Response(status=302, headers={"Location": f"{given['redirect_uri']}?{query}"})


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    provider = Provider()
    yield provider
    provider.close()


@pytest.fixture(scope="module")
def server(provider: Provider, account_env: dict[str, str]) -> Iterator[servers.Server]:
    env = {**account_env, "PROVIDER": provider.url}
    with servers.gunicorn("tests.frameworks.apps.oauth_app:site", env=env) as server:
        provider.redirect_uri = f"{server.url}/oauth/callback"
        yield server


def follow(browser: Browser, provider: Provider, address: str) -> Reply:
    """Navigate, to the provider and back."""
    for _ in range(8):
        if address.startswith(provider.url):
            answer = requests.get(address, allow_redirects=False, timeout=10)
            assert answer.status_code == 302, answer.text
            address = answer.headers["Location"]
        reply = browser.ask("GET", address, NAVIGATION)
        if not reply.all("Location"):
            return reply
        address = urljoin(browser.origin + reply.address, reply.all("Location")[0])
    raise AssertionError(f"redirected in circles: {address}")


@pytest.mark.parametrize("where", ["iframe", "tab"])
def test_the_library_finds_its_session_again(
    server: servers.Server, provider: Provider, sandbox: Sandbox, where: str
) -> None:
    frame, tab = Browser(server.port), Browser(server.port)
    home = frame.open(f"/launch?ltik={sandbox.issue(user='ben')}")
    one_time_link = home.text
    if where == "iframe":
        done = follow(frame, provider, home.path.replace("/launch", "/connect"))
    else:
        done = follow(tab, provider, one_time_link)
    assert done.path == home.path.replace("/launch", "/oauth/callback")
    assert done.json["user"] == "ben"
    assert done.json["token"].startswith("for code-")
    frame.close()
    tab.close()


def test_two_launches_sign_in_at_once(
    server: servers.Server, provider: Provider, sandbox: Sandbox
) -> None:
    browser = Browser(server.port)
    homes = [browser.open(f"/launch?ltik={sandbox.issue(user=user)}") for user in ("ada", "ben")]
    away = [
        browser.ask("GET", home.path.replace("/launch", "/connect"), NAVIGATION).all("Location")[0]
        for home in homes
    ]
    for location, user in zip(reversed(away), ("ben", "ada"), strict=True):
        assert follow(browser, provider, location).json["user"] == user
    browser.close()


def test_another_persons_response_opens_nothing(
    server: servers.Server, provider: Provider, sandbox: Sandbox
) -> None:
    attacker, victim = Browser(server.port), Browser(server.port)
    home = attacker.open(f"/launch?ltik={sandbox.issue(user='ivan')}")
    connect = home.path.replace("/launch", "/connect")
    away = attacker.ask("GET", connect, NAVIGATION).all("Location")[0]
    victim.open(f"/launch?ltik={sandbox.issue(user='ben')}")
    assert follow(victim, provider, away).status == 401
    attacker.close()
    victim.close()
