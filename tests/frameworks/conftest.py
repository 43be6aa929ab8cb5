from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator

import pytest

from ltiaas_middleware.sandbox import Sandbox, SandboxServer

from .. import servers
from .apps.contract import MOUNT
from .browser import Browser
from .matrix import WSGI, Framework, Mounting


@pytest.fixture(scope="session")
def account() -> Iterator[SandboxServer]:
    """The LTIAAS account that all tools of these tests belong to."""
    with SandboxServer(Sandbox()) as server:
        yield server


@pytest.fixture
def sandbox(account: SandboxServer) -> Sandbox:
    return account.sandbox


@pytest.fixture(scope="session")
def account_env(account: SandboxServer) -> dict[str, str]:
    return {"LTIAAS_URL": account.url, "LTIAAS_API_KEY": account.sandbox.api_key}


ServerOf = Callable[[Framework, bool], servers.Server]


@pytest.fixture(scope="session")
def server_of(account_env: dict[str, str]) -> Iterator[ServerOf]:
    """Starts a framework's tool when it is first asked for, and keeps it until the end.

    WSGI: gunicorn with one thread that keeps connections alive, so that every request follows
    another one on the same thread. ASGI: uvicorn, with or without ``--root-path``.
    """
    started: dict[tuple[str, bool], servers.Server] = {}
    failed: dict[tuple[str, bool], servers.NotUp] = {}

    with contextlib.ExitStack() as stack:

        def server_of(framework: Framework, root_path: bool) -> servers.Server:
            key = framework.name, root_path
            if key in failed:
                raise failed[key]
            if key not in started:
                app = f"tests.frameworks.apps.{framework.module}:site"
                env = {**account_env, "PYTHONWARNINGS": ",".join(["error", *framework.warnings])}
                if framework.kind == WSGI:
                    running = servers.gunicorn(
                        app, options=["--worker-class", "gthread", "--keep-alive", "30"], env=env
                    )
                else:
                    options = ["--root-path", MOUNT] if root_path else []
                    running = servers.uvicorn(
                        app, options=[*options, "--timeout-keep-alive", "30"], env=env
                    )
                try:
                    started[key] = stack.enter_context(running)
                except servers.NotUp as error:
                    failed[key] = error
                    raise
            return started[key]

        yield server_of

    for (name, _), server in started.items():
        # If a worker ends late, gunicorn leaves open the file by which it watches the worker.
        output = re.sub(r".*unclosed file <_io\.FileIO name=\d+ mode='rb\+'.*", "", server.output)
        complaints = re.findall(
            r".*(?:Traceback|Error:|Warning|never awaited|\bltik=(?!\[hidden\])).*", output
        )
        assert not complaints, f"{name}: {complaints}\n{server.output}"


@pytest.fixture
def browse(server_of: ServerOf) -> Iterator[Callable[..., Browser]]:
    """Opens browsers at a framework's tool."""
    with contextlib.ExitStack() as stack:

        def browse(framework: Framework, mounting: Mounting = "root") -> Browser:
            port = server_of(framework, mounting == "root-path").port
            prefix = {"root": "", "plain-mount": f"/plain{MOUNT}"}.get(mounting, MOUNT)
            browser = Browser(
                port,
                prefix,
                stripped=mounting in ("proxy", "root-path"),
                forwarded=mounting == "proxy",
                keep_alive=framework.keep_alive,
            )
            stack.callback(browser.close)
            return browser

        yield browse
