"""Requests that another site's page makes with this browser's cookies.

The rule is that of Go's ``http.CrossOriginProtection``: ``Sec-Fetch-Site`` decides where the
browser sends it. Where it does not (Chromium with a websocket, Safari before 16.4), an ``Origin``
must be the tool's own. A request with neither does not come from a page of a browser in use today.
"""

from __future__ import annotations

import logging

from ..origins import normal_origin
from ..settings import Settings
from .once import Once
from .request import Request

__all__ = ["CrossOrigin"]

_log = logging.getLogger("ltiaas_middleware")

# Origins come from strangers; the log shows no more than this of one.
_SHOWN = 200


class CrossOrigin:
    """Decides which requests may change something, where the browser adds the proof by itself.

    Args:
        settings: further origins that may.
    """

    def __init__(self, settings: Settings) -> None:
        self._trusted = frozenset(settings.trusted_origins)
        self._once = Once(100)

    def allows(self, request: Request) -> bool:
        """Whether a page of the tool's own made it, as far as its browser tells. A refusal is
        logged, once for each pair of origins."""
        site = request.get("HTTP_SEC_FETCH_SITE")
        if site in ("same-origin", "none"):
            return True
        arrived: str = request.get("HTTP_ORIGIN") or ""
        if not site and not arrived:
            return True
        origin = normal_origin(arrived)
        if origin is not None and origin in self._trusted:
            return True
        scheme = request.get("wsgi.url_scheme") or "http"
        own = normal_origin(f"{scheme}://{request.get('HTTP_HOST') or ''}")
        if not site and origin is not None and origin == own:
            return True
        self._tell(site, arrived, own)
        return False

    def _tell(self, site: str | None, arrived: str, own: str | None) -> None:
        arrived = arrived[:_SHOWN]
        if not self._once.first((arrived, own)):
            return
        _log.warning(
            "refused a request that changes something, or a websocket, on a launch path: it comes "
            "from the origin %r (Sec-Fetch-Site: %s), and this tool's is %r. If the two are one, a "
            "proxy in front does not say what the browser sees: let it pass on Host and "
            "X-Forwarded-Proto, and have the app read them (Werkzeug's ProxyFix around this "
            "middleware, uvicorn --proxy-headers). If pages of that origin belong to this tool, "
            "add it to trusted_origins.",
            arrived or None,
            ascii(site)[:_SHOWN] if site else "not sent",
            own,
        )
