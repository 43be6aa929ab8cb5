"""A Dash app. Its own script calls back to an absolute path, which leaves the launch."""

from __future__ import annotations

from dash import Dash, Input, Output, State, callback, dcc, html

from ltiaas_middleware import current_launch
from ltiaas_middleware.wsgi import LTIAASMiddleware

app = Dash(__name__)
app.layout = html.Div(
    [
        html.H1("A dashboard"),
        dcc.Input(id="note"),
        html.Button("Save", id="save"),
        html.P(id="message"),
    ]
)


@callback(Output("message", "children"), Input("save", "n_clicks"), State("note", "value"))
def saved(clicks: int | None, note: str | None) -> str:
    launch = current_launch()
    return f"{launch.id_token.user.name if launch else 'nobody'} saved {note}"


server = app.server
# A worker's first request sets Dash up; others that come meanwhile are answered with 500.
server.test_client().get("/")
server.wsgi_app = LTIAASMiddleware(server.wsgi_app)
