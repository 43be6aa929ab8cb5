"""After a deploy or a restart nobody loses anything: requests that are authenticated for their
launch are served, however many come at once, and LTIAAS is not asked."""

from __future__ import annotations

import asyncio
import secrets
from collections import Counter
from functools import partial

import pytest

from tests import servers

from .crowd import ask, get

BROWSER = {"Accept": "text/html", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"}
SERVERS = {
    "wsgi": partial(servers.gunicorn, "tests.workers.apps:make_wsgi()", threads=64),
    "asgi": partial(servers.uvicorn, "tests.workers.apps:make_asgi", options=["--factory"]),
}


@pytest.fixture(params=["host", pytest.param("redis", marks=pytest.mark.redis)])
def env(request, account_env):
    env = account_env | {"LTIAAS_CACHE_PREFIX": secrets.token_hex(8)}
    if request.param == "redis":
        env["LTIAAS_CACHE"] = request.getfixturevalue("redis_server").url
    return env


@pytest.fixture(params=sorted(SERVERS))
def serve(request, env):
    return partial(SERVERS[request.param], env=env)


def capture(port, tokens):
    """The launch path and the cookie of each."""
    found = []
    for reply in ask(port, [f"/?ltik={token}" for token in tokens], BROWSER, at_once=4):
        assert reply.status == 303
        cookie = reply.headers["set-cookie"].split(";")[0]
        found.append((reply.headers["location"], {"Cookie": cookie}))
    return found


def test_64_launches_that_workers_know_are_served_by_a_fresh_one(serve, sandbox_server):
    sandbox = sandbox_server.sandbox
    with serve() as server:
        launches = capture(server.port, [sandbox.issue() for _ in range(64)])
    sandbox.api_log.clear()
    with serve() as server:

        async def all_at_once():
            return await asyncio.gather(
                *(get(server.port, path, cookie) for path, cookie in launches)
            )

        replies = asyncio.run(all_at_once())
        assert Counter(reply.status for reply in replies) == {200: 64}
        assert len({reply.json["launch"] for reply in replies}) == 64
    assert sandbox.api_log.count("/api/idtoken") == 0


def test_40_requests_of_one_page_are_served_by_a_fresh_worker(serve, sandbox_server):
    sandbox = sandbox_server.sandbox
    with serve() as server:
        ((path, cookie),) = capture(server.port, [sandbox.issue()])
    sandbox.api_log.clear()
    with serve() as server:
        replies = ask(server.port, [f"{path}part/{number}" for number in range(40)], cookie)
        assert Counter(reply.status for reply in replies) == {200: 40}
    assert sandbox.api_log.count("/api/idtoken") == 0


def test_a_browser_without_cookies_is_served_by_every_worker(sandbox_server, account_env):
    """Two workers, no Redis, nothing configured: the path alone opens its launch."""
    sandbox = sandbox_server.sandbox
    app = "tests.workers.apps:make_wsgi()"
    with servers.gunicorn(app, workers=2, threads=2, env=account_env) as server:
        launches = capture(server.port, [sandbox.issue() for _ in range(32)])
        workers = Counter()
        for path, _ in launches:
            for reply in ask(server.port, [path] * 4, at_once=2):
                assert reply.status == 200
                workers[reply.json["pid"]] += 1
        assert len(workers) == 2
        # Until the cookie has come back; then by no worker.
        path, cookie = launches[0]
        assert ask(server.port, [path], cookie)[0].status == 200
        assert {reply.status for reply in ask(server.port, [path] * 20)} == {401}
