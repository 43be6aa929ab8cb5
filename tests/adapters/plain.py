"""The smallest apps, wrapped, in a process whose logging is the server's alone."""

from __future__ import annotations

import os
from typing import Any

from ltiaas_middleware import asgi, wsgi


def _wsgi(environ: Any, start_response: Any) -> Any:
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "5")])
    return [b"hello"]


async def _asgi(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        while (await receive())["type"] != "lifespan.shutdown":
            await send({"type": "lifespan.startup.complete"})
        await send({"type": "lifespan.shutdown.complete"})
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"hello"})


# As names of the module, because hypercorn looks nowhere else. A test may import it without.
if "LTIAAS_URL" in os.environ:
    wsgi_app = wsgi.LTIAASMiddleware(_wsgi)
    asgi_app = asgi.LTIAASMiddleware(_asgi)
