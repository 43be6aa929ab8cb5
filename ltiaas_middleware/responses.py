"""Error information, and the responses that the middleware sends instead of the app's.

The middleware calls ``Settings.on_error`` with an ``ErrorInfo`` and an ``ErrorRequest``. It returns
a ``Response``, or None for the built-in page::

    def on_error(info, request):
        if not info.wants_html:
            return None
        page = render("error.html", title=info.title, detail=info.detail, language=info.language)
        return Response(info.status, (("Content-Type", "text/html; charset=utf-8"),), page.encode())
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus

__all__ = ["ErrorInfo", "ErrorRequest", "Response"]

# RFC 9110 section 5.6.2, and what ends a header.
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[^\r\n\0\u0100-\U0010ffff]*")


@dataclass(frozen=True, slots=True, repr=False)
class Response:
    """A complete HTTP response that the middleware sends instead of the app's.

    Attributes:
        status: HTTP status, 200 to 599.
        headers: name and value pairs, latin-1.
        body: bytes; the middleware adds ``Content-Length``.

    Raises:
        TypeError: a value has the wrong type.
        ValueError: ``status`` or a header is not valid HTTP.
    """

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""

    def __post_init__(self) -> None:
        # Here, and not while a server sends it: the traceback shows who made it.
        if not isinstance(self.status, int) or not isinstance(self.body, (bytes, bytearray)):
            raise TypeError("Response(status, headers, body) needs an int, pairs and bytes")
        if not 200 <= self.status <= 599:
            raise ValueError("Response.status must be between 200 and 599")
        headers = tuple(map(tuple, _pairs(self.headers)))
        object.__setattr__(self, "headers", headers)

    def __repr__(self) -> str:
        # Not the values: a launch's cookie is its ltik.
        names = ", ".join(name for name, _ in self.headers)
        return f"<Response {self.status}, {len(self.body)} bytes, headers: {names}>"

    @property
    def status_line(self) -> str:
        """The status and its phrase, in WSGI's format."""
        try:
            return f"{self.status} {HTTPStatus(self.status).phrase}"
        except ValueError:
            return f"{self.status} Unknown"

    @property
    def all_headers(self) -> list[tuple[str, str]]:
        """``headers`` with ``Content-Length``, and with ``Cache-Control: no-store`` if they do not
        set it, because the response is for one person at one moment."""
        given = {name.lower() for name, _ in self.headers}
        extra = [("Content-Length", str(len(self.body)))]
        if "cache-control" not in given:
            extra.append(("Cache-Control", "no-store"))
        # Plain texts: ``str`` of a subclass is one, and strict servers ask for it.
        return [*((name, str(value)) for name, value in self.headers), *extra]


def _pairs(headers: object) -> list[tuple[str, str]]:
    pairs = list(headers.items()) if isinstance(headers, Mapping) else headers
    if not isinstance(pairs, (list, tuple)):
        raise TypeError("Response.headers must be name and value pairs")
    for pair in pairs:
        if not (
            isinstance(pair, (list, tuple))
            and len(pair) == 2
            and isinstance(pair[0], str)
            and isinstance(pair[1], str)
        ):
            raise TypeError("Response.headers must be name and value pairs, both str")
        if not _NAME.fullmatch(pair[0]) or not _VALUE.fullmatch(pair[1]):
            raise ValueError(f"Response.headers: {pair[0][:60]!r} is not a valid HTTP header")
    return list(pairs)


@dataclass(frozen=True, slots=True)
class ErrorInfo:
    """What went wrong; the first argument of ``on_error``.

    Attributes:
        code: a stable code for programs: ``malformed_path``, ``malformed_ltik``,
            ``launch_expired``,
            ``launch_unknown``, ``launch_required``, ``role_required``, ``cross_site``,
            ``iframe_sandboxed``, ``launch_waiting``, ``ltiaas_unavailable``,
            ``api_key_rejected``, ``anonymous_launch``, ``platform_inactive``,
            ``access_forbidden``, ``launch_refused``, ``not_configured``. With ``launch_waiting``
            the built-in page reloads itself after ``retry_after`` (a ``Refresh`` header). Your own
            response should also do this.
        status: HTTP status.
        title: one short sentence, in ``language``.
        detail: what the user can do now, in ``language``. After a refused POST, it also says that
            the data was not saved, and how to send it again.
        retry_after: seconds, for a 503.
        wants_html: whether the request is a browser navigation, so that a person sees the response.
        language: ``en``, ``de``, ``fr``, ``es``, ``pt`` or ``nl``, from ``Accept-Language``.
        launch_id: the ID of the request's launch, for support, or None.
    """

    code: str
    status: int
    title: str
    detail: str
    retry_after: float | None = None
    wants_html: bool = False
    language: str = "en"
    launch_id: str | None = None


@dataclass(frozen=True, slots=True)
class ErrorRequest:
    """The request that failed, the same for WSGI and ASGI. It contains no secret.

    Attributes:
        method: the HTTP method, such as ``GET``, or ``WEBSOCKET`` for a websocket handshake under
            ASGI.
        path: the decoded path that the app's router uses, without the mount point and launch
            prefix.
        query: the raw query string, with ltiks hidden.
        headers: the headers by lowercase name, without cookies, ``Authorization`` and
            ``ltik_headers``.
    """

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
