from __future__ import annotations

from typing import Any

from pyramid.config import Configurator
from pyramid.httpexceptions import HTTPFound
from pyramid.response import Response

from ltiaas_middleware import require_launch
from ltiaas_middleware.wsgi import LTIAASMiddleware

from .contract import chunk, recorded, report
from .mounting import wsgi_site


def seen(request: Any, to: str = "first", /, **more: Any) -> dict[str, Any]:
    carried = request.environ.get("ltiaas.launch")
    return report(carried, link=request.route_url("item", name=to), **more)


def home(request: Any) -> Any:
    return Response("home")


def launch(request: Any) -> Any:
    return seen(request, query=request.query_string, form=request.POST.get("answer"))


def item(request: Any) -> Any:
    name = request.matchdict["name"]
    return seen(request, name, name=name)


def go(request: Any) -> Any:
    return HTTPFound(request.route_url("item", name="first"))


def sync_view(request: Any) -> Any:
    return seen(request)


def stream(request: Any) -> Any:
    return Response(app_iter=(chunk() for _ in range(3)), content_type="text/plain")


def later(request: Any) -> Any:
    key = request.params["key"]
    request.add_finished_callback(lambda request: recorded.record(key, "finished"))
    return Response("begun")


def read_recorded(request: Any) -> Any:
    return recorded.wait(request.params["key"])


def required(request: Any) -> Any:
    return seen(request, required=require_launch().id)


with Configurator() as config:
    for path, view, renderer in (
        ("/", home, None),
        ("/launch", launch, "json"),
        ("/items/{name:.*}", item, "json"),
        ("/go", go, None),
        ("/views/sync", sync_view, "json"),
        ("/stream", stream, None),
        ("/later", later, None),
        ("/recorded", read_recorded, "json"),
        ("/required", required, "json"),
    ):
        config.add_route(view.__name__, path)
        config.add_view(view, route_name=view.__name__, renderer=renderer)
    app = LTIAASMiddleware(config.make_wsgi_app())

site = wsgi_site(app)
