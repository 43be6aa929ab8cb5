from __future__ import annotations

from typing import Any

from flask import Flask, after_this_request, g, redirect, request, url_for

from ltiaas_middleware import require_launch
from ltiaas_middleware.wsgi import LTIAASMiddleware

from .contract import chunk, recorded, report
from .mounting import wsgi_site

app = Flask(__name__)
app.wsgi_app = LTIAASMiddleware(app.wsgi_app)


def seen(**more: Any) -> dict[str, Any]:
    carried = request.environ.get("ltiaas.launch")
    return report(carried, link=url_for("item", name="first"), **more)


@app.get("/")
def home() -> str:
    return "home"


@app.route("/launch", methods=["GET", "POST"])
def launch() -> Any:
    return seen(query=request.query_string.decode("latin-1"), form=request.form.get("answer"))


@app.get("/items/<path:name>")
def item(name: str) -> Any:
    return report(request.environ.get("ltiaas.launch"), name=name, link=url_for("item", name=name))


@app.get("/folder/")
def folder() -> Any:
    return seen()


@app.get("/go")
def go() -> Any:
    return redirect(url_for("item", name="first"))


@app.get("/views/sync")
def sync_view() -> Any:
    return seen()


@app.get("/views/async")
async def async_view() -> Any:
    return seen()


@app.get("/stream")
def stream() -> Any:
    return (chunk() for _ in range(3)), {"Content-Type": "text/plain"}


@app.get("/later")
def later() -> str:
    g.key = key = request.args["key"]

    @after_this_request
    def on_close(response: Any) -> Any:
        response.call_on_close(lambda: recorded.record(key, "call_on_close"))
        return response

    return "begun"


@app.teardown_request
def teardown(error: BaseException | None) -> None:
    if "key" in g:
        recorded.record(g.key, "teardown")


@app.get("/recorded")
def read_recorded() -> Any:
    return recorded.wait(request.args["key"], int(request.args["times"]))


@app.get("/required")
def required() -> Any:
    return seen(required=require_launch().id)


site = wsgi_site(app)
