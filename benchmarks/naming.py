"""The shortest pages that name a user and a course, in three frameworks: by a launch, by the
framework's own session, and, to compare with, by nobody.

Each tool has ``/nobody``, ``/session``, ``/launch`` and ``/sign-in``, which begins a session.
Row 3 runs them in servers of their own, with ``LTIAAS_URL`` and ``LTIAAS_API_KEY`` in the
environment, and row 8 in process.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import django
import flask
from django.conf import settings as django_settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse
from django.test import override_settings
from django.urls import path
from starlette.applications import Starlette
from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from ltiaas_middleware import asgi, current_launch, wsgi

_USER = {"name": "Ada Lovelace", "course": "Analytical engines"}
#: What the pages say.
NOBODY = "hello"
NAMED = "hello Ada Lovelace in Analytical engines"
_KEY = "a key of the benchmarks"


def _by(who: Mapping[str, Any]) -> str:
    return f"hello {who['name']} in {who['course']}"


def _by_launch() -> str:
    launch = current_launch()
    assert launch is not None
    id_token = launch.id_token
    context = id_token.launch.context
    assert context is not None
    return f"hello {id_token.user.name} in {context.title}"


def flask_tool() -> flask.Flask:
    """Flask, with its signed cookie."""
    app = flask.Flask(__name__)
    app.secret_key = _KEY
    app.add_url_rule("/nobody", "nobody", lambda: NOBODY)
    app.add_url_rule("/session", "session", lambda: _by(flask.session))
    app.add_url_rule("/launch", "launch", _by_launch)

    @app.get("/sign-in")
    def sign_in() -> str:
        flask.session.update(_USER)
        return ""

    return app


def starlette_tool(*, sessions: bool) -> Starlette:
    """Starlette, with ``SessionMiddleware`` around it or without."""

    async def nobody(request: Request) -> PlainTextResponse:
        return PlainTextResponse(NOBODY)

    async def session(request: Request) -> PlainTextResponse:
        return PlainTextResponse(_by(request.session))

    async def launch(request: Request) -> PlainTextResponse:
        return PlainTextResponse(_by_launch())

    async def sign_in(request: Request) -> PlainTextResponse:
        request.session.update(_USER)
        return PlainTextResponse("")

    views = {"/nobody": nobody, "/session": session, "/launch": launch, "/sign-in": sign_in}
    app = Starlette(routes=[Route(where, view) for where, view in views.items()])
    if sessions:
        app.add_middleware(SessionMiddleware, secret_key=_KEY)
    return app


def _nobody(request: HttpRequest) -> HttpResponse:
    return HttpResponse(NOBODY)


def _session(request: HttpRequest) -> HttpResponse:
    return HttpResponse(_by(request.session))


def _launch(request: HttpRequest) -> HttpResponse:
    return HttpResponse(_by_launch())


def _sign_in(request: HttpRequest) -> HttpResponse:
    request.session.update(_USER)
    return HttpResponse("")


urlpatterns = [
    path("nobody", _nobody),
    path("session", _session),
    path("launch", _launch),
    path("sign-in", _sign_in),
]


def django_tool(*, sessions: bool) -> Any:
    """Django, with sessions in local memory or without."""
    middleware = ["django.contrib.sessions.middleware.SessionMiddleware"] if sessions else []
    if not django_settings.configured:
        django_settings.configure(
            SECRET_KEY=_KEY,
            ROOT_URLCONF=__name__,
            ALLOWED_HOSTS=["*"],
            SESSION_ENGINE="django.contrib.sessions.backends.cache",
            CACHES={"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}},
        )
        django.setup()
    # Read once, when the handler is made.
    with override_settings(MIDDLEWARE=middleware):
        return get_wsgi_application()


if "LTIAAS_URL" in os.environ:
    # Asked for by the server's command line, each by its name, in a process of its own.
    _MADE = {
        "flask_nobody": flask_tool,
        "flask_session": flask_tool,
        "flask_launch": lambda: wsgi.LTIAASMiddleware(flask_tool().wsgi_app),
        "django_nobody": lambda: django_tool(sessions=False),
        "django_session": lambda: django_tool(sessions=True),
        "django_launch": lambda: wsgi.LTIAASMiddleware(django_tool(sessions=False)),
        "starlette_nobody": lambda: starlette_tool(sessions=False),
        "starlette_session": lambda: starlette_tool(sessions=True),
        "starlette_launch": lambda: asgi.LTIAASMiddleware(starlette_tool(sessions=False)),
    }

    def __getattr__(name: str) -> Any:
        if name not in _MADE:
            raise AttributeError(name)
        return _MADE[name]()
