"""Row 3: a realistic tool on a real server, bare and wrapped, loaded in turn."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable
from statistics import median
from urllib.parse import urlsplit

import requests

from tests.servers import running

from . import sandbox
from .load import Load, load, program
from .report import Line

_CONNECTIONS = 8


def row(short: bool) -> list[Line]:
    """Row 3."""
    return [
        *_under("uvicorn", _uvicorn, "asgi", short),
        *_under("gunicorn", _gunicorn, "wsgi", short),
    ]


def _uvicorn(app: str) -> Callable[[int], list[str]]:
    return lambda port: [
        *(sys.executable, "-m", "uvicorn", f"benchmarks.tools:{app}"),
        *("--port", str(port), "--no-access-log", "--log-level", "warning"),
    ]


def _gunicorn(app: str) -> Callable[[int], list[str]]:
    # Threads, because gunicorn's sync worker closes every connection.
    return lambda port: [
        *(sys.executable, "-m", "gunicorn", f"benchmarks.tools:{app}"),
        *("--bind", f"127.0.0.1:{port}", "--workers", "1", "--threads", str(_CONNECTIONS)),
        *("--worker-class", "gthread", "--log-level", "warning", "--no-control-socket"),
    ]


def _under(
    server: str, command: Callable[[str], Callable[[int], list[str]]], kind: str, short: bool
) -> list[Line]:
    rounds, seconds = (1, 1) if short else (12, 2)
    # Two bare servers, to see what two servers of the same differ by on this machine today.
    apps = {"bare": "bare", "wrapped": "wrapped", "bare again": "bare"}
    kept: dict[str, list[Load]] = {name: [] for name in apps}
    with contextlib.ExitStack() as stack:
        served = stack.enter_context(sandbox.running(1))
        env = {"LTIAAS_URL": served["url"], "LTIAAS_API_KEY": served["api_key"]}
        urls, cookie = {}, ""
        for name, app in apps.items():
            started = stack.enter_context(running(command(f"{app}_{kind}"), env=env, probe="/"))
            urls[name] = f"{started.url}/course"
        # As a browser does: the ltik, then the launch's own address with its cookie.
        (ltik,) = served["ltiks"]
        first = requests.get(
            urls["wrapped"],
            params={"ltik": ltik},
            headers={"Sec-Fetch-Mode": "navigate"},
            allow_redirects=False,
            timeout=10,
        )
        assert first.status_code == 303, first.text
        cookie = first.headers["Set-Cookie"].partition(";")[0]
        path = first.headers["Location"]
        urls["wrapped"] = urls["wrapped"].replace("/course", path)
        for name, url in urls.items():
            page = requests.get(url, headers={"Cookie": cookie}, timeout=10)
            launch = urlsplit(path).path.split("/")[2] if name == "wrapped" else "none"
            assert f"launch: {launch}" in page.text, page.text
            assert page.text.count("<tr>") == 40
        for number in range(rounds + 1):
            # There and back, so that what grows with time is on nobody's side.
            for name, url in list(urls.items())[:: -1 if number % 2 else 1]:
                found = load(url, cookie, 1 if number == 0 else seconds, _CONNECTIONS)
                if number:
                    kept[name].append(found)

    def figures(name: str) -> tuple[float, float, str, str]:
        pairs = list(zip(kept[name], kept["bare"], strict=True))
        mine, bare = kept[name], kept["bare"]
        return (
            median(one.rate / other.rate for one, other in pairs),
            median(one.p99 / other.p99 for one, other in pairs),
            f"{median(one.rate for one in mine):.0f}/s of {median(b.rate for b in bare):.0f}/s",
            f"{median(one.p99 for one in mine) * 1e3:.1f} ms of "
            f"{median(b.p99 for b in bare) * 1e3:.1f} ms",
        )

    rate, p99, rates, tails = figures("wrapped")
    again, _, rates_again, _ = figures("bare again")
    what = f"{server}, requests per second ({program()})"
    return [
        Line(3, f"{what}: wrapped / bare", rates, rate, 0.95, least=True),
        Line(3, f"{what}: bare / bare, for comparison", rates_again, again),
        Line(3, f"{server}, 99th percentile of the time to answer: wrapped / bare", tails, p99),
    ]
