"""Rows 1 and 3: what a new launch costs a worker, and for how long it keeps the event loop."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from statistics import median
from time import perf_counter
from typing import Any, NamedTuple
from unittest import mock

from ltiaas_middleware.asgi import LTIAASMiddleware
from tests import redis_server, servers

from . import floor, launches, ltiaas, sandbox, tls
from .processor_time import Browser, processor_seconds, workers
from .report import Line


def processor_row(short: bool) -> list[Line]:
    """Row 1."""
    lines = []
    with ltiaas.running(0, 0, 0) as url:
        account = {"LTIAAS_URL": url, "LTIAAS_API_KEY": launches.LTIAAS["api_key"]}
        for server, cache, target in (
            ("gunicorn", "memory", 1.0),
            ("gunicorn", "redis", 1.5),
            ("uvicorn", "memory", 1.2),
        ):
            what = f"{server}, {cache}: processor time of a new launch / of the floor"
            if cache == "redis" and shutil.which("redis-server") is None:
                lines.append(Line(f"{what}: redis-server is not installed", "not run"))
                continue
            with contextlib.ExitStack() as stack:
                if cache == "redis":
                    cache = stack.enter_context(redis_server.running()).url
                env = account | {"LTIAAS_CACHE": cache}
                ours = stack.enter_context(_server(server, "ours", env))
                floor = stack.enter_context(_server(server, "floor", env))
                took = _alternately([ours, floor], *((1, 10) if short else (8, 250)))
            ratio = median(mine / theirs for mine, theirs in zip(*took, strict=True))
            figure = " of ".join(f"{1000 * median(one):.2f} ms" for one in took)
            lines.append(Line(what, figure, ratio, target))
    return lines


@contextlib.contextmanager
def _server(name: str, app: str, env: dict[str, str]) -> Iterator[int]:
    if name == "gunicorn":
        options = ["--worker-class", "gthread", "--log-level", "warning"]
        started = servers.gunicorn(
            f"benchmarks.floor:{app}_wsgi", threads=8, options=options, env=env
        )
    else:
        options = ["--no-access-log", "--log-level", "warning"]
        started = servers.uvicorn(f"benchmarks.floor:{app}_asgi", options=options, env=env)
    with started as running:
        yield running.port


def _alternately(ports: list[int], rounds: int, times: int) -> list[list[float]]:
    """Seconds of a worker's processor time for each launch, by port and round."""
    took: list[list[float]] = [[] for _ in ports]
    for number in range(rounds + 1):
        for port, kept in zip(ports, took, strict=True):
            # Anew each time: gunicorn closes connections that are idle for two seconds.
            browser = Browser(port)
            pids = workers(port)
            before = processor_seconds(pids)
            for _ in range(times):
                browser.launch(launches.ltik())
            if number:
                # The kernel counts in hundredths of a second.
                kept.append(max(processor_seconds(pids) - before, 0.01) / times)
            browser.close()
    return took


def event_loop_row(short: bool) -> list[Line]:
    """Row 3."""
    rounds, at_once = (1, 5) if short else (10, 60)
    cold, warm = _Gaps([], []), _Gaps([], [])
    with (
        tls.certificate() as (chain, key, trusted),
        sandbox.running(4 * rounds * at_once, chain, key) as served,
    ):
        ltiks = iter(served["ltiks"])
        account = {"url": served["url"], "api_key": served["api_key"], "ca_bundle": trusted}
        for _ in range(rounds):
            for number, gaps in enumerate((_gaps, _floor_gaps)):
                batches = [[next(ltiks) for _ in range(at_once)] for _ in range(2)]
                first, second = asyncio.run(gaps(account, batches))
                cold[number].append(first)
                warm[number].append(second)
    values, large = 43_000, _Gaps([], [])
    with ltiaas.running(0, 0, 0, values) as url:
        account = {"url": url, "api_key": launches.LTIAAS["api_key"]}
        for _ in range(rounds):
            for number, gaps in enumerate((_gaps, _floor_gaps)):
                batches = [[launches.ltik()], [launches.ltik() for _ in range(2 if short else 20)]]
                large[number].append(asyncio.run(gaps(account, batches))[1])
    what = "longest gap of the event loop (ms)"

    def line(of: str, gaps: _Gaps, target: float) -> Line:
        figure = f"{median(gaps.ours):.1f} ms, {max(gaps.ours):.1f} ms at the most"
        figure += f"; the floor {median(gaps.floor):.1f} ms"
        return Line(f"{what}, {of}", figure, median(gaps.ours), target)

    return [
        line(f"{at_once} new launches at once, in a new process", cold, 50),
        line(f"{at_once} more", warm, 15),
        line("20 ID tokens of 1 MB at once", large, 50),
    ]


class _Gaps(NamedTuple):
    """Milliseconds that the event loop stood still at the most, by round."""

    ours: list[float]
    floor: list[float]


async def _gaps(account: dict[str, Any], batches: list[list[str]]) -> list[float]:
    """Milliseconds that the event loop stood still at the most, for each batch."""
    found = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            found.append(scope["ltiaas.launch"].id)

    middleware = LTIAASMiddleware(app, **account, cache="memory")
    # Imports what the first request needs, as it does when a server starts.
    await middleware({"type": "lifespan"}, None, None)
    gaps = [await _gap(middleware, batch) for batch in batches]
    middleware.close()
    assert len(set(found)) == sum(map(len, batches))
    return gaps


async def _floor_gaps(account: dict[str, Any], batches: list[list[str]]) -> list[float]:
    """The same with the floor, which has as many threads."""
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(floor.THREADS))
    of_account = {
        "LTIAAS_URL": account["url"],
        "LTIAAS_API_KEY": account["api_key"],
        "REQUESTS_CA_BUNDLE": account.get("ca_bundle", ""),
    }
    answered = []

    async def send(message: Any) -> None:
        answered.append(message.get("status", 303))

    with (
        floor.new_session() as session,
        mock.patch.object(floor, "_session", session),
        mock.patch.dict(os.environ, of_account),
    ):
        gaps = [await _gap(floor.floor_asgi, batch, send) for batch in batches]
    assert set(answered) == {303}
    return gaps


async def _gap(app: Any, ltiks: list[str], send: Any = None) -> float:
    async def ask(ltik: str) -> None:
        await app(launches.scope("/page", f"ltik={ltik}", launches.FETCH), None, send)

    gap = asyncio.create_task(_longest_gap())
    await asyncio.sleep(0.01)
    await asyncio.gather(*map(ask, ltiks))
    gap.cancel()
    return 1000 * await gap


async def _longest_gap() -> float:
    longest, last = 0.0, perf_counter()
    with contextlib.suppress(asyncio.CancelledError):
        while True:
            await asyncio.sleep(0.001)
            now = perf_counter()
            longest, last = max(longest, now - last - 0.001), now
    return longest
