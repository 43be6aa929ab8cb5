#!/usr/bin/env python3
"""The pre-approval page of dynamic registration: an LMS asks to register, and the tool decides.

    LTIAAS_URL=… LTIAAS_API_KEY=… TOOL_KNOWS="https://moodle.school.example" \\
        flask --app registration run

The LMS's administrator enters ``https://your.ltiaas.com/lti/register`` in the LMS. LTIAAS sends the
browser here, inside the LMS's registration frame, with ``?registrationId=…``. Set this page's URL
as the pre-approval URL in LTIAAS's portal. If ``TOOL_KNOWS`` (a list of issuers, separated by
spaces) names the LMS, its registration is active at once. Any other LMS works after somebody has
activated its registration.
"""

from __future__ import annotations

import os

from flask import Flask, render_template_string, request

from ltiaas_middleware import ApiError, ApiKeyCredential, ApiSession, Settings
from ltiaas_middleware.wsgi import LTIAASMiddleware

PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Connect your LMS</title>
<h1>Connect {{ lms.url }}</h1>
<p>Product: {{ lms.family_code or "unknown" }} {{ lms.version or "" }}</p>
<ul>{% for message in lms.supported_messages %}<li>{{ message.type }}</li>{% endfor %}</ul>
<form method="post" action="{{ url_for('approve', registrationId=id) }}">
<p><label>Name of your institution <input name="name" required maxlength="100"></label></p>
<button>Connect</button>
</form></html>"""

DONE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Connected</title>
<h1>{{ "Connected" if active else "Almost connected" }}</h1>
<p>{{ "You can close this window." if active else "We will activate it and tell you." }}</p>
{{ html|safe }}</html>"""

app = Flask(__name__)
settings = Settings.from_env()
# All requests share these connections. The API key never leaves this process.
account = ApiSession(ApiKeyCredential(settings.url, settings.api_key))
known = os.environ.get("TOOL_KNOWS", "").split()


@app.get("/register")
def ask() -> str:
    """Show which LMS wants to register."""
    id = request.args["registrationId"]
    return render_template_string(PAGE, id=id, lms=account.registration(id))


@app.post("/register")
def approve() -> str:
    """Approve the LMS. LTIAAS's HTML goes into the page unchanged: it tells the LMS to close its
    registration frame."""
    id = request.args["registrationId"]
    active = account.registration(id).url in known
    done = account.complete_registration(
        id, platform_name=request.form["name"], auto_activate=active
    )
    app.logger.info("%s is registered as platform %s", request.form["name"], done.platform_id)
    return render_template_string(DONE, html=done.html, active=active)


@app.errorhandler(ApiError)
def failed(error: ApiError) -> tuple[str, int]:
    """A registration can be completed only once, and expires after a while."""
    app.logger.warning("registration failed: %s", error)
    if error.temporary:
        return "Connecting failed. Reload this page in a moment.", 503
    return "This registration is over. Start it again in your LMS.", 410


@app.get("/launch")
def launch() -> str:
    """The tool itself."""
    return "Hello from a connected LMS."


app.wsgi_app = LTIAASMiddleware(app.wsgi_app, settings=settings)  # type: ignore[method-assign]
