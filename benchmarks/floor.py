"""What somebody would write by hand in sixty lines, with requests: both requests of a launch, and
nothing of what makes it safe. Row 1 holds the middleware against it.

Run in servers of their own, with ``LTIAAS_URL`` and ``LTIAAS_API_KEY`` in the environment.
"""

from __future__ import annotations

import asyncio
import os
from hashlib import sha256
from typing import Any
from urllib.parse import parse_qs

import requests

from ltiaas_middleware import asgi, current_launch, wsgi

from . import tools

#: Threads that call LTIAAS: the default of ``Settings.max_concurrent_calls``.
THREADS = 32


def new_session() -> requests.Session:
    """With a connection for each thread."""
    session = requests.Session()
    for scheme in ("http://", "https://"):
        session.mount(scheme, requests.adapters.HTTPAdapter(pool_maxsize=THREADS))
    return session


_session = new_session()
_known: dict[str, tuple[str, Any]] = {}
_COOKIE = "__Secure-launch"


def _answer(path: str, query: str, cookie: str) -> tuple[str, list[tuple[str, str]], bytes]:
    found = parse_qs(query).get("ltik")
    if found:
        launch_id = sha256(found[0].encode()).hexdigest()[:22]
        if launch_id not in _known:
            _known[launch_id] = found[0], _id_token(found[0])
        mount = f"/lti/{launch_id}"
        about = f"Path={mount}; HttpOnly; Secure; SameSite=None; Partitioned"
        set_cookie = ("Set-Cookie", f"{_COOKIE}={found[0]}; {about}")
        return "303 See Other", [("Location", mount + path), set_cookie], b""
    ltik, token = _known.get(path.split("/")[2] if path.startswith("/lti/") else "", ("", None))
    if not ltik or f"{_COOKIE}={ltik}" not in cookie.split("; "):
        return "401 Unauthorized", [], b""
    return "200 OK", [], token["user"]["name"].encode()


def _id_token(ltik: str) -> Any:
    header = {"Authorization": f"LTIK-AUTH-V2 {os.environ['LTIAAS_API_KEY']}:{ltik}"}
    url = f"{os.environ['LTIAAS_URL']}/api/idtoken"
    response = _session.get(url, headers=header, timeout=10)
    response.raise_for_status()
    return response.json()


def floor_wsgi(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    path, query = environ["PATH_INFO"], environ["QUERY_STRING"]
    status, headers, body = _answer(path, query, environ.get("HTTP_COOKIE", ""))
    start_response(status, headers)
    return [body]


def busy_wsgi(environ: dict[str, Any], start_response: Any) -> Any:
    """The same with the page of row 2, in a worker that may not know the launch yet."""
    path, cookie = environ["PATH_INFO"], environ.get("HTTP_COOKIE", "")
    ltik = cookie.partition(f"{_COOKIE}=")[2].partition(";")[0]
    if ltik and path.startswith("/lti/") and path.split("/")[2] not in _known:
        _answer(path, f"ltik={ltik}", cookie)
    status, headers, body = _answer(path, environ["QUERY_STRING"], cookie)
    if not status.startswith("200"):
        start_response(status, headers)
        return [body]
    environ["PATH_INFO"] = "/course"
    return tools.bare_wsgi(environ, start_response)


async def floor_asgi(scope: Any, receive: Any, send: Any) -> None:
    cookie = dict(scope["headers"]).get(b"cookie", b"").decode()
    about = scope["path"], scope["query_string"].decode(), cookie
    status, headers, body = await asyncio.to_thread(_answer, *about)
    encoded = [(name.lower().encode(), value.encode()) for name, value in headers]
    await send({"type": "http.response.start", "status": int(status[:3]), "headers": encoded})
    await send({"type": "http.response.body", "body": body})


def _page_wsgi(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    start_response("200 OK", [])
    return [_name()]


async def _page_asgi(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": _name()})


def _name() -> bytes:
    launch = current_launch()
    return ((launch and launch.id_token.user.name) or "nobody").encode()


ours_wsgi = wsgi.LTIAASMiddleware(_page_wsgi)
ours_asgi = asgi.LTIAASMiddleware(_page_asgi)
