"""Serves the sandbox and the demo tool together, in threads of this process."""

from __future__ import annotations

import contextlib
import logging
import signal
import socket
import threading
import time
import webbrowser
from collections.abc import Iterable
from importlib.resources import files
from typing import Any

from werkzeug.serving import ThreadedWSGIServer, WSGIRequestHandler

from ..._version import __version__
from ...sandbox import DEFAULT_API_KEY, Sandbox, SandboxServer
from ...sandbox.faults import read_faults
from ...wsgi import LTIAASMiddleware
from .tool import DemoTool

__all__ = ["Demo", "run"]

_HOST = "127.0.0.1"


class Demo:
    """Runs a sandbox and the demo tool on two loopback ports, as a context manager.

    Args:
        port: the sandbox's port, and ``tool_port`` the tool's; 0 picks a free one.
        faults: the faults at the start, in the format of ``sandbox.faults.read_faults``.
        options: settings of the middleware.

    Raises:
        OSError: a port is in use.
        ValueError: unknown fault.
    """

    def __init__(
        self, port: int, tool_port: int, faults: Iterable[str] = (), **options: Any
    ) -> None:
        self.sandbox = Sandbox(api_key=DEFAULT_API_KEY)
        for fault in read_faults(faults):
            self.sandbox.faults.switch_on(fault)
        self._ports = port, tool_port
        self._options = options

    def __enter__(self) -> Demo:
        port, tool_port = self._ports
        with contextlib.ExitStack() as running:
            self.server = SandboxServer(self.sandbox, _HOST, port).start()
            running.callback(self.server.stop)
            account = {"url": self.server.url, "api_key": self.sandbox.api_key}
            app = LTIAASMiddleware(DemoTool(f"{self.server.url}/"), **(account | self._options))
            running.callback(app.close)
            self.tool = ToolServer(app, tool_port)
            running.callback(self.tool.stop)
            # Before the tool, too: it lets go of requests that a fault holds up.
            running.callback(self.server.stop)
            self._running = running.pop_all()
        self.sandbox.tool = f"{self.tool.url}/launch"
        return self

    def __exit__(self, *error: object) -> None:
        self._running.close()


class ToolServer:
    """Serves the tool on a loopback socket, as soon as it is created."""

    def __init__(self, app: LTIAASMiddleware, port: int) -> None:
        # Bound here, because Werkzeug ends the process when a port is taken.
        with socket.create_server((_HOST, port), backlog=128) as listener:
            fd = listener.fileno()
            self._server = ThreadedWSGIServer(_HOST, 0, app, handler=_QuietHandler, fd=fd)
        self.url = f"http://{_HOST}:{self._server.port}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        """Stop serving."""
        self._server.shutdown()


class _QuietHandler(WSGIRequestHandler):
    """Logs errors only."""

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        pass


def run(port: int, tool_port: int, faults: Iterable[str], *, show: bool) -> None:
    """Serve in the main thread until Ctrl-C or SIGTERM; ``show`` opens the LMS in a browser."""
    logging.basicConfig(format="[tool] %(message)s", level=logging.INFO)
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with Demo(port, tool_port, faults) as demo:
            lms, url, tool = demo.server.lms_url, demo.server.url, demo.tool.url
            greeting = files(__package__).joinpath("greeting.txt").read_text("utf-8")
            print(greeting.format(version=__version__, lms=lms, url=url, tool=tool), flush=True)
            for fault in demo.sandbox.faults:
                print(f"Fault injected: {fault.name}.", flush=True)
            if show:
                webbrowser.open(f"{lms}/")
            while True:
                time.sleep(3600)
    except KeyboardInterrupt:
        print("Stopped.", flush=True)
    finally:
        signal.signal(signal.SIGTERM, before)
