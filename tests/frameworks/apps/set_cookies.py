"""A tool that sets the cookies that its query asks for (``set``, ``status``) and answers with the
``Cookie`` header that it was given, on both interfaces, and on ASGI to websockets, too."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qs

from ltiaas_middleware.asgi import LTIAASMiddleware as AsyncMiddleware
from ltiaas_middleware.wsgi import LTIAASMiddleware


def _asked(query: str) -> tuple[str, list[str]]:
    asked = parse_qs(query)
    return asked.get("status", ["200"])[0], asked.get("set", [])


def wsgi_app(environ: Any, start_response: Any) -> list[bytes]:
    status, values = _asked(environ["QUERY_STRING"])
    headers = [("Set-Cookie", value) for value in values]
    body = json.dumps(environ.get("HTTP_COOKIE", "")).encode() if status == "200" else b""
    start_response(f"{status} As asked", headers)
    return [body]


async def asgi_app(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        return
    status, values = _asked(scope["query_string"].decode())
    headers = [(b"set-cookie", value.encode()) for value in values]
    given = b"; ".join(value for name, value in scope["headers"] if name == b"cookie").decode()
    if scope["type"] == "websocket":
        await send({"type": "websocket.accept", "headers": headers})
        await send({"type": "websocket.send", "text": given})
        await send({"type": "websocket.close"})
        return
    body = json.dumps(given).encode() if status == "200" else b""
    await send({"type": "http.response.start", "status": int(status), "headers": headers})
    await send({"type": "http.response.body", "body": body})


wsgi = LTIAASMiddleware(wsgi_app)
asgi = AsyncMiddleware(asgi_app)
