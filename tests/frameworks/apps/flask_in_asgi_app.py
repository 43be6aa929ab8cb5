"""The Flask tool on an ASGI server: asgiref's adapter inside the ASGI middleware."""

from __future__ import annotations

from typing import Any

from asgiref.wsgi import WsgiToAsgi

from ltiaas_middleware import current_launch
from ltiaas_middleware.asgi import LTIAASMiddleware

from .flask_app import app as flask
from .mounting import asgi_site

# Without the WSGI middleware that it has by itself.
del flask.wsgi_app


def tool(environ: Any, start_response: Any) -> Any:
    # The adapter makes an environ of its own, in which the scope's launch does not stand; what the
    # tool's views compare with it is what they are to find without it.
    environ["ltiaas.launch"] = current_launch()
    return flask(environ, start_response)


app = LTIAASMiddleware(WsgiToAsgi(tool))
site = asgi_site(app)
