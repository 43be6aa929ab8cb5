"""What importing the package loads, each time in a process of its own."""

from __future__ import annotations

import inspect
import json
import pydoc
import subprocess
import sys

import pytest

import ltiaas_middleware

#: Modules that the import of an adapter may add to those of a framework.
MOST = {"wsgi": 45, "asgi": 45}
#: What neither adapter needs before its first request.
LATER = {"requests", "urllib3", "httpx2", "cryptography", "asgiref", "cachetools", "werkzeug"}

ADDED = """
import json, sys
import {framework}
before = set(sys.modules)
import ltiaas_middleware.{adapter}
print(json.dumps(sorted(set(sys.modules) - before)))
"""

# The threads are let go only when all of them run.
FIRST_REQUESTS = """
import sys, threading
from concurrent.futures import ThreadPoolExecutor
from ltiaas_middleware.wsgi import LTIAASMiddleware

def app(environ, start_response):
    start_response("200 OK", [])
    return [b""]

wrapped = LTIAASMiddleware(app, url="http://127.0.0.1:9", api_key="k" * 40)
assert "requests" not in sys.modules
barrier, statuses = threading.Barrier(8), []

def request(number):
    barrier.wait()
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/", "wsgi.url_scheme": "http"}
    list(wrapped(environ, lambda status, headers, exc_info=None: statuses.append(status)))

with ThreadPoolExecutor(8) as pool:
    list(pool.map(request, range(8)))
assert "requests" in sys.modules
print(*statuses, sep="\\n")
"""

# The event loop has nothing else to do while the server starts.
LIFESPAN = """
import asyncio, sys
from ltiaas_middleware.asgi import LTIAASMiddleware

async def app(scope, receive, send):
    pass

wrapped = LTIAASMiddleware(app, url="http://127.0.0.1:9", api_key="k" * 40)
later = ["requests", "werkzeug", "ltiaas_middleware._parts", "ltiaas_middleware.api.async_session"]
print([name in sys.modules for name in later])
asyncio.run(wrapped({"type": "lifespan"}, None, None))
print([name in sys.modules for name in later])
"""


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("framework", "adapter", "unwanted"),
    [
        # Flask has imported werkzeug, Starlette asyncio.
        ("flask", "wsgi", LATER | {"asyncio"}),
        ("starlette.applications", "asgi", LATER),
    ],
)
def test_an_adapter_adds_few_modules_to_a_framework(
    framework: str, adapter: str, unwanted: set[str]
) -> None:
    added = json.loads(run(ADDED.format(framework=framework, adapter=adapter)))
    assert f"ltiaas_middleware.{adapter}" in added
    assert not unwanted & {name.partition(".")[0] for name in added}
    # How many the standard library is made of differs between Python's versions.
    parts = [name for name in added if name.partition(".")[0] not in sys.stdlib_module_names]
    assert len(parts) <= MOST[adapter], added


def test_the_package_alone_imports_none_of_its_modules() -> None:
    code = "import sys, ltiaas_middleware as m; print(*[n for n in sys.modules if m.__name__ in n])"
    assert set(run(code).split()) == {"ltiaas_middleware", "ltiaas_middleware._version"}


def test_first_requests_that_come_at_once_are_all_served() -> None:
    assert run(FIRST_REQUESTS).split("\n") == ["200 OK"] * 8 + [""]


def test_a_server_that_tells_when_it_starts_has_all_imported_then() -> None:
    assert run(LIFESPAN).split("\n") == [str([False] * 4), str([True] * 4), ""]


def test_every_public_name_is_listed_and_there() -> None:
    names = set(ltiaas_middleware.__all__)
    source = inspect.getsource(ltiaas_middleware)
    for_type_checkers = {
        line.split()[-1] for line in source.splitlines() if line.startswith("    from .")
    }
    assert names | {"AsyncApiSession", "ServiceKeyStore"} == for_type_checkers
    assert names <= set(dir(ltiaas_middleware))
    for name in for_type_checkers:
        assert getattr(ltiaas_middleware, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'Lunch'"):
        _ = ltiaas_middleware.Lunch  # type: ignore[attr-defined]


def test_a_star_import_and_help_know_them() -> None:
    code = "from ltiaas_middleware import *; print(Settings.__name__, require_launch.__name__)"
    assert run(code).split() == ["Settings", "require_launch"]
    page = pydoc.plain(pydoc.render_doc(ltiaas_middleware))
    assert "class Launch(" in page
    assert "require_launch() -> " in page
