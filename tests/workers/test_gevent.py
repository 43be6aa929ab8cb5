"""gunicorn's gevent workers, with the app loaded before the fork: the standard library's threads
are replaced after the middleware was made."""

from __future__ import annotations

from collections import Counter

import pytest

from ltiaas_middleware.sandbox import Sandbox, SandboxServer
from tests import servers

from .crowd import ask

pytest.importorskip("gevent")


@pytest.mark.parametrize("shared", [False, pytest.param(True, marks=pytest.mark.redis)])
def test_launches_are_verified_under_gevent_with_preload(request, shared):
    with SandboxServer(Sandbox()) as sandbox_server:
        sandbox = sandbox_server.sandbox
        env = {"LTIAAS_URL": sandbox_server.url, "LTIAAS_API_KEY": sandbox.api_key}
        if shared:
            env["LTIAAS_CACHE"] = request.getfixturevalue("redis_server").url
        with servers.gunicorn(
            "tests.workers.apps:make_wsgi()",
            workers=2,
            options=["-k", "gevent", "--preload", "--access-logfile", "/dev/null"],
            env=env,
        ) as server:
            tokens = [sandbox.issue() for _ in range(20)]
            for _ in range(3):
                replies = ask(server.port, [f"/?ltik={token}" for token in tokens * 5], at_once=50)
                assert Counter(reply.status for reply in replies) == {200: 100}
