"""Processes what an ASGI app sends in a launch, before the server gets it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Any

from .responses import Response
from .scrubbing import scrub_request

if TYPE_CHECKING:
    from ._gate.decisions import Serve
    from ._gate.frame import AppAnswers
    from ._gate.insertion import Insertion, Insertions
    from ._gate.jar import Jar
    from ._gate.request import Variables

__all__ = ["Sending", "may_send", "saving", "send_response", "without_shortcuts"]

_STARTS = ("http.response.start", "websocket.http.response.start")
_BEGINNINGS = (*_STARTS, "websocket.accept")
# The server reads the file by itself, so that nothing could be inserted.
_SHORTCUTS = ("http.response.pathsend", "http.response.zerocopysend")


class Sending:
    """``send`` in a launch: with the headers that the app's response needs. It holds back a
    document's headers until it has inserted the script's tag.

    Args:
        send: the server's.
        serve: what the gate decided, with a launch.
        request: its CGI variables.
        answers: knows the headers.
        insertions: knows the documents.
    """

    __slots__ = ("_answers", "_insertion", "_insertions", "_request", "_send", "_serve", "_start")

    def __init__(
        self,
        send: Any,
        serve: Serve,
        request: Variables,
        answers: AppAnswers[bytes],
        insertions: Insertions[bytes],
    ) -> None:
        self._send = send
        self._serve = serve
        self._request = request
        self._answers = answers
        self._insertions = insertions
        self._insertion: Insertion[bytes] | None = None

    # Coroutine functions, because asgiref warns of one that is not. What is sent is kept in no
    # variable: the server may raise, and a cookie may be the launch's.
    async def message(self, message: Any) -> None:
        """Send what the app sends."""
        kind = message["type"]
        if kind == "http.response.body":
            insertion = self._insertion
            if insertion is None or not insertion.waiting:
                await self._send(message)
            else:
                await self._feed(insertion, message)
        elif kind in _STARTS:
            serve, request = self._serve, self._request
            headers = self._answers.headers
            self._start = {
                **message,
                "headers": headers(message.get("headers") or (), serve, request),
            }
            if serve.may_have_script and kind == "http.response.start":
                self._insertion = self._insertions.of(
                    message["status"], self._start["headers"], serve, request
                )
            if self._insertion is None:
                await self._send(self._start)
        elif kind == "websocket.accept" and message.get("headers"):
            given, handshake = message["headers"], self._answers.handshake_headers
            await self._send(dict(message, headers=handshake(given, self._serve, self._request)))
        else:
            await self._send(message)

    async def _feed(self, insertion: Insertion[bytes], message: Any) -> None:
        """Send a part of the body, and what was held back before it, once the tag has its place."""
        more = message.get("more_body", False)
        chunk = insertion.feed(bytes(message.get("body") or b""), last=not more)
        if not insertion.waiting:
            self._start["headers"] = insertion.headers
            await self._send(self._start)
            await self._send(dict(message, body=chunk))


def saving(send: Any, jar: Jar, run: Callable[[Callable[[], None]], Awaitable[None]]) -> Any:
    """``send`` that stores the app's cookies before a response begins.

    Args:
        send: the server's.
        jar: of the launch.
        run: runs blocking calls in a thread.
    """

    async def send_when_saved(message: Any) -> None:
        if jar.changed and message["type"] in _BEGINNINGS:
            await run(jar.save)
        await send(message)

    return send_when_saved


def without_shortcuts(scope: Any) -> None:
    """Make the app send its files as bodies."""
    extensions = scope.get("extensions")
    if extensions and any(name in extensions for name in _SHORTCUTS):
        kept = {name: each for name, each in extensions.items() if name not in _SHORTCUTS}
        scope["extensions"] = kept


async def send_response(answer: Response, scope: Any, send: Any) -> None:
    """Send a complete response. For a websocket handshake, as far as the server supports it."""
    scrub_request(scope)
    prefix = ""
    if scope["type"] == "websocket":
        if "websocket.http.response" not in (scope.get("extensions") or {}):
            # Closing before accepting makes the server answer 403; 1008 is "policy violation".
            await send({"type": "websocket.close", "code": 1008, "reason": ""})
            return
        prefix = "websocket."
    await send(
        {
            "type": f"{prefix}http.response.start",
            "status": answer.status,
            "headers": _encode(answer.all_headers),
        }
    )
    body = b"" if scope.get("method") == "HEAD" else answer.body
    await send({"type": f"{prefix}http.response.body", "body": body})


async def may_send(answer: Response, scope: Any, send: Any) -> bool:
    """Send a response if none has begun. Only the server knows, and raises if one has."""
    try:
        await send_response(answer, scope, send)
    except Exception:  # noqa: BLE001 - each server has an exception of its own for it
        return False
    return True


def _encode(headers: Iterable[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    return [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers]
