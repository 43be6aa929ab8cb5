"""What a request of a cached launch costs above the bare app, counted, whatever kind it is of."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import flask
import pytest

from benchmarks import launches
from ltiaas_middleware import asgi, wsgi
from tests.counters.bytecodes import at_most, counting

FETCH = {**launches.FETCH, "Sec-Fetch-Dest": "empty"}
#: Headers, and what the app's own cookies are.
KINDS: dict[str, tuple[dict[str, str], str, str]] = {
    "a page": (launches.BROWSER, "", ""),
    "a fetch": (FETCH, "", ""),
    "a fetch with a query": (FETCH, "page=2", ""),
    "a page with an app's session": (launches.BROWSER, "", "; {tag}.session=eyJhIjoxfQ.aWd0.xxxx"),
}
PAGE = '<!doctype html>\n<html lang="en">\n<head>\n<title>Grades</title>\n</head>\n<p>hello'
#: Bytecodes above the bare app on CPython 3.11, of the dearest kind.
MOST = {"wsgi": 810, "asgi": 1_215}
#: How much the dearest kind may cost above the cheapest. Only a page may be a document.
SPREAD = 1.10
#: Instructions above the bare app on CPython 3.11, counted by Valgrind. Targets: 48,000 (WSGI),
#: 72,000 (Flask), 80,000 (ASGI). A document is looked through for the script's place.
INSTRUCTIONS = {"wsgi": 51_600, "flask": 67_500, "flask, a document": 131_500, "asgi": 99_500}
#: Where things lie in memory, the processor's kind, and the C library's and Flask's versions have
#: moved these counts by up to 3 percent.
ELSEWHERE = 1.10


def wsgi_app(environ: Any, start_response: Any) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"hello"]


async def asgi_app(scope: Any, receive: Any, send: Any) -> None:
    headers = [(b"content-type", b"text/plain")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"hello"})


def flask_app(mimetype: str) -> Any:
    app = flask.Flask("tool")
    app.response_class = type("Response", (flask.Response,), {"default_mimetype": mimetype})
    app.add_url_rule("/page", view_func=lambda: PAGE, endpoint="page")
    return app


async def send(message: Any) -> None:
    pass


def start(status: str, headers: Any, exc_info: Any = None) -> None:
    pass


def cases(kind: str, adapter: str) -> Iterator[Callable[[], object]]:
    """A request of the bare app, and the same in a launch."""
    headers, query, cookie = KINDS[kind]
    ltik = launches.ltik()
    if adapter == "asgi":
        middleware: Any = asgi.LTIAASMiddleware(asgi_app, **launches.LTIAAS, cache="memory")
    else:
        bare: Any = wsgi_app
        if adapter != "wsgi":
            bare = flask_app("text/html" if "document" in adapter else "text/plain").wsgi_app
        middleware = wsgi.LTIAASMiddleware(bare, **launches.LTIAAS, cache="memory")
    launches.offline(middleware)
    assert not isinstance(middleware._authenticator.verify(ltik), Exception)
    mount, own = launches.cookie_of(middleware, ltik)
    cookie = own + cookie.format(tag=mount[len("/lti/") :][:8])
    for app, path in ((middleware.app, "/page"), (middleware, f"{mount}/page")):
        if adapter == "asgi":
            yield _asgi_case(app, launches.scope(path, query, headers, Cookie=cookie))
        else:
            yield _wsgi_case(app, launches.environ(path, query, headers, Cookie=cookie))
    middleware.close()


def _wsgi_case(app: Any, environ: dict[str, Any]) -> Callable[[], object]:
    return lambda: b"".join(app(dict(environ), start))


def _asgi_case(app: Any, scope: dict[str, Any]) -> Callable[[], object]:
    def ask() -> None:
        # Nothing here waits, so that no loop is needed.
        with suppress(StopIteration):
            app({**scope, "headers": list(scope["headers"])}, None, send).send(None)

    return ask


@pytest.mark.parametrize("adapter", MOST)
def test_bytecodes(adapter: str) -> None:
    above = {}
    for kind in KINDS:
        counted = []
        for case in cases(kind, adapter):
            case(), case()
            with counting() as bytecodes:
                counted.append(bytecodes.of(case))
        above[kind] = counted[1] - counted[0]
    print(f"figure: {adapter}: bytecodes above the bare app: {above}")
    assert max(above.values()) <= at_most(MOST[adapter])
    if sys.version_info[:2] == (3, 11):
        # Other versions have other bytecodes, of which ``at_most`` knows no more than how many.
        assert max(above.values()) <= SPREAD * min(above.values())


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("valgrind") is None, reason="needs valgrind")
def test_instructions(tmp_path: Path) -> None:
    """Each ``os.getppid()`` has Callgrind write down how many instructions there have been since
    the one before."""
    times = 100
    adapters = "".join(
        f"for case in cases('a page', {adapter!r}):\n"
        f"    case(); case(); os.getppid(); [case() for _ in range({times})]; os.getppid()\n"
        for adapter in INSTRUCTIONS
    )
    code = f"import os\nfrom {__name__} import cases\n{adapters}"
    command = ["valgrind", "--tool=callgrind", "--dump-before=os_getppid", sys.executable]
    done = subprocess.run(
        [*command, "-c", code],
        cwd=tmp_path,
        env={**_environment(), "PYTHONHASHSEED": "0"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    dumps = sorted(tmp_path.glob("callgrind.out.*.*"), key=lambda path: int(path.suffix[1:]))
    counted = [_total(dump) // times for dump in dumps[1::2]]
    above = {
        adapter: counted[2 * number + 1] - counted[2 * number]
        for number, adapter in enumerate(INSTRUCTIONS)
    }
    print(f"figure: instructions above the bare app: {above}")
    most = {name: round(count * ELSEWHERE) for name, count in INSTRUCTIONS.items()}
    assert {name: count for name, count in above.items() if count > most[name]} == {}


def _environment() -> dict[str, str]:
    import os

    return dict(os.environ)


def _total(dump: Path) -> int:
    (line,) = [line for line in dump.read_text().splitlines() if line.startswith("totals:")]
    return int(line.split()[1])
