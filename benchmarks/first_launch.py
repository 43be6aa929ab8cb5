"""Row 10: the first launch of a process beside the second, with a LTIAAS 150 ms away."""

from __future__ import annotations

import contextlib
import http.client
from statistics import median
from time import perf_counter
from typing import Any
from urllib.parse import urlsplit

from tests import servers
from tests.waiting import wait_until

from . import distance, launches, sandbox, tls
from .report import Line

_AWAY = 0.15


def row(short: bool) -> list[Line]:
    """Row 10."""
    rounds = 1 if short else 8
    lines: list[Line] = []
    with contextlib.ExitStack() as stack:
        chain, key, trusted = stack.enter_context(tls.certificate())
        served = stack.enter_context(sandbox.running(2 * 2 * rounds, chain, key))
        ltiks = iter(served["ltiks"])
        for server in ("uvicorn", "gunicorn"):
            took = [_two_launches(server, served, trusted, ltiks) for _ in range(rounds)]
            first, second = (median(each) for each in zip(*took, strict=True))
            figure = f"{first * 1e3:.1f} ms of {second * 1e3:.1f} ms"
            what = f"{server}, the first launch of a process / the second, LTIAAS 150 ms away"
            ratio = median(one / other for one, other in took)
            lines.append(Line(10, what, figure, ratio, 1.1))
    return lines


def _two_launches(
    server: str, served: dict[str, Any], trusted: str, ltiks: Any
) -> tuple[float, float]:
    """Seconds until the launch's redirect, for the first and the second launch of a process that
    has answered a health check before."""
    there = urlsplit(served["url"])
    with distance.away(there.hostname or "", there.port or 0, _AWAY / 2) as network:
        env = {
            "LTIAAS_URL": f"https://localhost:{network.port}",
            "LTIAAS_API_KEY": served["api_key"],
            "LTIAAS_CA_BUNDLE": trusted,
            "NO_PROXY": "localhost",
        }
        with _started(server, env) as running:
            # What a client says second, it says at the end of the handshake (RFC 8446 section 2).
            wait_until(lambda: network.sent >= 2)
            first = _launch(running.port, next(ltiks))
            second = _launch(running.port, next(ltiks))
    return first, second


def _started(server: str, env: dict[str, str]) -> contextlib.AbstractContextManager[Any]:
    if server == "gunicorn":
        return servers.gunicorn("benchmarks.tools:wrapped_wsgi", threads=8, env=env)
    return servers.uvicorn("benchmarks.tools:wrapped_asgi", env=env)


def _launch(port: int, ltik: str) -> float:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    with contextlib.closing(connection):
        connection.connect()
        start = perf_counter()
        connection.request("GET", f"/course?ltik={ltik}", headers=launches.BROWSER)
        answer = connection.getresponse()
        seconds = perf_counter() - start
        assert answer.status == 303, answer.status
    return seconds
