"""One tool in several frameworks: a launch page, a score, redirects, and an excluded page."""

from __future__ import annotations

from typing import Any

from fastapi import Request

from ltiaas_middleware import Score, asgi, current_launch, require_launch, wsgi


def hand_in() -> str:
    launch = require_launch()
    column = launch.id_token.services.assignment_and_grades.line_item_id
    launch.api.submit_score(column, Score(user_id=launch.user_id, score_given=8, score_maximum=10))
    return "saved"


def who() -> str:
    launch = current_launch()
    return "nobody" if launch is None else f"Hello {launch.id_token.user.name}"


def flask() -> Any:
    from flask import Flask, redirect, request, session, url_for

    app = Flask("tool")
    app.secret_key = "x" * 32

    @app.get("/launch")
    def launch() -> Any:
        session["began"] = "yes"
        return redirect(url_for("page")) if "then" in request.args else who()

    app.get("/page", endpoint="page")(lambda: f"{who()} {session.get('began')}")
    app.get("/health")(who)

    @app.post("/score")
    def score() -> Any:
        assert request.form.get("answer") == "42" or request.json == {"answer": 42}
        return hand_in()

    @app.post("/then")
    def then() -> Any:
        return redirect("/page")

    app.wsgi_app = wsgi.LTIAASMiddleware(app.wsgi_app, exclude=["/health"])  # type: ignore[method-assign]
    return app


def fastapi() -> Any:
    from contextlib import asynccontextmanager

    from fastapi import Depends, FastAPI
    from fastapi.responses import PlainTextResponse, RedirectResponse

    @asynccontextmanager
    async def lifespan(app: Any) -> Any:
        yield {"began": "yes"}

    app = FastAPI(lifespan=lifespan)
    app.add_middleware(asgi.LTIAASMiddleware, exclude=["/health"])

    @app.get("/launch")
    async def launch(request: Request) -> Any:
        to = request.url_for("page")
        return RedirectResponse(to, 303) if "then" in request.query_params else text(who())

    def text(words: str) -> Any:
        return PlainTextResponse(words)

    @app.get("/page")
    async def page(request: Request) -> Any:
        return text(f"{who()} {request.state.began}")

    @app.get("/health")
    async def health() -> Any:
        return text(who())

    @app.post("/score", dependencies=[Depends(asgi.require_launch)])
    async def score(request: Request) -> Any:
        body = await request.body()
        assert body in (b"answer=42", b'{"answer": 42}')
        return text(hand_in())

    @app.post("/then")
    async def then() -> Any:
        return RedirectResponse("/page", 303)

    return app


def falcon() -> Any:
    import falcon as framework

    class Page:
        def on_get(self, request: Any, response: Any) -> None:
            if request.get_param("then") is not None:
                raise framework.HTTPSeeOther(f"{request.prefix}/page")
            response.text = f"{who()} yes" if request.path == "/page" else who()

        def on_post(self, request: Any, response: Any) -> None:
            if request.path == "/then":
                raise framework.HTTPSeeOther("/page")
            assert request.bounded_stream.read() in (b"answer=42", b'{"answer": 42}')
            response.text = hand_in()

    app = framework.App()
    for path in ("/launch", "/page", "/health", "/score", "/then"):
        app.add_route(path, Page())
    return wsgi.LTIAASMiddleware(app, exclude=["/health"])


APPS = {"flask": flask, "fastapi": fastapi, "falcon": falcon}
