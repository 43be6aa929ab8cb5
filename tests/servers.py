"""Real servers in subprocesses, on free ports of the loopback interface.

```python
with gunicorn("tests.frameworks.apps.flask_app:site", workers=2, env=env) as server:
    requests.get(server.url + "/launch", timeout=10)
assert "Traceback" not in server.output
```

Each function starts one server, waits until the app behind it has answered ``probe`` (any status
will do), and yields it; leaving the block stops it with SIGTERM. A server that does not come up
fails at once, with what it printed.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from gunicorn.config import KNOWN_SETTINGS

ROOT = Path(__file__).parent.parent

_ADDRESS_TAKEN = ("address already in use", "Connection in use", "Errno 98")
# Newer gunicorns share one control socket per user unless told not to.
_NO_CONTROL_SOCKET = (
    ["--no-control-socket"]
    if any(setting.name == "control_socket_disable" for setting in KNOWN_SETTINGS)
    else []
)
_WERKZEUG = """
import importlib, signal, sys
from werkzeug.serving import run_simple
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
module, _, name = sys.argv[1].partition(":")
app = getattr(importlib.import_module(module), name)
tls = tuple(sys.argv[3:]) or None
run_simple("127.0.0.1", int(sys.argv[2]), app, threaded=True, ssl_context=tls)
"""


class Server:
    """A server that runs in a subprocess.

    `url` has no slash at its end. `output` is everything printed so far, by it and its workers, to
    either stream.
    """

    def __init__(self, command: Sequence[str], port: int, env: Mapping[str, str], tls: bool):
        self.command = list(command)
        self.port = port
        self.tls = tls
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{port}"
        self._changed = threading.Condition()
        self._output = ""
        self._ended = False
        # A session of its own, so that workers can be ended with it, and nobody else with them.
        self.process = subprocess.Popen(
            self.command,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", **env},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        stream = self.process.stdout
        assert stream is not None
        with stream:
            for line in stream:
                with self._changed:
                    self._output += line
                    self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    @property
    def output(self) -> str:
        with self._changed:
            return self._output

    def wait_for_output(self, text: str, times: int = 1, timeout: float = 60) -> str:
        """Wait until `text` has been printed that often; gives everything printed back."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._output.count(text) >= times or self._ended, timeout
            )
            found = self._output.count(text)
            assert found >= times, f"{text!r} printed {found} of {times} times:\n{self._output}"
            return self._output

    def wait_until_it_answers(self, probe: str | None, timeout: float) -> None:
        """Wait for the port, and for an answer to GET `probe` unless that is None."""
        deadline = time.monotonic() + timeout
        while True:
            try:
                if probe is None:
                    socket.create_connection(("127.0.0.1", self.port), timeout).close()
                else:
                    self._ask(probe, timeout)
            except (OSError, http.client.HTTPException) as error:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    raise NotUp(f"{self.command} is not up: {error!r}\n{self.stop()}") from error
                with self._changed:
                    self._changed.wait(0.05)
            else:
                return

    def _ask(self, path: str, timeout: float) -> None:
        connection: http.client.HTTPConnection
        if self.tls:
            # Whose certificate it is does not matter for being up.
            context = ssl._create_unverified_context()
            connection = http.client.HTTPSConnection(
                "127.0.0.1", self.port, timeout=timeout, context=context
            )
        else:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        with contextlib.closing(connection):
            connection.request("GET", path)
            connection.getresponse().read()

    def stop(self, timeout: float = 10) -> str:
        """Stop it as an operator would, with SIGTERM; gives everything printed back."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            # With its workers; its session holds nobody else.
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        self._reader.join(timeout)
        return self.output


class NotUp(AssertionError):
    """A server did not come up."""


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def running(
    command: Callable[[int], Sequence[str]],
    *,
    env: Mapping[str, str] | Callable[[int], Mapping[str, str]] | None = None,
    probe: str | None = "/",
    tls: bool = False,
    timeout: float = 120,
) -> Iterator[Server]:
    """Run what `command` makes of a free port; on another one if that was taken meanwhile."""
    for attempt in range(3):
        port = free_port()
        variables = env(port) if callable(env) else env or {}
        server = Server(command(port), port, variables, tls)
        try:
            server.wait_until_it_answers(probe, timeout)
            break
        except NotUp:
            if attempt == 2 or not any(sign in server.output for sign in _ADDRESS_TAKEN):
                raise
    try:
        yield server
    finally:
        server.stop()


def gunicorn(
    app: str,
    *,
    workers: int = 1,
    threads: int = 1,
    options: Sequence[str] = (),
    env: Mapping[str, str] | None = None,
    tls: tuple[str, str] | None = None,
    python: str = sys.executable,
    probe: str | None = "/",
) -> contextlib.AbstractContextManager[Server]:
    """`app` as gunicorn names it (``"module:name"``), with an access log on stdout.

    One thread makes it the sync worker; ask for ``--worker-class gthread`` in `options` to have
    keep-alive with one thread. `tls` is the paths of a certificate chain and its key.
    """

    def command(port: int) -> list[str]:
        keys = ["--certfile", tls[0], "--keyfile", tls[1]] if tls else []
        return [
            *(python, "-m", "gunicorn", "--bind", f"127.0.0.1:{port}"),
            *("--workers", str(workers), "--threads", str(threads)),
            *("--access-logfile", "-", "--graceful-timeout", "2"),
            *_NO_CONTROL_SOCKET,
            *keys,
            *options,
            app,
        ]

    return running(command, env=env, probe=probe, tls=bool(tls))


def uvicorn(
    app: str,
    *,
    workers: int = 1,
    options: Sequence[str] = (),
    env: Mapping[str, str] | None = None,
    tls: tuple[str, str] | None = None,
    python: str = sys.executable,
    probe: str | None = "/",
) -> contextlib.AbstractContextManager[Server]:
    """`app` as uvicorn names it, with its access log."""

    def command(port: int) -> list[str]:
        keys = ["--ssl-certfile", tls[0], "--ssl-keyfile", tls[1]] if tls else []
        return [
            *(python, "-m", "uvicorn", "--host", "127.0.0.1", "--port", str(port)),
            *("--timeout-graceful-shutdown", "2"),
            # --workers 1 is left away: it would be a supervisor and a worker all the same.
            *(("--workers", str(workers)) if workers > 1 else ()),
            *keys,
            *options,
            app,
        ]

    return running(command, env=env, probe=probe, tls=bool(tls))


def hypercorn(
    app: str,
    *,
    workers: int = 1,
    options: Sequence[str] = (),
    env: Mapping[str, str] | None = None,
    tls: tuple[str, str] | None = None,
    probe: str | None = "/",
) -> contextlib.AbstractContextManager[Server]:
    """`app` as hypercorn names it; no dependency of the tests, ask pytest.importorskip first."""

    def command(port: int) -> list[str]:
        keys = ["--certfile", tls[0], "--keyfile", tls[1]] if tls else []
        return [
            *(sys.executable, "-m", "hypercorn", "--bind", f"127.0.0.1:{port}"),
            *("--workers", str(workers), "--access-logfile", "-", "--graceful-timeout", "2"),
            *keys,
            *options,
            app,
        ]

    return running(command, env=env, probe=probe, tls=bool(tls))


def werkzeug(
    app: str,
    *,
    env: Mapping[str, str] | None = None,
    tls: tuple[str, str] | None = None,
    probe: str | None = "/",
) -> contextlib.AbstractContextManager[Server]:
    """`app` (``"module:name"``) on Werkzeug's development server, with threads."""

    def command(port: int) -> list[str]:
        return [sys.executable, "-c", _WERKZEUG, app, str(port), *(tls or ())]

    return running(command, env=env, probe=probe, tls=bool(tls))
