# flask --app examples/flask_app.py run --port 8000
"""An LTI tool in Flask.

Start a local LTIAAS first, and set the two variables that it prints:

    python -m ltiaas_middleware sandbox --tool http://127.0.0.1:8000/launch
"""

from flask import Flask, abort, redirect, render_template_string, url_for

from ltiaas_middleware import Score, require_launch
from ltiaas_middleware.wsgi import LTIAASMiddleware

app = Flask(__name__)
# Settings come from LTIAAS_URL and LTIAAS_API_KEY. Behind a proxy, put Werkzeug's ProxyFix around
# this, so that cookies and redirects match the URL that the browser uses.
app.wsgi_app = LTIAASMiddleware(app.wsgi_app)

PAGE = """<!doctype html>
<title>{{ token.launch.resource_link.title }}</title>
<h1>Hello {{ token.user.name or "there" }}</h1>
<p>{{ token.launch.context.title }}: {{ token.launch.resource_link.title }}</p>
<p><a href="{{ url_for('roster') }}">Who else is in this course</a></p>
<form method="post" action="{{ url_for('finish') }}"><button>Finish</button></form>
"""
ROSTER = """<!doctype html>
<title>Roster</title>
<ul>{% for member in members %}<li>{{ member.name or member.user_id }}</li>{% endfor %}</ul>
<p><a href="{{ url_for('launch') }}">Back</a></p>
"""


@app.get("/launch")
def launch():
    # Without a launch, the middleware responds with 401.
    return render_template_string(PAGE, token=require_launch().id_token)


@app.get("/roster")
def roster():
    launch = require_launch()
    if not launch.has_role("Instructor"):
        abort(403)
    return render_template_string(ROSTER, members=launch.api.members())


@app.post("/finish")
def finish():
    launch = require_launch()
    column = launch.id_token.services.assignment_and_grades.line_item_id
    if column is None or not launch.has_role("Learner"):
        abort(409, "There is no grade to hand in here.")
    # Your tool decides the score.
    score = Score(user_id=launch.user_id, score_given=8, score_maximum=10)
    launch.api.submit_score(column, score)
    # url_for stays inside the launch, and so does the redirect.
    return redirect(url_for("launch"), 303)
