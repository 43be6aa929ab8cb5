"""Launches of a realistic size, and requests as a browser in an LMS's iframe sends them."""

from __future__ import annotations

import json
import secrets
import sys
from base64 import urlsafe_b64encode
from collections.abc import Callable
from io import BytesIO
from typing import Any
from urllib.parse import quote

from ltiaas_middleware import IdToken
from ltiaas_middleware.api.decoded import Decoded

LTIAAS = {"url": "http://localhost:1", "api_key": "7d1c3f0e-0000-4000-8000-000000000006"}
#: Characters of an ltik: what wire.md has seen lies between 300 and 900.
LTIK_LENGTH = 700
#: Bytes of an ID token.
CLAIMS_SIZE = 2048

BROWSER = {
    "Host": "tool.example",
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    "Accept-Language": "en-US,en;q=0.5",
    "Accept-Encoding": "gzip, deflate, br, zstd",
    "Sec-Fetch-Dest": "iframe",
    "Sec-Fetch-Mode": "navigate",
    "Sec-Fetch-Site": "same-origin",
    "Referer": "https://tool.example/",
    "X-Forwarded-For": "192.0.2.7",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Host": "tool.example",
}
#: A fetch of a page's script: an ltik in its query is served in place.
FETCH = {**BROWSER, "Accept": "application/json", "Sec-Fetch-Mode": "cors"}


def ltik() -> str:
    """A token of its own, of ``LTIK_LENGTH`` characters."""
    return ".".join(
        (
            _encoded(b'{"alg":"HS256","typ":"JWT"}'),
            secrets.token_hex(LTIK_LENGTH)[: LTIK_LENGTH - 36 - 43 - 2],
            _encoded(secrets.token_bytes(32)),
        )
    )


def claims(user: str = "ada") -> bytes:
    """An ID token of ``CLAIMS_SIZE`` bytes."""
    document: dict[str, Any] = {
        "ltiVersion": "1.3.0",
        "user": {
            "id": user,
            "name": "Ada Lovelace",
            "email": "ada@lms.example",
            "roles": ["http://purl.imsglobal.org/vocab/lis/v2/membership#Learner"],
        },
        "platform": {"id": "f5a1c1d0e2", "url": "https://lms.example", "name": "LMS"},
        "launch": {
            "type": "LtiResourceLinkRequest",
            "context": {"id": "course-1", "title": "Analytical engines"},
            "resourceLink": {"id": "link-1", "title": "Bernoulli numbers"},
        },
        "services": {"namesAndRoles": {"available": True}, "serviceKey": secrets.token_hex(120)},
        "custom": {"padding": ""},
    }
    missing = CLAIMS_SIZE - len(json.dumps(document))
    document["custom"]["padding"] = "x" * missing
    return json.dumps(document).encode()


class Upstream:
    """LTIAAS as the authenticator asks it, without a network."""

    def __init__(self, wait: Callable[[], object] = lambda: None) -> None:
        self.calls = 0
        self._wait = wait

    def id_token(self, ltik: str) -> Decoded:
        self.calls += 1
        self._wait()
        document = claims()
        return Decoded(document, IdToken.parse(json.loads(document), document))


def offline(middleware: Any, upstream: Upstream | None = None) -> Any:
    """The same middleware, with nobody to call."""
    middleware._authenticator._fetching.upstream._source = upstream or Upstream()
    return middleware


def cookie_of(middleware: Any, token: str) -> tuple[str, str]:
    """(launch path, cookie) of a verified launch."""
    launch_id = middleware._gate._ids.of(token)
    return f"/lti/{launch_id}", f"__Secure-ltiaas-launch={token}"


def environ(
    path: str, query: str = "", headers: dict[str, str] | None = None, **more: str
) -> dict[str, Any]:
    """A WSGI request. ``more`` are further headers, with underscores."""
    made: dict[str, Any] = {
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "QUERY_STRING": query,
        "RAW_URI": f"{quote(path)}?{query}" if query else quote(path),
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "8000",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "REMOTE_PORT": "40000",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "https",
        "wsgi.input": BytesIO(),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    for name, value in {**(headers or BROWSER), **more}.items():
        made["HTTP_" + name.upper().replace("-", "_")] = value
    return made


def scope(
    path: str, query: str = "", headers: dict[str, str] | None = None, **more: str
) -> dict[str, Any]:
    """An ASGI request. ``more`` are further headers."""
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "server": ("127.0.0.1", 8000),
        "client": ("127.0.0.1", 40000),
        "scheme": "https",
        "method": "GET",
        "root_path": "",
        "path": path,
        "raw_path": quote(path).encode(),
        "query_string": query.encode(),
        "headers": [
            (name.lower().encode(), value.encode())
            for name, value in {**(headers or BROWSER), **more}.items()
        ],
        "state": {},
    }


def _encoded(data: bytes) -> str:
    return urlsafe_b64encode(data).decode().rstrip("=")
