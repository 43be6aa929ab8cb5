from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import falcon
import falcon.asgi

from ltiaas_middleware import require_launch
from ltiaas_middleware.asgi import LTIAASMiddleware

from .contract import chunk, recorded, report
from .mounting import asgi_site


def seen(req: falcon.asgi.Request, to: str = "first", /, **more: Any) -> dict[str, Any]:
    # Falcon builds no URLs by name; req.prefix is where the app is mounted.
    carried = req.scope.get("ltiaas.launch")
    return report(carried, link=f"{req.prefix}/items/{falcon.uri.encode_value(to)}", **more)


class Home:
    async def on_get(self, req: Any, resp: Any) -> None:
        resp.text = "home"


class Launched:
    async def on_get(self, req: Any, resp: Any) -> None:
        resp.media = seen(req, query=req.query_string)

    async def on_post(self, req: Any, resp: Any) -> None:
        resp.media = seen(req, form=(await req.get_media()).get("answer"))


class Item:
    async def on_get(self, req: Any, resp: Any, name: str) -> None:
        resp.media = seen(req, name, name=name)


class Go:
    async def on_get(self, req: Any, resp: Any) -> None:
        raise falcon.HTTPFound(f"{req.prefix}/items/first")


class AsyncView:
    async def on_get(self, req: Any, resp: Any) -> None:
        resp.media = seen(req)


class SyncView:
    async def on_get(self, req: Any, resp: Any) -> None:
        resp.media = await asyncio.to_thread(seen, req)


class ThreadOfFalcon:
    async def on_get(self, req: Any, resp: Any) -> None:
        resp.media = await falcon.util.sync_to_async(seen, req)


class Stream:
    async def on_get(self, req: Any, resp: Any) -> None:
        async def chunks() -> AsyncIterator[bytes]:
            for _ in range(3):
                yield chunk()

        resp.content_type = falcon.MEDIA_TEXT
        resp.stream = chunks()


class Later:
    async def on_get(self, req: Any, resp: Any) -> None:
        key = req.get_param("key")

        async def task() -> None:
            recorded.record(key, "task")
            await asyncio.to_thread(recorded.record, key, "task in a thread")

        resp.schedule(task)
        resp.text = "begun"


class Read:
    async def on_get(self, req: Any, resp: Any) -> None:
        resp.media = await falcon.util.sync_to_async(recorded.wait, req.get_param("key"), 2)


class Required:
    async def on_get(self, req: Any, resp: Any) -> None:
        resp.media = seen(req, required=require_launch().id)


class Socket:
    async def on_websocket(self, req: Any, ws: Any, name: str) -> None:
        await ws.accept()
        await ws.send_media(seen(req, name))
        try:
            while True:
                await ws.receive_text()
                await ws.send_media(seen(req, name))
        except falcon.WebSocketDisconnected:
            pass


tool = falcon.asgi.App()
tool.add_route("/", Home())
tool.add_route("/launch", Launched())
tool.add_route("/items/{name:path}", Item())
tool.add_route("/go", Go())
tool.add_route("/views/sync", SyncView())
tool.add_route("/views/async", AsyncView())
tool.add_route("/thread-of-falcon", ThreadOfFalcon())
tool.add_route("/stream", Stream())
tool.add_route("/later", Later())
tool.add_route("/recorded", Read())
tool.add_route("/required", Required())
tool.add_route("/socket/{name}", Socket())

app = LTIAASMiddleware(tool)
site = asgi_site(app)
