"""Row 6: how often a hit asks Redis. Counted by Redis itself, not timed."""

from __future__ import annotations

import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

from ltiaas_middleware import current_launch, wsgi
from tests.redis_server import RedisServer

from . import launches
from .report import Line

# What the count itself, and a subscription that was opened meanwhile, ask for.
_OURS = {"info", "config|resetstat", "config", "client|setinfo", "hello", "subscribe", "ping"}


def row(short: bool) -> list[Line]:
    """Row 6."""
    if shutil.which("redis-server") is None:
        return [Line(6, "Redis: redis-server is not installed", "not run")]
    repeats = 20 if short else 1_000
    with tempfile.TemporaryDirectory() as folder:
        server = RedisServer(Path(folder)).start()
        try:
            return _count(server, repeats)
        finally:
            server.client.close()
            server.kill()


def _count(server: RedisServer, repeats: int) -> list[Line]:
    seen: list[Any] = []

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        seen.append(current_launch())
        start_response("200 OK", [])
        return [b""]

    def worker() -> Any:
        return launches.offline(wsgi.LTIAASMiddleware(app, **launches.LTIAAS, cache=server.url))

    def requests(middleware: Any, count: int) -> dict[str, int]:
        """The commands that so many requests of the launch have Redis answer."""
        _settle(server)
        server.client.config_resetstat()
        before = len(seen)
        for _ in range(count):
            environ = launches.environ(f"{mount}/page", Cookie=cookie)
            middleware(environ, lambda status, headers: None)
        assert [launch is not None for launch in seen[before:]] == [True] * count
        _settle(server)
        return _asked(server)

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
    trips = (sum(repeat.values()) + sum(again.values())) / (2 * repeats)
    lines = [
        Line(6, "Redis commands for a repeat hit in the same worker", _named(repeat), trips, 0),
        Line(
            6,
            "Redis commands for another worker's first hit (no call to LTIAAS)",
            _named(elsewhere),
            float(sum(elsewhere.values())),
        ),
        Line(
            6,
            "Redis commands for a cold launch, all of them before or after its call to LTIAAS",
            _named(cold),
            float(sum(cold.values())),
        ),
    ]
    return lines


def _asked(server: RedisServer) -> dict[str, int]:
    return {name: calls for name, calls in server.commands().items() if name not in _OURS}


def _settle(server: RedisServer) -> None:
    """Wait until nothing has been asked for a moment: some of it is done after the answer."""
    before = None
    while (now := _asked(server)) != before:
        before = now
        time.sleep(0.1)


def _named(commands: dict[str, int]) -> str:
    return ", ".join(f"{calls} {name}" for name, calls in sorted(commands.items())) or "none"
