"""htmx from a static file, with absolute paths: a form, and pages with ``hx-push-url``."""

from __future__ import annotations

import os
from pathlib import Path

import django_htmx
from flask import Flask, redirect, request, send_file
from markupsafe import escape

from ltiaas_middleware import current_launch
from ltiaas_middleware.wsgi import LTIAASMiddleware

# The package brings htmx's own files, of versions 2 and 4.
HTMX = next(Path(django_htmx.__file__).parent.rglob(f"htmx-{os.environ['HTMX']}.min.js"))

app = Flask(__name__)
PAGE = """<!doctype html>
<html lang="en"><head><title>htmx</title><link rel="icon" href="data:,">
<script src="/static/htmx.min.js"></script></head>
<body><main>{main}</main></body></html>
"""
MAIN = """<h1 id="shown">Page {number} of {name}</h1>
<form hx-post="/notes" hx-target="#said"><input id="note" name="note">
<button id="save">Save</button></form><p id="said"></p>
<a id="next" href="/page/{next}" hx-get="/page/{next}" hx-target="main"
hx-push-url="true">Next</a>
"""


def user() -> str:
    launch = current_launch()
    return (launch.id_token.user.name if launch else None) or "nobody"


@app.get("/static/htmx.min.js")
def script():
    return send_file(HTMX)


@app.get("/launch")
def launch():
    return redirect("/page/1")


@app.get("/page/<int:number>")
def page(number: int) -> str:
    main = MAIN.format(number=number, next=number + 1, name=user())
    whole = "HX-Request" not in request.headers or "HX-History-Restore-Request" in request.headers
    return PAGE.format(main=main) if whole else main


@app.post("/notes")
def notes() -> str:
    return f"{user()} saved {escape(request.form['note'])}"


app.wsgi_app = LTIAASMiddleware(app.wsgi_app)
