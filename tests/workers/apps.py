"""The app that the scenarios' servers run: tells who answered, and what they have counted."""

from __future__ import annotations

import json
import os
from typing import Any

from ltiaas_middleware import asgi, current_launch, wsgi


def _answer(path: str, middleware: Any) -> bytes:
    said: dict[str, Any] = {"pid": os.getpid()}
    if path == "/stats":
        said["stats"] = middleware.stats()
    launch = current_launch()
    if launch is not None:
        said |= {"launch": launch.id, "user": launch.id_token.user.id}
    return json.dumps(said).encode()


def make_wsgi() -> Any:
    def app(environ: Any, start_response: Any) -> Any:
        body = _answer(environ["PATH_INFO"], middleware)
        start_response("200 OK", [("Content-Length", str(len(body)))])
        return [body]

    middleware = wsgi.LTIAASMiddleware(app)
    return middleware


def make_asgi() -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            while (await receive())["type"] != "lifespan.shutdown":
                await send({"type": "lifespan.startup.complete"})
            await send({"type": "lifespan.shutdown.complete"})
            return
        body = _answer(scope["path"].removeprefix(scope["root_path"]), middleware)
        headers = [(b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    middleware = asgi.LTIAASMiddleware(app)
    return middleware
