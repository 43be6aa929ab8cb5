"""When a middleware makes its threads and connections, and what becomes of them."""

from __future__ import annotations

import gc
import os
import threading

import pytest

from ltiaas_middleware import asgi, wsgi
from ltiaas_middleware._gate import jar
from tests.tokens import ltik
from tests.waiting import wait_until


def app(environ, start_response):
    start_response("200 OK", [])
    return []


def request(middleware, token):
    statuses = []
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/", "QUERY_STRING": f"ltik={token}"}
    middleware(environ, lambda status, headers, exc_info=None: statuses.append(status))
    return statuses[0]


@pytest.fixture
def make(sandbox_server):
    def make():
        key = sandbox_server.sandbox.api_key
        return wsgi.LTIAASMiddleware(app, url=sandbox_server.url, api_key=key)

    return make


def threads():
    return {thread for thread in threading.enumerate() if thread.name.startswith("ltiaas")}


@pytest.mark.parametrize("kind", [wsgi, asgi])
def test_nothing_is_made_before_the_first_request(kind):
    middleware = kind.LTIAASMiddleware(app, url="https://your.ltiaas.com", api_key="key")
    assert middleware._parts == []
    assert middleware.stats()["hits"] == 0
    middleware.close()
    assert middleware._parts == []


def test_an_app_that_is_dropped_leaves_no_thread(make, sandbox_server):
    before = threads()
    middleware = make()
    # As Flask does: `app.wsgi_app` refers to the app, which refers to the middleware.
    middleware.app = (middleware, app)
    middleware.app = lambda environ, start_response, me=middleware: app(environ, start_response)
    assert request(middleware, sandbox_server.sandbox.issue()) == "200 OK"
    assert len(threads() - before) >= 2
    del middleware
    gc.collect()
    wait_until(lambda: not threads() - before)


def test_close_leaves_no_connection_open(make, sandbox_server):
    middleware = make()
    assert request(middleware, sandbox_server.sandbox.issue()) == "200 OK"
    parts = middleware._assembled()
    connection = parts._id_tokens._connections._pool.pool.queue[-1]
    assert connection.sock is not None
    middleware.close()
    assert connection.sock is None


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_the_child_of_a_fork_starts_over(make, sandbox_server):
    middleware = make()
    assert request(middleware, sandbox_server.sandbox.issue()) == "200 OK"
    token = sandbox_server.sandbox.issue()
    # Held by another thread at the moment of the fork.
    with middleware._stats._lock, jar._rare_log._lock:
        child = os.fork()
        if child == 0:
            ok = middleware._parts == [] and request(middleware, token) == "200 OK"
            ok = ok and not jar._rare_log._lock.locked() and middleware.stats()["fetches"] == 1
            os._exit(0 if ok else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert middleware.stats()["fetches"] == 1


class TestARequestThatProvedNothing:
    """It calls nothing, refreshes nothing, and takes no place in the order of eviction."""

    @pytest.fixture
    def known(self, make_tool, upstream):
        tool = make_tool(ttl=100, max_launches=2)
        reply = tool.navigate(f"/?ltik={ltik()}")
        path, cookie = reply["Location"], reply["Set-Cookie"].partition(";")[0]
        assert tool.get(path, {"Cookie": cookie}).reached_app
        return tool, path, cookie

    @pytest.mark.parametrize("offered", ["", "__Secure-ltiaas-launch=a.b.c"])
    def test_near_the_end_of_the_ttl_and_after_it(self, known, upstream, offered):
        tool, path, _ = known
        for seconds in (85, 20, 1000):
            tool.later(seconds)
            for _ in range(3):
                assert tool.get(path, {"Cookie": offered} if offered else None).status == 401
        assert len(upstream.asked) == 1
        assert tool.middleware._authenticator._flights.under_way() == []

    def test_in_the_order_of_eviction(self, known, upstream):
        tool, path, cookie = known
        other = tool.navigate(f"/?ltik={ltik()}")
        tool.later(40)
        assert tool.get(path).status == 401
        tool.navigate(f"/?ltik={ltik()}")
        asked = len(upstream.asked)
        assert tool.get(other["Location"]).reached_app
        assert len(upstream.asked) == asked
        assert tool.get(path, {"Cookie": cookie}).reached_app
        assert len(upstream.asked) == asked + 1

    def test_with_a_proof_it_does_all_three(self, known, upstream):
        tool, path, cookie = known
        tool.later(85)
        assert tool.get(path, {"Cookie": cookie}).reached_app
        wait_until(lambda: len(upstream.asked) == 2)
