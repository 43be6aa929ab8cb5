"""The apps that the tests over sockets wrap; started by a server's command line."""

from __future__ import annotations

import json
import logging
import os
from typing import Any

from ltiaas_middleware import asgi, current_launch, wsgi

logging.basicConfig(level=logging.DEBUG)


def _answer(path: str) -> bytes:
    launch = current_launch()
    logging.getLogger("app").info("in the app: %s %s", launch, path)
    if path == "/crash":
        # What an error tracker would show of it.
        raise RuntimeError(f"crashed in {launch!r} {launch and launch.credential!r}")
    return json.dumps({"user": launch and launch.id_token.user.id, "pid": os.getpid()}).encode()


def _wsgi(environ: Any, start_response: Any) -> Any:
    # A browser sends no ltik as a Referer: the redirect and the responses forbid it.
    print("environ:", {key: environ[key] for key in environ if key != "HTTP_REFERER"})
    body = _answer(environ["PATH_INFO"])
    start_response("200 OK", [("Content-Type", "application/json")])
    return [body]


async def _asgi(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        while (await receive())["type"] != "lifespan.shutdown":
            await send({"type": "lifespan.startup.complete"})
        await send({"type": "lifespan.shutdown.complete"})
        return
    headers = [pair for pair in scope["headers"] if pair[0] != b"referer"]
    print("scope:", {**scope, "headers": headers})
    body = _answer(scope["path"].removeprefix(scope["root_path"]))
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


def make_wsgi() -> Any:
    return wsgi.LTIAASMiddleware(_wsgi)


def make_asgi() -> Any:
    return asgi.LTIAASMiddleware(_asgi)


def __getattr__(name: str) -> Any:
    """The wrapped apps, made when a server asks: importing this module needs no settings."""
    if name == "wsgi_app":
        return make_wsgi()
    if name == "asgi_app":
        return make_asgi()
    raise AttributeError(name)
