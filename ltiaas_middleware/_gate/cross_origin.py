"""Requests that other origins' pages make with this browser's cookies, and what they may read.

The rule is that of Go's ``http.CrossOriginProtection``: ``Sec-Fetch-Site`` decides if the browser
sends it. If it does not (Chromium with a websocket, Safari before 16.4), an ``Origin`` must be the
tool's own. A request with neither does not come from a page of a browser in use today. Two
exceptions: the tool's own ``Origin`` always passes, because WebKit says ``cross-site`` of an own
form with ``target=_blank``; and ``none`` does not excuse a foreign one.

The origins of ``trusted_origins`` pass, too, and their scripts can read the middleware's own
answers (Fetch, "HTTP-CORS protocol").
"""

from __future__ import annotations

import logging
import re
from dataclasses import replace

from ..origins import normal_origin
from ..responses import Response
from ..settings import Settings
from .once import Once
from .request import Request

__all__ = ["CrossOrigin"]

_log = logging.getLogger("ltiaas_middleware")

# Origins come from strangers; the log shows no more than this of one.
_SHOWN = 200
# Names of methods and headers (RFC 9110 section 5.6.2), separated by commas.
_TOKENS = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z, -]*")


class CrossOrigin:
    """Decides which requests may change something although the browser adds the cookie by itself.

    Args:
        settings: further origins that may.
    """

    def __init__(self, settings: Settings) -> None:
        self._trusted = frozenset(settings.trusted_origins)
        self._once = Once(100)

    def allows(self, request: Request) -> bool:
        """Whether a page of the tool's own made it, as far as its browser tells. A refusal is
        logged, once for each pair of origins."""
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
        """The answer to a CORS preflight of a trusted origin's page; None refuses it."""
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
        """An answer of the middleware's own, which scripts of trusted origins can read."""
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
        if not self._once.first((arrived, own)):
            return
        _log.warning(
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
