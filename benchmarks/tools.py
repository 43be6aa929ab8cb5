"""Two realistic tools for row 3, each bare and wrapped: a page of a course, from a template.

Both are run in servers of their own, with ``LTIAAS_URL`` and ``LTIAAS_API_KEY`` in the environment.
"""

from __future__ import annotations

import os
from typing import Any

import flask
import jinja2
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.routing import Route

from ltiaas_middleware import asgi, current_launch, wsgi

_PAGE = """<!doctype html>
<title>{{ course }}</title>
<p>launch: {{ launch.id if launch else "none" }}</p>
<nav><a href="{{ home }}">Course</a></nav>
<table>
{% for student in students %}
<tr><td>{{ student.name }}</td><td>{{ student.email }}</td><td>{{ student.score }}</td></tr>
{% endfor %}
</table>
"""
_STUDENTS = [
    {"name": f"Student {number}", "email": f"s{number}@lms.example", "score": number % 11}
    for number in range(40)
]
_template = jinja2.Environment(autoescape=True).from_string(_PAGE)


def _page(home: Any) -> str:
    return _template.render(
        course="Analytical engines", launch=current_launch(), students=_STUDENTS, home=home
    )


def _flask() -> flask.Flask:
    app = flask.Flask(__name__)

    @app.get("/course")
    def course() -> str:
        return _page(flask.url_for("course"))

    return app


def _starlette() -> Starlette:
    async def course(request: Request) -> HTMLResponse:
        return HTMLResponse(_page(request.url_for("course")))

    return Starlette(routes=[Route("/course", course)])


bare_wsgi, bare_asgi = _flask(), _starlette()
if "LTIAAS_URL" in os.environ:
    wrapped_wsgi = _flask()
    wrapped_wsgi.wsgi_app = wsgi.LTIAASMiddleware(wrapped_wsgi.wsgi_app)  # type: ignore[method-assign]
    wrapped_asgi = asgi.LTIAASMiddleware(_starlette())
