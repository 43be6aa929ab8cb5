"""Row 6: tools on real servers, loaded in turn: a page of a course, bare and wrapped."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable
from statistics import median
from typing import NamedTuple
from urllib.parse import urljoin, urlsplit

import requests

from tests.servers import running

from . import sandbox
from .load import Load, load, program
from .report import Line

_CONNECTIONS = 8


def row(short: bool) -> list[Line]:
    """Row 6."""
    return [
        *_under("uvicorn", uvicorn, "asgi", short),
        *_under("gunicorn", gunicorn, "wsgi", short),
    ]


_Command = Callable[[str], Callable[[int], list[str]]]


class _Page(NamedTuple):
    """An address, and the cookie with which it is asked for."""

    url: str
    cookie: str


def uvicorn(app: str) -> Callable[[int], list[str]]:
    """uvicorn without an access log, for an app of the benchmarks (``"module:name"``)."""
    return lambda port: [
        *(sys.executable, "-m", "uvicorn", f"benchmarks.{app}"),
        *("--port", str(port), "--no-access-log", "--log-level", "warning"),
    ]


def gunicorn(app: str) -> Callable[[int], list[str]]:
    """gunicorn likewise, with a thread for each connection."""
    # Threads, because gunicorn's sync worker closes every connection.
    return lambda port: [
        *(sys.executable, "-m", "gunicorn", f"benchmarks.{app}"),
        *("--bind", f"127.0.0.1:{port}", "--workers", "1", "--threads", str(_CONNECTIONS)),
        *("--worker-class", "gthread", "--log-level", "warning", "--no-control-socket"),
    ]


def _launched(url: str, ltik: str) -> _Page:
    """As a browser does: the ltik, then the launch's own address with its cookie."""
    first = requests.get(
        url,
        params={"ltik": ltik},
        headers={"Sec-Fetch-Mode": "navigate"},
        allow_redirects=False,
        timeout=10,
    )
    assert first.status_code == 303, first.text
    cookie = first.headers["Set-Cookie"].partition(";")[0]
    return _Page(urljoin(url, first.headers["Location"]), cookie)


def _loaded(pages: dict[str, _Page], short: bool) -> dict[str, list[Load]]:
    """Load the pages in turn."""
    rounds, seconds = (1, 1) if short else (12, 2)
    kept: dict[str, list[Load]] = {name: [] for name in pages}
    for number in range(rounds + 1):
        # There and back, so that what grows with time is on nobody's side.
        for name, page in list(pages.items())[:: -1 if number % 2 else 1]:
            found = load(page.url, page.cookie, 1 if number == 0 else seconds, _CONNECTIONS)
            if number:
                kept[name].append(found)
    return kept


def _under(server: str, command: _Command, kind: str, short: bool) -> list[Line]:
    # Two bare servers, to see what two servers of the same differ by on this machine today.
    apps = {"bare": "bare", "wrapped": "wrapped", "bare again": "bare"}
    pages: dict[str, _Page] = {}
    with contextlib.ExitStack() as stack:
        served = stack.enter_context(sandbox.running(1))
        env = {"LTIAAS_URL": served["url"], "LTIAAS_API_KEY": served["api_key"]}
        for name, app in apps.items():
            started = stack.enter_context(
                running(command(f"tools:{app}_{kind}"), env=env, probe="/")
            )
            pages[name] = _Page(f"{started.url}/course", "")
        pages["wrapped"] = _launched(pages["wrapped"].url, *served["ltiks"])
        launch_id = urlsplit(pages["wrapped"].url).path.split("/")[2]
        for name, page in pages.items():
            # All are asked with the same cookie.
            page = pages[name] = page._replace(cookie=pages["wrapped"].cookie)
            answer = requests.get(page.url, headers={"Cookie": page.cookie}, timeout=10)
            launch = launch_id if name == "wrapped" else "none"
            assert f"launch: {launch}" in answer.text, answer.text
            assert answer.text.count("<tr>") == 40
        kept = _loaded(pages, short)

    def figures(name: str) -> tuple[float, float, str, str]:
        pairs = list(zip(kept[name], kept["bare"], strict=True))
        mine, bare = kept[name], kept["bare"]
        return (
            _rates(kept, name, "bare"),
            median(one.p99 / other.p99 for one, other in pairs),
            f"{median(one.rate for one in mine):.0f}/s of {median(b.rate for b in bare):.0f}/s",
            f"{median(one.p99 for one in mine) * 1e3:.1f} ms of "
            f"{median(b.p99 for b in bare) * 1e3:.1f} ms",
        )

    rate, p99, rates, tails = figures("wrapped")
    again, _, rates_again, _ = figures("bare again")
    what = f"{server}, requests per second ({program()})"
    return [
        Line(f"{what}: wrapped / bare", rates, rate, 0.95, least=True),
        Line(f"{what}: bare / bare, for comparison", rates_again, again),
        Line(f"{server}, 99th percentile of the time to answer: wrapped / bare", tails, p99),
    ]


def _rates(kept: dict[str, list[Load]], name: str, to: str) -> float:
    """The ratio of two rates, round by round."""
    return median(one.rate / other.rate for one, other in zip(kept[name], kept[to], strict=True))
