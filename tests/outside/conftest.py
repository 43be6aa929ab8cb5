from __future__ import annotations

import contextlib
import itertools
import json
import os
import shutil
import socket
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from ltiaas_middleware import ApiKeyCredential, LtikCredential, ServiceKeyCredential, Settings
from ltiaas_middleware.sandbox import Sandbox, SandboxServer
from ltiaas_middleware.service_keys import ServiceKeyStore

from .account import SECRET, Account, Caller

_POSTGRESQL = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)


@pytest.fixture
def account() -> Iterator[Account]:
    """A sandbox on a socket, and a credential of each kind for it."""
    sandbox = Sandbox()
    with SandboxServer(sandbox) as server:
        yield Account(sandbox, server.url)


@pytest.fixture(params=["threads", "tasks"])
def api(request: pytest.FixtureRequest, account: Account) -> Caller:
    """Calls an endpoint by name, with a launch's credential unless told otherwise."""
    return Caller(account, asynchronous=request.param == "tasks")


def as_postgres(*command: str | Path) -> list[str]:
    """PostgreSQL refuses to run as root."""
    text = [str(part) for part in command]
    return ["runuser", "-u", "postgres", "--", *text] if os.geteuid() == 0 else text


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """The address of a PostgreSQL of this run's own."""
    if not _POSTGRESQL:
        pytest.skip("PostgreSQL is not installed (apt-get install postgresql)")
    binaries = _POSTGRESQL[0]
    home = Path(tempfile.mkdtemp(prefix="ltiaas-pg-"))
    if os.geteuid() == 0:
        shutil.chown(home, "postgres", "postgres")
    data = home / "data"
    subprocess.run(
        as_postgres(binaries / "initdb", "-D", data, "-A", "trust", "-U", "tool", "--no-sync"),
        check=True,
        capture_output=True,
        cwd="/",
    )
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={home}"
    options += " -c fsync=off -c max_connections=200"
    run = [binaries / "pg_ctl", "-D", data, "-w", "-l", home / "log"]
    # Not through a pipe: the server would inherit it, and its end would never come.
    subprocess.run(
        as_postgres(*run, "-o", options, "start"), check=True, cwd="/", stdout=subprocess.DEVNULL
    )
    try:
        yield f"postgresql://tool:{SECRET['password']}@127.0.0.1:{port}/postgres"
    finally:
        stop = as_postgres(*run, "-m", "immediate", "stop")
        subprocess.run(stop, check=True, cwd="/", stdout=subprocess.DEVNULL)
        shutil.rmtree(home)


_schemas = itertools.count(1)


@pytest.fixture(
    params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)],
)
def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of an empty database: SQLite's or PostgreSQL's."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/keys.sqlite3"
    server: str = request.getfixturevalue("postgresql")
    schema = f"t{next(_schemas)}"
    with connected(server) as connection:
        connection.exec_driver_sql(f"CREATE SCHEMA {schema}")
    return f"{server}?options=-csearch_path%3D{schema}"


@contextlib.contextmanager
def connected(database: str) -> Iterator[sa.Connection]:
    """A connection of the test's own, past the store."""
    engine = sa.create_engine(database.replace("postgresql://", "postgresql+psycopg://"))
    try:
        with engine.begin() as connection:
            yield connection
    finally:
        engine.dispose()


@pytest.fixture
def settings() -> Settings:
    return Settings(
        url="https://your.ltiaas.example", api_key=SECRET["api key"], secret=SECRET["secret"]
    )


@pytest.fixture
def open_store(database: str, settings: Settings) -> Iterator[Callable[..., ServiceKeyStore]]:
    """Opens stores on the test's database; they are closed at its end."""
    opened: list[ServiceKeyStore] = []

    def open_(**options: Any) -> ServiceKeyStore:
        options = {"database": database, "settings": settings} | options
        opened.append(ServiceKeyStore(**options))
        return opened[-1]

    yield open_
    for store in opened:
        store.close()


@pytest.fixture
def store(open_store: Callable[..., ServiceKeyStore]) -> ServiceKeyStore:
    return open_store()


class World:
    """An LTIAAS that gives the answers it is told, for what the sandbox does not do."""

    def __init__(self, url: str, answers: dict[str, tuple[bytes, dict[str, str]]]) -> None:
        self.url = url
        self.credential = LtikCredential(url, SECRET["api key"], "an.ltik.here")
        self.service_key = ServiceKeyCredential(url, SECRET["api key"], SECRET["service key"])
        self.account = ApiKeyCredential(url, SECRET["api key"])
        self.cookies: list[str | None] = []
        self._answers = answers

    def __call__(self, path: str, document: Any, headers: dict[str, str] | None = None) -> None:
        self._answers[path] = (json.dumps(document).encode(), headers or {})


@pytest.fixture
def world() -> Iterator[World]:
    answers: dict[str, tuple[bytes, dict[str, str]]] = {}

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"  # connections stay open
        disable_nagle_algorithm = True

        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            made.cookies.append(self.headers.get("Cookie"))
            body, headers = answers.get(self.path.partition("?")[0], (b"", {}))
            self.send_response(200)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = answer  # noqa: N815

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    made = World(f"http://127.0.0.1:{server.server_port}", answers)
    try:
        yield made
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
