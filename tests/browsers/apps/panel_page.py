"""A Panel app on FastAPI, as Panel's guide to FastAPI makes it."""

from __future__ import annotations

import panel as pn
from fastapi import FastAPI
from panel.io.fastapi import add_application

from ltiaas_middleware import launch_from
from ltiaas_middleware.asgi import LTIAASMiddleware

app = FastAPI()


@add_application("/launch", app=app, title="Panel")
def page() -> pn.viewable.Viewable:
    launch = launch_from(pn.state.headers)
    user = launch.id_token.user.name if launch else "nobody"
    note = pn.widgets.TextInput()
    save = pn.widgets.Button(name="Save")
    said = pn.pane.HTML()

    def saved(event: object) -> None:
        said.object = f"<p id=said>{user} saved {note.value}</p>"

    save.on_click(saved)
    return pn.Column(pn.pane.HTML(f"<h1 id=shown>{user}</h1>"), note, save, said)


app.add_middleware(LTIAASMiddleware)
