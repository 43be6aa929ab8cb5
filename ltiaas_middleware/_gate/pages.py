"""The middleware's own error responses: a page for people, a problem document for programs.

An LMS's iframe shows the page. So the page has no ``X-Frame-Options`` and no ``frame-ancestors``,
which would leave the iframe blank (wire.md, "Browser restrictions"). It says what to
do next in words that students understand, in the browser's language: ``error_texts.json``.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable
from datetime import datetime, timezone
from html import escape
from importlib.resources import files
from string import Template
from types import MappingProxyType
from typing import Any

from werkzeug.datastructures import LanguageAccept
from werkzeug.http import parse_accept_header

from .._secret_patterns import is_secret, scrub
from .._verification.waiting import Waiting
from ..errors import (
    AnonymousLaunch,
    ApiError,
    ApiKeyRejected,
    Forbidden,
    LaunchExpired,
    PlatformInactive,
)
from ..responses import ErrorInfo, ErrorRequest, Response
from .request import Request

__all__ = ["ErrorPages"]

_log = logging.getLogger("ltiaas_middleware")

_PAGE = Template(files(__package__).joinpath("error_page.html").read_text("utf-8"))
_TEXTS: dict[str, dict[str, Any]] = json.loads(
    files(__package__).joinpath("error_texts.json").read_text("utf-8")
)
_DRAWINGS = {
    "clock": "M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18M12 7v5l3 2",
    "door": "M5 21V4l9-1v18M14 5h5v16M3 21h18M11 12v.5",
    "warning": "M12 4 2.5 20h19zM12 10v4M12 17v.5",
}
# The query of the refusal page, if the iframe's sandbox was the reason.
_SANDBOXED = "sandboxed"
# Seconds for Retry-After, if LTIAAS sent none.
_RETRY_AFTER = 5.0

# The status, text and icon of each code.
_KINDS = {
    "malformed_path": (400, "broken_link", "warning"),
    "malformed_ltik": (400, "broken_link", "warning"),
    "launch_expired": (401, "expired", "clock"),
    "launch_unknown": (401, "open_from_course", "door"),
    "launch_required": (401, "open_from_course", "door"),
    "role_required": (403, "role", "door"),
    "cross_site": (403, "cross_site", "warning"),
    "iframe_sandboxed": (403, "sandboxed", "warning"),
    "ltiaas_unavailable": (503, "unavailable", "clock"),
    "launch_waiting": (503, "waiting", "clock"),
    "anonymous_launch": (403, "anonymous", "door"),
    "platform_inactive": (403, "inactive", "door"),
    "access_forbidden": (403, "no_sign_in", "warning"),
    "launch_refused": (403, "no_sign_in", "warning"),
    "api_key_rejected": (502, "setup", "warning"),
    "not_configured": (503, "setup", "warning"),
}
# How users can send refused data again. For texts that are not listed, they cannot, or the text
# itself says that nothing was changed.
_SEND_AGAIN = {
    "broken_link": "copy",
    "expired": "copy",
    "open_from_course": "copy",
    "unavailable": "resend",
}
_CHANGED_NOTHING = ("cross_site", "sandboxed")

_CODES: dict[type[ApiError], str] = {
    LaunchExpired: "launch_expired",
    ApiKeyRejected: "api_key_rejected",
    AnonymousLaunch: "anonymous_launch",
    PlatformInactive: "platform_inactive",
    Forbidden: "access_forbidden",
}
_CREDENTIALS = ("cookie", "authorization", "proxy-authorization")
# The two headers that have no prefix in CGI.
_BODY = ("CONTENT_TYPE", "CONTENT_LENGTH")


class ErrorPages:
    """Makes error responses.

    Args:
        on_error: replaces them; see ``Settings``.
        tool_name: for the page.
        support_url: for the page.
        of_refusals: where to redirect a refused form from another origin's page; None responds
            directly.
    """

    def __init__(
        self,
        on_error: Callable[[ErrorInfo, ErrorRequest], Response | None] | None = None,
        tool_name: str | None = None,
        support_url: str | None = None,
        of_refusals: str | None = None,
    ) -> None:
        self._on_error = on_error
        self._tool_name = tool_name
        self._support_url = support_url
        self._of_refusals = of_refusals

    def response(self, cause: str | ApiError, request: Request) -> Response:
        """The response to a request that does not reach the app, or that the app refused: the one
        from ``on_error`` or the built-in one. Its header ``LTIAAS-Error`` contains the code."""
        if cause == "cross_site":
            is_sandboxed = request.get("HTTP_ORIGIN") == "null" or request.query == _SANDBOXED
            is_form = request.is_navigation and request.get("REQUEST_METHOD") == "POST"
            if is_form and self._of_refusals:
                # Redirect to a page that users can reload: WebKit resends a form as same-origin.
                query = f"?{_SANDBOXED}" if is_sandboxed else ""
                location = f"{request.mount}{self._of_refusals}{query}"
                return Response(303, (("Location", location),))
            if is_sandboxed:
                # A page in a sandboxed iframe has no origin, not even the tool's own.
                cause = "iframe_sandboxed"
        info = _info(cause, request)
        response = None
        if self._on_error is not None:
            try:
                response = self._on_error(info, _shown(request))
            except Exception:  # noqa: BLE001 - the app's code; the user must get an answer
                _log.exception("on_error failed; the middleware sends its own error response")
        if response is None:
            response = self._built_in(info, request)
        others = [pair for pair in response.headers if pair[0].lower() != "ltiaas-error"]
        return Response(response.status, (*others, ("LTIAAS-Error", info.code)), response.body)

    def _built_in(self, info: ErrorInfo, request: Request) -> Response:
        headers = [
            ("Vary", "Accept, Accept-Language, Sec-Fetch-Mode"),
            ("Content-Language", info.language),
            ("X-Content-Type-Options", "nosniff"),
            ("Referrer-Policy", "no-referrer"),
        ]
        if info.status == 401:
            # RFC 9110 section 15.5.2: a 401 names a scheme. Not Bearer, which browsers cannot send.
            headers.append(("WWW-Authenticate", 'LTI-Launch realm="launch"'))
        if info.retry_after is not None:
            seconds = str(math.ceil(info.retry_after))
            headers.append(("Retry-After", seconds))
            if info.code == "launch_waiting":
                # The browser itself reloads: no script needed, and the URL appears nowhere.
                headers.append(("Refresh", seconds))
        if info.wants_html:
            policy = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; "
            headers += [
                ("Content-Type", "text/html; charset=utf-8"),
                ("Content-Security-Policy", policy + "form-action 'none'"),
            ]
            return Response(info.status, tuple(headers), self._page(info, request).encode())
        # RFC 9457: type is about:blank if the status says everything; code is our extension.
        problem = {
            "type": "about:blank",
            "title": info.title,
            "status": info.status,
            "detail": info.detail,
            "code": info.code,
        }
        headers.append(("Content-Type", "application/problem+json"))
        return Response(info.status, tuple(headers), json.dumps(problem).encode())

    def _page(self, info: ErrorInfo, request: Request) -> str:
        texts, icon = _TEXTS[info.language], _KINDS[info.code][2]
        is_waiting = info.code == "launch_waiting"
        links = []
        if info.retry_after is not None and not request.may_change_something:
            # An empty link points to this page's own URL, which contains the ltik.
            links.append(f'<a href="">{escape(texts["try_now" if is_waiting else "reload"])}</a>')
        if self._support_url is not None and not is_waiting:
            url, words = escape(self._support_url), escape(texts["support"])
            links.append(f'<a href="{url}" target="_blank" rel="noopener">{words}</a>')
        support = [
            f"{texts['code']} {info.code}",
            f"{datetime.now(timezone.utc):%Y-%m-%d %H:%M} UTC",
        ]
        if info.launch_id is not None:
            support.append(f"{texts['launch']} {info.launch_id}")
        name = self._tool_name
        return _PAGE.substitute(
            language=info.language,
            title=escape(info.title, quote=False),
            detail=escape(info.detail, quote=False),
            icon=icon,
            drawing=_DRAWINGS[icon],
            role="status" if is_waiting else "alert",
            tool_name=f'<p class="tool">{escape(name)}</p>' if name else "",
            bar='<div class="bar"></div>' if is_waiting else "",
            links="\n".join(links),
            support="" if is_waiting else f"<small>{escape(' · '.join(support))}</small>",
        )


def _info(cause: str | ApiError, request: Request) -> ErrorInfo:
    """The error information for a code or a failed verification (docs/reference/errors.md)."""
    wait = None
    if isinstance(cause, ApiError):
        code = next((code for kind, code in _CODES.items() if isinstance(cause, kind)), None)
        if code is None and cause.temporary:
            wait = cause.retry_after if cause.retry_after is not None else _RETRY_AFTER
            code = "launch_waiting" if isinstance(cause, Waiting) else "ltiaas_unavailable"
        cause = code or "launch_refused"
    status, text, _ = _KINDS[cause]
    language = _language(request.get("HTTP_ACCEPT_LANGUAGE") or "")
    texts = _TEXTS[language]
    title, detail = texts[text]
    sends = request.may_change_something and not request.is_websocket
    if sends and text not in _CHANGED_NOTHING:
        again = _SEND_AGAIN.get(text)
        detail = " ".join([detail, texts["not_saved"], *([texts[again]] if again else [])])
    launch_id = request.error_launch_id or request.launch_id
    return ErrorInfo(cause, status, title, detail, wait, request.is_navigation, language, launch_id)


def _language(accepted: str) -> str:
    """The language of the texts for an ``Accept-Language`` header."""
    return parse_accept_header(accepted, LanguageAccept).best_match(_TEXTS, "en") or "en"


def _shown(request: Request) -> ErrorRequest:
    """The request without secrets, which only the middleware may see."""
    headers = {}
    for key in request.variables:
        if isinstance(key, str) and (key.startswith("HTTP_") or key in _BODY):
            name = key.removeprefix("HTTP_").replace("_", "-").lower()
            value = request.get(key)
            if name not in _CREDENTIALS and not is_secret(name) and value:
                headers[name] = scrub(value)
    method: str = request.get("REQUEST_METHOD")
    query, path = scrub(request.query), scrub(request.path or "/")
    return ErrorRequest(method, path, query, MappingProxyType(headers))
