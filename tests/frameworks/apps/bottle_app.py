from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from bottle import Bottle, redirect, request, response

from ltiaas_middleware import require_launch
from ltiaas_middleware.wsgi import LTIAASMiddleware

from .contract import chunk, recorded, report
from .mounting import wsgi_site

tool = Bottle()


def seen(to: str = "first", /, **more: Any) -> dict[str, Any]:
    # Bottle does not encode what it builds URLs from.
    carried = request.environ.get("ltiaas.launch")
    return report(carried, link=tool.get_url("item", name=quote(to)), **more)


@tool.get("/")
def home() -> str:
    return "home"


@tool.route("/launch", method=["GET", "POST"])
def launch() -> Any:
    return seen(query=request.query_string, form=request.forms.get("answer"))


@tool.get("/items/<name:path>", name="item")
def item(name: str) -> Any:
    return seen(name, name=name)


@tool.get("/go")
def go() -> None:
    redirect(tool.get_url("item", name="first"))


@tool.get("/views/sync")
def sync_view() -> Any:
    return seen()


@tool.get("/stream")
def stream() -> Iterator[bytes]:
    response.content_type = "text/plain"
    for _ in range(3):
        yield chunk()


class Closing:
    """A body that is told when the answer is out (PEP 3333)."""

    def __init__(self, key: str) -> None:
        self.key = key

    def __iter__(self) -> Iterator[bytes]:
        return iter([b"begun"])

    def close(self) -> None:
        recorded.record(self.key, "close")


@tool.get("/later")
def later() -> Any:
    return Closing(request.query["key"])


@tool.get("/recorded")
def read_recorded() -> Any:
    return {"recorded": recorded.wait(request.query["key"])}


@tool.get("/required")
def required() -> Any:
    return seen(required=require_launch().id)


app = LTIAASMiddleware(tool)
site = wsgi_site(app)
