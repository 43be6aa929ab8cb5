"""Rows 1 and 2: what the middleware adds to an app that does next to nothing, beside what others
add to the same."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable
from time import perf_counter
from typing import Any

import flask
import itsdangerous
from starlette.middleware.sessions import SessionMiddleware
from werkzeug.middleware.proxy_fix import ProxyFix

from ltiaas_middleware import asgi, current_launch, wsgi

from . import launches
from .report import Line
from .timing import BATCH, Case, interleaved

_FULL, _SHORT = 600, 3


def asgi_row(short: bool) -> list[Line]:
    """Row 1."""
    return asyncio.run(_asgi(_SHORT if short else _FULL))


def wsgi_row(short: bool) -> list[Line]:
    """Row 2."""
    rounds = _SHORT if short else _FULL
    token = launches.ltik()
    ours = launches.offline(wsgi.LTIAASMiddleware(_wsgi_app, **launches.LTIAAS))
    bearing = launches.offline(wsgi.LTIAASMiddleware(_wsgi_app, **launches.LTIAAS, bearer=True))
    for middleware in (ours, bearing):
        assert not isinstance(middleware._authenticator.verify(token), Exception)
    mount, cookie = launches.cookie_of(ours, token)
    plain = launches.environ("/page")
    on_path = launches.environ(f"{mount}/page", Cookie=cookie)
    with_ltik = launches.environ("/page", f"ltik={token}", launches.FETCH)
    with_bearer = launches.environ("/page", "", launches.FETCH, Authorization=f"Bearer {token}")
    flask_app, flask_case = flask.Flask("benchmarks"), "Flask's dispatch"
    flask_app.add_url_rule("/page", view_func=lambda: "hello")
    requests: dict[str, tuple[Any, dict[str, Any]]] = {
        "bare": (_wsgi_app, plain),
        "pass-through": (ours, plain),
        "launch path with cookie": (ours, on_path),
        "?ltik= in place": (ours, with_ltik),
        "bearer": (bearing, with_bearer),
        "ProxyFix": (ProxyFix(_wsgi_app), plain),
        "ProxyFix, Flask's advice": (
            ProxyFix(_wsgi_app, x_for=1, x_proto=1, x_host=1, x_prefix=1),
            {**plain, "HTTP_X_FORWARDED_PREFIX": "/tool"},
        ),
        flask_case: (flask_app, plain),
        "a request led back into its launch": (ours, _astray(mount)),
    }
    setting = []
    for cookies in (1, 3):
        app = _sets_cookies(cookies)
        setting.append(launches.offline(wsgi.LTIAASMiddleware(app, **launches.LTIAAS)))
        assert not isinstance(setting[-1]._authenticator.verify(token), Exception)
        requests[f"bare, {cookies} cookies"] = app, plain
        requests[f"launch, {cookies} cookies"] = setting[-1], on_path
        _check_cookies(setting[-1], on_path, mount, cookies)
    _check_led_back(*requests["a request led back into its launch"], mount)
    _check_wsgi(ours, plain, None)
    for name in ("launch path with cookie", "?ltik= in place", "bearer"):
        _check_wsgi(*requests[name], token)
    fixed = dict(plain)
    requests["ProxyFix"][0](fixed, _start_response)
    assert fixed["REMOTE_ADDR"] == "192.0.2.7"
    cases = {name: _wsgi_case(app, environ) for name, (app, environ) in requests.items()}
    costs = interleaved(cases, rounds)
    for middleware in (ours, bearing, *setting):
        middleware.close()

    def line(name: str, to: str = "ProxyFix", bar: float | None = None) -> Line:
        ratio = costs.ratio(name, to, "bare")
        return Line(2, f"WSGI, {name} / {to}", f"{costs.over(name, 'bare'):.2f} µs", ratio, bar)

    dispatch = f"Flask: {costs.over(flask_case, 'bare'):.0f} µs"
    flask_ratio = costs.ratio("launch path with cookie", flask_case, "bare")
    return [
        Line(2, "WSGI, bare app", f"{costs.of('bare'):.2f} µs"),
        Line(2, "WSGI, ProxyFix (its defaults)", f"{costs.over('ProxyFix', 'bare'):.2f} µs"),
        line("launch path with cookie"),
        line("pass-through", bar=0.2),
        line("?ltik= in place"),
        line("bearer"),
        line("launch path with cookie", "ProxyFix, Flask's advice"),
        line("pass-through", "ProxyFix, Flask's advice"),
        Line(2, "WSGI, launch path with cookie / Flask's dispatch", dispatch, flask_ratio),
        *(
            Line(
                2,
                f"WSGI, launch path where the app sets {cookies} cookie{'s' * (cookies > 1)}",
                f"{costs.over(f'launch, {cookies} cookies', f'bare, {cookies} cookies'):.2f} µs",
            )
            for cookies in (1, 3)
        ),
        Line(
            2,
            "WSGI, a request led back into its launch",
            f"{costs.over('a request led back into its launch', 'bare'):.2f} µs",
        ),
    ]


async def _asgi(rounds: int) -> list[Line]:
    token = launches.ltik()
    ours = launches.offline(asgi.LTIAASMiddleware(_asgi_app, **launches.LTIAAS))
    bearing = launches.offline(asgi.LTIAASMiddleware(_asgi_app, **launches.LTIAAS, bearer=True))
    for middleware in (ours, bearing):
        assert not isinstance(middleware._authenticator.verify(token), Exception)
    mount, cookie = launches.cookie_of(ours, token)
    plain = launches.scope("/page")
    on_path = launches.scope(f"{mount}/page", Cookie=cookie)
    with_ltik = launches.scope("/page", f"ltik={token}", launches.FETCH)
    with_bearer = launches.scope("/page", "", launches.FETCH, Authorization=f"Bearer {token}")
    naming = launches.offline(asgi.LTIAASMiddleware(_naming_app, **launches.LTIAAS))
    assert not isinstance(naming._authenticator.verify(token), Exception)
    session = SessionMiddleware(_asgi_app, secret_key="s" * 32)
    with_session = launches.scope("/page", Cookie=_session_cookie(len(cookie)))
    requests: dict[str, tuple[Any, dict[str, Any]]] = {
        "bare": (_asgi_app, plain),
        "pass-through": (ours, plain),
        "launch path with cookie": (ours, on_path),
        "the same, user and course read": (naming, on_path),
        "?ltik= in place": (ours, with_ltik),
        "bearer": (bearing, with_bearer),
        "SessionMiddleware, no session": (session, plain),
        "SessionMiddleware": (session, with_session),
    }
    await _check_asgi(ours, plain, None)
    for name in ("launch path with cookie", "?ltik= in place", "bearer"):
        await _check_asgi(*requests[name], token)
    opened = dict(with_session)
    await session(opened, _receive, _send)
    assert dict(opened["session"]).keys() == {"filling"}
    try:
        from asgi_correlation_id import CorrelationIdMiddleware
    except ImportError:
        pass
    else:
        requests["asgi-correlation-id"] = (CorrelationIdMiddleware(_asgi_app), plain)

    loop_cases = {name: _asgi_batch(app, scope) for name, (app, scope) in requests.items()}
    kept: dict[str, list[float]] = {name: [] for name in loop_cases}
    for number in range(rounds + 1):
        for name, batch in loop_cases.items():
            seconds = await batch()
            if number:
                kept[name].append(seconds)
    # Replayed, because a batch has to be awaited and ``interleaved`` does not wait.
    replay = {name: iter([0.0, *seconds]).__next__ for name, seconds in kept.items()}
    costs = interleaved(replay, rounds)
    for middleware in (ours, bearing, naming):
        middleware.close()

    def line(name: str, to: str, bar: float | None = None) -> Line:
        ratio = costs.ratio(name, to, "bare")
        return Line(1, f"ASGI, {name} / {to}", f"{costs.over(name, 'bare'):.2f} µs", ratio, bar)

    with_it, without = "SessionMiddleware", "SessionMiddleware, no session"
    lines = [
        Line(1, "ASGI, bare app", f"{costs.of('bare'):.2f} µs"),
        Line(1, f"ASGI, {with_it} (a cookie as long)", f"{costs.over(with_it, 'bare'):.2f} µs"),
        Line(1, f"ASGI, {without}", f"{costs.over(without, 'bare'):.2f} µs"),
        line("launch path with cookie", with_it, 0.35),
        line("the same, user and course read", with_it, 0.45),
        line("pass-through", without, 0.3),
        line("?ltik= in place", with_it),
        line("bearer", with_it),
    ]
    if "asgi-correlation-id" in kept:
        lines.append(line("launch path with cookie", "asgi-correlation-id"))
        lines.append(line("pass-through", "asgi-correlation-id"))
    return lines


# -- the app, and what the middleware is checked to hand to it ------------------------------------

_BODY = [b"hello"]
_HEADERS = [("Content-Type", "text/plain")]
_ASGI_HEADERS = [(b"content-type", b"text/plain")]


def _wsgi_app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    start_response("200 OK", _HEADERS)
    return _BODY


def _sets_cookies(number: int) -> Any:
    """An app that sets cookies as a framework's session does."""
    set_cookie = [
        ("Set-Cookie", f"session{n}=eyJhIjoxfQ.aWd0.{'x' * 27}; HttpOnly; Path=/; SameSite=Lax")
        for n in range(number)
    ]

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", [*_HEADERS, *set_cookie])
        return _BODY

    return app


def _astray(mount: str) -> dict[str, Any]:
    """What a launch's page asks for outside of its launch."""
    referer = f"https://{launches.BROWSER['Host']}{mount}/page"
    headers = {"Referer": referer, "Sec-Fetch-Dest": "empty"}
    return launches.environ("/page", "", launches.FETCH, **headers)


def _started(app: Any, environ: dict[str, Any]) -> tuple[str, list[tuple[str, str]]]:
    started: list[Any] = []
    app(dict(environ), lambda *status_and_headers: started.append(status_and_headers))
    ((status, headers),) = started
    return status, headers


def _check_cookies(app: Any, environ: dict[str, Any], mount: str, number: int) -> None:
    _, headers = _started(app, environ)
    found = [value for name, value in headers if name == "Set-Cookie"]
    assert len(found) == number
    assert all(f"Path={mount};" in value and "Partitioned" in value for value in found)


def _check_led_back(app: Any, environ: dict[str, Any], mount: str) -> None:
    status, headers = _started(app, environ)
    assert (status[:3], dict(headers)["Location"]) == ("307", f"{mount}/page")


def _start_response(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> None:
    return None


async def _asgi_app(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": _ASGI_HEADERS})
    await send({"type": "http.response.body", "body": b"hello"})


async def _naming_app(scope: Any, receive: Any, send: Any) -> None:
    launch = current_launch()
    assert launch is not None
    context = launch.id_token.launch.context
    assert (launch.id_token.user.name, context and context.title) == (
        "Ada Lovelace",
        "Analytical engines",
    )
    await _asgi_app(scope, receive, send)


async def _receive() -> dict[str, Any]:
    return {"type": "http.request", "body": b"", "more_body": False}


async def _send(message: Any) -> None:
    return None


def _check_wsgi(middleware: Any, environ: dict[str, Any], token: str | None) -> None:
    seen = []

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        seen.append((environ["PATH_INFO"], repr(environ), current_launch()))
        return _wsgi_app(environ, start_response)

    middleware.app, inner = app, middleware.app
    try:
        assert middleware(dict(environ), _start_response) is _BODY
    finally:
        middleware.app = inner
    _check(seen, token)


async def _check_asgi(middleware: Any, scope: dict[str, Any], token: str | None) -> None:
    seen = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        path = scope["path"].removeprefix(scope["root_path"])
        shown = {key: value for key, value in scope.items() if key != "raw_path"}
        seen.append((path, repr(shown), current_launch()))
        await _asgi_app(scope, receive, send)

    middleware.app, inner = app, middleware.app
    try:
        await middleware(dict(scope), _receive, _send)
    finally:
        middleware.app = inner
    _check(seen, token)


def _check(seen: list[tuple[str, str, Any]], token: str | None) -> None:
    ((path, request, launch),) = seen
    assert path == "/page"
    if token is None:
        assert launch is None
    else:
        assert launch.credential.authorization.endswith(token)
        assert token not in request


def _wsgi_case(app: Any, environ: dict[str, Any]) -> Case:
    def case() -> float:
        environs = [dict(environ) for _ in range(BATCH)]
        start = perf_counter()
        for each in environs:
            app(each, _start_response)
        return perf_counter() - start

    return case


def _asgi_batch(app: Any, scope: dict[str, Any]) -> Callable[[], Awaitable[float]]:
    async def batch() -> float:
        scopes = [dict(scope) for _ in range(BATCH)]
        start = perf_counter()
        for each in scopes:
            await app(each, _receive, _send)
        return perf_counter() - start

    return batch


def _session_cookie(length: int) -> str:
    """A session's cookie, about as long as the launch's."""
    signer = itsdangerous.TimestampSigner("s" * 32)
    filling = length
    while True:
        data = base64.b64encode(json.dumps({"filling": "x" * filling}).encode())
        cookie = f"session={signer.sign(data).decode()}"
        if len(cookie) <= length:
            return cookie
        filling -= 1
