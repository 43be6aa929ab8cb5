"""The tool that the browsers see: a small Flask app that knows nothing of launch paths.

It builds its links with ``url_for``, as any app does. What it writes into its pages is what the
tests read: which launch a request belonged to, and what a script in the page can find out.
"""

from __future__ import annotations

from datetime import datetime, timezone

import requests
from flask import Flask, Response, redirect, render_template_string, request, url_for

from ltiaas_middleware import current_launch, require_launch

_PAGE = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>{{ heading }}</title><link rel="icon" href="data:,"></head>
<body>
<h1>{{ heading }}</h1>
<p>Launch <code id="launch">{{ launch.id }}</code>: {{ launch.id_token.user.name }} in
<b id="activity">{{ launch.id_token.launch.resource_link.id }}</b></p>
<p><a id="one" href="{{ url_for('one') }}">One</a> <a id="two" href="{{ url_for('two') }}">Two</a>
<a id="three" href="{{ url_for('three', page='a b', of='3') }}">Three</a>
<a id="one-time-link" target="_blank"
href="{{ launch.one_time_url('/two') }}">Leave the frame</a></p>
<form method="post" action="{{ url_for('score') }}">
<input name="points" value="{{ points }}"><button id="save">Save</button></form>
<button id="leave" data-from="{{ url_for('leave') }}">Leave by script</button>
<button id="fetch" data-to="{{ url_for('score') }}">Save by script</button>
<a id="blank" target="_blank" href="{{ url_for('two') }}#part">Two in a tab</a>
<a id="quiet" target="_blank" rel="noreferrer" href="{{ url_for('two') }}">Two, quietly</a>
<a id="away" target="_blank" href="{{ elsewhere }}/away">Away</a>
<img alt="" src="{{ elsewhere }}/pixel">
<script>
document.querySelector("#fetch").addEventListener("click", async () => {
  const body = new URLSearchParams(new FormData(document.querySelector("form")));
  const answer = await fetch(document.querySelector("#fetch").dataset.to, {method: "POST", body});
  document.querySelector("h1").textContent = answer.ok ? "Saved by script" : answer.status;
});
document.querySelector("#leave").addEventListener("click", async event => {
  const from = event.target.dataset.from, tab = window.open("", "_blank");
  tab.location = await (await fetch(from)).text();
});
</script>
</body>
</html>
"""


def make_app(elsewhere: str, ca_file: str, *, new_tabs: bool = False) -> Flask:
    """The tool.

    Args:
        elsewhere: a site that its pages take an image from: it must not learn where from.
        ca_file: that LTIAAS's certificate is checked with.
        new_tabs: whether its pages have the script, under a strict policy.
    """
    app = Flask(__name__)
    changes: list[str] = []
    #: Everything that was ever changed, for tests that say nothing was.
    app.config["changes"] = changes

    def page(heading: str) -> str:
        launch = require_launch()
        link = launch.id_token.launch.resource_link
        points = 7 if link is not None and link.id == "quiz-1" else 42
        return render_template_string(
            _PAGE,
            heading=heading,
            launch=launch,
            points=points,
            elsewhere=elsewhere,
            new_tabs=new_tabs,
        )

    @app.after_request
    def with_policy(response: Response) -> Response:
        if new_tabs:
            response.headers["Content-Security-Policy"] = "default-src 'self'; img-src *"
        return response

    @app.get("/launch")
    def launch() -> str:
        return page("Launched")

    @app.get("/one")
    def one() -> str:
        return page("One")

    @app.get("/two")
    def two() -> str:
        return page("Two")

    @app.get("/three")
    def three() -> str:
        return page(f"Three {request.args['page']} {request.args['of']}")

    @app.get("/saved")
    def saved() -> str:
        return page("Saved")

    @app.get("/leave")
    def leave() -> str:
        return require_launch().one_time_url("/two")

    @app.post("/score")
    def score() -> Response:
        current = current_launch()
        if current is None:
            return Response("no launch", 401)
        changes.append(current.id)
        services = current.id_token.services.assignment_and_grades
        answer = requests.post(
            current.api_url("lineitems", services.line_item_id, "scores"),
            auth=current.credential,
            json={
                "userId": current.id_token.user.id,
                "scoreGiven": float(request.form["points"]),
                "scoreMaximum": 100,
                "activityProgress": "Completed",
                "gradingProgress": "FullyGraded",
                "timestamp": datetime.now(timezone.utc).isoformat(),
            },
            verify=ca_file,
            timeout=10,
        )
        answer.raise_for_status()
        return redirect(url_for("saved"), 303)

    return app
