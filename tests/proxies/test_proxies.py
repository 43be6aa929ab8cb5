"""A tool behind real proxies, as they come and as they are often configured."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests import servers
from tests.account import Account

from .servers import nginx, varnish

BROWSER = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe", "Accept": "text/html"}


_PAGE = (servers.ROOT / "docs" / "howto" / "reverse-proxy.md").read_text()


@contextlib.contextmanager
def tool(account: Account, app: str = "app", **settings: str) -> Iterator[servers.Server]:
    env = {
        "LTIAAS_URL": account.url,
        "LTIAAS_API_KEY": account.sandbox.api_key,
        **settings,
    }
    with servers.gunicorn(f"tests.proxies.app:{app}", threads=8, env=env) as server:
        yield server


def launch(
    origin: str, account: Account, user: str, path: str = "/launch", **headers: str
) -> tuple[str, str]:
    """(the launch's address, its cookie) as a browser gets them."""
    ltik = account.sandbox.issue(user=user)
    sent = {**BROWSER, **headers}
    first = requests.get(
        f"{origin}{path}", params={"ltik": ltik}, headers=sent, allow_redirects=False, timeout=10
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
    kind: str, account: Account, tmp_path: Path
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
        assert server.wait_for_output("GET /public", before + 1).count("GET /public") == before + 1


def test_a_proxys_rule_for_a_path_cannot_be_walked_around(account: Account, tmp_path: Path) -> None:
    with tool(account, LTIAAS_EXCLUDE="/admin") as server:
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


def test_a_proxy_that_does_not_tell_is_told_of(account: Account, tmp_path: Path) -> None:
    """nginx's own default is ``Host: 127.0.0.1:<port>``, and no word of the scheme."""
    with tool(account) as server:
        lines = f"location / {{ proxy_pass http://127.0.0.1:{server.port}; }}"
        with nginx(tmp_path, lines) as origin:
            marks = {"Sec-Fetch-Site": "cross-site", "Referer": "https://lms.example/"}
            launch(origin, account, "ben", **marks)
            said = server.wait_for_output("browser seems to use a different URL")
            assert "ProxyFix" in said
            assert "X-Forwarded-Proto" in said


@pytest.mark.parametrize("documented", [True, False])
def test_nginxs_error_log_holds_no_ltik(documented: bool, account: Account, tmp_path: Path) -> None:
    (line,) = re.findall(r"error_log /var/log/nginx/(\S+) (\w+);", _PAGE)
    log = tmp_path / line[0]
    lines = f"error_log {log} {line[1] if documented else 'error'}; "
    # Nothing listens there, as while an app restarts.
    lines += f"location / {{ proxy_pass http://127.0.0.1:{servers.free_port()}; }}"
    ltik = account.sandbox.issue(user="ben")
    with nginx(tmp_path, lines) as origin:
        down = requests.get(f"{origin}/launch", params={"ltik": ltik}, timeout=10)
    assert down.status_code == 502
    # nginx's own level writes it, which is why the page sets another one.
    assert (ltik in log.read_text()) == (not documented)


@pytest.mark.parametrize("kind", ["passed on", "stripped", "asgi"])
def test_a_launch_under_a_prefix(kind: str, account: Account, tmp_path: Path) -> None:
    blocks = re.findall(r"location /tools/quiz/ \{.*?\}", _PAGE, re.DOTALL)
    block = blocks[["passed on", "stripped", "asgi"].index(kind)]
    with contextlib.ExitStack() as stack:
        if kind == "asgi":
            env = {"LTIAAS_URL": account.url, "LTIAAS_API_KEY": account.sandbox.api_key}
            options = ["--root-path", "/tools/quiz"]
            served = servers.uvicorn("tests.proxies.app:asgi_app", options=options, env=env)
        elif kind == "stripped":
            served = tool(account, "told_prefix")
        else:
            served = tool(account, SCRIPT_NAME="/tools/quiz")
        server = stack.enter_context(served)
        block = block.replace(":8000", f":{server.port}")
        block = re.sub("# .*", "proxy_set_header Host $http_host;", block)
        origin = stack.enter_context(nginx(tmp_path, block))
        address, cookie = launch(origin, account, "ben", "/tools/quiz/launch")
        assert address.startswith(f"{origin}/tools/quiz/lti/")
        assert page(address, cookie).text.endswith("/launch for Ben Carter")
