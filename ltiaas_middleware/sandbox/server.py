"""Serves a sandbox on a socket, in threads."""

from __future__ import annotations

import contextlib
import logging
import socket
import ssl
import threading
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from werkzeug.serving import ThreadedWSGIServer, WSGIRequestHandler
from werkzeug.test import run_wsgi_app
from werkzeug.wsgi import ClosingIterator

from .app import Sandbox

_logger = logging.getLogger("ltiaas_middleware.sandbox")
_EVERY_ADDRESS = ("0.0.0.0", "")  # noqa: S104 (compared with, not bound)
# Browsers take every name below `localhost` for this machine; not all programs do.
_LMS_HOST = "lms.localhost"
_TLS_HANDSHAKE = 10.0
"""Seconds that a client may take over its TLS handshake."""
_GRACE = 2.0
"""Seconds that `stop` waits for requests whose connections it has just cut, and that a client may
take over the rest of a body nobody reads."""


class SandboxServer:
    """Serves a sandbox on a listening socket, in daemon threads.

    `port` 0 picks a free port. `ssl_context` (an `ssl.SSLContext`, or the paths of a certificate
    chain and its key) turns on https. `public_url` is the origin that browsers and the tool use for
    the sandbox, if it is not the socket's (behind a proxy, or in a container).

    Starting raises `OSError` if the port is in use.
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
        """The sandbox's origin. Raises `RuntimeError` if `port` is 0 and the sandbox has not
        started yet."""
        if self._public_url:
            return self._public_url
        if not self.port:
            raise RuntimeError("the sandbox has no URL before it starts")
        shown = "127.0.0.1" if self.host in _EVERY_ADDRESS else self.host
        shown = "::1" if shown == "::" else shown
        host = f"[{shown}]" if ":" in shown else shown
        return f"{'https' if self._tls else 'http'}://{host}:{self.port}"

    @property
    def lms_url(self) -> str:
        """The origin of the LMS's pages, for a browser. On this machine, it has a different host
        name: for browsers, `lms.localhost` and `127.0.0.1` are two sites, so the tool is in a
        cross-site iframe, as in production. Raises `RuntimeError` as `url` does."""
        parts = urlsplit(self.url)
        if self._public_url or self._tls or parts.hostname not in ("127.0.0.1", "localhost"):
            return self.url
        return f"http://{_LMS_HOST}:{parts.port}"

    def start(self) -> SandboxServer:
        """Start listening, and serve in a thread. The sandbox is ready when this returns."""
        if self._server is not None:
            raise RuntimeError("the sandbox is already running")
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        # Bound here, because Werkzeug ends the process when an address is taken.
        with socket.create_server((self.host, self.port), family=family, backlog=128) as listener:
            self._server = _Server(self.host, self.sandbox, listener.fileno(), self._tls)
        self.port = self._server.port
        self._tell(self.sandbox)
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.02,), name="ltiaas-sandbox", daemon=True
        )
        self._thread.start()
        return self

    def replace(self, sandbox: Sandbox) -> None:
        """Serve another sandbox from now on, at the same URL. Requests that the old one delays get
        their responses. Raises `RuntimeError` if the server is not started."""
        if self._server is None:
            raise RuntimeError("the sandbox is not running")
        self._tell(sandbox)
        self._server.app = sandbox
        self.sandbox.clear_faults()
        self.sandbox = sandbox

    def stop(self) -> None:
        """Stop serving. This cuts off delayed requests. It does nothing if the server has already
        stopped."""
        server, thread = self._server, self._thread
        self._server = self._thread = None
        if server is not None and thread is not None:
            server.stop()
            thread.join()

    def __enter__(self) -> SandboxServer:
        return self.start()

    def __exit__(self, *error: object) -> None:
        self.stop()

    def _tell(self, sandbox: Sandbox) -> None:
        sandbox.own_hosts, sandbox.public_url = self._own_hosts(), self._public_url

    def _own_hosts(self) -> set[str]:
        own = urlsplit(self.url).netloc.lower()
        names = {"127.0.0.1", "localhost", "[::1]", _LMS_HOST}
        if self.host in _EVERY_ADDRESS:
            # Other containers of a Compose file reach it by this.
            names.add(socket.gethostname().lower())
        hosts = {own, *(f"{name}:{self.port}" for name in names)}
        if self.port == (443 if self._tls else 80):
            hosts |= names
        return hosts


class _Handler(WSGIRequestHandler):
    """Werkzeug's handler without an access log (ltiks stand in URLs), and with connections that are
    kept, as LTIAAS keeps them."""

    server: _Server
    # Headers and body are sent apart; on a connection that is kept, Nagle's algorithm would hold
    # the body back until the client's delayed acknowledgement.
    disable_nagle_algorithm = True

    def run_wsgi(self) -> None:
        self.environ = self.make_environ()
        bodiless = (
            self.headers.get("Content-Length", "0") == "0"
            and "Transfer-Encoding" not in self.headers
        )
        try:
            rows, status, headers = run_wsgi_app(self.server.app, self.environ)
            with contextlib.closing(ClosingIterator(rows)):
                if not bodiless or self.server.stopping.is_set():
                    headers.set("Connection", "close")
                code, _, phrase = status.partition(" ")
                self.send_response(int(code), phrase)
                for name, value in headers:
                    self.send_header(name, value)
                self.end_headers()
                for data in rows:
                    self.wfile.write(data)
        except OSError:
            raise  # The connection is gone; see `handle`.
        except Exception:
            _logger.exception(
                "The sandbox failed to respond to %s %s", self.command, self.path.partition("?")[0]
            )
            self.close_connection = True
            self.send_error(500)
        if not bodiless:
            self._drain()

    def _drain(self) -> None:
        """Read what is left of a body: closing on it would reset the connection, and the client
        could lose the answer."""
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_WR)
            self.connection.settimeout(_GRACE)
            while self.rfile.read(65536):
                pass

    def connection_dropped(
        self, error: BaseException, environ: Mapping[str, Any] | None = None
    ) -> None:
        # The connection may be closed already: do not look for another request on it.
        self.close_connection = True

    def log(self, type: str, message: str, *args: Any) -> None:
        pass


class _Server(ThreadedWSGIServer):
    def __init__(self, host: str, app: Sandbox, fd: int, tls: ssl.SSLContext | None) -> None:
        super().__init__(host, 0, app, handler=_Handler, fd=fd)
        # Not handed to Werkzeug's own constructor: that would do the handshake in the accepting
        # thread, where one silent client would stop everybody else's.
        self.ssl_context = tls
        self.stopping = threading.Event()
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

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not self.stopping.is_set():
            super().handle_error(request, client_address)
