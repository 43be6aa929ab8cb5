"""Row 4: what the first request of a launch waits for, beside one bare call to the same LTIAAS."""

from __future__ import annotations

import asyncio
import os
from statistics import median
from typing import Any
from urllib.parse import urlsplit

import ltiaas
import requests

from ltiaas_middleware import asgi, current_launch, wsgi

from . import launches, sandbox, tls
from .report import Line
from .timing import Costs, interleaved, timed

_FULL, _SHORT = 300, 3
#: Each round asks for a launch of its own, and so does each case.
_CASES = 3


def row(short: bool) -> list[Line]:
    """Row 4."""
    rounds = _SHORT if short else _FULL
    return [*_cold(rounds), *_sdk(rounds)]


def _cold(rounds: int) -> list[Line]:
    seen: list[str] = []

    def wsgi_app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        seen.append(current_launch().credential.authorization)
        start_response("200 OK", [])
        return [b""]

    async def asgi_app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(current_launch().credential.authorization)

    with sandbox.running((rounds + 1) * _CASES) as served:
        options = {"url": served["url"], "api_key": served["api_key"]}
        ltiks = iter(served["ltiks"])
        in_threads = wsgi.LTIAASMiddleware(wsgi_app, **options)
        in_tasks = asgi.LTIAASMiddleware(asgi_app, **options)
        session = requests.Session()
        loop = asyncio.new_event_loop()

        def bare() -> float:
            ltik = next(ltiks)
            headers = {"Authorization": f"LTIK-AUTH-V2 {served['api_key']}:{ltik}"}

            def ask() -> None:
                answer = session.get(f"{served['url']}/api/idtoken", headers=headers, timeout=10)
                assert answer.json()["user"]["id"] == "ada"

            return timed(ask)

        def first_wsgi() -> float:
            environ = launches.environ("/page", f"ltik={next(ltiks)}", launches.FETCH)
            return timed(lambda: in_threads(environ, lambda status, headers: None))

        def first_asgi() -> float:
            scope = launches.scope("/page", f"ltik={next(ltiks)}", launches.FETCH)
            return timed(lambda: loop.run_until_complete(in_tasks(scope, None, None)))

        cases = {"bare": bare, "WSGI": first_wsgi, "ASGI": first_asgi}
        costs = interleaved(cases, rounds, batch=1)
        loop.close()
        for middleware in (in_threads, in_tasks):
            assert middleware.stats()["fetches"] == rounds + 1
            middleware.close()
    assert len(set(seen)) == 2 * (rounds + 1)

    def line(name: str) -> Line:
        what = f"cold launch, {name} / one kept-alive round trip of requests"
        figure = f"{costs.of(name):.0f} µs of {costs.of('bare'):.0f} µs"
        return Line(4, what, figure, _of_medians(costs, name, "bare"), 1.25)

    return [line("WSGI"), line("ASGI")]


def _sdk(rounds: int) -> list[Line]:
    """The official SDK takes an account's domain, so that both are asked by TLS."""
    with tls.certificate() as (chain, key, trusted):
        before = {name: os.environ.get(name) for name in ("REQUESTS_CA_BUNDLE", "NO_PROXY")}
        os.environ |= {"REQUESTS_CA_BUNDLE": trusted, "NO_PROXY": "localhost"}
        try:
            with sandbox.running(1, chain, key) as served:
                return _sdk_against(served, trusted, min(rounds, 100))
        finally:
            for name, value in before.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value


def _sdk_against(served: dict[str, Any], trusted: str, rounds: int) -> list[Line]:
    (ltik,) = served["ltiks"]
    domain = urlsplit(served["url"]).netloc
    seen: list[str] = []

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        seen.append(current_launch().id_token.user.id)
        start_response("200 OK", [])
        return [b""]

    middleware = wsgi.LTIAASMiddleware(
        app, url=served["url"], api_key=served["api_key"], ca_bundle=trusted
    )
    environ = launches.environ("/page", f"ltik={ltik}", launches.FETCH)
    middleware(dict(environ), lambda status, headers: None)
    mount, cookie = launches.cookie_of(middleware, ltik)
    environ = launches.environ(f"{mount}/page", Cookie=cookie)

    def ours() -> float:
        request = dict(environ)
        return timed(lambda: middleware(request, lambda status, headers: None))

    def sdk() -> float:
        def ask() -> None:
            client = ltiaas.LTIAASLaunch(domain, served["api_key"], ltik=ltik)
            assert client.get_id_token().user.id == "ada"

        return timed(ask)

    costs = interleaved({"ours": ours, "SDK": sdk}, rounds, batch=1)
    fetches = middleware.stats()["fetches"]
    middleware.close()
    assert fetches == 1
    assert set(seen) == {"ada"}
    what = "the SDK's get_id_token() on every request / a request of a cached launch, claims read"
    figure = f"{costs.of('SDK'):.0f} µs of {costs.of('ours'):.0f} µs (TLS, and no distance at all)"
    return [Line(4, what, figure, _of_medians(costs, "SDK", "ours"))]


def _of_medians(costs: Costs, name: str, to: str) -> float:
    """One call at a time is too uneven to be compared pair by pair."""
    return median(costs.rounds[name]) / median(costs.rounds[to])
