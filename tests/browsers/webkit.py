"""WebKitGTK's MiniBrowser under WebKitWebDriver, on a display of its own.

It stands for every Safari that keeps no cookie in a cross-site iframe: tracking prevention refuses
them there, and cuts the ``Referer`` to the bare origin, also for requests to the page's own origin.

WebKit asks the system for names, which knows none under ``.test``. So the browser uses a proxy that
connects every name to this machine.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
import socketserver
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

from selenium.common.exceptions import WebDriverException
from selenium.webdriver import Remote
from selenium.webdriver.remote.client_config import ClientConfig
from selenium.webdriver.remote.remote_connection import RemoteConnection
from selenium.webdriver.webkitgtk.options import Options

_MINI_BROWSER = "/usr/lib/*/webkit2gtk-4.1/MiniBrowser"
_PROFILES = {
    "tracking-prevention": ["--enable-itp"],
    "third-party-allowed": ["--cookies-policy=always"],
    "no-cookies": ["--cookies-policy=never"],
}
_STARTS_WITHIN = 30.0


class WebKit(Remote):
    """A driver with its display, its proxy and its WebKitWebDriver.

    Args:
        profile: ``tracking-prevention``, ``third-party-allowed`` or ``no-cookies``.
        directory: empty, for the browser's home.
    """

    def __init__(self, profile: str, directory: Path) -> None:
        self._stack = contextlib.ExitStack()
        try:
            display = self._stack.enter_context(_display())
            proxy = self._stack.enter_context(_proxy())
            port = self._stack.enter_context(_web_driver(directory, display))
            options = Options()
            (options.binary_location,) = map(str, Path("/").glob(_MINI_BROWSER[1:]))
            for flag in ("--automation", f"--proxy=http://127.0.0.1:{proxy}", *_PROFILES[profile]):
                options.add_argument(flag)
            options.accept_insecure_certs = True
            config = ClientConfig(remote_server_addr=f"http://127.0.0.1:{port}")
            super().__init__(RemoteConnection(client_config=config), options=options)
        except BaseException:
            self._stack.close()
            raise

    def quit(self) -> None:
        """Close the browser and what belongs to it."""
        try:
            with contextlib.suppress(WebDriverException, OSError):
                super().quit()
        finally:
            self._stack.close()


@contextlib.contextmanager
def _running(command: list[str], **options: Any) -> Any:
    process = subprocess.Popen(command, start_new_session=True, **options)
    try:
        yield process
    finally:
        process.terminate()
        process.wait()


@contextlib.contextmanager
def _display() -> Any:
    """An X server, by its name."""
    reading, writing = os.pipe()
    command = ["Xvfb", "-displayfd", str(writing), "-screen", "0", "1200x900x24"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with _running(command, pass_fds=[writing], **quiet):
        os.close(writing)
        with open(reading) as told:
            yield f":{told.readline().strip()}"


@contextlib.contextmanager
def _web_driver(home: Path, display: str) -> Any:
    """WebKitWebDriver, by its port."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    env = {name: text for name, text in os.environ.items() if "proxy" not in name.lower()}
    env |= {
        "DISPLAY": display,
        "HOME": str(home),
        "XDG_DATA_HOME": str(home / "share"),
        "XDG_CACHE_HOME": str(home / "cache"),
        "XDG_CONFIG_HOME": str(home / "config"),
        # There is neither a GPU here nor a sandbox within the sandbox.
        "WEBKIT_DISABLE_SANDBOX_THIS_IS_DANGEROUS": "1",
        "WEBKIT_DISABLE_COMPOSITING_MODE": "1",
        "WEBKIT_DISABLE_DMABUF_RENDERER": "1",
        "LIBGL_ALWAYS_SOFTWARE": "1",
        "NO_AT_BRIDGE": "1",
        "GTK_A11Y": "none",
    }
    with (home / "webdriver.log").open("wb") as log:
        command = ["WebKitWebDriver", "-p", str(port)]
        with _running(command, env=env, stdout=log, stderr=log):
            until = time.monotonic() + _STARTS_WITHIN
            while True:
                try:
                    socket.create_connection(("127.0.0.1", port), 1).close()
                    break
                except OSError:
                    if time.monotonic() > until:
                        raise
                    time.sleep(0.05)
            yield port


class _Connect(socketserver.StreamRequestHandler):
    """``CONNECT tool.vendor.test:8443``, to this machine whatever the name."""

    def handle(self) -> None:
        line = self.rfile.readline().decode("latin-1")
        while self.rfile.readline().strip():
            pass
        method, target, _ = [*line.split(), "", "", ""][:3]
        if method != "CONNECT" or not target.partition(":")[0].endswith(".test"):
            self.wfile.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
            return
        try:
            there = socket.create_connection(("127.0.0.1", int(target.rpartition(":")[2])), 5)
        except OSError:
            self.wfile.write(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")
            return
        with there, contextlib.suppress(OSError):
            self.wfile.write(b"HTTP/1.1 200 Connected\r\n\r\n")
            _copy(self.connection, there)


def _copy(one: socket.socket, other: socket.socket) -> None:
    """Both ways, until one side closes."""
    with selectors.DefaultSelector() as waiting:
        waiting.register(one, selectors.EVENT_READ, other)
        waiting.register(other, selectors.EVENT_READ, one)
        while True:
            for key, _ in waiting.select():
                data = key.fileobj.recv(65536)  # type: ignore[union-attr]
                if not data:
                    return
                key.data.sendall(data)


class _Proxy(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True


@contextlib.contextmanager
def _proxy() -> Any:
    """The proxy, by its port."""
    with _Proxy(("127.0.0.1", 0), _Connect) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()
