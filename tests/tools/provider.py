"""An OAuth provider with an API, as strict as real ones: it knows its redirect URLs and compares
them exactly, takes a code once, with the redirect URL that it was issued for, and refuses what has
expired."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from typing import Any
from urllib.parse import urlencode

from werkzeug.wrappers import Request, Response

from tests.commands.scripted import serving

_ALLOW = """<!doctype html><h1>Let the tool act as you?</h1>
<form method="post"><button id="allow">Allow</button></form>"""


class Provider:
    """A WSGI app.

    Attributes:
        redirect_uris: what the client has registered.
        in_frames: whether its pages may be shown in an iframe.
        calls: what the API was asked: path and body.
    """

    def __init__(self) -> None:
        self.redirect_uris: set[str] = set()
        self.in_frames = True
        self.calls: list[tuple[str, Any]] = []
        self.refreshed = 0
        self.url = ""
        self._codes: dict[str, str] = {}
        self._tokens: set[str] = set()

    @Request.application
    def __call__(self, request: Request) -> Response:
        if request.path.endswith("/auth"):
            return self._authorize(request)
        if request.path.endswith("/token"):
            return self._token(request)
        return self._api(request)

    def expire(self) -> None:
        """Accept none of the tokens so far."""
        self._tokens.clear()

    def _authorize(self, request: Request) -> Response:
        redirect_uri = request.args["redirect_uri"]
        if redirect_uri not in self.redirect_uris:
            page = f"<h1>redirect_uri_mismatch</h1>{escape(redirect_uri)}"
            return Response(page, 400, mimetype="text/html")
        if request.method != "POST":
            headers = {} if self.in_frames else {"X-Frame-Options": "DENY"}
            return Response(_ALLOW, headers=headers, mimetype="text/html")
        code = f"code-{len(self._codes)}"
        self._codes[code] = redirect_uri
        query = urlencode({"code": code, "state": request.args["state"]})
        return Response(status=302, headers={"Location": f"{redirect_uri}?{query}"})

    def _token(self, request: Request) -> Response:
        form = request.form
        if form["grant_type"] == "refresh_token":
            self.refreshed += 1
        elif self._codes.pop(form["code"], None) != form["redirect_uri"]:
            return Response('{"error": "invalid_grant"}', 400, mimetype="application/json")
        token = f"token-{len(self._tokens)}-{self.refreshed}"
        self._tokens.add(token)
        answer = (
            f'{{"access_token": "{token}", "token_type": "Bearer", "expires_in": 3600, '
            '"refresh_token": "to refresh", "id": "17", "name": "Ada"}'
        )
        return Response(answer, mimetype="application/json")

    def _api(self, request: Request) -> Response:
        # "Bearer …", and GitHub's "token …".
        if request.headers.get("Authorization", "").rpartition(" ")[2] not in self._tokens:
            return Response('{"errors": [{"message": "Invalid access token."}]}', 401)
        if request.path.endswith("/emails"):
            return Response(status=404)
        self.calls.append((request.path, request.get_json(silent=True)))
        return Response('{"id": "17", "name": "Ada"}', mimetype="application/json")


@contextmanager
def provider() -> Iterator[Provider]:
    """A provider on a loopback port."""
    made = Provider()
    with serving(made) as made.url:
        yield made
