"""Flask-SocketIO's tutorial: ``io()`` connects to ``/socket.io`` of the host."""

from __future__ import annotations

from pathlib import Path

import nicegui
from flask import Flask, send_file
from flask_socketio import SocketIO, emit

from ltiaas_middleware import current_launch
from ltiaas_middleware.wsgi import LTIAASMiddleware

# NiceGUI brings the client's own file.
CLIENT = next(Path(nicegui.__file__).parent.rglob("socket.io.min.js"))

app = Flask(__name__)
app.secret_key = "a key of the tests"
socketio = SocketIO(app)


def user() -> str:
    launch = current_launch()
    return (launch.id_token.user.name if launch else None) or "nobody"


@app.get("/static/socket.io.min.js")
def client():
    return send_file(CLIENT)


@app.get("/launch")
def launch():
    return send_file(Path(__file__).with_name("socketio_chat.html"))


@socketio.on("connect")
def connected() -> None:
    emit("welcome", user())


@socketio.on("say")
def say(text: str) -> None:
    emit("said", f"{user()} saved {text}")


app.wsgi_app = LTIAASMiddleware(app.wsgi_app)
