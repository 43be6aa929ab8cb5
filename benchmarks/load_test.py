"""Row 2: the load test. A school opens its activities at eight, all at once.

Each user is a browser: it follows the redirect with its cookie, and reloads a page that says by
itself when (`Refresh`). Whoever gets anything else would have to do something, and is counted as
turned away. Meanwhile, some who launched before go on with their page.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import requests

from tests import redis_server, servers
from tests.workers.crowd import Reply, get

from . import launches, ltiaas
from .report import Line

_LATENCY, _FAILING = 0.15, 0.01
_KNOWN = 20
# Seconds after the last launch in which everybody has to be in.
_TIMEOUT = 90.0


class _Found(NamedTuple):
    """How long each user waited (seconds; None: was turned away), and each request of those who
    were there before."""

    new: list[float | None]
    known: list[float]
    calls: dict[str, int]


def row(short: bool) -> list[Line]:
    """Row 2."""
    if shutil.which("redis-server") is None:
        return [Line("the load test: redis-server is not installed", "not run")]
    users, seconds = (40, 1.0) if short else (3000, 10.0)
    lines: list[Line] = []
    for server, target in (("gunicorn", 0.5), ("uvicorn", 0.1)):
        name = f"{server}, {users} launches in {seconds:.0f} s"
        lines += _lines(name, _run(server, users, seconds), target)
        if server == "gunicorn":
            floor = sorted(_run(server, users, seconds, "benchmarks.floor:busy_wsgi").known)
            lines.append(
                Line(f"{name}: cached launches of the floor (p50 / p99)", _times(floor, 0.5, 0.99))
            )
    return lines


def _lines(name: str, found: _Found, target: float) -> list[Line]:
    waited = sorted(one for one in found.new if one is not None)
    known = sorted(found.known)
    share = len(waited) / len(found.new)
    calls = ", ".join(f"{number} x {status}" for status, number in sorted(found.calls.items()))
    return [
        Line(
            f"{name}: in without touching a key, of all",
            f"{len(waited)} of {len(found.new)}",
            share,
            1.0,
            True,
        ),
        Line(f"{name}: a new launch, p50 / p99 / longest", _times(waited, 0.5, 0.99, 1)),
        Line(
            f"{name}: p99 of cached launches, in seconds (p50 / p99)",
            _times(known, 0.5, 0.99),
            known[int(0.99 * len(known))],
            target,
        ),
        Line(f"{name}: calls to LTIAAS", calls),
    ]


def _times(of: list[float], *shares: float) -> str:
    if not of:
        return "none"
    found = [of[min(len(of) - 1, int(share * len(of)))] for share in shares]
    return " / ".join(f"{1000 * one:.0f} ms" if one < 1 else f"{one:.1f} s" for one in found)


def _run(server: str, users: int, seconds: float, app: str = "") -> _Found:
    with (
        redis_server.running() as redis,
        ltiaas.running(_LATENCY, _FAILING, 0) as address,
    ):
        env = {
            "LTIAAS_URL": address,
            "LTIAAS_API_KEY": launches.LTIAAS["api_key"],
            "LTIAAS_CACHE": redis.url,
        }
        with _server(server, env, app) as port:
            new, known = asyncio.run(_crowd(port, users, seconds))
        counts = requests.get(f"{address}/counts", timeout=10).json()
    return _Found(new, known, counts)


@contextmanager
def _server(name: str, env: dict[str, str], app: str) -> Iterator[int]:
    if name == "gunicorn":
        options = ["--log-level", "error", "--access-logfile", "/dev/null", "--backlog", "2048"]
        app = app or "benchmarks.tools:wrapped_wsgi"
        starting = servers.gunicorn(app, workers=2, threads=32, options=options, env=env)
    else:
        options = ["--no-access-log", "--log-level", "error"]
        starting = servers.uvicorn(
            "benchmarks.tools:wrapped_asgi", workers=2, options=options, env=env
        )
    with starting as running:
        yield running.port


async def _crowd(port: int, users: int, seconds: float) -> tuple[list[float | None], list[float]]:
    before = [await _enter(port, time.monotonic() + 60) for _ in range(_KNOWN)]
    inside = [one for one in before if one is not None]
    known: list[float] = []
    going_on = [asyncio.create_task(_go_on(port, known, *one)) for one in inside]
    end = time.monotonic() + seconds + _TIMEOUT

    async def user(after: float) -> float | None:
        await asyncio.sleep(after)
        began = time.monotonic()
        entered = await _enter(port, end)
        return None if entered is None else time.monotonic() - began

    new = await asyncio.gather(*(user(seconds * number / users) for number in range(users)))
    for task in going_on:
        task.cancel()
    await asyncio.gather(*going_on, return_exceptions=True)
    return list(new), known


async def _enter(port: int, end: float) -> tuple[str, str] | None:
    """Open an activity, as a browser does it by itself; the page's path and the launch's cookie, or
    None."""
    path, cookie = f"/course?ltik={launches.ltik()}", ""
    while time.monotonic() < end:
        reply = await _get(port, path, cookie)
        if reply.status == 303:
            path = urlsplit(reply.headers["location"]).path
            cookie = reply.headers["set-cookie"].partition(";")[0]
        elif reply.status == 200:
            return path, cookie
        elif "refresh" in reply.headers:
            await asyncio.sleep(float(reply.headers["refresh"].partition(";")[0]))
        else:
            return None
    return None


async def _go_on(port: int, took: list[float], path: str, cookie: str) -> None:
    """Somebody who is in, and reads a page twice a second."""
    while True:
        reply = await _get(port, path, cookie)
        assert reply.status == 200, reply.status
        took.append(reply.took)
        await asyncio.sleep(0.5)


async def _get(port: int, path: str, cookie: str) -> Reply:
    headers: dict[str, Any] = {name: of for name, of in launches.BROWSER.items() if name != "Host"}
    if cookie:
        headers["Cookie"] = cookie
    return await get(port, path, headers)


if __name__ == "__main__":
    print(json.dumps([line._asdict() for line in row(True)], indent=1))
