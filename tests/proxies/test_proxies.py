"""A tool behind real proxies, as they come and as they are often configured."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from ltiaas_middleware.sandbox import Sandbox, SandboxServer
from tests import servers

from .servers import nginx, varnish

BROWSER = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe", "Accept": "text/html"}


@pytest.fixture(scope="module")
def account() -> Iterator[SandboxServer]:
    with SandboxServer(Sandbox()) as server:
        yield server


@contextlib.contextmanager
def tool(account: SandboxServer, **settings: str) -> Iterator[servers.Server]:
    env = {"LTIAAS_URL": account.url, "LTIAAS_API_KEY": account.sandbox.api_key, **settings}
    with servers.gunicorn("tests.proxies.app:app", threads=8, env=env) as server:
        yield server


def launch(origin: str, account: SandboxServer, user: str, **headers: str) -> tuple[str, str]:
    """(the launch's address, its cookie) as a browser gets them."""
    ltik = account.sandbox.issue(user=user)
    sent = {**BROWSER, **headers}
    first = requests.get(
        f"{origin}/launch", params={"ltik": ltik}, headers=sent, allow_redirects=False, timeout=10
    )
    assert first.status_code == 303, first.text
    cookie = first.headers["Set-Cookie"].partition(";")[0]
    return origin + first.headers["Location"].removeprefix(origin), cookie


def page(address: str, cookie: str | None = None) -> requests.Response:
    headers = {**BROWSER, "Sec-Fetch-Site": "same-origin"}
    if cookie:
        headers["Cookie"] = cookie
    return requests.get(address, headers=headers, timeout=10)


@pytest.mark.parametrize("kind", ["nginx", "varnish"])
def test_a_shared_cache_gives_a_launchs_page_to_nobody_else(
    kind: str, account: SandboxServer, tmp_path: Path
) -> None:
    with tool(account) as server, contextlib.ExitStack() as stack:
        if kind == "nginx":
            lines = f"location / {{ proxy_pass http://127.0.0.1:{server.port}; "
            lines += "proxy_set_header Host $http_host; proxy_cache all; proxy_cache_valid 10m; "
            origin = stack.enter_context(nginx(tmp_path, lines + "}"))
        else:
            origin = stack.enter_context(varnish(tmp_path, server.port))
        address, cookie = launch(origin, account, "ben")
        # Asked for with nothing of the browser's but the address, before and after.
        for _ in range(2):
            assert page(address, cookie).text == "/launch for Ben Carter"
        for _ in range(2):
            answer = page(address)
            assert (answer.status_code, "Ben" in answer.text) == (401, False)
        assert page(address, cookie).text == "/launch for Ben Carter"
        # What the app calls public is cached all the same.
        before = server.output.count("GET /public")
        for _ in range(3):
            assert requests.get(f"{origin}/public", timeout=10).text == "the same for all"
        assert server.output.count("GET /public") == before + 1


def test_a_proxys_rule_for_a_path_cannot_be_walked_around(
    account: SandboxServer, tmp_path: Path
) -> None:
    with tool(account, LTIAAS_OUTSIDE="/admin") as server:
        there = f"proxy_pass http://127.0.0.1:{server.port}; proxy_set_header Host $http_host;"
        lines = f"location /admin {{ deny all; }} location / {{ {there} }}"
        with nginx(tmp_path, lines) as origin:
            address, cookie = launch(origin, account, "ben")
            base = address.removesuffix("/launch")
            assert page(f"{origin}/admin").status_code == 403
            for spelling in ("/admin", "/%61dmin", "/ADMIN", "/x/..%2fadmin", "/admin%2f"):
                answer = page(base + spelling, cookie)
                assert "/admin for" not in answer.text, spelling
                assert answer.status_code in (403, 404), spelling


def test_a_proxy_that_does_not_tell_is_told_of(account: SandboxServer, tmp_path: Path) -> None:
    """nginx's own default is ``Host: 127.0.0.1:<port>``, and no word of the scheme."""
    with tool(account) as server:
        lines = f"location / {{ proxy_pass http://127.0.0.1:{server.port}; }}"
        with nginx(tmp_path, lines) as origin:
            marks = {"Sec-Fetch-Site": "cross-site", "Referer": "https://lms.example/"}
            launch(origin, account, "ben", **marks)
            said = server.wait_for_output("browser seems to see another address")
            assert "ProxyFix" in said
            assert "X-Forwarded-Proto" in said
