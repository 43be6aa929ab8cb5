from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

from litestar import Litestar, Request, Response, get, post, websocket
from litestar.background_tasks import BackgroundTask, BackgroundTasks
from litestar.connection import ASGIConnection, WebSocket
from litestar.exceptions import WebSocketDisconnect
from litestar.response import Redirect, Stream

from ltiaas_middleware import require_launch
from ltiaas_middleware.asgi import LTIAASMiddleware

from .contract import chunk, recorded, report
from .mounting import asgi_site


def seen(connection: ASGIConnection, to: str = "first", /, **more: Any) -> dict[str, Any]:
    carried = connection.scope.get("ltiaas.launch")
    # A parameter of type path begins with its slash; Litestar does not encode it.
    return report(carried, link=connection.url_for("item", item=f"/{quote(to)}"), **more)


@get("/", media_type="text/plain", sync_to_thread=False)
def home() -> str:
    return "home"


@get("/launch")
async def launch(request: Request) -> Any:
    return seen(request, query=request.scope["query_string"].decode("latin-1"))


@post("/launch", status_code=200)
async def answer(request: Request) -> Any:
    return seen(request, form=(await request.body()).decode().removeprefix("answer="))


@get("/items/{item:path}", name="item")
async def item(request: Request) -> Any:
    name = request.path_params["item"].removeprefix("/")
    return seen(request, name, name=name)


@get("/go")
async def go(request: Request) -> Redirect:
    return Redirect(request.url_for("item", item="/first"))


@get("/views/sync", sync_to_thread=True)
def sync_view(request: Request) -> Any:
    return seen(request)


@get("/views/async")
async def async_view(request: Request) -> Any:
    return seen(request)


@get("/stream")
async def stream() -> Stream:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(3):
            yield chunk()

    return Stream(chunks())


@get("/later")
async def later(request: Request) -> Response[str]:
    key = request.query_params["key"]

    async def task() -> None:
        recorded.record(key, "task")

    tasks = BackgroundTasks(
        [BackgroundTask(task), BackgroundTask(recorded.record, key, "task in a thread")]
    )
    return Response("begun", media_type="text/plain", background=tasks)


@get("/recorded", sync_to_thread=True)
def read_recorded(request: Request) -> Any:
    return recorded.wait(request.query_params["key"], 2)


@get("/required")
async def required(request: Request) -> Any:
    return seen(request, required=require_launch().id)


@websocket("/socket/{name:str}")
async def socket(socket: WebSocket) -> None:
    name = socket.path_params["name"]
    await socket.accept()
    try:
        while True:
            await socket.send_json(seen(socket, name))
            await socket.receive_text()
    except WebSocketDisconnect:
        pass


tool = Litestar(
    [
        *(home, launch, answer, item, go, sync_view, async_view),
        *(stream, later, read_recorded, required, socket),
    ],
)
app = LTIAASMiddleware(tool)
site = asgi_site(app)
