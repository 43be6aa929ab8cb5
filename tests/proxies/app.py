"""The tool behind the proxies: its page names the user, and says nothing about caching."""

from __future__ import annotations

from flask import Flask, request
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from werkzeug.middleware.proxy_fix import ProxyFix

from ltiaas_middleware import asgi, current_launch, require_launch
from ltiaas_middleware.wsgi import LTIAASMiddleware

app = Flask(__name__)


@app.route("/launch")
@app.route("/admin")
def page() -> str:
    launch = current_launch()
    return f"{request.path} for {launch.id_token.user.name if launch else 'nobody'}"


@app.route("/public")
def public() -> tuple[str, dict[str, str]]:
    return "the same for all", {"Cache-Control": "public, max-age=60"}


app.wsgi_app = LTIAASMiddleware(app.wsgi_app)  # type: ignore[method-assign]
told_prefix = ProxyFix(app.wsgi_app, x_prefix=1)


async def page_in_asgi(request: Request) -> PlainTextResponse:
    return PlainTextResponse(f"{request.url.path} for {require_launch().id_token.user.name}")


asgi_app = Starlette(routes=[Route("/launch", page_in_asgi)])
asgi_app.add_middleware(asgi.LTIAASMiddleware)
