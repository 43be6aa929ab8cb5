# uvicorn examples.fastapi_app:app --port 8000 --workers 2
"""An LTI tool in FastAPI, with httpx2 (``pip install ltiaas-middleware[async]``).

Start a local LTIAAS first, and set the two variables that it prints:

    python -m ltiaas_middleware sandbox --tool http://127.0.0.1:8000/launch
"""

from html import escape
from typing import Annotated

from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.responses import HTMLResponse, RedirectResponse

from ltiaas_middleware import Launch, Score, require_launch
from ltiaas_middleware.asgi import LTIAASMiddleware

app = FastAPI()
# Settings come from LTIAAS_URL and LTIAAS_API_KEY.
app.add_middleware(LTIAASMiddleware)

PAGE = """<!doctype html>
<title>{activity}</title>
<h1>Hello {name}</h1>
<p>{course}: {activity}</p>
<p><a href="{roster}">Who else is in this course</a></p>
<form method="post" action="{finish}"><button>Finish</button></form>
"""
ROSTER = """<!doctype html>
<title>Roster</title>
<ul>{members}</ul>
<p><a href="{start}">Back</a></p>
"""


async def the_launch() -> Launch:
    return require_launch()


TheLaunch = Annotated[Launch, Depends(the_launch)]


@app.get("/launch", response_class=HTMLResponse)
async def start(request: Request, launch: TheLaunch) -> str:
    token = launch.id_token
    context, activity = token.launch.context, token.launch.resource_link
    return PAGE.format(
        name=escape(token.user.name or "there"),
        course=escape((context and context.title) or "No course"),
        activity=escape((activity and activity.title) or "No activity"),
        # url_for stays inside the launch.
        roster=escape(str(request.url_for("roster"))),
        finish=escape(str(request.url_for("finish"))),
    )


@app.get("/roster", response_class=HTMLResponse)
async def roster(request: Request, launch: TheLaunch) -> str:
    if not launch.has_role("Instructor"):
        raise HTTPException(403)
    # Page by page, over connections that all launches share.
    names = [member.name or member.user_id async for member in launch.async_api.members()]
    return ROSTER.format(
        members="".join(f"<li>{escape(name)}</li>" for name in names),
        start=escape(str(request.url_for("start"))),
    )


@app.post("/finish")
async def finish(request: Request, launch: TheLaunch) -> RedirectResponse:
    column = launch.id_token.services.assignment_and_grades.line_item_id
    if column is None or not launch.has_role("Learner"):
        raise HTTPException(409, "There is no grade to hand in here.")
    # Your tool decides the score.
    score = Score(user_id=launch.user_id, score_given=8, score_maximum=10)
    await launch.async_api.submit_score(column, score)
    return RedirectResponse(request.url_for("start"), 303)
