"""Three sites over TLS on this machine: the LMS (with LTIAAS), the tool, and somebody else's.

Their registrable domains differ, so that a browser takes them for what they are in real life: the
tool in the LMS's frame is a third party, and the third site is an attacker. The browsers are told
that every name under ``.test`` (RFC 6761 section 6.2) is this machine.
"""

from __future__ import annotations

import re
import socket
import ssl
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote

import trustme
from werkzeug.serving import ThreadedWSGIServer, WSGIRequestHandler

from ltiaas_middleware.sandbox import Sandbox, SandboxServer, World
from ltiaas_middleware.wsgi import LTIAASMiddleware

from .tool import make_app

LMS = "lms.school.test"
SAME_SITE_AS_LMS = "blog.school.test"
TOOL = "tool.vendor.test"
ELSEWHERE = "www.elsewhere.test"

Environ = dict[str, Any]
App = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]


class Certificates:
    """A certificate authority of our own, and one certificate for all hosts."""

    def __init__(self, directory: Path) -> None:
        authority = trustme.CA()
        self.ca_file = directory / "ca.pem"
        authority.cert_pem.write_to_path(str(self.ca_file))
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        names = (LMS, SAME_SITE_AS_LMS, TOOL, ELSEWHERE, "localhost")
        certificate = authority.issue_cert(*names)
        certificate.configure_cert(self.context)
        #: Key and certificates in one file, for servers that run in a process of their own.
        self.chain_file = str(directory / "chain.pem")
        certificate.private_key_and_cert_chain_pem.write_to_path(self.chain_file)


class _QuietAboutHandshakes(ThreadedWSGIServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser opens connections in advance and drops them again: that is no error."""


class Server:
    """A WSGI app behind TLS, in threads of this process."""

    def __init__(self, app: App, certificates: Certificates) -> None:
        with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
            self._server = _QuietAboutHandshakes(
                "127.0.0.1", 0, app, handler=WSGIRequestHandler, fd=listener.fileno()
            )
        # Werkzeug's own TLS does the handshake in the accepting thread, where a connection that a
        # browser opened in advance would hold up everybody else's.
        self._server.socket = certificates.context.wrap_socket(
            self._server.socket, server_side=True, do_handshake_on_connect=False
        )
        self._server.ssl_context = certificates.context
        self.port: int = self._server.port
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class Seen:
    """One request as it came in, before the middleware touched it, and what became of it."""

    def __init__(self, environ: Environ) -> None:
        self.method: str = environ["REQUEST_METHOD"]
        self.path: str = environ["PATH_INFO"]
        self.query: str = environ["QUERY_STRING"]
        self.cookie: str = environ.get("HTTP_COOKIE", "")
        self.referer: str = environ.get("HTTP_REFERER", "")
        self.fetch_site: str = environ.get("HTTP_SEC_FETCH_SITE", "")
        self.status = 0

    @property
    def has_launch_cookie(self) -> bool:
        """Whether the browser sent a launch's cookie back."""
        return re.search("__Secure-ltiaas-launch(-tab)?=", self.cookie) is not None

    def __repr__(self) -> str:
        cookie = " +cookie" if self.has_launch_cookie else ""
        return f"<{self.method} {self.path}{cookie} {self.fetch_site} {self.status}>"


class Tool:
    """The tool under test: a Flask app in the middleware, behind TLS.

    Args:
        ltiaas: the sandbox's address and API key.
        new_tabs: True inserts the script.
        partitioned: False takes ``Partitioned`` from every cookie, to see what it is good for.
        options: the middleware's settings.
    """

    def __init__(
        self,
        ltiaas: tuple[str, str],
        certificates: Certificates,
        *,
        elsewhere: str,
        partitioned: bool = True,
        new_tabs: bool = False,
        **options: Any,
    ) -> None:
        url, api_key = ltiaas
        self._options = {
            "url": url,
            "api_key": api_key,
            "ca_bundle": str(certificates.ca_file),
            # As on another machine: the next worker knows no launch.
            "cache": "memory",
            "insert_script": new_tabs,
            **options,
        }
        self._partitioned = partitioned
        self._app = make_app(elsewhere, str(certificates.ca_file), new_tabs=new_tabs)
        self.changes: list[str] = self._app.config["changes"]
        self.seen: list[Seen] = []
        self._wsgi = LTIAASMiddleware(self._app.wsgi_app, **self._options)
        self._server = Server(self, certificates)
        self.url = f"https://{TOOL}:{self._server.port}"

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        seen = Seen(environ)
        self.seen.append(seen)

        def start(status: str, headers: list[tuple[str, str]], *exc_info: Any) -> Any:
            seen.status = int(status[:3])
            if not self._partitioned:
                headers = [(name, value.replace("; Partitioned", "")) for name, value in headers]
            return start_response(status, headers, *exc_info)

        return self._wsgi(environ, start)

    def replace_worker(self) -> None:
        """Go on with a worker that has never seen a launch, as after a deploy."""
        self._wsgi.close()
        self._wsgi = LTIAASMiddleware(self._app.wsgi_app, **self._options)

    def ltiks(self) -> list[str]:
        """Every ltik that has arrived."""
        found = (dict(parse_qsl(seen.query)).get("ltik") for seen in self.seen)
        return [ltik for ltik in found if ltik]

    def on(self, path: str) -> list[Seen]:
        """The requests for one of the app's pages, under whatever launch."""
        return [seen for seen in self.seen if seen.path.endswith(path)]

    def close(self) -> None:
        """Stop serving."""
        self._server.close()
        self._wsgi.close()


class Elsewhere:
    """A site that is nobody's friend: links, frames and forms towards wherever its query says."""

    def __init__(self, certificates: Certificates) -> None:
        self.referers: list[str] = []
        self._server = Server(self, certificates)
        self.url = f"https://{ELSEWHERE}:{self._server.port}"
        self.lms_side_url = f"https://{SAME_SITE_AS_LMS}:{self._server.port}"

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        self.referers.append(environ.get("HTTP_REFERER", ""))
        to = escape(dict(parse_qsl(environ["QUERY_STRING"])).get("to", ""))
        body = {
            "/link": f'<a id="go" href="{to}">A link</a>',
            "/frame": f'<iframe id="tool-frame" src="{to}" width="800" height="500"></iframe>',
            "/socket": f'<p id="said">waiting</p><script>const socket = new WebSocket("{to}");'
            'const say = text => { document.querySelector("#said").textContent = text; };'
            'socket.onmessage = event => say(event.data); socket.onerror = () => say("refused");'
            "</script>",
            "/form": f'<form method="post" action="{to}"><input name="points" value="0">'
            '<button id="go">Win a prize</button></form>',
        }.get(environ["PATH_INFO"])
        status = "404 Not Found" if body is None else "200 OK"
        start_response(status, [("Content-Type", "text/html; charset=utf-8")])
        return [f"<!doctype html><h1>Elsewhere</h1>{body or ''}".encode()]

    def page(self, kind: str, to: str, *, lms_side: bool = False) -> str:
        """The address of a page with a link, frame, form or websocket towards ``to``."""
        origin = self.lms_side_url if lms_side else self.url
        return f"{origin}/{kind}?to={quote(to, safe='')}"

    def close(self) -> None:
        """Stop serving."""
        self._server.close()


class Clock:
    """The sandbox's, to be put forward."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self.ahead = 0.0

    def __call__(self) -> float:
        return self._now() + self.ahead


class Sites:
    """The three sites of one test; tools are added as the test needs them."""

    def __init__(
        self, certificates: Certificates, clock: Clock, world: World | None = None
    ) -> None:
        self.certificates = certificates
        self.clock = clock
        self.sandbox = Sandbox(clock=clock, world=world)
        self._lms = SandboxServer(self.sandbox, ssl_context=certificates.context).start()
        # The browser comes by the LMS's name, the tool's back end by this machine's.
        self._ltiaas = f"https://localhost:{self._lms.port}"
        self.lms_url = f"https://{LMS}:{self._lms.port}"
        self.sandbox.public_url = self.lms_url
        self.sandbox.own_hosts |= {f"{LMS}:{self._lms.port}"}
        self.elsewhere = Elsewhere(certificates)
        self._tools: list[Tool] = []

    def tool(self, **options: Any) -> Tool:
        """A tool, to which the LMS's launches go from now on."""
        tool = Tool(
            (self._ltiaas, self.sandbox.api_key),
            self.certificates,
            elsewhere=self.elsewhere.url,
            **options,
        )
        self._tools.append(tool)
        self.sandbox.tool = f"{tool.url}/launch"
        return tool

    @property
    def account_env(self) -> dict[str, str]:
        """What a tool in a process of its own needs to know of its account."""
        return {
            "LTIAAS_URL": self._ltiaas,
            "LTIAAS_API_KEY": self.sandbox.api_key,
            "LTIAAS_CA_BUNDLE": str(self.certificates.ca_file),
        }

    def activity(self, activity: str = "quiz-1", user: str = "ben") -> str:
        """The LMS's page of an activity, with the tool in its frame."""
        return f"{self.lms_url}/lms/frame?activity={activity}&course=biology&user={user}"

    def close(self) -> None:
        """Stop all."""
        for tool in self._tools:
            tool.close()
        self.elsewhere.close()
        self._lms.stop()


@contextmanager
def serving(
    certificates: Certificates, clock: Clock, world: World | None = None
) -> Iterator[Sites]:
    """The three sites, for as long as a test needs them."""
    sites = Sites(certificates, clock, world)
    try:
        yield sites
    finally:
        sites.close()
