"""Row 9: a roster call of an async view, beside the same call on a client that all views share."""

from __future__ import annotations

import asyncio
import gc
import ssl
from collections.abc import Awaitable, Callable
from statistics import median
from time import perf_counter, thread_time
from typing import Any

import httpx2

from ltiaas_middleware import require_launch
from ltiaas_middleware.asgi import LTIAASMiddleware

from . import launches, sandbox, tls
from .report import Line

#: Calls for which the handshakes are counted, as the target has it.
_CALLS = 100
#: Views at once, for the longest time that the event loop stands still.
_AT_ONCE = 16

#: People on one page, all of the course: both make one call.
_PAGE = 100

_View = Callable[[], Awaitable[int]]


def row(short: bool) -> list[Line]:
    """Row 9."""
    rounds = 1 if short else 10
    calls = 5 if short else _CALLS
    with tls.certificate() as (chain, key, trusted), sandbox.running(1, chain, key) as served:
        return asyncio.run(_measure(served, trusted, rounds, calls))


async def _measure(served: dict[str, Any], trusted: str, rounds: int, calls: int) -> list[Line]:
    shared = httpx2.AsyncClient(verify=ssl.create_default_context(cafile=trusted))

    async def by_session() -> int:
        return len([member async for member in require_launch().async_api.members(limit=_PAGE)])

    async def by_shared_client() -> int:
        launch = require_launch()
        roster = launch.api_url("memberships")
        answer = await shared.get(roster, params={"limit": _PAGE}, auth=launch.credential)
        answer.raise_for_status()
        return len(answer.json()["members"])

    tools = {
        name: _Tool(served, trusted, view)
        for name, view in {"ours": by_session, "shared": by_shared_client}.items()
    }
    people = {await tool.ask() for tool in tools.values()}
    assert len(people) == 1, people
    assert people.pop() > 10
    before = served["handshakes"]()
    took: dict[str, list[float]] = {name: [] for name in tools}
    for _ in range(rounds * calls):
        for name, tool in tools.items():
            start = perf_counter()
            await tool.ask()
            took[name].append(perf_counter() - start)
    more = served["handshakes"]() - before
    stood_still = []
    for _ in range(rounds):
        # A process that has opened no connection yet, which is when certificates are loaded.
        fresh = _Tool(served, trusted, by_session)
        await fresh.verify()
        stood_still.append(await _longest_step(fresh))
        fresh.close()
    for tool in tools.values():
        tool.close()
    await shared.aclose()
    ours, theirs = (median(took[name]) for name in ("ours", "shared"))
    ratio = median(a / b for a, b in zip(took["ours"], took["shared"], strict=True))
    handshakes = f"{more} while both made {rounds * calls} calls, after the first"
    return [
        Line(
            "roster call of an async view / the same on a shared client",
            f"{ours * 1e3:.2f} ms of {theirs * 1e3:.2f} ms",
            ratio,
            1.2,
        ),
        Line("TLS handshakes for further roster calls", handshakes, more, 0),
        Line(
            f"longest step of the event loop (ms), {_AT_ONCE} first roster calls at once",
            f"{median(stood_still) * 1e3:.2f} ms, {max(stood_still) * 1e3:.2f} ms at the most",
            median(stood_still) * 1e3,
            1.0,
        ),
    ]


class _Tool:
    """A view behind the middleware, asked for in one launch."""

    def __init__(self, served: dict[str, Any], trusted: str, view: _View) -> None:
        self._found: list[int] = []

        async def app(scope: Any, receive: Any, send: Any) -> None:
            if scope["path"] != "/":
                self._found.append(await view())
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b""})

        self._middleware = LTIAASMiddleware(
            app, url=served["url"], api_key=served["api_key"], ca_bundle=trusted
        )
        (self._ltik,) = served["ltiks"]

    async def verify(self) -> None:
        """Make the launch known, without a call of the view's."""
        await self._request("/")

    async def ask(self) -> int:
        """How many people the view found."""
        await self._request("/roster")
        return self._found.pop()

    async def _request(self, path: str) -> None:
        scope = launches.scope(path, f"ltik={self._ltik}", launches.FETCH)
        await self._middleware(scope, _receive, _send)

    def close(self) -> None:
        self._middleware.close()


async def _longest_step(tool: _Tool) -> float:
    """Seconds that one step of the event loop took, at the most: for so long it stood still.

    Of this thread's own processor time, and without collections of garbage, which may come
    anywhere.
    """
    took: list[float] = []
    run = asyncio.Handle._run  # type: ignore[attr-defined]

    def timed(handle: asyncio.Handle) -> None:
        start = thread_time()
        run(handle)
        took.append(thread_time() - start)

    gc.disable()
    asyncio.Handle._run = timed  # type: ignore[attr-defined]
    try:
        found = await asyncio.gather(*(tool.ask() for _ in range(_AT_ONCE)))
    finally:
        asyncio.Handle._run = run  # type: ignore[attr-defined]
        gc.enable()
    assert len(set(found)) == 1
    return max(took)


async def _receive() -> dict[str, Any]:
    return {"type": "http.request", "body": b"", "more_body": False}


async def _send(message: Any) -> None:
    assert message.get("status", 200) == 200, message
