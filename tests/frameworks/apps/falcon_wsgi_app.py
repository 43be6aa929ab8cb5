from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import falcon

from ltiaas_middleware import require_launch
from ltiaas_middleware.wsgi import LTIAASMiddleware

from .contract import chunk, recorded, report
from .mounting import wsgi_site


def seen(req: falcon.Request, to: str = "first", /, **more: Any) -> dict[str, Any]:
    # Falcon builds no URLs by name; req.prefix is where the app is mounted.
    carried = req.env.get("ltiaas.launch")
    return report(carried, link=f"{req.prefix}/items/{falcon.uri.encode_value(to)}", **more)


class Home:
    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        resp.text = "home"


class Launched:
    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        resp.media = seen(req, query=req.query_string)

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        resp.media = seen(req, form=req.get_media().get("answer"))


class Item:
    def on_get(self, req: falcon.Request, resp: falcon.Response, name: str) -> None:
        resp.media = seen(req, name, name=name)


class Go:
    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        raise falcon.HTTPFound(f"{req.prefix}/items/first")


class View:
    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        resp.media = seen(req)


class Stream:
    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        resp.content_type = falcon.MEDIA_TEXT
        resp.stream = (chunk() for _ in range(3))


class Later:
    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        resp.stream = Closing(req.get_param("key"))


class Closing:
    """A stream that is told when the answer is out (PEP 3333)."""

    def __init__(self, key: str) -> None:
        self.key = key

    def __iter__(self) -> Iterator[bytes]:
        return iter([b"begun"])

    def close(self) -> None:
        recorded.record(self.key, "close")


class Read:
    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        resp.media = recorded.wait(req.get_param("key"))


class Required:
    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        resp.media = seen(req, required=require_launch().id)


tool = falcon.App()
tool.add_route("/", Home())
tool.add_route("/launch", Launched())
tool.add_route("/items/{name:path}", Item())
tool.add_route("/go", Go())
tool.add_route("/views/sync", View())
tool.add_route("/stream", Stream())
tool.add_route("/later", Later())
tool.add_route("/recorded", Read())
tool.add_route("/required", Required())

app = LTIAASMiddleware(tool)
site = wsgi_site(app)
