"""Row 6: how often a hit asks Redis. Counted by Redis itself (MONITOR), not timed."""

from __future__ import annotations

import shutil
import time
from collections import Counter
from typing import Any

from ltiaas_middleware import current_launch, wsgi
from tests.redis_server import RedisServer, running

from . import launches
from .report import Line


def row(short: bool) -> list[Line]:
    """Row 6."""
    if shutil.which("redis-server") is None:
        return [Line(6, "Redis: redis-server is not installed", "not run")]
    repeats = 20 if short else 1_000
    with running() as server:
        return _count(server, repeats)


def _count(server: RedisServer, repeats: int) -> list[Line]:
    seen: list[Any] = []

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        seen.append(current_launch())
        start_response("200 OK", [])
        return [b""]

    def worker() -> Any:
        return launches.offline(wsgi.LTIAASMiddleware(app, **launches.LTIAAS, cache=server.url))

    def requests(middleware: Any, count: int) -> list[str]:
        """The round trips to Redis that so many requests of the launch take."""
        _settle(server)
        before = len(seen)
        with server.round_trips() as sent:
            for _ in range(count):
                environ = launches.environ(f"{mount}/page", Cookie=cookie)
                middleware(environ, lambda status, headers: None)
            _settle(server)
        assert [launch is not None for launch in seen[before:]] == [True] * count
        return [name for name in sent if name not in ("INFO", "SUBSCRIBE")]

    token = launches.ltik()
    first, second = worker(), worker()
    mount, cookie = launches.cookie_of(first, token)
    cold = requests(first, 1)
    repeat = requests(first, repeats)
    elsewhere = requests(second, 1)
    again = requests(second, repeats)
    assert (first.stats()["fetches"], second.stats()["fetches"]) == (1, 0)
    for middleware in (first, second):
        middleware.close()
    trips = (len(repeat) + len(again)) / (2 * repeats)
    lines = [
        Line(
            6, "round trips to Redis for a repeat hit in the same worker", _named(repeat), trips, 0
        ),
        Line(
            6,
            "round trips to Redis for another worker's first hit (no call to LTIAAS)",
            _named(elsewhere),
            float(len(elsewhere)),
        ),
        Line(
            6,
            "round trips to Redis for a cold launch that comes with its cookie",
            _named(cold),
            float(len(cold)),
        ),
    ]
    return lines


def _settle(server: RedisServer) -> None:
    """Wait until nothing has been asked for a moment: some of it is done after the answer."""
    before = None
    while (now := _asked(server)) != before:
        before = now
        time.sleep(0.1)


def _asked(server: RedisServer) -> int:
    return sum(calls for name, calls in server.commands().items() if name != "info")


def _named(sent: list[str]) -> str:
    return ", ".join(f"{calls} {name}" for name, calls in Counter(sent).items()) or "none"
