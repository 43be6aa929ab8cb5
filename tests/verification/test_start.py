"""What the log says when the tool starts with a Redis that cannot be used, and how it ends."""

from __future__ import annotations

import http.server
import subprocess
import sys
import textwrap
import threading

import pytest
import redis

from ltiaas_middleware import wsgi
from tests.servers import free_port

ACCOUNT = {"url": "https://your.ltiaas.com", "api_key": "7d1c3f0e-0000-4000-8000-000000000009"}


def app(environ, start_response):
    raise AssertionError


def start(cache):
    wsgi.LTIAASMiddleware(app, cache=cache, **ACCOUNT).close()


@pytest.fixture
def errors(caplog):
    return lambda: [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]


@pytest.fixture
def not_a_redis():
    server = http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join(10)
    server.server_close()


@pytest.mark.redis
class TestARedisThatCannotBeUsed:
    @pytest.fixture
    def urls(self, own_redis, not_a_redis):
        port, closed = own_redis.port, free_port()
        return {
            "wrong password": f"redis://:hunter2@127.0.0.1:{port}",
            "database 99": f"redis://127.0.0.1:{port}/99",
            "closed port": f"redis://127.0.0.1:{closed}",
            "no Redis": f"redis://127.0.0.1:{not_a_redis}",
            "no Sentinel": f"redis+sentinel://127.0.0.1:{closed}/name",
            "Sentinels that are servers": f"redis+sentinel://127.0.0.1:{port}/name",
            "cluster of a plain server": f"redis+cluster://127.0.0.1:{port}",
            "unknown host": "redis://no-such-host.invalid",
        }

    @pytest.mark.parametrize(
        ("mistake", "says"),
        [
            ("wrong password", "a different username or password"),
            ("database 99", "no database with this number"),
            ("closed port", "it refuses connections: check the host and port"),
            ("no Redis", "check that the server is Redis"),
            ("no Sentinel", "no Sentinel knows a master with this name"),
            ("Sentinels that are servers", "these are servers, not Sentinels"),
            ("cluster of a plain server", "begin the URL with redis:// instead of redis+cluster"),
            ("unknown host", "DNS cannot resolve its hostname"),
        ],
    )
    def test_is_told_once_with_the_setting_and_what_to_do(
        self, urls, own_redis, errors, mistake, says
    ):
        if mistake == "wrong password":
            own_redis.client.config_set("requirepass", "another")
        start(urls[mistake])
        (error,) = errors()
        assert error.startswith("cache (LTIAAS_CACHE): ")
        assert says in error
        assert "hunter2" not in error

    def test_is_told_of_a_client_that_was_given_too(self, errors):
        start(redis.Redis(port=free_port()))
        (error,) = errors()
        assert error.startswith("cache (LTIAAS_CACHE): cannot use Redis: ")

    def test_nothing_is_told_of_one_that_can(self, redis_server, errors):
        start(redis_server.url)
        start(redis.Redis(port=redis_server.port))
        assert errors() == []


class TestTheEnd:
    """While a call to LTIAAS hangs, nobody waits for it for longer than two seconds."""

    def test_of_a_middleware(self, sandbox_server, monkeypatch):
        sandbox = sandbox_server.sandbox
        sandbox.fault("delay", seconds=60)
        account = {"url": sandbox_server.url, "api_key": sandbox.api_key}
        middleware = wsgi.LTIAASMiddleware(app, timeout=60, **account)
        authenticator = middleware._authenticator
        token = sandbox.issue()
        flight = authenticator._join(_asked(authenticator, token))
        sandbox.api_log.wait_for(1, "/api/idtoken", 10)
        waited = []
        join = threading.Thread.join

        def note(thread, timeout=None):
            waited.append(timeout)
            return join(thread, 0.01 if thread.name.startswith("ltiaas") else timeout)

        monkeypatch.setattr(threading.Thread, "join", note)
        middleware.close()
        assert waited
        assert all(0 <= seconds <= 2 for seconds in waited)
        assert flight.done()

    def test_of_a_process(self, sandbox_server):
        sandbox = sandbox_server.sandbox
        sandbox.fault("delay", seconds=300)
        code = textwrap.dedent("""
            import sys, threading
            from ltiaas_middleware import wsgi
            url, api_key, token = sys.argv[1:]
            middleware = wsgi.LTIAASMiddleware(None, url=url, api_key=api_key, timeout=300)
            verify = middleware._authenticator.verify
            threading.Thread(target=verify, args=(token,), daemon=True).start()
            sys.stdin.read()
        """)
        arguments = [sandbox_server.url, sandbox.api_key, sandbox.issue()]
        with subprocess.Popen(
            [sys.executable, "-c", code, *arguments], stdin=subprocess.PIPE
        ) as process:
            sandbox.api_log.wait_for(1, "/api/idtoken", 20)
            process.stdin.close()
            # A minute for a busy machine; the call takes five.
            assert process.wait(60) == 0


def _asked(authenticator, token):
    from ltiaas_middleware._verification.launches import Verification

    return Verification(token, authenticator._ids.of(token))
