"""An ASGI app as a WSGI app, on a separate event loop, for tests."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import inspect
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import unquote

from werkzeug.datastructures import EnvironHeaders

_VERSION = {"version": "3.0", "spec_version": "2.3"}


def is_async(app: Any) -> bool:
    """Whether this is an ASGI app."""
    call: Callable[..., Any] = getattr(app, "__call__", app)  # noqa: B004
    return inspect.iscoroutinefunction(app) or inspect.iscoroutinefunction(call)


@contextlib.contextmanager
def asgi_in_wsgi(app: Any) -> Iterator[Callable[[Any, Any], list[bytes]]]:
    """Run the app's lifespan, and make the app a WSGI app that runs each request until it ends."""
    state: dict[str, Any] = {}
    events: asyncio.Queue[str] = asyncio.Queue()
    answers: asyncio.Queue[Any] = asyncio.Queue()

    async def live() -> None:
        async def receive() -> Any:
            return {"type": f"lifespan.{await events.get()}"}

        # An app without a lifespan raises what it likes (ASGI, "Lifespan Protocol").
        with contextlib.suppress(Exception):
            await app({"type": "lifespan", "asgi": _VERSION, "state": state}, receive, answers.put)
        await answers.put({"type": "lifespan.none"})

    async def tell(event: str) -> None:
        await events.put(event)
        answer = await answers.get()
        if answer["type"].endswith(".failed"):
            raise RuntimeError(f"the app's {event} failed: {answer.get('message', '')}")

    async def stop() -> None:
        if not lifespan.done():
            await tell("shutdown")
            await lifespan

    def answer(environ: Any, start_response: Any) -> list[bytes]:
        # A context of its own, as a server's tasks have.
        context = contextvars.copy_context()
        return runner.run(_answer(app, state, environ, start_response), context=context)

    with asyncio.Runner() as runner:
        lifespan = runner.get_loop().create_task(live())
        runner.run(tell("startup"))
        try:
            yield answer
        finally:
            runner.run(stop())


async def _answer(
    app: Any, state: dict[str, Any], environ: Any, start_response: Any
) -> list[bytes]:
    body: bytes | None = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    chunks: list[bytes] = []

    async def receive() -> Any:
        nonlocal body
        if body is None:
            await asyncio.Event().wait()
        message, body = {"type": "http.request", "body": body, "more_body": False}, None
        return message

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            headers = [
                (name.decode("latin-1"), value.decode("latin-1"))
                for name, value in message.get("headers") or ()
            ]
            start_response(f"{message['status']} -", headers)
        elif message["type"] == "http.response.body":
            chunks.append(bytes(message.get("body") or b""))

    await app(_scope(environ, state), receive, send)
    return chunks


def _scope(environ: Any, state: dict[str, Any]) -> dict[str, Any]:
    raw_path = environ["REQUEST_URI"].partition("?")[0]
    headers = [
        (name.lower().encode(), value.encode("latin-1")) for name, value in EnvironHeaders(environ)
    ]
    return {
        "type": "http",
        "asgi": _VERSION,
        "http_version": "1.1",
        "method": environ["REQUEST_METHOD"],
        "scheme": environ["wsgi.url_scheme"],
        "path": unquote(raw_path),
        "raw_path": raw_path.encode("ascii"),
        "query_string": environ.get("QUERY_STRING", "").encode("latin-1"),
        "root_path": "",
        "headers": headers,
        "client": ("127.0.0.1", 40000),
        "server": (environ["SERVER_NAME"], int(environ["SERVER_PORT"])),
        "state": dict(state),
    }
