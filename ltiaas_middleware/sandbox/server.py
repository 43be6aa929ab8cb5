"""Serves a sandbox on a socket: in a thread for tests, in the foreground for the command line."""

from __future__ import annotations

import contextlib
import io
import signal
import socket
import ssl
import threading
from collections.abc import Callable, Mapping
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from werkzeug.serving import ThreadedWSGIServer, WSGIRequestHandler

from .app import FAULTED, Sandbox
from .faults import read_faults

_EVERY_ADDRESS = ("0.0.0.0", "")  # noqa: S104 (compared with, not bound)
if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

# Browsers take every name below `localhost` for this machine; not all programs do.
_LMS_HOST = "lms.localhost"
_TLS_HANDSHAKE = 10.0
"""Seconds that a client may take over its TLS handshake."""
_GRACE = 2.0
"""Seconds that `stop` waits for requests whose connections it has just cut."""


class SandboxServer:
    """A sandbox behind a listening socket, served by daemon threads.

    `port` 0 takes a free one. `ssl_context` (an `ssl.SSLContext`, or the paths of a certificate
    chain and its key) makes it https. `public_url` is the origin under which browsers and the tool
    reach the sandbox, where that is not the socket's own address (behind a proxy, or in a
    container).

    Starting raises `OSError` when the address cannot be had.
    """

    def __init__(
        self,
        sandbox: Sandbox,
        host: str = "127.0.0.1",
        port: int = 0,
        ssl_context: ssl.SSLContext | tuple[str, str] | None = None,
        public_url: str | None = None,
    ) -> None:
        self.sandbox = sandbox
        self.host = host
        self.port = port
        if isinstance(ssl_context, tuple):
            certificate, key = ssl_context
            ssl_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            ssl_context.load_cert_chain(certificate, key)
        self._tls = ssl_context
        self._public_url = public_url.rstrip("/") if public_url else None
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """The sandbox's origin. Raises `RuntimeError` when a free port was asked for and none is
        taken yet.
        """
        if self._public_url:
            return self._public_url
        if not self.port:
            raise RuntimeError("the sandbox has no address before it is started")
        shown = "127.0.0.1" if self.host in _EVERY_ADDRESS else self.host
        shown = "::1" if shown == "::" else shown
        host = f"[{shown}]" if ":" in shown else shown
        return f"{'https' if self._tls else 'http'}://{host}:{self.port}"

    @property
    def lms_url(self) -> str:
        """The origin of the LMS's pages, for a browser. On this machine it has a name of its own:
        browsers hold `lms.localhost` and `127.0.0.1` to be two sites, so that a tool is framed
        across sites, as in production. Raises `RuntimeError` as `url` does.
        """
        parts = urlsplit(self.url)
        if self._public_url or self._tls or parts.hostname not in ("127.0.0.1", "localhost"):
            return self.url
        return f"http://{_LMS_HOST}:{parts.port}"

    def start(self) -> SandboxServer:
        """Listen, and serve in a thread. Once it returns, the sandbox answers."""
        if self._server is not None:
            raise RuntimeError("the sandbox is being served already")
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        # Bound here, because Werkzeug ends the process when an address is taken.
        with socket.create_server((self.host, self.port), family=family, backlog=128) as listener:
            self._server = _Server(self.host, self.sandbox, listener.fileno(), self._tls)
        self.port = self._server.port
        self.sandbox.own_hosts = self._own_hosts()
        self.sandbox.public_url = self._public_url
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.02,), name="ltiaas-sandbox", daemon=True
        )
        self._thread.start()
        return self

    def stop(self) -> None:
        """Stop serving. Requests that are still being held up are cut off. Harmless when stopped
        already.
        """
        server, thread = self._server, self._thread
        self._server = self._thread = None
        if server is not None and thread is not None:
            server.stop()
            thread.join()

    def __enter__(self) -> SandboxServer:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def _own_hosts(self) -> set[str]:
        own = urlsplit(self.url).netloc.lower()
        names = {"127.0.0.1", "localhost", "[::1]", _LMS_HOST}
        hosts = {own, *(f"{name}:{self.port}" for name in names)}
        if self.port == (443 if self._tls else 80):
            hosts |= names
        return hosts


class _Handler(WSGIRequestHandler):
    """Werkzeug's handler, without an access log (ltiks stand in URLs)."""

    server: _Server
    # Headers and body are sent apart; on a connection that is kept, Nagle's algorithm would hold
    # the body back until the client's delayed acknowledgement.
    disable_nagle_algorithm = True

    def send_header(self, keyword: str, value: str) -> None:
        # Werkzeug closes every connection, because it cannot tell whether a body was read to its
        # end. LTIAAS keeps them; where there was no body, and no fault that ends with the
        # connection, so does the sandbox.
        # There is no environ where a request could not be read.
        known = "environ" in vars(self)
        if (keyword, value) == ("Connection", "close") and known and self._may_go_on():
            return
        super().send_header(keyword, value)

    def make_environ(self) -> WSGIEnvironment:
        self.environ = environ = super().make_environ()
        if self._may_go_on():
            # After an answer Werkzeug throws away what comes within ten milliseconds: here, the
            # next request. It is shown an input that is at its end instead.
            self.connection, self.rfile = self.server.readable, io.BytesIO()
        return environ

    def run_wsgi(self) -> None:
        connection, rfile = self.connection, self.rfile
        try:
            super().run_wsgi()
        finally:
            self.connection, self.rfile = connection, rfile

    def _may_go_on(self) -> bool:
        return (
            self.headers.get("Content-Length", "0") == "0"
            and "Transfer-Encoding" not in self.headers
            and self.headers.get("Connection", "").lower() != "close"
            and not self.environ.get(FAULTED)
            and not self.server.stopping.is_set()
        )

    def connection_dropped(
        self, error: BaseException, environ: Mapping[str, Any] | None = None
    ) -> None:
        # The connection may be closed already: do not look for another request on it.
        self.close_connection = True

    def log(self, type: str, message: str, *args: Any) -> None:
        if type == "error" and message.startswith("Error on request"):
            super().log(type, message, *args)


class _Server(ThreadedWSGIServer):
    def __init__(self, host: str, app: Sandbox, fd: int, tls: ssl.SSLContext | None) -> None:
        super().__init__(host, 0, app, handler=_Handler, fd=fd)
        # Not handed to Werkzeug's own constructor: that would do the handshake in the accepting
        # thread, where one silent client would stop everybody else's.
        self.ssl_context = tls
        self.stopping = threading.Event()
        self.readable, self._writing = socket.socketpair()
        self._writing.send(b"!")
        self._changed = threading.Condition()
        self._open: set[socket.socket] = set()

    def finish_request(self, request: Any, client_address: Any) -> None:
        connection: socket.socket = request
        if self.ssl_context is not None:
            connection.settimeout(_TLS_HANDSHAKE)
            try:
                connection = self.ssl_context.wrap_socket(connection, server_side=True)
            except OSError:
                return  # No TLS, or no trust in our certificate: there is nobody to answer.
            connection.settimeout(None)
        with self._changed:
            self._open.add(connection)
        try:
            if not self.stopping.is_set():
                super().finish_request(connection, client_address)
        finally:
            self.shutdown_request(connection)
            with self._changed:
                self._open.discard(connection)
                self._changed.notify_all()

    def stop(self) -> None:
        """Stop accepting, cut the open connections, and wait a moment for their threads."""
        self.stopping.set()
        self.shutdown()
        with self._changed:
            for connection in self._open:
                with contextlib.suppress(OSError):  # Gone already.
                    # The plain socket's, under TLS too: the other thread may be in a record.
                    socket.socket.shutdown(connection, socket.SHUT_RDWR)
            self._changed.wait_for(lambda: not self._open, _GRACE)
        self.readable.close()
        self._writing.close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not self.stopping.is_set():
            super().handle_error(request, client_address)


def serve(
    tool: str,
    host: str,
    port: int,
    api_key: str,
    faults: list[Any],
    *,
    empty: bool = False,
    pre_approval: str | None = None,
    ready: Callable[[SandboxServer], None] | None = None,
) -> None:
    """Serve a sandbox in the foreground, until Ctrl-C or SIGTERM.

    Prints the address to open, and the two variables that a tool needs. `faults` are switched on at
    the start, each as `read_faults` takes them; `empty` and `pre_approval` are as `Sandbox` has
    them. `ready` is called once it listens. Raises
    `ValueError` for a tool, key or fault that cannot be, and `OSError` when the address cannot be
    had.
    """
    sandbox = Sandbox(tool=tool, api_key=api_key, empty=empty, pre_approval=pre_approval)
    for fault in read_faults(faults):
        sandbox.faults.switch_on(fault)
    stop = threading.Event()

    def on_signal(number: int, frame: FrameType | None) -> None:
        stop.set()

    before = {
        number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        with SandboxServer(sandbox, host=host, port=port) as server:
            print(f"The sandbox's LMS: {server.lms_url}/", flush=True)
            print(f"export LTIAAS_URL={server.url}", flush=True)
            print(f"export LTIAAS_API_KEY={api_key}", flush=True)
            if ready is not None:
                ready(server)
            # In slices, because on some systems a wait without an end keeps signals out.
            while not stop.wait(0.5):
                pass
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
