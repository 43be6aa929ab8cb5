"""Tools that say how each request has reached them. The environment's ``TOOL`` names one."""

from __future__ import annotations

import json
import os
from typing import Any

from ltiaas_middleware import asgi, current_launch, wsgi

METHODS = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "CONNECT"]
MARK = "the app was reached: "


def said(method: str, path: str, headers: Any) -> str:
    launch = current_launch()
    found = {
        "method": method,
        "path": path,
        "user": launch and launch.id_token.user.id,
        "headers": {name.lower(): value for name, value in headers.items()},
    }
    return MARK + json.dumps(found) + "\n"


def flask() -> Any:
    from flask import Flask, Response, request

    tool = Flask("tool")

    @tool.route("/", defaults={"path": ""}, methods=METHODS)
    @tool.route("/<path:path>", methods=METHODS)
    def echo(path: str) -> Any:
        request.get_data()
        answer = Response(said(request.method, request.path, request.headers))
        if request.path == "/sign-in":
            answer.set_cookie("session", request.args["as"], httponly=True)
        return answer

    return wsgi.LTIAASMiddleware(tool)


def starlette() -> Any:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import PlainTextResponse
    from starlette.routing import Route, WebSocketRoute
    from starlette.websockets import WebSocket

    async def echo(request: Request) -> Any:
        await request.body()
        answer = PlainTextResponse(said(request.method, request.url.path, request.headers))
        if request.url.path == "/sign-in":
            answer.set_cookie("session", request.query_params["as"], httponly=True)
        return answer

    async def talk(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_text(said("WEBSOCKET", websocket.url.path, websocket.headers))
        await websocket.close()

    path = "/{path:path}"
    return asgi.LTIAASMiddleware(
        Starlette(routes=[WebSocketRoute(path, talk), Route(path, echo, methods=METHODS)])
    )


if "TOOL" in os.environ:
    app = globals()[os.environ["TOOL"]]()
