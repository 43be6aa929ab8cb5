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

from ltiaas_middleware import asgi, current_launch, launch_from, wsgi
from ltiaas_middleware._launch_header import finders, header_for

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

    def launched(app: Any, **options: Any) -> tuple[Any, str, str]:
        ours = launches.offline(wsgi.LTIAASMiddleware(app, **{**launches.LTIAAS, **options}))
        assert not isinstance(ours._authenticator.verify(token), Exception)
        middlewares.append(ours)
        return ours, *launches.cookie_of(ours, token)

    for cookies in (0, most):
        app = _sets_cookies(cookies)
        ours, mount, cookie = launched(app)
        on_path = launches.environ(f"{mount}/page", Cookie=cookie)
        _check_cookies(ours, on_path, mount, cookies)
        # One worker: with several, each of these requests looks into what they share.
        alone, _, _ = launched(app, cache="memory")
        by_path = launches.environ(f"{mount}/page")
        _check_jar(alone, by_path, cookies)
        tag = f"; {mount[5:13]}.session"
        sent = "".join(f"{tag}{n}=eyJhIjoxfQ.aWd0.{'x' * 27}" for n in range(cookies))
        with_sent = launches.environ(f"{mount}/page", Cookie=cookie + sent)
        requests[f"bare, {cookies}"] = app, launches.environ("/page")
        requests[f"by name, {cookies}"] = ours, on_path
        requests[f"by jar, {cookies}"] = alone, by_path
        # The app sets none, and is given those that the browser or the jar has.
        requests[f"sent, {cookies}"] = launched(_wsgi_app)[0], with_sent
        _check_given(requests[f"sent, {cookies}"], cookies)
        kept, _, _ = launched(app, cache="memory")
        kept(dict(by_path), _start_response)
        kept.app = _wsgi_app
        requests[f"kept, {cookies}"] = kept, by_path
        _check_given(requests[f"kept, {cookies}"], cookies)
    # As in a process with one middleware.
    finders.clear()
    requests["read"] = launched(_finds_its_launch)[0], on_path
    made = dict(on_path)
    requests["sent, 0"][0](made, _start_response)
    launch = made["ltiaas.launch"]
    cases = {name: _wsgi_case(app, environ) for name, (app, environ) in requests.items()}
    cases["made"] = _wsgi_case(lambda *_: header_for(launch._entry.id, launch.path), on_path)
    cases["nothing"] = _wsgi_case(lambda *_: None, on_path)
    costs = interleaved(cases, _SHORT if short else _FULL)
    for middleware in middlewares:
        middleware.close()

    def each(what: str, how: str, target: float) -> Line:
        # What the app itself needs to set them is not the middleware's.
        of_app = costs.over(f"bare, {most}", "bare, 0") if how.startswith("by ") else 0
        cost = (costs.over(f"{how}, {most}", f"{how}, 0") - of_app) / most
        return Line(f"WSGI, each cookie {what} (µs)", f"{cost:.2f} µs", cost, target)

    def header(what: str, name: str, floor: str, target: float) -> Line:
        cost = costs.over(name, floor)
        return Line(f"WSGI, LTIAAS-Launch {what} (µs)", f"{cost:.2f} µs", cost, target)

    page, jar = costs.over("by name, 0", "bare, 0"), costs.over("by jar, 0", "bare, 0")
    return [
        Line("WSGI, a page of a launch without cookies of the app's", f"{page:.2f} µs"),
        each("that the app sets, by name", "by name", 7),
        each("that the browser sends", "sent", 1),
        Line("WSGI, the same page in a browser that keeps no cookies", f"{jar:.2f} µs"),
        each("that the app sets and is given, by jar", "by jar", 7),
        each("that the jar gives", "kept", 4),
        header("made", "made", "nothing", 1),
        header("read by launch_from", "read", "sent, 0", 8),
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


def _check_given(request: tuple[Any, dict[str, Any]], number: int) -> None:
    app, environ = request[0], dict(request[1])
    app(environ, _start_response)
    assert environ.get("HTTP_COOKIE", "").count("session") == number


def _finds_its_launch(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    assert launch_from({"LTIAAS-Launch": environ["HTTP_LTIAAS_LAUNCH"]}) is not None
    return _wsgi_app(environ, start_response)


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
