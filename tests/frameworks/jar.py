"""A person's browser with one cookie jar, as strict as a browser's: paths, ``Secure``, host-only
cookies, and what the prefixes ``__Secure-`` and ``__Host-`` ask for. ``Partitioned`` means nothing
here: all tabs are below one site."""

from __future__ import annotations

import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urljoin, urlsplit

import requests


@dataclass
class Cookie:
    value: str
    secure: bool
    hidden: bool


class Jar:
    def __init__(self) -> None:
        self._cookies: dict[tuple[str, str], Cookie] = {}

    def keep(self, header: str, path: str) -> None:
        """Store a ``Set-Cookie`` (RFC 6265bis section 5.7) that came over TLS, or from loopback,
        which browsers trust alike."""
        pair, *rest = [part.strip() for part in header.split(";")]
        name, equals, value = pair.partition("=")
        if not equals:
            name, value = "", name
        given: dict[str, str] = {}
        for part in rest:
            key, _, what = part.partition("=")
            given[key.strip().lower()] = what.strip()
        where = given.get("path", "")
        if not where.startswith("/"):
            where = path.rpartition("/")[0] or "/"
        secure = "secure" in given
        assert "domain" not in given, "of no other host"
        assert secure or given.get("samesite", "").lower() != "none", header
        if name.lower().startswith("__secure-") and not secure:
            return
        if name.lower().startswith("__host-") and not (secure and given.get("path") == "/"):
            return
        if _is_over(given):
            self._cookies.pop((name, where), None)
        else:
            self._cookies[name, where] = Cookie(value, secure, "httponly" in given)

    def header(self, path: str) -> str:
        """What is sent to a path, the longer paths first (RFC 6265 section 5.4)."""
        return "; ".join(f"{name}={cookie.value}" for name, cookie in self._at(path))

    def readable(self, path: str) -> dict[str, str]:
        """``document.cookie`` on a page; of several of a name the first, as scripts read it."""
        found: dict[str, str] = {}
        for name, cookie in self._at(path):
            if not cookie.hidden:
                found.setdefault(name, cookie.value)
        return found

    def _at(self, path: str) -> list[tuple[str, Cookie]]:
        found = [
            (name, where, cookie)
            for (name, where), cookie in self._cookies.items()
            if path == where or path.startswith(where.rstrip("/") + "/")
        ]
        found.sort(key=lambda each: -len(each[1]))
        return [(name, cookie) for name, _, cookie in found]


def _is_over(attributes: dict[str, str]) -> bool:
    if "max-age" in attributes:
        return int(attributes["max-age"]) <= 0
    if "expires" in attributes:
        return parsedate_to_datetime(attributes["expires"]).timestamp() <= time.time()
    return False


class Person:
    """Opens pages of one tool: through a proxy that ends TLS, or on a developer's own machine."""

    def __init__(self, port: int, *, loopback: bool = False) -> None:
        self.jar = Jar()
        self._server = f"http://127.0.0.1:{port}"
        self._origin = self._server if loopback else "https://tool.example"

    def open(self, address: str) -> tuple[str, requests.Response]:
        """Navigate; the path that it ended at, and the answer."""
        reply = self.ask("GET", address, {"Accept": "text/html", "Sec-Fetch-Mode": "navigate"})
        return self.follow(address, reply)

    def follow(self, address: str, reply: requests.Response) -> tuple[str, requests.Response]:
        for _ in range(5):
            if not reply.is_redirect:
                return urlsplit(address).path, reply
            address = urljoin(self._origin + address, reply.headers["Location"])
            address = address.removeprefix(self._origin)
            reply = self.ask("GET", address)
        raise AssertionError(f"redirected in circles: {address}")

    def ask(
        self,
        method: str,
        address: str,
        headers: dict[str, str] | None = None,
        fields: dict[str, Any] | None = None,
    ) -> requests.Response:
        """One request, as a page of the tool's own makes it; no redirect followed."""
        path = urlsplit(address).path
        scheme, _, host = self._origin.partition("://")
        sent = {
            "Host": host,
            "X-Forwarded-Proto": scheme,
            "Cookie": self.jar.header(path),
            "Sec-Fetch-Site": "same-origin",
            **(headers or {}),
        }
        if method == "POST":
            sent |= {"Origin": self._origin, "Referer": f"{self._origin}/"}
        reply = requests.request(
            method,
            self._server + address,
            headers=sent,
            data=fields,
            allow_redirects=False,
            timeout=20,
        )
        for value in reply.raw.headers.getlist("Set-Cookie"):
            self.jar.keep(value, path)
        return reply
