# uvicorn examples.fastapi_app:app --port 5000 --workers 2
"""An LTI tool in FastAPI, with httpx (``pip install ltiaas-middleware[async]``).

Start a local LTIAAS first, and give the tool the two variables that it prints:

    python -m ltiaas_middleware sandbox --tool http://127.0.0.1:5000/launch
"""

from html import escape
from typing import Annotated

import httpx
from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.responses import HTMLResponse, RedirectResponse

from ltiaas_middleware import Launch, require_launch
from ltiaas_middleware.asgi import LTIAASMiddleware

app = FastAPI()
# Settings come from LTIAAS_URL and LTIAAS_API_KEY. Added like this it answers LaunchRequired with
# 401; around the app, LTIAASMiddleware(app), it comes too late: FastAPI would have answered 500.
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
    async with httpx.AsyncClient(auth=launch.credential, timeout=10) as client:
        reply = await client.get(launch.url_for("memberships"))
    reply.raise_for_status()
    names = (member.get("name") or member["userId"] for member in reply.json()["members"])
    return ROSTER.format(
        members="".join(f"<li>{escape(str(name))}</li>" for name in names),
        start=escape(str(request.url_for("start"))),
    )


@app.post("/finish")
async def finish(request: Request, launch: TheLaunch) -> RedirectResponse:
    column = launch.id_token.services.assignment_and_grades.line_item_id
    if column is None:
        raise HTTPException(409, "The course keeps no grades for this activity.")
    score = {
        "userId": launch.user_id,
        "scoreGiven": 8,  # Yours to work out.
        "scoreMaximum": 10,
        "activityProgress": "Completed",
        "gradingProgress": "FullyGraded",
    }
    async with httpx.AsyncClient(auth=launch.credential, timeout=10) as client:
        reply = await client.post(launch.url_for("lineitems", column, "scores"), json=score)
    reply.raise_for_status()
    return RedirectResponse(request.url_for("start"), 303)
