"""Requests that other origins' pages send with this browser's cookies, and what they may read.

This follows the rule of Go's ``http.CrossOriginProtection``: ``Sec-Fetch-Site`` decides if the
browser sends it. If not (Chromium with a websocket, Safari before 16.4), ``Origin`` must be the
tool's own. A request with neither header does not come from a page in a current browser. There are
two exceptions: the tool's own ``Origin`` always passes, because WebKit sends ``cross-site`` for the
tool's own form with ``target=_blank``; and ``none`` with a foreign ``Origin`` does not pass.

The origins in ``trusted_origins`` also pass, and their scripts can read the middleware's own
responses (Fetch, "HTTP-CORS protocol").
"""

from __future__ import annotations

import re
from dataclasses import replace

from .._rare_log import RareLog
from ..origins import normal_origin
from ..responses import Response
from ..settings import Settings
from .request import Request

__all__ = ["CrossOrigin"]

# Strangers choose origins, so the log shows only this many characters.
_SHOWN = 200
# Comma-separated names of methods and headers (RFC 9110 section 5.6.2).
_TOKENS = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z, -]*")


class CrossOrigin:
    """Decides which requests may change something, given that browsers add the cookie
    automatically."""

    def __init__(self, settings: Settings) -> None:
        self._trusted = frozenset(settings.trusted_origins)
        self._rare_log = RareLog(kinds=100)

    def allows(self, request: Request) -> bool:
        """Whether one of the tool's own pages sent the request, according to the browser. Logs a
        refusal once an hour for each pair of origins."""
        site = request.site
        arrived: str = request.get("HTTP_ORIGIN") or ""
        if site == "same-origin" or (not arrived and site in (None, "", "none")):
            return True
        scheme = request.get("wsgi.url_scheme") or "http"
        own = normal_origin(f"{scheme}://{request.get('HTTP_HOST') or ''}")
        origin = normal_origin(arrived)
        if origin is not None and (origin == own or origin in self._trusted):
            return True
        self._log(site, arrived, own)
        return False

    def preflight(self, request: Request) -> Response | None:
        """The response to a CORS preflight from a trusted origin's page; None refuses it."""
        method: str = request.get("HTTP_ACCESS_CONTROL_REQUEST_METHOD") or ""
        headers: str = request.get("HTTP_ACCESS_CONTROL_REQUEST_HEADERS") or ""
        if not self._trusts(request) or not _TOKENS.fullmatch(method + headers):
            return None
        allowed = [
            ("Vary", "Access-Control-Request-Method, Access-Control-Request-Headers"),
            ("Access-Control-Allow-Methods", method),
        ]
        if headers:
            allowed.append(("Access-Control-Allow-Headers", headers))
        return Response(204, tuple(allowed))

    def readable(self, answer: Response, request: Request) -> Response:
        """One of the middleware's own responses, made readable for scripts on trusted origins."""
        if not self._trusts(request):
            return answer
        given = {name.lower() for name, _ in answer.headers}
        if "access-control-allow-origin" in given:
            return answer
        cors = (
            ("Access-Control-Allow-Origin", request.get("HTTP_ORIGIN")),
            ("Access-Control-Allow-Credentials", "true"),
            ("Access-Control-Expose-Headers", "Retry-After, LTIAAS-Error"),
            ("Vary", "Origin"),
        )
        return replace(answer, headers=answer.headers + cors)

    def _trusts(self, request: Request) -> bool:
        arrived: str = request.get("HTTP_ORIGIN") or ""
        return bool(self._trusted and arrived) and normal_origin(arrived) in self._trusted

    def _log(self, site: str | None, arrived: str, own: str | None) -> None:
        arrived = arrived[:_SHOWN]
        self._rare_log.warning(
            (arrived, own),
            "refused a state-changing request or a websocket from origin %r (Sec-Fetch-Site: %s); "
            "this tool's origin is %r. If these are the same site, the proxy hides the scheme or "
            "host that the browser uses: configure it to send Host and X-Forwarded-Proto, and "
            "configure the app to read them (Werkzeug's ProxyFix around this middleware, uvicorn "
            "--proxy-headers). If that origin belongs to this tool, add it to trusted_origins. "
            "'null' is the origin of an iframe that the LMS sandboxes without allow-same-origin.",
            arrived or None,
            ascii(site)[:_SHOWN] if site else "not sent",
            own,
        )
