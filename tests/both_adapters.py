"""One way to ask either adapter, so that a rule of the gate is tested once and holds for both."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote, unquote_to_bytes

from ltiaas_middleware import asgi, current_launch, require_launch, wsgi


@dataclass
class Reply:
    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key.lower() == name.lower()]

    def __getitem__(self, name: str) -> str:
        (value,) = self.all(name)
        return value

    def get(self, name: str) -> str | None:
        values = self.all(name)
        return values[0] if values else None

    @property
    def seen(self) -> dict[str, Any]:
        """What the app saw; only where the app answered."""
        assert self.get("X-App") == "yes", f"the app was not reached: {self.status} {self.body!r}"
        return json.loads(self.body)

    @property
    def reached_app(self) -> bool:
        return self.get("X-App") == "yes"

    @property
    def problem(self) -> str:
        assert self["Content-Type"] == "application/problem+json"
        return str(json.loads(self.body)["code"])


@dataclass
class Tool:
    """An echoing app behind one of the adapters."""

    kind: str
    options: dict[str, Any]
    app_headers: list[tuple[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.kind == "wsgi":
            self.middleware: Any = wsgi.LTIAASMiddleware(self._wsgi_app, **self.options)
        else:
            self.middleware = asgi.LTIAASMiddleware(self._asgi_app, **self.options)

    def _wsgi_app(self, environ: Any, start_response: Any) -> list[bytes]:
        if environ["PATH_INFO"] == "/requires":
            require_launch()
        if environ["PATH_INFO"] == "/log-out":
            require_launch().end()
        headers = {
            key[5:].replace("_", "-").lower(): value
            for key, value in environ.items()
            if key.startswith("HTTP_")
        }
        mount = environ["SCRIPT_NAME"]
        path = environ["PATH_INFO"].encode("latin-1").decode()
        seen = _seen(environ.get("ltiaas.launch"), mount, path, environ["QUERY_STRING"], headers)
        start_response("200 OK", [("X-App", "yes"), *self.app_headers])
        return [seen]

    async def _asgi_app(self, scope: Any, receive: Any, send: Any) -> None:
        mount = scope.get("app_root_path") or scope.get("root_path", "")
        path = scope["path"].removeprefix(mount)
        if path == "/requires":
            require_launch()
        if path.endswith("/log-out"):
            await asyncio.to_thread(require_launch().end)
        headers = {key.decode(): value.decode("latin-1") for key, value in scope["headers"]}
        seen = _seen(
            scope.get("ltiaas.launch"), mount, path, scope["query_string"].decode(), headers
        )
        extra = [(k.encode(), v.encode("latin-1")) for k, v in self.app_headers]
        await send(
            {
                "type": "http.response.start",
                "status": 200,
                "headers": [(b"x-app", b"yes"), *extra],
            }
        )
        await send({"type": "http.response.body", "body": seen})

    def later(self, seconds: float) -> None:
        """Let time pass for the authenticator."""
        authenticator = self.middleware._authenticator
        upstream = authenticator._fetching.upstream
        names = ("_launches", "_flights", "_fetching", "_room", "_shared")
        parts = [getattr(authenticator, name) for name in names]
        parts += [authenticator, upstream, upstream._limits]
        for part in filter(None, parts):
            before = part._monotonic
            part._monotonic = lambda before=before: before() + seconds

    def get(self, path: str, headers: dict[str, str] | None = None, **more: Any) -> Reply:
        return self.ask("GET", path, headers, **more)

    def navigate(self, path: str, headers: dict[str, str] | None = None, **more: Any) -> Reply:
        """As a browser does when a person follows a link inside an iframe."""
        marks = {
            "Accept": "text/html,*/*;q=0.8",
            "Sec-Fetch-Mode": "navigate",
            "Sec-Fetch-Dest": "iframe",
            "Sec-Fetch-Site": "cross-site",
        }
        return self.ask("GET", path, marks | (headers or {}), **more)

    def ask(
        self,
        method: str,
        target: str,
        headers: dict[str, str] | None = None,
        *,
        mount: str = "",
        scheme: str = "https",
        host: str = "tool.example",
        raw: bool = True,
        address: str = "",
    ) -> Reply:
        raw_path, _, query = target.partition("?")
        sent = {"Host": host} | (headers or {})
        if self.kind == "wsgi":
            return self._ask_wsgi(method, raw_path, query, sent, mount, scheme, raw, address)
        return asyncio.run(
            self.ask_asgi(method, raw_path, query, sent, mount, scheme, raw, address)
        )

    def _ask_wsgi(
        self,
        method: str,
        raw_path: str,
        query: str,
        headers: dict[str, str],
        mount: str,
        scheme: str,
        raw: bool,
        address: str,
    ) -> Reply:
        environ: dict[str, Any] = {
            "REQUEST_METHOD": method,
            "SCRIPT_NAME": mount,
            "PATH_INFO": unquote_to_bytes(raw_path).decode("latin-1"),
            "QUERY_STRING": query,
            "wsgi.url_scheme": scheme,
        }
        if address:
            environ["REMOTE_ADDR"] = address
        if raw:
            environ["RAW_URI"] = f"{mount}{raw_path}?{query}"
        for key, value in headers.items():
            environ["HTTP_" + key.upper().replace("-", "_")] = value
        started: list[Any] = []

        def start_response(status: str, response_headers: Any, exc_info: Any = None) -> Any:
            started[:] = [int(status.split()[0]), list(response_headers)]
            return None

        body = self.middleware(environ, start_response)
        reply = Reply(0, [], b"".join(body))
        reply.status, reply.headers = started
        return reply

    async def ask_asgi(
        self,
        method: str,
        raw_path: str,
        query: str,
        headers: dict[str, str],
        mount: str = "",
        scheme: str = "https",
        raw: bool = True,
        address: str = "",
    ) -> Reply:
        scope: dict[str, Any] = {
            "type": "http",
            "method": method,
            "scheme": scheme,
            "path": mount + unquote(raw_path),
            "root_path": mount,
            "query_string": query.encode("latin-1"),
            "headers": [
                (key.lower().encode(), value.encode("latin-1")) for key, value in headers.items()
            ],
        }
        if address:
            scope["client"] = (address, 40000)
        if raw:
            scope["raw_path"] = (mount + raw_path).encode()
        messages: list[Any] = []

        async def send(message: Any) -> None:
            messages.append(message)

        async def receive() -> Any:
            return {"type": "http.request", "body": b"", "more_body": False}

        await self.middleware(scope, receive, send)
        start, *bodies = messages
        return Reply(
            start["status"],
            [(key.decode("latin-1"), value.decode("latin-1")) for key, value in start["headers"]],
            b"".join(message["body"] for message in bodies),
        )


def _seen(launch: Any, mount: str, path: str, query: str, headers: dict[str, str]) -> bytes:
    assert launch is current_launch()
    return json.dumps(
        {
            "launch": launch and launch.id,
            "launch_path": launch and launch.path,
            "user": launch and launch.id_token.user.name,
            "mount": mount,
            "path": path,
            "query": query,
            "headers": headers,
        }
    ).encode()
