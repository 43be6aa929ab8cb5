"""FastAPI with Starlette's SessionMiddleware, and a page whose script asks for an absolute path."""

from __future__ import annotations

from html import escape

from fastapi import FastAPI, Form, Request, WebSocket
from fastapi.responses import HTMLResponse, RedirectResponse
from starlette.middleware.sessions import SessionMiddleware

from ltiaas_middleware import current_launch, require_launch
from ltiaas_middleware.asgi import LTIAASMiddleware

app = FastAPI()
app.add_middleware(SessionMiddleware, secret_key="a key of the tests")
app.add_middleware(LTIAASMiddleware)

PAGE = """<!doctype html>
<title>Notes</title><link rel="icon" href="data:,">
<h1>Notes of {name}</h1>
<p id="message">{message}</p>
<ul id="notes">{notes}</ul>
<p>The API knows <b id="me"></b></p>
<form method="post" action="{action}"><input id="note" name="note"><button id="save">Save</button>
</form>
<script>
fetch("/api/me").then(answer => answer.json())
  .then(me => {{ document.querySelector("#me").textContent = me.name; }});
</script>
"""


@app.get("/launch", response_class=HTMLResponse)
async def notes(request: Request) -> str:
    return PAGE.format(
        name=escape(require_launch().id_token.user.name or "nobody"),
        message=escape(request.session.pop("message", "")),
        notes="".join(f"<li>{escape(note)}</li>" for note in request.session.get("notes", [])),
        action=request.url_for("save"),
    )


@app.post("/notes")
async def save(request: Request, note: str = Form()) -> RedirectResponse:
    request.session["notes"] = [*request.session.get("notes", []), note]
    request.session["message"] = f"{require_launch().id_token.user.name} saved {note}"
    return RedirectResponse(request.url_for("notes"), 303)


@app.websocket("/ws")
async def greet(websocket: WebSocket) -> None:
    await websocket.accept()
    launch = current_launch()
    await websocket.send_text(f"hello {launch.id_token.user.name if launch else 'nobody'}")
    await websocket.close()


@app.get("/api/me")
async def me() -> dict[str, str | None]:
    launch = current_launch()
    return {"name": launch.id_token.user.name if launch else "nobody"}
