"""A WSGI server's threads are never all given to waiting for LTIAAS."""

from __future__ import annotations

from ltiaas_middleware.sandbox import Sandbox, SandboxServer
from tests import servers

from .crowd import ask


def test_a_known_launch_finds_a_thread_however_many_new_ones_wait():
    with SandboxServer(Sandbox()) as sandbox_server:
        sandbox = sandbox_server.sandbox
        env = {
            "LTIAAS_URL": sandbox_server.url,
            "LTIAAS_API_KEY": sandbox.api_key,
            "LTIAAS_MAX_BLOCKED_THREADS": "2",
            "LTIAAS_TIMEOUT": "60",
        }
        with servers.gunicorn("tests.workers.apps:make_wsgi()", threads=4, env=env) as server:
            known = f"/?ltik={sandbox.issue()}"
            assert ask(server.port, [known])[0].status == 200
            sandbox.fault("delay", seconds=30)
            new = [f"/?ltik={sandbox.issue()}" for _ in range(10)]
            # Two wait for as long as LTIAAS takes; of the others, nobody does.
            replies = ask(server.port, [*new, *[known] * 10])
            assert [reply.status for reply in replies[10:]] == [200] * 10
            assert sorted(reply.status for reply in replies[:10]) == [200] * 2 + [503] * 8
            at_once = [reply for reply in replies[:10] if reply.status == 503] + replies[10:]
            waited = [reply for reply in replies[:10] if reply.status == 200]
            assert all(int(reply.headers["retry-after"]) for reply in at_once[:8])
            assert max(reply.at for reply in at_once) < min(reply.at for reply in waited)
