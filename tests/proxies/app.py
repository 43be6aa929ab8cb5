"""The tool behind the proxies: its page names the user, and says nothing about caching."""

from __future__ import annotations

from flask import Flask, request

from ltiaas_middleware import current_launch
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
