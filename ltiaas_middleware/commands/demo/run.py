"""Serves the sandbox and the demo tool together, in threads of this process."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Iterable, Mapping
from types import FrameType, TracebackType
from typing import Any

from werkzeug.serving import ThreadedWSGIServer, WSGIRequestHandler

from ...sandbox import DEFAULT_API_KEY, Sandbox, SandboxServer
from ...sandbox.faults import read_faults
from ...wsgi import LTIAASMiddleware
from .tool import DemoTool

__all__ = ["DEFAULT_PORT", "DEFAULT_TOOL_PORT", "Demo", "bypass_proxies", "run"]

DEFAULT_PORT = 8400
DEFAULT_TOOL_PORT = 8401
_HOST = "127.0.0.1"


class Demo:
    """A sandbox and the demo tool on two loopback ports, while the context lasts.

    Args:
        port: the sandbox's; None takes 8400 or, where that is taken, a free one; 0 a free one.
        tool_port: the tool's; likewise, from 8401.
        faults: misbehaviours that the sandbox begins with, as ``sandbox.faults.read_faults`` takes
            them.
        access_log: whether the tool's requests are printed, as Werkzeug does.
        patience: seconds that a page of the tool waits for LTIAAS.
        options: settings of the middleware.

    Raises:
        OSError: a port that was asked for cannot be had.
        ValueError: a misbehaviour that there is not.
    """

    def __init__(
        self,
        port: int | None = None,
        tool_port: int | None = None,
        faults: Iterable[str | Mapping[str, Any]] = (),
        *,
        access_log: bool = False,
        patience: float = 8.0,
        **options: Any,
    ) -> None:
        self.sandbox = Sandbox(api_key=DEFAULT_API_KEY)
        for fault in read_faults(faults):
            self.sandbox.faults.switch_on(fault)
        self._port = port
        self._tool_port = tool_port
        self._access_log = access_log
        self._patience = patience
        self._options = options
        #: Sentences on what is not as usual, such as a port that was taken.
        self.remarks: list[str] = []

    def __enter__(self) -> Demo:
        self.server = self._sandbox_server()
        try:
            self.tool = self._tool_server()
        except BaseException:
            self.server.stop()
            raise
        self.sandbox.tool = f"{self.tool.url}/launch"
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # Whoever waits for a misbehaving sandbox is let go first, so that the tool stops at once.
        self.server.stop()
        self.tool.stop()

    def _sandbox_server(self) -> SandboxServer:
        wanted = DEFAULT_PORT if self._port is None else self._port
        try:
            return SandboxServer(self.sandbox, host=_HOST, port=wanted).start()
        except OSError:
            if self._port is not None:
                raise
        server = SandboxServer(self.sandbox, host=_HOST).start()
        self.remarks.append(f"Port {wanted} is taken, so the sandbox is on {server.port}.")
        return server

    def _tool_server(self) -> ToolServer:
        app = LTIAASMiddleware(
            DemoTool(lms=f"{self.server.url}/", patience=self._patience),
            url=self.server.url,
            api_key=self.sandbox.api_key,
            **self._options,
        )
        wanted = DEFAULT_TOOL_PORT if self._tool_port is None else self._tool_port
        try:
            return ToolServer(app, wanted, self._access_log)
        except OSError:
            if self._tool_port is not None:
                app.close()
                raise
        tool = ToolServer(app, 0, self._access_log)
        self.remarks.append(f"Port {wanted} is taken, so the demo tool is on {tool.port}.")
        return tool


class ToolServer:
    """The tool behind a loopback socket. It answers from the moment that it is made.

    Args:
        app: the wrapped tool.
        port: 0 takes a free one.
        access_log: whether to print each request.

    Raises:
        OSError: the port cannot be had.
    """

    def __init__(self, app: LTIAASMiddleware, port: int, access_log: bool) -> None:
        self._app = app
        handler = WSGIRequestHandler if access_log else _QuietHandler
        # Bound here, because Werkzeug ends the process when a port is taken.
        with socket.create_server((_HOST, port), backlog=128) as listener:
            self._server = ThreadedWSGIServer(_HOST, 0, app, handler=handler, fd=listener.fileno())
        self.port: int = self._server.port
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.02,), name="ltiaas-demo-tool", daemon=True
        )
        self._thread.start()

    @property
    def url(self) -> str:
        """The tool's origin."""
        return f"http://{_HOST}:{self.port}"

    def stop(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._thread.join()
        self._app.close()


class _QuietHandler(WSGIRequestHandler):
    """Logs what went wrong and nothing else."""

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        pass


def run(
    port: int | None, tool_port: int | None, faults: Iterable[str], *, access_log: bool = False
) -> None:
    """Serve until Ctrl-C or SIGTERM, and say what to open and to try.

    Args and errors are those of ``Demo``. To be called from the main thread.
    """
    stop = threading.Event()

    def on_signal(number: int, frame: FrameType | None) -> None:
        stop.set()

    before = {
        number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        bypass_proxies()
        with Demo(port, tool_port, faults, access_log=access_log) as demo:
            print(_greeting(demo), flush=True)
            # In slices, because on some systems a wait without an end keeps signals out.
            while not stop.wait(0.5):
                pass
        print("Stopped.", flush=True)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _greeting(demo: Demo) -> str:
    lines = [
        *demo.remarks,
        "",
        f"  Open    {demo.server.lms_url}/    the sandbox's LMS",
        "          It shows the tool in a frame of another site, as a real LMS does. If your",
        f"          browser does not know that name, open {demo.server.url}/ instead.",
        "",
        "  Try     1. Choose an activity and a person, and launch it: the demo tool knows both.",
        "          2. Launch another activity as someone else in a second tab. Give a score in",
        "             each: neither tab loses its place, and the LMS's gradebook shows both.",
        "          3. Let LTIAAS misbehave on the LMS's page for it, and see what the tool does.",
        "",
        f"  The demo tool listens on {demo.tool.url}, its source is in",
        "  ltiaas_middleware/commands/demo/.",
        "  Ctrl-C stops both.",
    ]
    for fault in demo.sandbox.faults:
        lines.insert(len(demo.remarks), f"The sandbox misbehaves from the start: {fault.name}.")
    return "\n".join(lines)


def bypass_proxies() -> None:
    """Have this process reach its own servers directly, where a proxy is set for all else."""
    known = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    os.environ["no_proxy"] = os.environ["NO_PROXY"] = ",".join(
        dict.fromkeys([*filter(None, known.split(",")), _HOST, "localhost"])
    )
