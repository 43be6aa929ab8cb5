"""``uvicorn tests.tools.flashcards.app:app``"""

from __future__ import annotations

import os
from datetime import datetime, time, timezone
from pathlib import Path
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Form, HTTPException, Request
from fastapi.responses import HTMLResponse, JSONResponse
from fastapi.staticfiles import StaticFiles
from fastapi.templating import Jinja2Templates
from pydantic import BaseModel, Field

from ltiaas_middleware import (
    ApiError,
    ContentItem,
    ItemColumn,
    Launch,
    LmsError,
    Period,
    Score,
)
from ltiaas_middleware.asgi import LTIAASMiddleware, require_launch

from .storage import Storage

HERE = Path(__file__).parent
DECKS = {
    "cells": ("The cell", {"Where is DNA?": "nucleus", "What makes ATP?": "mitochondria"}),
    "plants": ("Plants", {"What gas do leaves take in?": "carbon dioxide"}),
}
TEACHERS = ("Instructor", "TeachingAssistant")
ADMINISTRATOR = "http://purl.imsglobal.org/vocab/lis/v2/institution/person#Administrator"

app = FastAPI()
app.mount("/static", StaticFiles(directory=HERE / "static"), name="static")
pages = Jinja2Templates(HERE / "templates")
storage = Storage(os.environ.get("DATABASE", ":memory:"))


async def teacher(launch: Annotated[Launch, Depends(require_launch)]) -> Launch:
    launch.require_role(*TEACHERS)
    return launch


async def learner(launch: Annotated[Launch, Depends(require_launch)]) -> Launch:
    launch.require_role("Learner")
    return launch


AnyLaunch = Annotated[Launch, Depends(require_launch)]
Teacher = Annotated[Launch, Depends(teacher)]
Learner = Annotated[Launch, Depends(learner)]


class Answers(BaseModel):
    """What a student's page sends."""

    answers: dict[str, str] = Field(max_length=100)


@app.exception_handler(ApiError)
async def failed(request: Request, error: ApiError) -> JSONResponse:
    """LTIAAS or the LMS refused something, or is away."""
    said = error.lms_message if isinstance(error, LmsError) else None
    status = 503 if error.temporary else 502
    return JSONResponse({"problem": said or "Your LMS did not take this."}, status)


@app.get("/")
async def index() -> dict[str, str]:
    return {"tool": "flashcards"}


@app.get("/launch")
async def home(request: Request, launch: AnyLaunch, deck: str = "cells") -> HTMLResponse:
    """The page for who launched; ``deck`` comes from the content item."""
    if deck not in DECKS:
        raise HTTPException(404, "There is no such deck.")
    title, cards = DECKS[deck]
    known = {"launch": launch, "deck": deck, "title": title}
    if launch.has_role(*TEACHERS):
        return pages.TemplateResponse(request, "results.html", known)
    if launch.has_role("Learner"):
        level = launch.id_token.launch.custom.get("level", "easy")
        return pages.TemplateResponse(
            request, "cards.html", known | {"cards": cards, "level": level}
        )
    if ADMINISTRATOR in launch.id_token.user.roles:
        counts = storage.counts(launch.global_user_id.platform_id)
        return pages.TemplateResponse(request, "admin.html", known | {"counts": counts})
    raise HTTPException(403, "This tool is for teachers, students and administrators.")


# -- the API that the pages' scripts call ---------------------------------------------------------


@app.post("/api/decks/{deck}/answers")
async def answer(deck: str, given: Answers, launch: Learner) -> dict[str, Any]:
    _, cards = DECKS[deck]
    right = sum(given.answers.get(card, "").strip().lower() == cards[card] for card in cards)
    storage.keep(launch.activity_key, launch.user_id, deck, right)
    return {"right": right, "of": len(cards)}


@app.get("/api/decks/{deck}/results")
async def results(deck: str, launch: Teacher) -> list[dict[str, Any]]:
    points = storage.points(launch.activity_key, deck)
    return [
        {"user": one.user_id, "name": one.name or one.user_id, "right": points.get(one.user_id)}
        async for one in launch.async_api.members()
        if one.has_role("Learner")
    ]


@app.post("/api/decks/{deck}/grades")
async def grade(deck: str, launch: Teacher) -> dict[str, Any]:
    """Send all grades; one that the LMS refuses stops no other."""
    title, cards = DECKS[deck]
    services = launch.id_token.services.assignment_and_grades
    if not services.available:
        raise HTTPException(409, "This course does not record grades.")
    column = services.line_item_id
    if column is None:
        made = await launch.async_api.column(
            tag=f"flashcards-{deck}",
            label=title,
            score_maximum=len(cards),
            resource_link_id=launch.activity_key.resource_link_id,
        )
        column = made.id
    scores = [
        Score(user_id=user_id, score_given=right, score_maximum=len(cards))
        for user_id, right in storage.points(launch.activity_key, deck).items()
    ]
    outcomes = await launch.async_api.submit_scores(column, scores)
    refused = {
        one.score.user_id: getattr(one.error, "lms_message", None) or str(one.error)
        for one in outcomes
        if one.error is not None
    }
    return {"sent": len(outcomes) - len(refused), "refused": refused}


# -- deep linking ---------------------------------------------------------------------------------


@app.get("/deep-linking")
async def pick(request: Request, launch: Teacher) -> HTMLResponse:
    offered = await launch.async_api.deep_linking_settings()
    if not offered.available:
        raise HTTPException(409, "Open this from the content editor of your course.")
    many = offered.accept_multiple is not False
    return pages.TemplateResponse(
        request, "picker.html", {"launch": launch, "decks": DECKS, "many": many}
    )


@app.post("/deep-linking")
async def picked(
    launch: Teacher,
    deck: Annotated[list[str], Form()],
    due: Annotated[str, Form()] = "",
    level: Annotated[str, Form()] = "easy",
) -> HTMLResponse:
    """The form that takes what was picked to the LMS."""
    end = None
    if due:
        end = datetime.combine(datetime.fromisoformat(due), time(23, 59), timezone.utc)
    items = [
        ContentItem(
            url=launch.launch_url(deck=id),
            title=DECKS[id][0],
            custom={"level": level},
            line_item=ItemColumn(score_maximum=len(DECKS[id][1]), resource_id=id, tag="cards"),
            submission=Period(end=end) if end else None,
        )
        for id in deck
        if id in DECKS
    ]
    form = await launch.async_api.deep_linking_form(items, message=f"{len(items)} added.")
    return HTMLResponse(form)


app.add_middleware(
    LTIAASMiddleware, require=["/api", "/deep-linking", "/launch"], exclude=["/static"]
)
