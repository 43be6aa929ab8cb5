"""Connections to LTIAAS: kept, but never for too long, and never used after a failure."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from urllib3 import HTTPConnectionPool

from ltiaas_middleware import Settings
from ltiaas_middleware._verification.id_tokens import Api
from ltiaas_middleware.errors import UpstreamError

TOKEN = json.dumps({"user": {"id": "u1", "roles": []}, "launch": {}, "services": {}})


def answer(status, body=TOKEN):
    head = f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    return f"{head}\r\n\r\n{body}".encode()


class Server:
    """Answers by what `rule` says of the number of a connection and of a request on it: bytes,
    "hang" or "reset"."""

    def __init__(self):
        self.rule = lambda connection, request: answer(200)
        self.asked = []
        self.heads = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._connections = []
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def connections(self):
        return len(self._connections)

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self._connections.append(connection)
                number = len(self._connections)
                threading.Thread(target=self._serve, args=(connection, number), daemon=True).start()

    def _serve(self, connection, number):
        with contextlib.suppress(OSError):
            request = 0
            while b"\r\n\r\n" in (head := connection.recv(65536)):
                request += 1
                self.heads.append(head.lower())
                self.asked.append((number, request))
                what = self.rule(number, request)
                if what == "hang":
                    continue
                if what == "reset":
                    linger = b"\x01\0\0\0\0\0\0\0"
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                    connection.close()
                    return
                connection.sendall(what)

    def close(self):
        for one in (self._listener, *self._connections):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()


@pytest.fixture
def server():
    server = Server()
    yield server
    server.close()


@pytest.fixture
def make(server, clock):
    made = []

    def make(**options):
        monotonic = options.pop("monotonic", lambda: clock.since_boot)
        settings = Settings(url=f"http://127.0.0.1:{server.port}", api_key="k-k-k", **options)
        made.append(Api(settings, monotonic=monotonic, sleep=lambda seconds: None))
        return made[-1]

    yield make
    for api in made:
        api.close()


def fill(api, server, connections):
    """Have several connections in the pool."""
    together = threading.Barrier(connections)

    def rule(connection, request):
        together.wait(10)
        return answer(200)

    server.rule = rule
    with ThreadPoolExecutor(connections) as pool:
        list(pool.map(api.id_token, ["a.b.c"] * connections))
    assert server.connections == connections
    server.rule = lambda connection, request: answer(200)


def test_are_kept(make, server):
    api = make()
    for _ in range(5):
        api.id_token("a.b.c")
    assert server.connections == 1


def test_keep_no_cookie(make, server):
    """Of one launch's call, which another's would bring back."""
    head, _, body = answer(200).partition(b"\r\n\r\n")
    server.rule = lambda *_: head + b"\r\nSet-Cookie: s=1; Path=/\r\n\r\n" + body
    api = make()
    for _ in range(2):
        api.id_token("a.b.c")
    assert len(server.heads) == 2
    assert not any(b"cookie:" in head for head in server.heads)


def test_end_after_50_seconds_without_use(make, server, clock):
    api = make()
    for seconds in (0, 49, 49):
        clock.pass_(seconds)
        api.id_token("a.b.c")
    assert server.connections == 1
    clock.pass_(51)
    api.id_token("a.b.c")
    assert server.connections == 2


def test_end_after_5_minutes_however_busy(make, server, clock):
    api = make()
    for _ in range(31):
        api.id_token("a.b.c")
        clock.pass_(10)
    assert server.connections == 2


@pytest.mark.parametrize("failure", [answer(500), answer(502), answer(503, "<html>"), "reset"])
def test_that_failed_are_not_used_for_the_repeat_and_neither_are_others(make, server, failure):
    """LTIAAS has moved: what was kept leads to where it no longer is."""
    api = make()
    fill(api, server, 8)
    server.asked.clear()
    server.rule = lambda connection, request: failure if connection <= 8 else answer(200)
    for _ in range(10):
        assert api.id_token("a.b.c")
    assert len(server.asked) == 11
    assert server.connections == 9


def test_that_hang_cost_one_launch_its_time_and_no_second_one(make, server):
    api = make(timeout=2, monotonic=time.monotonic)
    fill(api, server, 8)
    server.rule = lambda connection, request: "hang" if connection <= 8 else answer(200)
    with pytest.raises(UpstreamError):
        api.id_token("a.b.c")
    for _ in range(10):
        assert api.id_token("a.b.c")


@pytest.mark.parametrize("failure", [answer(500), answer(502), answer(503), answer(504), "reset"])
def test_one_failure_is_repeated_once(make, server, failure):
    api = make()
    failures = iter([failure])
    server.rule = lambda connection, request: next(failures, answer(200))
    assert api.id_token("a.b.c")
    server.asked.clear()
    server.rule = lambda connection, request: failure
    with pytest.raises(UpstreamError):
        api.id_token("a.b.c")
    assert len(server.asked) == 2


def test_an_answer_that_takes_long_is_waited_for(make, server, monkeypatch):
    """For all of `timeout`: an LMS behind LTIAAS can be slow."""
    api, go_on = make(), threading.Event()

    def rule(connection, request):
        go_on.wait(10)
        return answer(200)

    server.rule = rule
    timeouts = []
    urlopen = HTTPConnectionPool.urlopen

    def note(pool, *args, **options):
        timeouts.append(options["timeout"])
        go_on.set()
        return urlopen(pool, *args, **options)

    monkeypatch.setattr(HTTPConnectionPool, "urlopen", note)
    assert api.id_token("a.b.c")
    assert [timeout.read_timeout for timeout in timeouts] == [10]
    assert len(server.asked) == 1


def test_an_oversized_id_token_is_refused_for_good(make, server):
    server.rule = lambda connection, request: answer(200, TOKEN + " " * 1_100_000)
    with pytest.raises(UpstreamError) as caught:
        make().id_token("a.b.c")
    assert not caught.value.temporary
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    "failure",
    [
        answer(404, '{"message": "no Route matched with those values"}'),
        answer(404, "[]"),
        answer(404, "<html>"),
        answer(200, "<html>"),
        answer(200, "[]"),
    ],
)
def test_an_answer_that_is_not_ltiaass_is_an_outage(make, server, failure):
    server.rule = lambda connection, request: failure
    with pytest.raises(UpstreamError) as caught:
        make().id_token("a.b.c")
    assert caught.value.temporary
