"""python-socketio's ``ASGIApp``, which answers both ``/socket.io`` and a page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nicegui
import socketio

from ltiaas_middleware.asgi import LTIAASMiddleware

CLIENT = next(Path(nicegui.__file__).parent.rglob("socket.io.min.js"))
PAGE = Path(__file__).with_name("socketio_chat.html")

# Behind no proxy it takes every request for plain http, and refuses its own page.
sio = socketio.AsyncServer(async_mode="asgi", cors_allowed_origins="*")
files = {"/launch": str(PAGE), "/static/socket.io.min.js": str(CLIENT)}
users: dict[str, str] = {}


@sio.event
async def connect(sid: str, environ: dict[str, Any]) -> None:
    launch = environ["asgi.scope"].get("ltiaas.launch")
    users[sid] = launch.id_token.user.name if launch else "nobody"
    await sio.emit("welcome", users[sid], to=sid)


@sio.event
async def say(sid: str, text: str) -> None:
    await sio.emit("said", f"{users[sid]} saved {text}", to=sid)


app = LTIAASMiddleware(socketio.ASGIApp(sio, static_files=files))
