"""The sandbox in the foreground, for the command line."""

from __future__ import annotations

import contextlib
import logging
import re
import shlex
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

from .app import Sandbox
from .server import SandboxServer

_logger = logging.getLogger("ltiaas_middleware.sandbox")


def serve(
    sandbox: Sandbox,
    host: str = "127.0.0.1",
    port: int = 0,
    faults: Iterable[str] = (),
    *,
    env_file: str | None = None,
    ready: Callable[[SandboxServer], None] | None = None,
) -> None:
    """Serve a sandbox until Ctrl-C or SIGTERM. Call this from the main thread.

    Prints the two variables that a tool needs to stdout, in shell syntax, and everything else to
    stderr: the URL to open, and a line for each launch and call. Also writes the variables to
    `env_file`, if given. `faults` are on from the start, in the format of `read_faults`. Calls
    `ready` once the server listens. Raises `ValueError` for an unknown fault, and `OSError` if the
    port is in use or the file cannot be written.
    """
    sandbox.faults.begin(faults)
    signals = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, signal.default_int_handler) for number in signals}
    try:
        with _logging(), SandboxServer(sandbox, host, port) as server:
            _greet(server, env_file)
            if ready is not None:
                ready(server)
            while True:
                time.sleep(3600)
    except KeyboardInterrupt:
        pass
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _logging() -> Iterator[None]:
    handler, level = logging.StreamHandler(sys.stderr), _logger.level
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
    _logger.setLevel(logging.INFO)
    _logger.addHandler(handler)
    try:
        yield
    finally:
        _logger.removeHandler(handler)
        _logger.setLevel(level)


def _greet(server: SandboxServer, env_file: str | None) -> None:
    variables = {"LTIAAS_URL": server.url, "LTIAAS_API_KEY": server.sandbox.api_key}
    _say(f"The sandbox's LMS: {server.lms_url}/")
    if env_file is not None:
        write_env_file(Path(env_file), variables)
        _say(f"Wrote {' and '.join(variables)} to {env_file}.")
    for name, value in variables.items():
        print(f"export {name}={shlex.quote(value)}", flush=True)
    tool = server.sandbox.tool
    if (why := _unreachable(tool)) is not None:
        _say(f"Warning: {why}")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def write_env_file(path: Path, variables: dict[str, str]) -> None:
    """Set variables in a .env file, and leave its other lines unchanged."""
    lines = path.read_text("utf-8").splitlines() if path.exists() else []
    ours = re.compile(rf"\s*(?:export\s+)?(?:{'|'.join(variables)})\s*=")
    kept = [line for line in lines if not ours.match(line)]
    made = [f"{name}={value}" for name, value in variables.items()]
    path.write_text("\n".join([*kept, *made]) + "\n", "utf-8")


def _unreachable(url: str) -> str | None:
    """Why a browser on this machine cannot open the tool, and what to do; None if it can."""
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    try:
        socket.create_connection((host, port), timeout=2).close()
    except socket.gaierror:
        return f"this machine cannot resolve {host}. Add it to /etc/hosts, or correct --tool."
    except OSError:
        return f"nothing is listening at {url}. Start your tool, or correct --tool."
    return None
