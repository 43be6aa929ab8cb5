from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any
from urllib.parse import quote

from starlette.applications import Starlette
from starlette.background import BackgroundTask, BackgroundTasks
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import (
    JSONResponse,
    PlainTextResponse,
    RedirectResponse,
    StreamingResponse,
)
from starlette.routing import NoMatchFound, Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from ltiaas_middleware import require_launch
from ltiaas_middleware.asgi import LTIAASMiddleware

from .contract import chunk, recorded, report
from .mounting import asgi_site


def link(connection: Any, name: str = "first") -> str:
    name = quote(name)  # Starlette does not encode what it builds URLs from.
    try:
        return str(connection.url_for("item", name=name))
    except NoMatchFound:  # An outer app has mounted this one under a name.
        return str(connection.url_for("quiz:item", name=name))


def seen(connection: Any, to: str = "first", /, **more: Any) -> dict[str, Any]:
    return report(connection.scope.get("ltiaas.launch"), link=link(connection, to), **more)


async def home(request: Request) -> Any:
    return PlainTextResponse("home")


async def launch(request: Request) -> Any:
    answer = None
    if request.method == "POST":
        answer = (await request.body()).decode().removeprefix("answer=")
    return JSONResponse(seen(request, query=request.url.query, form=answer))


async def item(request: Request) -> Any:
    name = request.path_params["name"]
    return JSONResponse(seen(request, name, name=name))


async def folder(request: Request) -> Any:
    return JSONResponse(seen(request))


async def go(request: Request) -> Any:
    return RedirectResponse(link(request))


def sync_view(request: Request) -> Any:
    return JSONResponse(seen(request))


async def async_view(request: Request) -> Any:
    return JSONResponse(seen(request))


async def stream(request: Request) -> Any:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(3):
            yield chunk()

    return StreamingResponse(chunks())


async def stream_in_threads(request: Request) -> Any:
    def chunks() -> Iterator[bytes]:
        for _ in range(3):
            yield chunk()

    return StreamingResponse(chunks())


async def later(request: Request) -> Any:
    key = request.query_params["key"]

    async def task() -> None:
        recorded.record(key, "task")

    tasks = BackgroundTasks(
        [BackgroundTask(task), BackgroundTask(recorded.record, key, "task in a thread")]
    )
    return PlainTextResponse("begun", background=tasks)


async def read_recorded(request: Request) -> Any:
    return JSONResponse(await run_in_threadpool(recorded.wait, request.query_params["key"], 2))


async def required(request: Request) -> Any:
    return JSONResponse(seen(request, required=require_launch().id))


async def socket(websocket: WebSocket) -> None:
    await websocket.accept()
    name = websocket.path_params["name"]
    try:
        while True:
            await websocket.send_json(seen(websocket, name))
            await websocket.receive_text()
    except WebSocketDisconnect:
        pass


app = Starlette(
    routes=[
        Route("/", home),
        Route("/launch", launch, methods=["GET", "POST"]),
        Route("/items/{name:path}", item, name="item"),
        Route("/folder/", folder),
        Route("/go", go),
        Route("/views/sync", sync_view),
        Route("/views/async", async_view),
        Route("/stream", stream),
        Route("/stream-in-threads", stream_in_threads),
        Route("/later", later),
        Route("/recorded", read_recorded),
        Route("/required", required),
        WebSocketRoute("/socket/{name}", socket),
    ],
    middleware=[Middleware(LTIAASMiddleware)],
)
site = asgi_site(app)
