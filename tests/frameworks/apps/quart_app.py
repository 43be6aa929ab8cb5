from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from quart import Quart, redirect, request, url_for, websocket

from ltiaas_middleware import require_launch
from ltiaas_middleware.asgi import LTIAASMiddleware

from .contract import chunk, recorded, report
from .mounting import asgi_site

app = Quart(__name__)
app.asgi_app = LTIAASMiddleware(app.asgi_app)


def seen(to: str = "first", /, **more: Any) -> dict[str, Any]:
    return report(request.scope.get("ltiaas.launch"), link=url_for("item", name=to), **more)


@app.get("/")
async def home() -> str:
    return "home"


@app.route("/launch", methods=["GET", "POST"])
async def launch() -> Any:
    form = await request.form
    return seen(query=request.query_string.decode("latin-1"), form=form.get("answer"))


@app.get("/items/<path:name>")
async def item(name: str) -> Any:
    return seen(name, name=name)


@app.get("/folder/")
async def folder() -> Any:
    return seen()


@app.get("/go")
async def go() -> Any:
    return redirect(url_for("item", name="first"))


@app.get("/views/sync")
def sync_view() -> Any:
    return seen()


@app.get("/views/async")
async def async_view() -> Any:
    return seen()


@app.get("/stream")
async def stream() -> Any:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(3):
            yield chunk()

    return chunks(), {"Content-Type": "text/plain"}


@app.get("/later")
async def later() -> str:
    key = request.args["key"]

    async def task() -> None:
        recorded.record(key, "task")

    app.add_background_task(task)
    app.add_background_task(recorded.record, key, "task in a thread")
    return "begun"


@app.get("/recorded")
async def read_recorded() -> Any:
    return await asyncio.to_thread(recorded.wait, request.args["key"], 2)


@app.get("/required")
async def required() -> Any:
    return seen(required=require_launch().id)


@app.websocket("/socket/<name>")
async def socket(name: str) -> None:
    await websocket.accept()
    while True:
        carried = websocket.scope.get("ltiaas.launch")
        await websocket.send_json(report(carried, link=url_for("item", name=name)))
        await websocket.receive()


site = asgi_site(app)
