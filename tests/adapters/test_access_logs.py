"""What each server writes into its log of a launch: the table in docs/howto/secrets-in-logs.md."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import requests

from tests import servers
from tests.account import Account

WSGI, ASGI = "tests.adapters.plain:wsgi_app", "tests.adapters.plain:asgi_app"
_WSGIREF = """
import sys
from wsgiref.simple_server import make_server
from tests.adapters.plain import wsgi_app
make_server("127.0.0.1", int(sys.argv[1]), wsgi_app).serve_forever()
"""
_WERKZEUG = """
import sys
from werkzeug.serving import run_simple
from tests.adapters.plain import wsgi_app
run_simple("127.0.0.1", int(sys.argv[1]), wsgi_app)
"""
_MODULE = (sys.executable, "-m")
_UWSGI = shutil.which("uwsgi", path=str(Path(sys.executable).parent)) or "uwsgi"

#: By the name in the table: how it is started, and what switches its access log on.
SERVERS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "gunicorn": ((*_MODULE, "gunicorn", WSGI, "-b", "{address}"), ("--access-logfile", "-")),
    "uvicorn": ((*_MODULE, "uvicorn", ASGI, "--port", "{port}"), ()),
    "hypercorn": ((*_MODULE, "hypercorn", ASGI, "-b", "{address}"), ("--access-logfile", "-")),
    "granian": (
        (*_MODULE, "granian", "--interface", "asgi", "--port", "{port}", ASGI),
        ("--access-log", "--access-log-fmt", "%(method)s %(path)s?%(query_string)s %(status)d"),
    ),
    "daphne": ((*_MODULE, "daphne", "-p", "{port}", ASGI), ()),
    "waitress": ((*_MODULE, "waitress", "--listen", "{address}", WSGI), ()),
    "cheroot": ((*_MODULE, "cheroot", "--bind", "{address}", WSGI), ()),
    "uWSGI": (
        (_UWSGI, "--http-socket", "{address}", "--module", WSGI, "--enable-threads", "--need-app"),
        (),
    ),
    "Werkzeug": ((sys.executable, "-c", _WERKZEUG, "{port}"), ()),
    "wsgiref": ((sys.executable, "-c", _WSGIREF, "{port}"), ()),
}


def table() -> dict[str, tuple[str, str]]:
    """By server: whether it logs requests unless told to, and what it logs of an ltik."""
    page = (servers.ROOT / "docs" / "howto" / "secrets-in-logs.md").read_text()
    rows = re.findall(r"^\| (\w+) \| (yes|no)\b[^|]* \| (hidden|shown|not logged)", page, re.M)
    return {name: (logs, ltik) for name, logs, ltik in rows}


def log_of_a_launch(command: tuple[str, ...], account: Account) -> tuple[str, str]:
    """What it printed, and the ltik."""
    ltik = account.sandbox.issue()
    env = {"LTIAAS_URL": account.url, "LTIAAS_API_KEY": account.sandbox.api_key}

    def on(port: int) -> list[str]:
        return [each.format(port=port, address=f"127.0.0.1:{port}") for each in command]

    with servers.running(on, env=env, probe="/probe") as server:
        for headers in ({}, {"Accept": "text/html", "Sec-Fetch-Mode": "navigate"}):
            answer = requests.get(
                f"{server.url}/launch?ltik={ltik}",
                headers=headers,
                timeout=20,
                allow_redirects=False,
            )
            assert answer.status_code == (303 if headers else 200), answer.text
        # Stopped, it has written everything.
        return server.stop(), ltik


def verdict(printed: str, ltik: str) -> str:
    if [part for part in ltik.split(".") if part in printed]:
        return "shown"
    return "hidden" if "[hidden]" in printed or "/launch" in printed else "not logged"


def case(name: str) -> Any:
    """Only new versions of servers change it: `make check` asks the less common ones."""
    common = name in ("gunicorn", "uvicorn")
    return pytest.param(name, marks=[] if common else [pytest.mark.slow])


def test_the_table_names_every_server() -> None:
    assert list(table()) == list(SERVERS)


@pytest.mark.parametrize("name", [case(name) for name in SERVERS])
def test_a_server_with_its_defaults(name: str, account: Account) -> None:
    command, access_log = SERVERS[name]
    printed, ltik = log_of_a_launch(command, account)
    logs, ltiks = table()[name]
    assert ("yes" if "/launch" in printed else "no") == logs, printed
    if logs == "yes" or not access_log:
        assert verdict(printed, ltik) == ltiks, printed


@pytest.mark.parametrize("name", [case(name) for name, (_, log) in SERVERS.items() if log])
def test_a_server_with_its_access_log_on(name: str, account: Account) -> None:
    command, access_log = SERVERS[name]
    printed, ltik = log_of_a_launch((*command, *access_log), account)
    assert "/launch" in printed
    assert verdict(printed, ltik) == table()[name][1], printed
