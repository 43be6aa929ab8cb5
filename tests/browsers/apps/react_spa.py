"""A React app as Vite builds one: a static ``index.html`` for every route, absolute paths, a module
worker and a service worker for the whole site. The router is a few lines in place of React
Router's, with its ``basename``.
"""

from __future__ import annotations

from pathlib import Path

import dash
from fastapi import FastAPI
from fastapi.responses import FileResponse

from ltiaas_middleware import current_launch
from ltiaas_middleware.asgi import LTIAASMiddleware

HERE = Path(__file__).with_suffix("")
# Dash brings React's own files.
REACT = Path(dash.__file__).parent / "deps"

app = FastAPI()
app.add_middleware(LTIAASMiddleware)


@app.get("/api/me")
async def me() -> dict[str, str | None]:
    launch = current_launch()
    return {"name": launch.id_token.user.name if launch else "nobody"}


@app.get("/assets/{name}")
async def asset(name: str) -> FileResponse:
    if name.startswith("react"):
        return FileResponse(sorted(REACT.glob(f"{name.removesuffix('.js')}@18*.min.js"))[-1])
    return FileResponse(HERE / name, media_type="text/javascript")


@app.get("/sw.js")
async def service_worker() -> FileResponse:
    return FileResponse(HERE / "sw.js", media_type="text/javascript")


@app.get("/{route:path}")
async def index(route: str) -> FileResponse:
    return FileResponse(HERE / "index.html")
