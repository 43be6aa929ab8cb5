# python examples/wsgi_app.py 8000
"""An LTI tool in plain WSGI, without a framework, on Werkzeug's development server.

Start a local LTIAAS first, and set the two variables that it prints:

    python -m ltiaas_middleware sandbox --tool http://127.0.0.1:8000/launch
"""

import sys
from html import escape

from werkzeug.serving import run_simple

from ltiaas_middleware import Score, require_launch
from ltiaas_middleware.wsgi import LTIAASMiddleware

# SCRIPT_NAME is the app's mount point, including the launch: prepend it to every path, so that
# links stay inside the launch.
PAGE = """<!doctype html>
<title>{activity}</title>
<h1>Hello {name}</h1>
<p>{course}: {activity}</p>
<p><a href="{root}/roster">Who else is in this course</a></p>
<form method="post" action="{root}/finish"><button>Finish</button></form>
"""
ROSTER = """<!doctype html>
<title>Roster</title>
<ul>{members}</ul>
<p><a href="{root}/launch">Back</a></p>
"""


def tool(environ, start_response):
    answers = {("GET", "/launch"): start, ("GET", "/roster"): roster, ("POST", "/finish"): finish}
    answer = answers.get((environ["REQUEST_METHOD"], environ["PATH_INFO"]), not_found)
    status, headers, body = answer(environ["SCRIPT_NAME"])
    start_response(status, [("Content-Type", "text/html; charset=utf-8"), *headers])
    return [body.encode()]


def start(root):
    token = require_launch().id_token  # Without a launch, the middleware responds with 401.
    context, activity = token.launch.context, token.launch.resource_link
    body = PAGE.format(
        name=escape(token.user.name or "there"),
        course=escape((context and context.title) or "No course"),
        activity=escape((activity and activity.title) or "No activity"),
        root=escape(root),
    )
    return "200 OK", [], body


def roster(root):
    launch = require_launch()
    if not launch.has_role("Instructor"):
        return "403 Forbidden", [], "Only teachers see the roster."
    names = (member.name or member.user_id for member in launch.api.members())
    items = "".join(f"<li>{escape(name)}</li>" for name in names)
    return "200 OK", [], ROSTER.format(members=items, root=escape(root))


def finish(root):
    launch = require_launch()
    column = launch.id_token.services.assignment_and_grades.line_item_id
    if column is None or not launch.has_role("Learner"):
        return "409 Conflict", [], "There is no grade to hand in here."
    # Your tool decides the score.
    score = Score(user_id=launch.user_id, score_given=8, score_maximum=10)
    launch.api.submit_score(column, score)
    return "303 See Other", [("Location", f"{root}/launch")], ""


def not_found(root):
    return "404 Not Found", [], "There is no such page."


app = LTIAASMiddleware(tool)  # Settings come from LTIAAS_URL and LTIAAS_API_KEY.

if __name__ == "__main__":
    # Not wsgiref: it logs every URL, including the ltik, where no logging filter can reach it.
    run_simple("127.0.0.1", int(sys.argv[1]), app, threaded=True)
