"""The launch's own cookie, which holds its ltik: reading it, and making it."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from urllib.parse import urlsplit

from .._verification.launches import CachedLaunch
from ..origins import is_loopback
from ..settings import Settings
from .cookies import split_request
from .launch_path import LaunchPath
from .request import Request

__all__ = ["LaunchCookie"]

_log = logging.getLogger("ltiaas_middleware")


class LaunchCookie:
    """Reads and makes the cookie that proves a launch.

    Args:
        settings: the cookie's name.
        launch_path: the cookie is sent to its launch's path only.
    """

    def __init__(self, settings: Settings, launch_path: LaunchPath) -> None:
        self._launch_path = launch_path
        self._secure_start = f"__Secure-{settings.cookie_name}="
        self._plain_start = f"{settings.cookie_name}="
        self._fit_frame = settings.fit_frame
        self._warned_plain_http = False

    def take(self, request: Request) -> Sequence[str]:
        """Every value under the cookie's name (a sibling host may have planted more than one).
        ``request.app_cookies`` becomes the header without them."""
        header: str = request.get("HTTP_COOKIE", "")
        start = self._secure_start if request.secure else self._plain_start
        if ";" not in header and "," not in header:
            ltik = header.removeprefix(start)
            found = len(ltik) < len(header)
            request.app_cookies = "" if found else header
            return (ltik,) if found else ()
        values, request.app_cookies = split_request(header, start, first_only=self._fit_frame)
        return values

    def make(self, request: Request, entry: CachedLaunch, seconds: float) -> tuple[str, ...]:
        """Values of ``Set-Cookie`` that last as long as the launch; none where no browser would
        keep them.

        ``SameSite=None`` needs ``Secure``, and a blocked third-party cookie is kept only with
        ``Partitioned`` (wire.md, "Where the browser gets in the way").

        Args:
            request: the request that is answered.
            entry: the launch.
            seconds: how long it still lasts.
        """
        start = self._secure_start if request.secure else self._plain_start
        path = self._launch_path.of(request, entry.id)
        cookie = f"{start}{entry.ltik}; Path={path}; Max-Age={max(0, int(seconds))}; HttpOnly"
        if request.secure:
            return (f"{cookie}; Secure; SameSite=None; Partitioned",)
        try:
            host = urlsplit(f"//{request.get('HTTP_HOST', '')}").hostname or ""
        except ValueError:
            host = ""
        if is_loopback(host):
            # A developer's own machine, where LMS and tool are one site.
            return (f"{cookie}; SameSite=Lax",)
        if not self._warned_plain_http:
            self._warned_plain_http = True
            _log.warning(
                "this tool is reached by plain http: no cookie can be set in an LMS's iframe, so "
                "launches are open to whoever knows their address. If TLS ends at a proxy, tell "
                "the app: Werkzeug's ProxyFix around this middleware, uvicorn --proxy-headers."
            )
        return ()
