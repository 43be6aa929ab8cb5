"""What a new launch costs, counted: both of its requests, with LTIAAS behind TLS in a process of
its own.

A figure that goes up fails. One that goes down is written here: it is how far we have come, and
the target is beside it.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from typing import Any

import pytest

from benchmarks import launches, sandbox, tls
from ltiaas_middleware import Settings, asgi, current_launch, wsgi
from ltiaas_middleware._verification.id_tokens import Api
from ltiaas_middleware._verification.threads import Threads
from ltiaas_middleware.api.id_token import IdToken
from tests.counters.bytecodes import at_most, counting

#: Bytecodes in memory on CPython 3.11. At 8383811 they were 31,629 and 35,501 by this count, which
#: tells a fifth more than ``sys.monitoring``; now 21,500 and 24,400, and newer versions of urllib3
#: may move them a little. Targets: 17,000 and 17,700. Of what is left,
#: http.client, email and urllib3 take 6,500, and reading the ID token 4,000.
MOST = {"wsgi": 22_500, "asgi": 25_500}


@pytest.fixture(scope="module")
def ltiaas() -> Iterator[dict[str, Any]]:
    with (
        tls.certificate() as (chain, key, trusted),
        sandbox.running(200, chain, key) as served,
    ):
        yield {**served, "ca_bundle": trusted, "next": iter(served["ltiks"]).__next__}


def options(ltiaas: dict[str, Any], **more: Any) -> dict[str, Any]:
    account = {name: ltiaas[name] for name in ("url", "api_key", "ca_bundle")}
    # However slow the machine is: no waiting page.
    return account | {"cache": "memory", "timeout": 60, "waiting_page_after": 60} | more


class Wsgi:
    """A tool, and a browser that opens a launch in it."""

    def __init__(self, **options: Any) -> None:
        def app(environ: Any, start_response: Any) -> list[bytes]:
            start_response("200 OK", [])
            return [current_launch().id_token.user.name.encode()]

        self.middleware = wsgi.LTIAASMiddleware(app, **options)

    def _ask(self, environ: Any) -> tuple[str, dict[str, str], bytes]:
        started: list[Any] = []
        body = b"".join(self.middleware(environ, lambda *said: started.append(said)))
        return started[0][0][:3], dict(started[0][1]), body

    def launch(self, ltik: str) -> None:
        navigation = {"Sec-Fetch-Site": "cross-site"}
        _, headers, _ = self._ask(launches.environ("/page", f"ltik={ltik}", **navigation))
        cookie = headers["Set-Cookie"].partition(";")[0]
        status, _, body = self._ask(launches.environ(headers["Location"], Cookie=cookie))
        assert (status, body) == ("200", b"Ada Moreau")

    def close(self) -> None:
        self.middleware.close()


class Asgi:
    """The same under ASGI."""

    def __init__(self, **options: Any) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            name = current_launch().id_token.user.name.encode()
            await send({"type": "http.response.body", "body": name})

        self.middleware = asgi.LTIAASMiddleware(app, **options)
        self._loop = asyncio.new_event_loop()

    async def _ask(self, scope: Any) -> tuple[int, dict[bytes, bytes], bytes]:
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        await self.middleware(scope, None, send)
        return sent[0]["status"], dict(sent[0]["headers"]), sent[1]["body"]

    async def _launch(self, ltik: str) -> None:
        navigation = {"Sec-Fetch-Site": "cross-site"}
        _, headers, _ = await self._ask(launches.scope("/page", f"ltik={ltik}", **navigation))
        cookie = headers[b"set-cookie"].partition(b";")[0].decode()
        page = launches.scope(headers[b"location"].decode(), Cookie=cookie)
        status, _, body = await self._ask(page)
        assert (status, body) == (200, b"Ada Moreau")

    def launch(self, ltik: str) -> None:
        self._loop.run_until_complete(self._launch(ltik))

    def close(self) -> None:
        self.middleware.close()
        self._loop.close()


TOOLS: dict[str, Callable[..., Any]] = {"wsgi": Wsgi, "asgi": Asgi}


@pytest.mark.parametrize("kind", TOOLS)
def test_bytecodes(kind: str, ltiaas: dict[str, Any]) -> None:
    counted = []
    with counting() as bytecodes, closing(TOOLS[kind](**options(ltiaas))) as tool:
        for _ in range(12):
            ltik = ltiaas["next"]()
            counted.append(bytecodes.of(partial(tool.launch, ltik)))
    # The first ones import, connect and start threads.
    least = min(counted[2:])
    print(f"figure: {kind}: {least} bytecodes for a new launch")
    assert least <= at_most(MOST[kind])


def test_60_cold_launches_load_the_certificate_authorities_once(
    ltiaas: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """All at once, and each on a connection of its own."""
    loaded = []
    load = ssl.SSLContext.load_verify_locations

    def note(context: ssl.SSLContext, *args: Any, **named: Any) -> None:
        loaded.append(context)
        load(context, *args, **named)

    monkeypatch.setattr(ssl.SSLContext, "load_verify_locations", note)
    before = ltiaas["handshakes"]()
    api = Api(Settings(**options(ltiaas), max_concurrent_calls=60))
    with closing(api), ThreadPoolExecutor(60) as pool:
        list(pool.map(api.id_token, [ltiaas["next"]() for _ in range(60)]))
    assert ltiaas["handshakes"]() - before > 1
    assert len(loaded) == 1


@pytest.mark.parametrize("kind", TOOLS)
@pytest.mark.parametrize("cache", ["memory", pytest.param("redis", marks=pytest.mark.redis)])
def test_hand_overs_between_threads(
    kind: str,
    cache: str,
    ltiaas: dict[str, Any],
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # A set: the cookie may come back at the moment in which the flight lands, and then both say so.
    submitted: set[tuple[Any, ...]] = set()
    submit = Threads.submit

    def note(threads: Threads, *args: Any, **named: Any) -> Any:
        submitted.add((threads._name, *args[:2]))
        return submit(threads, *args, **named)

    monkeypatch.setattr(Threads, "submit", note)
    if cache == "redis":
        cache = request.getfixturevalue("redis_server").url
    with closing(TOOLS[kind](**options(ltiaas, cache=cache))) as tool:
        tool.launch(ltiaas["next"]())
    print(f"figure: {kind} {cache} {submitted}")
    assert len(submitted) == (1 if cache == "memory" else 2)


def test_an_id_token_is_decoded_once_parsed_once_and_never_encoded(
    ltiaas: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    done: Counter[str] = Counter()
    loads, dumps, parse = json.loads, json.dumps, IdToken.parse

    def noted_loads(document: Any, *args: Any, **named: Any) -> Any:
        found = loads(document, *args, **named)
        done["decoded"] += isinstance(found, dict) and "user" in found
        return found

    def noted_dumps(document: Any, *args: Any, **named: Any) -> Any:
        done["encoded"] += isinstance(document, dict) and "user" in document
        return dumps(document, *args, **named)

    def noted_parse(*args: Any) -> IdToken:
        done["parsed"] += 1
        return parse(*args)

    monkeypatch.setattr(json, "loads", noted_loads)
    monkeypatch.setattr(json, "dumps", noted_dumps)
    monkeypatch.setattr(IdToken, "parse", noted_parse)
    with closing(Wsgi(**options(ltiaas))) as tool:
        tool.launch(ltiaas["next"]())
    print(f"figure: {dict(done)}")
    assert (done["decoded"], done["parsed"], done["encoded"]) == (1, 1, 0)
