"""The answers that the middleware gives by itself: a page for a person, a problem document for a
program.

The page is read inside an LMS's iframe. So it sends no ``X-Frame-Options`` and no
``frame-ancestors``, which would leave the frame blank (wire.md, "Where the browser gets in the
way"), and it says what to do next in words that a student knows.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable
from html import escape

from .._verification.waiting import Waiting
from ..errors import (
    AccessForbidden,
    AnonymousLaunch,
    ApiError,
    ApiKeyRejected,
    LaunchExpired,
    PlatformInactive,
)
from ..refusals import Answer, Refusal

__all__ = ["refusal", "refusal_for", "render"]

_log = logging.getLogger("ltiaas_middleware")

# Seconds to come back after, where LTIAAS itself named none.
_RETRY_AFTER = 5.0

_COME_BACK = "Go back to your course and open the activity again."
_KINDS = {
    "malformed_ltik": (400, "This link is broken", _COME_BACK),
    "launch_expired": (401, "This session is over", _COME_BACK),
    "launch_unknown": (401, "This page opens from your course", _COME_BACK),
    "launch_required": (401, "This page opens from your course", _COME_BACK),
    "cross_site": (
        403,
        "This request came from another site",
        "Nothing was changed. " + _COME_BACK,
    ),
    "ltiaas_unavailable": (
        503,
        "The sign-in service is not answering",
        "Wait a moment, then open the activity again from your course.",
    ),
    "launch_waiting": (
        503,
        "Opening your activity…",
        "This is taking a little longer than usual. You do not have to do anything: this page goes "
        "on by itself.",
    ),
    "anonymous_launch": (
        403,
        "This tool needs to know who you are",
        "Your learning platform opened it without saying who you are, and opening it again will "
        "not help. Please tell your teacher: the platform's privacy settings for this tool have to "
        "share who opens it.",
    ),
    "platform_inactive": (
        403,
        "Your learning platform is not connected to this tool",
        "It is not your fault, and opening it again will not help. Please tell your teacher: the "
        "people who run this tool have to activate the connection with your learning platform.",
    ),
    "access_forbidden": (
        403,
        "This tool may not sign you in",
        "It is not your fault, and opening it again will not help. Please tell your teacher or "
        "the people who run this tool.",
    ),
    "launch_refused": (
        403,
        "The sign-in service refused this launch",
        "It is not your fault, and opening it again will not help. Please tell your teacher or "
        "the people who run this tool.",
    ),
    "api_key_rejected": (
        502,
        "This tool is not set up correctly",
        "It is not your fault, and opening it again will not help. Please tell your teacher or "
        "the people who run this tool.",
    ),
}


_CODES: dict[type[ApiError], str] = {
    LaunchExpired: "launch_expired",
    ApiKeyRejected: "api_key_rejected",
    AnonymousLaunch: "anonymous_launch",
    PlatformInactive: "platform_inactive",
    AccessForbidden: "access_forbidden",
}


def refusal(code: str, *, wants_html: bool, wait: float | None = None) -> Refusal:
    """The refusal of a code."""
    status, title, detail = _KINDS[code]
    return Refusal(code, status, title, detail, wait, wants_html)


def refusal_for(error: ApiError, *, wants_html: bool) -> Refusal:
    """The refusal for what came of a verification (design.md, "What becomes of a request")."""
    for kind, code in _CODES.items():
        if isinstance(error, kind):
            return refusal(code, wants_html=wants_html)
    if not error.temporary:
        return refusal("launch_refused", wants_html=wants_html)
    wait = error.retry_after if error.retry_after is not None else _RETRY_AFTER
    code = "launch_waiting" if isinstance(error, Waiting) else "ltiaas_unavailable"
    return refusal(code, wants_html=wants_html, wait=wait)


def render(
    refused: Refusal, on_refusal: Callable[[Refusal], Answer | None] | None = None
) -> Answer:
    """The answer for a refusal: the hook's, else the built-in one."""
    if on_refusal is not None:
        try:
            answer = on_refusal(refused)
        except Exception:  # noqa: BLE001 - the app's code; the user must get an answer
            _log.exception("on_refusal failed; the built-in answer is sent")
        else:
            if answer is not None:
                return answer
    return _built_in(refused)


def _built_in(refused: Refusal) -> Answer:
    headers = [
        ("Vary", "Accept, Sec-Fetch-Mode"),
        ("X-Content-Type-Options", "nosniff"),
        ("Referrer-Policy", "no-referrer"),
    ]
    if refused.status == 401:
        # RFC 9110 section 15.5.2: a 401 names a scheme. Not Bearer: a browser cannot send one.
        headers.append(("WWW-Authenticate", 'LTI-Launch realm="launch"'))
    if refused.retry_after is not None:
        seconds = str(math.ceil(refused.retry_after))
        headers.append(("Retry-After", seconds))
        if refused.code == "launch_waiting":
            # The browser's own reload: it needs no script, and shows the address nowhere.
            headers.append(("Refresh", seconds))
    if refused.wants_html:
        headers += [
            ("Content-Type", "text/html; charset=utf-8"),
            (
                "Content-Security-Policy",
                "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; "
                "form-action 'none'",
            ),
        ]
        body = _PAGE.format(
            title=escape(refused.title), detail=escape(refused.detail), code=escape(refused.code)
        )
        return Answer(refused.status, tuple(headers), body.encode())
    # RFC 9457: type is about:blank where the status says it all; code is our extension.
    problem = {
        "type": "about:blank",
        "title": refused.title,
        "status": refused.status,
        "detail": refused.detail,
        "code": refused.code,
    }
    headers.append(("Content-Type", "application/problem+json"))
    return Answer(refused.status, tuple(headers), json.dumps(problem).encode())


_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; }}
body {{ margin: 0; min-height: 100vh; display: grid; place-items: center;
  font: 1rem/1.6 system-ui, sans-serif; background: #f5f6f8; color: #1c2330; }}
main {{ max-width: 30rem; margin: 1rem; padding: 2rem; background: #fff; border-radius: .75rem;
  border-top: .3rem solid #2f5bd0; box-shadow: 0 1px 4px #0002; }}
h1 {{ margin: 0 0 .75rem; font-size: 1.35rem; line-height: 1.3; }}
p {{ margin: 0; }}
small {{ display: block; margin-top: 1.5rem; color: #5a6475; }}
@media (prefers-color-scheme: dark) {{
  body {{ background: #14181f; color: #e8ebf0; }} main {{ background: #1f2530; }}
  small {{ color: #9aa5b8; }}
}}
</style>
</head>
<body>
<main>
<h1>{title}</h1>
<p>{detail}</p>
<small>Code for support: {code}</small>
</main>
</body>
</html>
"""
