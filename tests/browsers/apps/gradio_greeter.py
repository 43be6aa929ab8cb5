"""Gradio's quickstart, mounted into FastAPI. A queue runs the handler, outside of the request."""

from __future__ import annotations

import gradio as gr
from fastapi import FastAPI

from ltiaas_middleware import launch_from
from ltiaas_middleware.asgi import LTIAASMiddleware


def user(request: gr.Request) -> str:
    launch = launch_from(request.headers)
    return (launch.id_token.user.name if launch else None) or "nobody"


def greet(note: str, request: gr.Request) -> str:
    return f"{user(request)} saved {note}"


with gr.Blocks() as demo:
    shown = gr.Textbox(elem_id="shown")
    note = gr.Textbox(elem_id="note")
    save = gr.Button("Save", elem_id="save")
    said = gr.Textbox(elem_id="said")
    save.click(greet, note, said)
    demo.load(user, None, shown)

app = gr.mount_gradio_app(FastAPI(), demo, path="/launch")
app.add_middleware(LTIAASMiddleware)
