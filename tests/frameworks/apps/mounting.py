"""Puts a tool at the root and, at the same time, at `MOUNT`."""

from __future__ import annotations

from typing import Any

from starlette.applications import Starlette
from starlette.routing import Mount
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.middleware.proxy_fix import ProxyFix

from ltiaas_middleware import current_launch

from .contract import MOUNT


def wsgi_site(app: Any) -> Any:
    """Mounted by Werkzeug's dispatcher, or by a proxy that says `X-Forwarded-Prefix`."""
    mounted = ProxyFix(DispatcherMiddleware(app, {MOUNT: app}), x_prefix=1)

    def site(environ: Any, start_response: Any) -> Any:
        # Out here, the request before on this thread must have left nothing.
        assert current_launch() is None
        return mounted(environ, start_response)

    return site


def asgi_site(app: Any) -> Any:
    """Mounted in a Starlette app of somebody else's, which has a name for it, and under `/plain`
    in one that has none.
    """
    named = Starlette(routes=[Mount(MOUNT, app=app, name="quiz")])
    unnamed = Starlette(routes=[Mount(f"/plain{MOUNT}", app=app)])

    async def site(scope: Any, receive: Any, send: Any) -> None:
        path = scope.get("path", "").removeprefix(scope.get("root_path", ""))
        if path.startswith(MOUNT):
            await named(scope, receive, send)
        elif path.startswith(f"/plain{MOUNT}"):
            await unnamed(scope, receive, send)
        else:
            await app(scope, receive, send)

    return site
