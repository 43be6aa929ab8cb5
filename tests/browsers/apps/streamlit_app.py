"""Streamlit's ASGI app of ``streamlit_page.py``."""

from __future__ import annotations

from pathlib import Path

from streamlit.starlette import App

from ltiaas_middleware.asgi import LTIAASMiddleware

app = LTIAASMiddleware(App(Path(__file__).with_name("streamlit_page.py")))
