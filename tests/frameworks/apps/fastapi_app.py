from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any
from urllib.parse import quote

from fastapi import BackgroundTasks, FastAPI, Request, WebSocket
from fastapi.responses import PlainTextResponse, RedirectResponse, StreamingResponse
from starlette.routing import NoMatchFound
from starlette.websockets import WebSocketDisconnect

from ltiaas_middleware import require_launch
from ltiaas_middleware.asgi import LTIAASMiddleware

from .contract import chunk, recorded, report
from .mounting import asgi_site

tool = FastAPI(openapi_url=None)


def link(connection: Any, name: str = "first") -> str:
    name = quote(name)  # Starlette does not encode what it builds URLs from.
    try:
        return str(connection.url_for("item", name=name))
    except NoMatchFound:  # An outer app has mounted this one under a name.
        return str(connection.url_for("quiz:item", name=name))


def seen(connection: Any, to: str = "first", /, **more: Any) -> dict[str, Any]:
    return report(connection.scope.get("ltiaas.launch"), link=link(connection, to), **more)


@tool.get("/", response_class=PlainTextResponse)
async def home() -> str:
    return "home"


@tool.get("/launch")
async def launch(request: Request) -> Any:
    return seen(request, query=request.url.query)


@tool.post("/launch")
async def post(request: Request) -> Any:
    return seen(request, form=(await request.body()).decode().removeprefix("answer="))


@tool.get("/items/{name:path}")
async def item(request: Request, name: str) -> Any:
    return seen(request, name, name=name)


@tool.get("/folder/")
async def folder(request: Request) -> Any:
    return seen(request)


@tool.get("/go")
async def go(request: Request) -> Any:
    return RedirectResponse(link(request))


@tool.get("/views/sync")
def sync_view(request: Request) -> Any:
    return seen(request)


@tool.get("/views/async")
async def async_view(request: Request) -> Any:
    return seen(request)


@tool.get("/stream")
async def stream() -> Any:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(3):
            yield chunk()

    return StreamingResponse(chunks())


@tool.get("/stream-in-threads")
def stream_in_threads() -> Any:
    def chunks() -> Iterator[bytes]:
        for _ in range(3):
            yield chunk()

    return StreamingResponse(chunks())


@tool.get("/later", response_class=PlainTextResponse)
async def later(key: str, tasks: BackgroundTasks) -> str:
    async def task() -> None:
        recorded.record(key, "task")

    tasks.add_task(task)
    tasks.add_task(recorded.record, key, "task in a thread")
    return "begun"


@tool.get("/recorded")
def read_recorded(key: str) -> Any:
    return recorded.wait(key, 2)


@tool.get("/required")
def required(request: Request) -> Any:
    return seen(request, required=require_launch().id)


@tool.websocket("/socket/{name}")
async def socket(websocket: WebSocket, name: str) -> None:
    await websocket.accept()
    try:
        while True:
            await websocket.send_json(seen(websocket, name))
            await websocket.receive_text()
    except WebSocketDisconnect:
        pass


app = LTIAASMiddleware(tool)
site = asgi_site(app)
