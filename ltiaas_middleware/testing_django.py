"""Django's test client, through the middleware: for tests that check ``response.context``, log in,
or run in a transaction."""

from __future__ import annotations

import os
from functools import cache
from http.cookies import SimpleCookie
from typing import TYPE_CHECKING, Any, ClassVar
from unittest.mock import patch
from urllib.parse import unquote_to_bytes, urljoin, urlsplit

from django.conf import settings as django_settings
from django.core.handlers.wsgi import WSGIRequest, get_script_name
from django.core.servers.basehttp import get_internal_wsgi_application
from django.http import HttpResponse
from django.http.response import ResponseHeaders
from django.test.client import Client, ClientHandler, FakePayload
from django.test.utils import override_script_prefix
from django.utils.module_loading import import_string

from ._middleware import Middleware
from ._path_styles import parts_of
from ._test_client import (
    FROM_ELSEWHERE,
    MOST,
    REDIRECTS,
    base_of,
    is_elsewhere,
    launched_url,
    marks_of,
    within,
)
from .testing import RunningSandbox, running_sandbox
from .wsgi import LTIAASMiddleware

if TYPE_CHECKING:
    from .sandbox import Sandbox, World

__all__ = ["DjangoClient"]

_ELSEWHERE = "ltiaas_middleware.is_elsewhere"


class DjangoClient(Client):
    """Django's test client, as a browser in an LMS's iframe. Requests have ``response.context``,
    run in the test's transaction, and go through the ``LTIAASMiddleware`` of ``WSGI_APPLICATION``
    (or ``ASGI_APPLICATION``), which reads its settings from the environment.

    ::

        class TestTheTool(TestCase):
            client_class = DjangoClient

            def test_a_score(self):
                self.client.launch("/launch", user="ben")
                self.client.post("/score", {"answer": "42"})
                self.assertEqual(self.client.sandbox.scores()["ben"]["scoreGiven"], 8)

    Attributes:
        sandbox: a new sandbox, which launches the app.
    """

    world: ClassVar[World | None] = None
    """The sandbox's LMSes, courses and people, for a subclass to set."""

    def __init__(self, enforce_csrf_checks: bool = False, **options: Any) -> None:
        super().__init__(enforce_csrf_checks=enforce_csrf_checks, **options)
        self.handler = _Handler(enforce_csrf_checks)
        self._running: RunningSandbox = running_sandbox(self.world)
        self._page: str | None = None
        self._base = ""

    @property
    def sandbox(self) -> Sandbox:
        return self._running.sandbox

    def launch(self, path: str = "/launch", **seat: Any) -> Any:
        """Launch the app as LTIAAS's redirect does, and follow the redirects.

        Args:
            path: the path of the app's launch URL; may have a query.
            seat: the arguments of ``Sandbox.issue``: ``user``, ``roles``, ``custom``, …
        """
        url = launched_url(path, self.sandbox.launch_url(self.sandbox.issue(**seat)))
        marks: Any = _cgi(FROM_ELSEWHERE)
        self._page, self._base = None, ""
        response = self.get(url, **marks)
        for _ in range(MOST):
            if response.status_code not in REDIRECTS:
                break
            url = urljoin(f"https://testserver{url}", response.headers["Location"])
            if self._page is None:
                self._page, self._base = url, base_of(url, path)
            response = self.get(url.removeprefix("https://testserver"), **marks)
        return response

    def generic(self, method: str, path: str, *args: Any, **extra: Any) -> Any:
        """Make a request. The client requests a path within the latest launch. It opens a full URL,
        such as the target of an OAuth provider's redirect, like a redirect from another site."""
        if is_elsewhere(self._base, path):
            extra |= {_ELSEWHERE: True, **_cgi(FROM_ELSEWHERE)}
        return super().generic(method, path, *args, **extra)

    def request(self, **request: Any) -> Any:
        """Make a request, as a page in the latest launch would."""
        is_own = not request.pop(_ELSEWHERE, False)
        body = request["wsgi.input"].read() if "wsgi.input" in request else b""
        marks = marks_of(
            self._page if is_own else None, is_fetch="json" in request.get("CONTENT_TYPE", "")
        )
        # Without it, as from Django's own client, REST framework answers with JSON.
        marks.pop("Accept", None)
        if is_own:
            request["PATH_INFO"] = within(self._base, request["PATH_INFO"])
        base = {"HTTP_HOST": "testserver", **_cgi(marks), **self.defaults}
        request = base | request | {"wsgi.url_scheme": "https", "SERVER_PORT": "443"}
        account = {"LTIAAS_URL": self._running.url, "LTIAAS_API_KEY": self._running.api_key}
        with patch.dict(os.environ, account):
            for _ in range(MOST):
                response = super().request(**request | {"wsgi.input": FakePayload(body)})
                if response.status_code not in (307, 308):
                    break
                to = urlsplit(response.headers["Location"])
                request["PATH_INFO"] = unquote_to_bytes(to.path).decode("latin-1")
                request["QUERY_STRING"] = to.query
        return response


def _cgi(headers: dict[str, str]) -> dict[str, str]:
    return {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in headers.items()}


class _Handler(ClientHandler):
    """Answers by the middleware around Django."""

    def __call__(self, environ: Any) -> Any:
        answered: list[Any] = []
        started: list[Any] = []

        def app(environ: Any, start_response: Any) -> list[bytes]:
            with override_script_prefix(get_script_name(environ)):
                response = super(_Handler, self).__call__(environ)
            answered.append(response)
            cookies = [("Set-Cookie", one.OutputString()) for one in response.cookies.values()]
            start_response(f"{response.status_code} -", [*response.items(), *cookies])
            return []

        def start_response(status: str, headers: Any, exc_info: Any = None) -> Any:
            started[:] = [int(status[:3]), headers]
            return lambda data: None

        around = _middleware()
        with patch.object(around, "app", app):
            body = b"".join(around(environ, start_response))
        status, headers = started
        if answered:
            (response,) = answered
        else:
            response = HttpResponse(body, status=status)
            # Redirects of Django's have it, and the client reads it to follow them.
            response.url = dict(headers).get("Location")  # type: ignore[attr-defined]
            response.wsgi_request = WSGIRequest(environ)
        response.headers = ResponseHeaders({})
        response.cookies = SimpleCookie()
        for name, value in headers:
            if name.lower() == "set-cookie":
                # http.cookies drops a cookie with an attribute that it does not know.
                response.cookies.load(value.replace("; Partitioned", ""))
            else:
                response.headers[name] = value
        return response


def _middleware() -> LTIAASMiddleware:
    """The project's, or one with the settings of the project's ASGI middleware."""
    project = get_internal_wsgi_application()
    if not any(isinstance(part, Middleware) for part in parts_of(project)):
        name = getattr(django_settings, "ASGI_APPLICATION", None)
        project = import_string(name) if name else project
    for part in parts_of(project):
        if isinstance(part, Middleware):
            return part if isinstance(part, LTIAASMiddleware) else _as_wsgi(part)
    raise AssertionError(
        "neither WSGI_APPLICATION nor ASGI_APPLICATION names an app wrapped in LTIAASMiddleware"
    )


@cache
def _as_wsgi(middleware: Middleware) -> LTIAASMiddleware:
    return LTIAASMiddleware(middleware.app, middleware.settings)
