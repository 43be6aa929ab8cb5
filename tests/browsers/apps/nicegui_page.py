"""NiceGUI on FastAPI (``ui.run_with``): a page, a handler that the websocket calls, and storage."""

from __future__ import annotations

from fastapi import FastAPI
from nicegui import app as nicegui
from nicegui import ui

from ltiaas_middleware import current_launch
from ltiaas_middleware.asgi import LTIAASMiddleware

app = FastAPI()


@ui.page("/launch")
def page() -> None:
    launch = current_launch()
    user = launch.id_token.user.name if launch else "nobody"
    notes = nicegui.storage.user.setdefault("notes", [])
    ui.html(f"<h1 id=shown>{user}</h1>", sanitize=False)
    note = ui.input("Note")

    def save() -> None:
        notes.append(f"{user} saved {note.value}")
        said.set_content("<br>".join(notes))

    ui.button("Save", on_click=save)
    said = ui.html("<br>".join(notes), sanitize=False).classes("said")
    ui.link("Again", page)


ui.run_with(app, storage_secret="a key of the tests")
app.add_middleware(LTIAASMiddleware)
