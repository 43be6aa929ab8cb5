"""An ASGI app as a WSGI app, on a separate event loop, for tests."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
from collections.abc import Callable
from types import TracebackType
from typing import Any
from urllib.parse import unquote

__all__ = ["AsgiInWsgi"]

_VERSION = {"version": "3.0", "spec_version": "2.3"}


class AsgiInWsgi:
    """Runs the app's lifespan from ``__enter__`` to ``__exit__``, and each request until it
    ends."""

    def __init__(self, app: Callable[..., Any]) -> None:
        self._app = app
        self._runner = asyncio.Runner()
        self._state: dict[str, Any] = {}
        self._lifespan: asyncio.Task[None] | None = None

    def __enter__(self) -> AsgiInWsgi:
        try:
            self._runner.run(self._start())
        except BaseException:
            self._runner.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            self._runner.run(self._stop())
        finally:
            self._runner.close()

    def __call__(self, environ: Any, start_response: Any) -> list[bytes]:
        """Answer one request."""
        # A context of its own, as a server's tasks have.
        context = contextvars.copy_context()
        return self._runner.run(self._answer(environ, start_response), context=context)

    async def _start(self) -> None:
        self._events: asyncio.Queue[str] = asyncio.Queue()
        self._answers: asyncio.Queue[Any] = asyncio.Queue()
        self._lifespan = asyncio.create_task(self._live())
        await self._tell("startup")

    async def _stop(self) -> None:
        if self._lifespan is not None and not self._lifespan.done():
            await self._tell("shutdown")
            await self._lifespan

    async def _live(self) -> None:
        scope = {"type": "lifespan", "asgi": _VERSION, "state": self._state}

        async def receive() -> Any:
            return {"type": f"lifespan.{await self._events.get()}"}

        # An app without a lifespan raises what it likes (ASGI, "Lifespan Protocol").
        with contextlib.suppress(Exception):
            await self._app(scope, receive, self._answers.put)
        await self._answers.put({"type": "lifespan.none"})

    async def _tell(self, event: str) -> None:
        await self._events.put(event)
        answer = await self._answers.get()
        if answer["type"].endswith(".failed"):
            raise RuntimeError(f"the app's {event} failed: {answer.get('message', '')}")

    async def _answer(self, environ: Any, start_response: Any) -> list[bytes]:
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

        await self._app(self._scope(environ), receive, send)
        return chunks

    def _scope(self, environ: Any) -> dict[str, Any]:
        raw_path = environ["REQUEST_URI"].partition("?")[0]
        headers = [
            (key[5:].replace("_", "-").lower().encode(), value.encode("latin-1"))
            for key, value in environ.items()
            if key.startswith("HTTP_")
        ]
        for key in ("CONTENT_TYPE", "CONTENT_LENGTH"):
            if environ.get(key):
                headers.append((key.replace("_", "-").lower().encode(), environ[key].encode()))
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
            "state": dict(self._state),
        }
