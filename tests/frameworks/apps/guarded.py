"""Tools that serve ``/staff``, all in one server: each request's ``X-Tool`` header names one, and
the rest of what ``asking`` says.

A ``guard`` is what the paths begin with that the tool's own middleware refuses, by the path that
its framework shows; without one that is left to the settings.
"""

from __future__ import annotations

import json
import os
from contextvars import ContextVar
from functools import lru_cache
from typing import Any

REACHED = "reached the staff page"
_GUARD: ContextVar[str] = ContextVar("guard")


def asking(name: str, *, guard: str = "", require: Any = None, root: str = "") -> str:
    """The header's value for a tool.

    Args:
        name: a function of this module.
        guard: what its own middleware refuses.
        require: the setting of that name; with it, ``/static`` is excluded.
        root: FastAPI's ``root_path``.
    """
    return json.dumps({"name": name, "guard": guard, "require": require, "root": root})


def refuses(path: str) -> bool:
    guard = _GUARD.get()
    return bool(guard) and path.startswith(guard)


def flask() -> Any:
    from flask import Flask, request

    tool = Flask("tool")

    @tool.before_request
    def guard() -> Any:
        return ("no", 403) if refuses(request.path) else None

    tool.add_url_rule("/launch", "page", lambda: "page")
    tool.add_url_rule("/staff", "staff", lambda: REACHED)
    return tool


def bottle() -> Any:
    from bottle import Bottle, abort, request

    tool = Bottle()

    @tool.hook("before_request")
    def guard() -> None:
        if refuses(request.path):
            abort(403)

    tool.route("/launch", callback=lambda: "page")
    tool.route("/staff", callback=lambda: REACHED)
    return tool


def pyramid() -> Any:
    from pyramid.config import Configurator
    from pyramid.response import Response

    config = Configurator()
    config.add_tween("tests.frameworks.apps.pyramid_guard.tween")
    for name, text in (("launch", "page"), ("staff", REACHED)):
        config.add_route(name, f"/{name}")
        config.add_view(lambda context, request, text=text: Response(text), route_name=name)
    return config.make_wsgi_app()


class _Folder(dict[str, Any]):
    """What Pyramid's traversal walks through."""

    __name__ = __parent__ = None


def traversal() -> Any:
    from pyramid.config import Configurator
    from pyramid.response import Response

    site = _Folder(staff=_Folder())
    config = Configurator(root_factory=lambda request: site)

    def view(context: Any, request: Any) -> Any:
        return Response("page" if context is site else REACHED)

    config.add_view(view, context=_Folder)
    return config.make_wsgi_app()


class _Falcon:
    def __init__(self, text: str) -> None:
        self.text = text

    def on_get(self, request: Any, response: Any) -> None:
        response.text = self.text


class _FalconGuard:
    def process_request(self, request: Any, response: Any) -> None:
        if refuses(request.path):
            response.status, response.complete = 403, True

    async def process_request_async(self, request: Any, response: Any) -> None:
        self.process_request(request, response)


class _AsyncFalcon(_Falcon):
    async def on_get(self, request: Any, response: Any) -> None:  # type: ignore[override]
        response.text = self.text


def _routed(tool: Any, resource: Any) -> Any:
    tool.add_route("/launch", resource("page"))
    tool.add_route("/staff", resource(REACHED))
    return tool


def falcon() -> Any:
    import falcon as framework

    return _routed(framework.App(middleware=[_FalconGuard()]), _Falcon)


def falcon_asgi() -> Any:
    import falcon.asgi as framework

    return _routed(framework.App(middleware=[_FalconGuard()]), _AsyncFalcon)


def django_guard(get_response: Any) -> Any:
    from django.http import HttpResponse

    def guard(request: Any) -> Any:
        return HttpResponse("no", status=403) if refuses(request.path) else get_response(request)

    return guard


urlpatterns: list[Any] = []


@lru_cache
def _django() -> None:
    from django.conf import settings
    from django.http import HttpResponse
    from django.urls import path

    settings.configure(
        SECRET_KEY="x" * 50,
        ALLOWED_HOSTS=["*"],
        ROOT_URLCONF=__name__,
        FORCE_SCRIPT_NAME=os.environ.get("FORCE_SCRIPT_NAME"),
        MIDDLEWARE=[f"{__name__}.django_guard"],
    )
    urlpatterns[:] = [
        path("launch", lambda request: HttpResponse("page")),
        path("staff", lambda request: HttpResponse(REACHED)),
    ]


def rest_framework() -> Any:
    """Its routers serve ``/staff.json``, too; below it Django ignores case."""
    from django.conf import settings
    from django.core.wsgi import get_wsgi_application

    _django()
    tool = get_wsgi_application()
    settings.REST_FRAMEWORK = {"UNAUTHENTICATED_USER": None, "DEFAULT_AUTHENTICATION_CLASSES": []}
    from django.urls import re_path
    from rest_framework.response import Response
    from rest_framework.routers import DefaultRouter
    from rest_framework.viewsets import ViewSet

    class Staff(ViewSet):
        def list(self, request: Any, format: str | None = None) -> Any:
            return Response(REACHED)

    router = DefaultRouter()
    router.register("staff", Staff, basename="staff")
    urlpatterns[1:] = [re_path("(?i)^staff$", urlpatterns[1].callback), *router.urls]
    return tool


def _django_wsgi() -> Any:
    from django.core.wsgi import get_wsgi_application

    _django()
    return get_wsgi_application()


_project: Any = None


def _setting_the_environment(environ: Any, start_response: Any) -> Any:
    return _project(environ, start_response)


def django_in_a_function() -> Any:
    """As in many a ``wsgi.py``: nothing but a global variable leads to Django."""
    global _project
    _project = _django_wsgi()
    return _setting_the_environment


def django_in_sentry() -> Any:
    """Its class has slots."""
    from sentry_sdk.integrations.wsgi import SentryWsgiMiddleware

    return SentryWsgiMiddleware(_django_wsgi())


def django_in_opentelemetry() -> Any:
    from opentelemetry.instrumentation.wsgi import OpenTelemetryMiddleware

    return OpenTelemetryMiddleware(_django_wsgi())


def django_in_a_dispatcher() -> Any:
    """Django has a mount point of its own below the launch path."""
    from werkzeug.middleware.dispatcher import DispatcherMiddleware

    return DispatcherMiddleware(flask(), {"/site": _django_wsgi()})


def django_by_a2wsgi() -> Any:
    from a2wsgi import WSGIMiddleware

    return WSGIMiddleware(_django_wsgi())


def django_by_asgiref() -> Any:
    from asgiref.wsgi import WsgiToAsgi

    return WsgiToAsgi(_django_wsgi())


def django_asgi() -> Any:
    from django.core.asgi import get_asgi_application

    _django()
    return get_asgi_application()


async def _page(request: Any) -> Any:
    from starlette.responses import PlainTextResponse

    return PlainTextResponse(REACHED if request.url.path.endswith("/staff") else "page")


async def _http_guard(request: Any, call_next: Any) -> Any:
    from starlette.responses import PlainTextResponse

    if refuses(request.url.path):
        return PlainTextResponse("no", 403)
    return await call_next(request)


def starlette() -> Any:
    from starlette.applications import Starlette
    from starlette.middleware import Middleware
    from starlette.middleware.base import BaseHTTPMiddleware
    from starlette.routing import Route

    routes = [Route("/launch", _page), Route("/staff", _page)]
    guard = Middleware(BaseHTTPMiddleware, dispatch=_http_guard)
    return Starlette(routes=routes, middleware=[guard])


def starlette_csrf() -> Any:
    """An add-on that goes by the path: no token is needed for what is exempt."""
    import re

    from starlette.applications import Starlette
    from starlette.middleware import Middleware
    from starlette.routing import Route
    from starlette_csrf import CSRFMiddleware

    routes = [
        Route(path, _page, methods=["GET", "POST"]) for path in ("/launch", "/hook", "/staff")
    ]
    csrf = Middleware(
        CSRFMiddleware,
        secret="x" * 50,
        required_urls=[re.compile("^/staff")],
        exempt_urls=[re.compile("^/hook")],
        sensitive_cookies={"session"},
    )
    return Starlette(routes=routes, middleware=[csrf])


def fastapi(root: str = "") -> Any:
    from fastapi import FastAPI
    from fastapi.responses import PlainTextResponse

    tool = FastAPI(root_path=root)
    tool.middleware("http")(_http_guard)
    tool.get("/launch", response_class=PlainTextResponse)(lambda: "page")
    tool.get("/staff", response_class=PlainTextResponse)(lambda: REACHED)
    return tool


def fastapi_in_sentry(root: str = "") -> Any:
    from sentry_sdk.integrations.asgi import SentryAsgiMiddleware

    return SentryAsgiMiddleware(fastapi(root))


_api: Any = None


async def _beside_something_else(scope: Any, receive: Any, send: Any) -> None:
    await _api(scope, receive, send)


def fastapi_in_a_function(root: str = "") -> Any:
    global _api
    _api = fastapi(root)
    return _beside_something_else


class _Held:
    def __init__(self, api: Any) -> None:
        self.api = api

    async def serve(self, scope: Any, receive: Any, send: Any) -> None:
        await self.api(scope, receive, send)


def fastapi_in_a_class(root: str = "") -> Any:
    return _Held(fastapi(root)).serve


def litestar() -> Any:
    from litestar import Litestar, get
    from litestar.response import Response

    @get("/launch")
    async def page() -> str:
        return "page"

    @get("/staff")
    async def staff() -> str:
        return REACHED

    def guard(request: Any) -> Any:
        return Response("no", status_code=403) if refuses(request.url.path) else None

    return Litestar([page, staff], before_request=guard)


def quart() -> Any:
    from quart import Quart, request

    tool = Quart("tool")

    @tool.before_request
    async def guard() -> Any:
        return ("no", 403) if refuses(request.path) else None

    async def page() -> str:
        return "page"

    async def staff() -> str:
        return REACHED

    tool.add_url_rule("/launch", "page", page)
    tool.add_url_rule("/staff", "staff", staff)
    return tool


def microdot() -> Any:
    from microdot.asgi import Microdot

    tool = Microdot()

    @tool.before_request
    async def guard(request: Any) -> Any:
        return ("no", 403) if refuses(request.path) else None

    @tool.get("/launch")
    async def page(request: Any) -> str:
        return "page"

    @tool.get("/staff")
    async def staff(request: Any) -> str:
        return REACHED

    return tool


def flask_by_a2wsgi() -> Any:
    from a2wsgi import WSGIMiddleware

    return WSGIMiddleware(flask())


def fastapi_beside_django() -> Any:
    """Something other than the path chooses; the names in its closure stand in this order."""
    apart, here = django_asgi(), fastapi()

    async def choose(scope: Any, receive: Any, send: Any) -> None:
        headers = dict(scope["headers"])
        await (apart if b"x-django" in headers else here)(scope, receive, send)

    return choose


def datasette() -> Any:
    """A database ``staff`` with a table ``page``."""
    from datasette.app import Datasette

    tool = Datasette(memory=True)
    tool.add_memory_database("staff")
    return tool.app()


def bare_asgi() -> Any:
    """An app of no framework, behind a middleware of no framework."""

    async def tool(scope: Any, receive: Any, send: Any) -> None:
        text = {"/launch": "page", "/staff": REACHED}.get(scope["path"], "none")
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": text.encode()})

    async def guard(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http" and refuses(scope["path"]):
            await send({"type": "http.response.start", "status": 403, "headers": []})
            await send({"type": "http.response.body", "body": b"no"})
        elif scope["type"] == "http":
            await tool(scope, receive, send)

    return guard


WSGI = (
    "flask",
    "bottle",
    "pyramid",
    "falcon",
    "rest_framework",
    "django_in_a_function",
    "django_in_sentry",
    "django_in_opentelemetry",
    "django_in_a_dispatcher",
)
ASGI = (
    "starlette",
    "fastapi",
    "litestar",
    "falcon_asgi",
    "django_asgi",
    "quart",
    "microdot",
    "flask_by_a2wsgi",
    "django_by_a2wsgi",
    "django_by_asgiref",
    "fastapi_beside_django",
    "bare_asgi",
)


@lru_cache
def _wrapped(name: str, require: Any, root: str) -> Any:
    from ltiaas_middleware import asgi, wsgi

    tool = globals()[name](*[root] * bool(root))
    settings = {"require": require, "exclude": "/static"} if require else {}
    is_wsgi = name in (*WSGI, "traversal")
    return (wsgi if is_wsgi else asgi).LTIAASMiddleware(tool, **settings)


def _asked_for(header: str) -> Any:
    asked = json.loads(header)
    _GUARD.set(asked.pop("guard"))
    return _wrapped(**asked)


def wsgi(environ: Any, start_response: Any) -> Any:
    if "HTTP_X_TOOL" in environ:
        return _asked_for(environ["HTTP_X_TOOL"])(environ, start_response)
    start_response("200 OK", [])
    return [b"up"]


async def asgi(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        return
    header = dict(scope["headers"]).get(b"x-tool")
    if header is None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"up"})
    else:
        await _asked_for(header.decode())(scope, receive, send)
