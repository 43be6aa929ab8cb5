"""Row 4: what a launch adds to a page of Flask's and of Django's, beside what a tool would use in
its place."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import Any

import flask
import flask_login

from ltiaas_middleware import current_launch, wsgi

from . import launches, naming
from .report import Line
from .timing import BATCH, Case, interleaved

_FULL, _SHORT = 400, 3


def row(short: bool) -> list[Line]:
    """Row 4."""
    rounds = _SHORT if short else _FULL
    return [*_under_flask(rounds), *_under_django(rounds)]


def _under_flask(rounds: int) -> list[Line]:
    token = launches.ltik()
    bare = _flask(lambda: "hello")
    by_session = _flask(lambda: f"hello {flask.session['name']}")
    by_login = _flask(lambda: f"hello {flask_login.current_user.id}")
    _with_login(by_login)
    launched, read = _flask(lambda: "hello"), _flask(_named)
    middlewares = []
    for app in (launched, read):
        wrapped: Any = wsgi.LTIAASMiddleware(app.wsgi_app, **launches.LTIAAS)
        middlewares.append(launches.offline(wrapped))
        assert not isinstance(wrapped._authenticator.verify(token), Exception)
        app.wsgi_app = wrapped  # type: ignore[method-assign]
    mount, cookie = launches.cookie_of(middlewares[0], token)
    on_path = launches.environ(f"{mount}/page", Cookie=cookie)
    cases: dict[str, Case] = {
        "bare": _case(bare, launches.environ("/page"), b"hello"),
        "launch": _case(launched, on_path, b"hello"),
        "launch, name read": _case(read, on_path, b"hello Ada Lovelace"),
        "session": _case(by_session, _signed_in(by_session), b"hello Ada Lovelace"),
        "current_user": _case(by_login, _signed_in(by_login), b"hello ada"),
    }
    costs = interleaved(cases, rounds)
    for middleware in middlewares:
        middleware.close()

    def line(name: str, to: str, what: str, target: float | None = None) -> Line:
        ratio = costs.ratio(name, to, "bare")
        return Line(f"under Flask, {what}", f"{costs.over(name, 'bare'):.1f} µs", ratio, target)

    return [
        Line("Flask's page that names nobody", f"{costs.of('bare'):.1f} µs"),
        Line("under Flask, its signed session read", f"{costs.over('session', 'bare'):.1f} µs"),
        line("launch", "session", "a launch on its path / session read", 0.3),
        line("launch, name read", "session", "the same, user's name read / session read", 0.32),
        line("launch, name read", "current_user", "the same / Flask-Login's current_user"),
    ]


def _under_django(rounds: int) -> list[Line]:
    tool = naming.django_tool(sessions=True)
    bare = naming.django_tool(sessions=False)
    wrapped = launches.offline(wsgi.LTIAASMiddleware(bare, **launches.LTIAAS))
    token = launches.ltik()
    assert not isinstance(wrapped._authenticator.verify(token), Exception)
    mount, cookie = launches.cookie_of(wrapped, token)
    session = _cookie_set_by(tool, launches.environ("/sign-in"))
    named = naming.NAMED.encode()
    cases: dict[str, Case] = {
        "bare": _case(bare, launches.environ("/nobody"), naming.NOBODY.encode()),
        "launch": _case(wrapped, launches.environ(f"{mount}/launch", Cookie=cookie), named),
        "session": _case(tool, launches.environ("/session", Cookie=session), named),
    }
    costs = interleaved(cases, rounds)
    wrapped.close()
    session_figure = f"{costs.over('session', 'bare'):.1f} µs"
    ratio = costs.ratio("launch", "session", "bare")
    what = "a launch, user and course read / session read"
    return [
        Line("Django's page that names nobody", f"{costs.of('bare'):.1f} µs"),
        Line("under Django, its session in local memory read", session_figure),
        Line(f"under Django, {what}", f"{costs.over('launch', 'bare'):.1f} µs", ratio),
    ]


def _cookie_set_by(app: Any, environ: dict[str, Any]) -> str:
    found: list[tuple[str, str]] = []
    body = app(environ, lambda status, headers, exc_info=None: found.extend(headers))
    body.close()
    return dict(found)["Set-Cookie"].partition(";")[0]


def _flask(view: Callable[[], str]) -> flask.Flask:
    app = flask.Flask("benchmarks")
    app.secret_key = "a key of the benchmarks"
    app.add_url_rule("/page", view_func=view, endpoint="page")
    return app


def _named() -> str:
    launch = current_launch()
    assert launch is not None
    return f"hello {launch.id_token.user.name}"


def _with_login(app: flask.Flask) -> None:
    class User(flask_login.UserMixin):  # type: ignore[misc]
        def __init__(self, name: str) -> None:
            self.id = name

    flask_login.LoginManager(app).user_loader(User)


def _signed_in(app: flask.Flask) -> dict[str, Any]:
    """A request of somebody whom the app's session knows."""

    def sign_in() -> str:
        flask.session["name"] = "Ada Lovelace"
        flask.session["_user_id"] = "ada"
        return ""

    app.add_url_rule("/sign-in", view_func=sign_in)
    with app.test_client() as client:
        cookie = client.get("/sign-in").headers["Set-Cookie"].partition(";")[0]
    return launches.environ("/page", Cookie=cookie)


def _case(app: flask.Flask, environ: dict[str, Any], says: bytes) -> Case:
    def start_response(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> None:
        return None

    def answer(environ: dict[str, Any]) -> bytes:
        # As a server does: from the first chunk to the close.
        body = app(environ, start_response)  # type: ignore[arg-type]
        content = b"".join(body)
        if hasattr(body, "close"):
            body.close()
        return content

    assert answer(dict(environ)) == says

    def case() -> float:
        environs = [dict(environ) for _ in range(BATCH)]
        start = perf_counter()
        for each in environs:
            answer(each)
        return perf_counter() - start

    return case
