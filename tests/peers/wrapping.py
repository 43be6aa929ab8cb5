"""The pytest plugin that wraps the apps of somebody else's suite.

Environment: ``PEERS_NAME`` says whose; ``PEERS_MODE`` is ``bare``, ``wrapped``, ``launch`` or
``prefix``; ``PEERS_OUTCOMES`` is the file that gets each test's outcome, as JSON. It stands alone,
because such a suite has a package ``tests`` of its own.
"""

from __future__ import annotations

import functools
import importlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from werkzeug.test import Client

from ltiaas_middleware import Settings, asgi, wsgi
from ltiaas_middleware.sandbox import Sandbox, SandboxServer

MODE = os.environ["PEERS_MODE"]


class _EveryName(tuple[str, ...]):
    """``shared_cookies`` for a suite whose cookies may have any name."""

    def __contains__(self, name: object) -> bool:
        return True


class Launch:
    """One launch, and its path and cookie."""

    def __init__(self) -> None:
        self._server = SandboxServer(Sandbox()).start()
        # The app's answers and cookies are left alone: a suite's client, which takes itself to be
        # at the root, would send no cookie of a launch path back. What is done to them has tests
        # of its own.
        self.settings = Settings(
            url=self._server.url,
            api_key=self._server.sandbox.api_key,
            iframe_support=False,
            shared_cookies=("any",),
        )
        object.__setattr__(self.settings, "shared_cookies", _EveryName(["any"]))

        def nothing(environ: Any, start_response: Any) -> list[bytes]:
            start_response("200 OK", [])
            return []

        middleware = wsgi.LTIAASMiddleware(nothing, self.settings)
        navigation = {"Sec-Fetch-Mode": "navigate", "Accept": "text/html"}
        entered = Client(middleware).get(
            f"/?ltik={self._server.sandbox.issue()}",
            base_url="https://tool.example",
            headers=navigation,
        )
        middleware.close()
        assert entered.status_code == 303, entered.get_data(as_text=True)
        self.path = entered.headers["Location"].rstrip("/")
        self._cookie = entered.headers["Set-Cookie"].partition(";")[0]

    def cookie(self, scheme: str) -> str:
        """What the browser sends; by plain http it has another name."""
        return self._cookie if scheme in ("https", "wss") else self._cookie[len("__Secure-") :]


@functools.cache
def launch() -> Launch:
    return Launch()


def wrap_wsgi(app: Any) -> Any:
    """An app as the suite is to ask it."""
    inner = app if MODE == "prefix" else wsgi.LTIAASMiddleware(app, launch().settings)
    if MODE == "wrapped":
        return inner

    def asked(environ: Any, start_response: Any) -> Any:
        for name in ("REQUEST_URI", "RAW_URI"):
            if name in environ:
                environ[name] = launch().path + environ[name]
        if MODE == "prefix":
            environ["SCRIPT_NAME"] = environ.get("SCRIPT_NAME", "") + launch().path
        else:
            environ["PATH_INFO"] = launch().path + environ.get("PATH_INFO", "")
            cookies = [launch().cookie(environ["wsgi.url_scheme"]), environ.get("HTTP_COOKIE")]
            environ["HTTP_COOKIE"] = "; ".join(filter(None, cookies))
        return inner(environ, start_response)

    return asked


def wrap_asgi(app: Any, *, path_style: str) -> Any:
    """Likewise."""
    inner = app
    if MODE != "prefix":
        inner = asgi.LTIAASMiddleware(app, launch().settings, path_style=path_style)
    if MODE == "wrapped":
        return inner

    async def asked(scope: Any, receive: Any, send: Any) -> Any:
        if scope["type"] in ("http", "websocket"):
            root = scope.get("root_path", "")
            below = scope["path"].removeprefix(root)
            if MODE == "launch" or path_style != "below":
                scope["path"] = root + launch().path + below
                if scope.get("raw_path"):
                    raw = scope["raw_path"].removeprefix(root.encode())
                    scope["raw_path"] = (root + launch().path).encode() + raw
            if MODE == "prefix":
                scope["root_path"] = root + launch().path
            else:
                cookie = launch().cookie(scope.get("scheme", "http")).encode()
                theirs = [(name, value) for name, value in scope["headers"]]
                scope["headers"] = [(b"cookie", cookie), *theirs]
        return await inner(scope, receive, send)

    return asked


def _wrap_calls(owner: Any, wrap: Callable[[Any], Any]) -> None:
    """Have a class's apps wrapped wherever they are called."""
    original = owner.__call__
    wrapped: dict[int, tuple[Any, Any]] = {}

    def of(app: Any) -> Any:
        if id(app) not in wrapped:
            # Kept with the app, so that its id stays its own.
            wrapped[id(app)] = app, wrap(functools.partial(original, app))
        return wrapped[id(app)][1]

    if owner.__module__.startswith("falcon.asgi"):

        async def call(self: Any, scope: Any, receive: Any, send: Any) -> Any:
            return await of(self)(scope, receive, send)
    else:

        def call(self: Any, environ: Any, start_response: Any) -> Any:
            return of(self)(environ, start_response)

    owner.__call__ = functools.wraps(original)(call)


def _starlette() -> None:
    # Any ASGI app: theirs are functions and answers, too.
    transport = importlib.import_module("starlette.testclient")._TestClientTransport
    original = transport.__init__

    def init(self: Any, app: Any, *arguments: Any, **options: Any) -> None:
        original(self, wrap_asgi(app, path_style="bare"), *arguments, **options)

    transport.__init__ = init


def _flask() -> None:
    _wrap_calls(importlib.import_module("flask").Flask, wrap_wsgi)


def _falcon() -> None:
    _wrap_calls(importlib.import_module("falcon").App, wrap_wsgi)
    _wrap_calls(
        importlib.import_module("falcon.asgi").App,
        functools.partial(wrap_asgi, path_style="below"),
    )


_outcomes: dict[str, list[str]] = {}


def pytest_configure(config: pytest.Config) -> None:
    if MODE != "bare":
        launch()  # Not first in a test, whose event loop it would block.
        {"starlette": _starlette, "flask": _flask, "falcon": _falcon}[os.environ["PEERS_NAME"]]()


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.when == "call" or report.outcome != "passed":
        said = ""
        if report.outcome == "failed":
            said = getattr(report.longrepr, "reprcrash", None) or report.longrepr
        _outcomes[report.nodeid] = [report.outcome, str(said)]


def pytest_sessionfinish() -> None:
    Path(os.environ["PEERS_OUTCOMES"]).write_text(json.dumps(_outcomes))
