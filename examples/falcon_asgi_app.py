# uvicorn examples.falcon_asgi_app:app --port 8000 --workers 2
"""An LTI tool in Falcon, on ASGI, with httpx2 (``pip install ltiaas-middleware[async]``).

Start a local LTIAAS first, and set the two variables that it prints:

    python -m ltiaas_middleware sandbox --tool http://127.0.0.1:8000/launch
"""

from html import escape

import falcon
import falcon.asgi

from ltiaas_middleware import Score, require_launch
from ltiaas_middleware.asgi import LTIAASMiddleware

# Falcon cannot build URLs by name. req.prefix is the app's mount point, including the launch:
# prepend it to every path, so that links stay inside the launch.
PAGE = """<!doctype html>
<title>{activity}</title>
<h1>Hello {name}</h1>
<p>{course}: {activity}</p>
<p><a href="{prefix}/roster">Who else is in this course</a></p>
<form method="post" action="{prefix}/finish"><button>Finish</button></form>
"""
ROSTER = """<!doctype html>
<title>Roster</title>
<ul>{members}</ul>
<p><a href="{prefix}/launch">Back</a></p>
"""


class Start:
    async def on_get(self, req, resp):
        token = require_launch().id_token
        context, activity = token.launch.context, token.launch.resource_link
        resp.content_type = falcon.MEDIA_HTML
        resp.text = PAGE.format(
            name=escape(token.user.name or "there"),
            course=escape((context and context.title) or "No course"),
            activity=escape((activity and activity.title) or "No activity"),
            prefix=escape(req.prefix),
        )


class Roster:
    async def on_get(self, req, resp):
        # In falcon.sync_to_async, there is no current launch, because Falcon starts those threads
        # without a context. Pass the launch, or use asyncio.to_thread.
        launch = require_launch()
        if not launch.has_role("Instructor"):
            raise falcon.HTTPForbidden
        # Page by page, over connections that all launches share.
        names = [member.name or member.user_id async for member in launch.async_api.members()]
        items = "".join(f"<li>{escape(name)}</li>" for name in names)
        resp.content_type = falcon.MEDIA_HTML
        resp.text = ROSTER.format(members=items, prefix=escape(req.prefix))


class Finish:
    async def on_post(self, req, resp):
        launch = require_launch()
        column = launch.id_token.services.assignment_and_grades.line_item_id
        if column is None or not launch.has_role("Learner"):
            raise falcon.HTTPConflict(title="There is no grade to hand in here.")
        # Your tool decides the score.
        score = Score(user_id=launch.user_id, score_given=8, score_maximum=10)
        await launch.async_api.submit_score(column, score)
        raise falcon.HTTPSeeOther(f"{req.prefix}/launch")


tool = falcon.asgi.App()
tool.add_route("/launch", Start())
tool.add_route("/roster", Roster())
tool.add_route("/finish", Finish())

# Settings come from LTIAAS_URL and LTIAAS_API_KEY.
app = LTIAASMiddleware(tool)
