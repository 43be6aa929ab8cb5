"""Made-up ltiks from one address shut the tool to no launch from another."""

from __future__ import annotations

import asyncio
from functools import partial

import pytest

from ltiaas_middleware.sandbox import Sandbox, SandboxServer
from tests import servers
from tests.tokens import ltik

from .crowd import ask, gather, get

JUNK, REAL, OLD = "127.0.0.2", "127.0.0.3", "127.0.0.4"

SERVERS = {
    "wsgi": partial(servers.gunicorn, "tests.workers.apps:make_wsgi()", threads=32),
    "asgi": partial(servers.uvicorn, "tests.workers.apps:make_asgi", options=["--factory"]),
}


def launches(tokens):
    return [f"/?ltik={token}" for token in tokens]


async def one_after_another(port, paths):
    """The status of each launch. A busy server may return 503 with Retry-After once, which browsers
    follow."""
    found = []
    for path in paths:
        reply = await get(port, path, {}, REAL)
        if reply.status == 503:
            await asyncio.sleep(float(reply.headers["retry-after"]))
            reply = await get(port, path, {}, REAL)
        found.append(reply.status)
    return found


@pytest.fixture(params=sorted(SERVERS))
def tool(request):
    with SandboxServer(Sandbox()) as sandbox_server:
        sandbox = sandbox_server.sandbox
        env = {"LTIAAS_URL": sandbox_server.url, "LTIAAS_API_KEY": sandbox.api_key}
        with SERVERS[request.param](env=env) as server:
            yield sandbox, server.port


@pytest.mark.parametrize(
    "fault",
    [{"name": "rate_limit", "retry_after": 3600}, {"name": "status", "status": 500}],
    ids=["429", "500"],
)
def test_that_ltiaas_fails_for(tool, fault):
    sandbox, port = tool
    known = launches([sandbox.issue()])
    assert ask(port, known, source=OLD)[0].status == 200
    sandbox.fault(**fault)
    junk = ask(port, launches(ltik() for _ in range(40)), source=JUNK)
    assert {reply.status for reply in junk} == {503}
    sandbox.clear_faults()
    real = ask(port, launches(sandbox.issue() for _ in range(20)), at_once=5, source=REAL)
    assert [reply.status for reply in real] == [200] * 20
    assert ask(port, known, source=OLD)[0].status == 200


def test_that_ltiaas_refuses(tool):
    sandbox, port = tool
    known = launches([sandbox.issue()]) * 20
    assert ask(port, known[:1], source=OLD)[0].status == 200

    async def all_at_once():
        return await asyncio.gather(
            gather(port, launches(ltik() for _ in range(300)), at_once=100, source=JUNK),
            one_after_another(port, launches(sandbox.issue() for _ in range(10))),
            one_after_another(port, launches(sandbox.issue() for _ in range(10))),
            gather(port, known, at_once=2, source=OLD),
        )

    junk, real, more, old = asyncio.run(all_at_once())
    assert {reply.status for reply in junk} <= {401, 503}
    assert real + more == [200] * 20
    assert [reply.status for reply in old] == [200] * 20
