"""A content picker: a teacher opens the tool from the LMS's editor and picks what goes in.

    LTIAAS_URL=… LTIAAS_API_KEY=… flask --app deep_linking run

A deep-linking launch arrives as any other does. What the teacher picks goes back through the
browser, as a form that submits itself; LTIAAS signs what is in it.
"""

from __future__ import annotations

from flask import Flask, render_template_string, request

from ltiaas_middleware import (
    ApiError,
    ContentItem,
    ItemColumn,
    LaunchExpired,
    require_launch,
)
from ltiaas_middleware.wsgi import LTIAASMiddleware

SHELF = {
    "cells": "The cell: ten questions",
    "microscope": "A microscope in the browser",
    "plants": "What plants do at night",
}

PICKER = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Pick content</title>
<h1>What goes into your course?</h1>
<form method="post" action="{{ url_for('hand_back') }}">
{% for id, title in shelf.items() %}
<p><label><input type="{{ 'checkbox' if many else 'radio' }}" name="pick" value="{{ id }}">
{{ title }}</label></p>
{% endfor %}
<button>Add to the course</button>
</form></html>"""

app = Flask(__name__)


@app.get("/deep-linking")
def pick() -> str | tuple[str, int]:
    """The picker."""
    settings = require_launch().api.deep_linking_settings()
    if not settings.available:
        return "Open this from the content editor of your course.", 403
    # What an LMS does not mention is allowed (LTI Deep Linking 2.0 section 4.4.1.4).
    many = settings.accept_multiple is not False
    return render_template_string(PICKER, shelf=SHELF, many=many)


@app.post("/deep-linking/picked")
def hand_back() -> str | tuple[str, int]:
    """Send the picked content to the LMS."""
    launch = require_launch()
    picked = [id for id in request.form.getlist("pick") if id in SHELF]
    items = [
        ContentItem(
            # A launch of this URL comes back to the tool with ?resource=… (wire.md).
            url=launch.launch_url(resource=id),
            title=SHELF[id],
            custom={"resource": id},
            line_item=ItemColumn(score_maximum=10, resource_id=id),
        )
        for id in picked
    ]
    try:
        return launch.api.deep_linking_form(items, message=f"{len(items)} added.")
    except LaunchExpired:
        return "This page is too old. Open it again from your course.", 401
    except ApiError as error:
        # Not the error's text, which may contain personal data from the LMS.
        app.logger.warning("deep linking failed: %s", error.summary)
        return "Your LMS could not be told. Try again in a moment.", 502


@app.get("/launch")
def launch() -> str:
    """What a student sees: the content that the teacher picked."""
    return SHELF.get(request.args.get("resource", ""), "There is nothing here yet.")


app.wsgi_app = LTIAASMiddleware(app.wsgi_app)  # type: ignore[method-assign]
