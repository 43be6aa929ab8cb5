"""A browser, as far as a launch needs one: it navigates, follows redirects and keeps cookies.

Nothing is normalised: what a test gives as an address stands on the wire byte for byte.
"""

from __future__ import annotations

import http.client
import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urljoin, urlsplit

NAVIGATION = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


@dataclass
class Reply:
    """An answer, and the address (path and query) that gave it, as the address bar shows it."""

    address: str
    status: int
    headers: list[tuple[str, str]]
    body: bytes

    @property
    def path(self) -> str:
        return self.address.partition("?")[0]

    @property
    def json(self) -> Any:
        assert self.status == 200, f"{self.address}: {self.status} {self.text}"
        return json.loads(self.body)

    @property
    def text(self) -> str:
        return self.body.decode()

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key.lower() == name.lower()]


class Browser:
    """A person's browser at one tool, on one connection, unless `keep_alive` says that each request
    has one of its own.

    `prefix` is where the tool stands in the browser's eyes. With `stripped`, a proxy stands between
    that takes the prefix away, and with `forwarded` says so in `X-Forwarded-Prefix`.
    """

    def __init__(
        self,
        port: int,
        prefix: str = "",
        *,
        stripped: bool = False,
        forwarded: bool = False,
        keep_alive: bool = True,
    ) -> None:
        self.prefix = prefix
        self.origin = f"http://127.0.0.1:{port}"
        self._stripped = stripped
        self._forwarded = forwarded
        self._keep_alive = keep_alive
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self._cookies: dict[tuple[str, str], str] = {}

    def close(self) -> None:
        self._connection.close()

    def open(self, address: str) -> Reply:
        """Navigate to an address, which may be absolute, as a click on a link does."""
        reply = self.ask("GET", address, NAVIGATION)
        for _ in range(5):
            if reply.status not in (301, 302, 303, 307, 308):
                return reply
            (location,) = reply.all("Location")
            reply = self.ask("GET", urljoin(self.origin + reply.address, location), NAVIGATION)
        raise AssertionError(f"redirected in circles: {reply.address}")

    def ask(
        self,
        method: str,
        address: str,
        headers: dict[str, str] | None = None,
        body: str | None = None,
    ) -> Reply:
        """One request, and no redirect followed."""
        address = address.removeprefix(self.origin) or "/"
        assert address.startswith("/"), f"{address} is on another site"
        path = address.partition("?")[0]
        sent = {**self.cookie_header(path), **(headers or {})}
        if self._forwarded:
            sent["X-Forwarded-Prefix"] = self.prefix
        if not self._keep_alive:
            sent["Connection"] = "close"
        if body is not None:
            sent["Content-Type"] = "application/x-www-form-urlencoded"
        self._connection.request(method, self.on_the_wire(address), body, sent)
        answer = self._connection.getresponse()
        reply = Reply(address, answer.status, answer.getheaders(), answer.read())
        for cookie in reply.all("Set-Cookie"):
            self._keep(cookie)
        return reply

    def on_the_wire(self, address: str) -> str:
        """The address as the tool's server gets it."""
        if not self._stripped:
            return address
        assert address.startswith(self.prefix), f"{address} is not the tool's"
        return address.removeprefix(self.prefix)

    def cookie_header(self, path: str) -> dict[str, str]:
        # RFC 6265 section 5.1.4. Cookie paths are compared as they stand, without decoding.
        found = [
            f"{name}={value}"
            for (name, where), value in self._cookies.items()
            if path == where or path.startswith(where.rstrip("/") + "/")
        ]
        return {"Cookie": "; ".join(found)} if found else {}

    @property
    def local_port(self) -> int | None:
        """Of the connection: it changes when the connection is opened anew. None where each request
        has its own."""
        return self._connection.sock.getsockname()[1] if self._keep_alive else None

    def _keep(self, cookie: str) -> None:
        pair, *attributes = [part.strip() for part in cookie.split(";")]
        named = dict(part.partition("=")[::2] for part in attributes)
        name, _, value = pair.partition("=")
        self._cookies[name, named["Path"]] = value


def path_of(link: str) -> str:
    """The path of a link, decoded."""
    return unquote(urlsplit(link).path)
