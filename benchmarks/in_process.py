"""Rows 5 and 7: what the middleware adds to an app that does next to nothing, beside what others
add to the same."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable
from time import perf_counter
from typing import Any

import itsdangerous
from starlette.middleware.sessions import SessionMiddleware

from ltiaas_middleware import asgi, current_launch, wsgi

from . import launches
from .report import Line
from .timing import BATCH, Case, interleaved

_FULL, _SHORT = 600, 3


def asgi_row(short: bool) -> list[Line]:
    """Row 5."""
    return asyncio.run(_asgi(_SHORT if short else _FULL))


def cookies_row(short: bool) -> list[Line]:
    """Row 7."""
    token = launches.ltik()
    most = 3
    requests: dict[str, tuple[Any, dict[str, Any]]] = {}
    middlewares = []
    for cookies in (0, most):
        app = _sets_cookies(cookies)
        ours = launches.offline(wsgi.LTIAASMiddleware(app, **launches.LTIAAS))
        assert not isinstance(ours._authenticator.verify(token), Exception)
        mount, cookie = launches.cookie_of(ours, token)
        on_path = launches.environ(f"{mount}/page", Cookie=cookie)
        _check_cookies(ours, on_path, mount, cookies)
        # One worker: with several, each of these requests looks into what they share.
        alone = wsgi.LTIAASMiddleware(app, **{**launches.LTIAAS, "cache": "memory"})
        assert not isinstance(launches.offline(alone)._authenticator.verify(token), Exception)
        by_path = launches.environ(f"{mount}/page")
        _check_jar(alone, by_path, cookies)
        requests[f"bare, {cookies}"] = app, launches.environ("/page")
        requests[f"by name, {cookies}"] = ours, on_path
        requests[f"by jar, {cookies}"] = alone, by_path
        middlewares += [ours, alone]
    cases = {name: _wsgi_case(app, environ) for name, (app, environ) in requests.items()}
    costs = interleaved(cases, _SHORT if short else _FULL)
    for middleware in middlewares:
        middleware.close()
    none = costs.over("by name, 0", "bare, 0")
    each = (costs.over(f"by name, {most}", f"bare, {most}") - none) / most
    empty = costs.over("by jar, 0", "bare, 0")
    kept = (costs.over(f"by jar, {most}", f"bare, {most}") - empty) / most
    return [
        Line("WSGI, a page of a launch without cookies of the app's", f"{none:.2f} µs"),
        Line("WSGI, each cookie of the app's, by name (µs)", f"{each:.2f} µs", each, 7),
        Line("WSGI, the same page in a browser that keeps no cookies", f"{empty:.2f} µs"),
        Line("WSGI, each cookie of the app's, by jar (µs)", f"{kept:.2f} µs", kept, 7),
    ]


async def _asgi(rounds: int) -> list[Line]:
    token = launches.ltik()
    ours = launches.offline(asgi.LTIAASMiddleware(_asgi_app, **launches.LTIAAS))
    bearing = launches.offline(
        asgi.LTIAASMiddleware(_asgi_app, **launches.LTIAAS, ltik_headers=["Authorization"])
    )
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

    def line(name: str, to: str, target: float | None = None) -> Line:
        ratio = costs.ratio(name, to, "bare")
        return Line(f"ASGI, {name} / {to}", f"{costs.over(name, 'bare'):.2f} µs", ratio, target)

    with_it, without = "SessionMiddleware", "SessionMiddleware, no session"
    lines = [
        Line("ASGI, bare app", f"{costs.of('bare'):.2f} µs"),
        Line(f"ASGI, {with_it} (a cookie as long)", f"{costs.over(with_it, 'bare'):.2f} µs"),
        Line(f"ASGI, {without}", f"{costs.over(without, 'bare'):.2f} µs"),
        line("launch path with cookie", with_it, 0.47),
        line("the same, user and course read", with_it, 0.57),
        line("pass-through", without, 0.35),
        line("?ltik= in place", with_it),
        line("bearer", with_it),
    ]
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


def _check_jar(app: Any, environ: dict[str, Any], number: int) -> None:
    """The app's cookies are kept: the next request has them."""
    _started(app, environ)
    again = dict(environ)
    app(again, _start_response)
    assert again.get("HTTP_COOKIE", "").count("session") == number


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
