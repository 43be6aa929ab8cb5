"""The shortest pages of Django's that name a user and a course: by a launch, by Django's own
session, and, to compare with, by nobody; and ``/sign-in``, which begins a session."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import django
from django.conf import settings as django_settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse
from django.test import override_settings
from django.urls import path

from ltiaas_middleware import current_launch

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
