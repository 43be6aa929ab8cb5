"""The launch's own cookie, which holds its ltik: reading it, and making it.

It has two names. The frame's says that the browser keeps cookies there, so that the launch's path
alone opens nothing from then on. A tab that was opened by a handoff has a cookie jar of its own,
and its cookie says nothing of the frame's.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import NamedTuple
from urllib.parse import urlsplit

from .._verification.launches import CachedLaunch
from ..origins import is_loopback
from ..settings import Settings
from .cookies import IN_A_FRAME, reached, split_request
from .launch_path import LaunchPath
from .request import Request

__all__ = ["LaunchCookie", "Offered"]

_log = logging.getLogger("ltiaas_middleware")

_PROXY = (
    "If TLS ends at a proxy, let it pass on Host and X-Forwarded-Proto, and tell the app: "
    "Werkzeug's ProxyFix around this middleware, uvicorn --proxy-headers."
)


class Offered(NamedTuple):
    """The values that came under the cookie's two names. A sibling host may have planted more than
    one."""

    frame: Sequence[str]
    tab: Sequence[str]

    def __repr__(self) -> str:
        return "<Offered>"


_NOTHING = Offered((), ())


class LaunchCookie:
    """Reads and makes the cookie that proves a launch.

    Args:
        settings: the cookie's name.
        launch_path: the cookie is sent to its launch's path only.
    """

    def __init__(self, settings: Settings, launch_path: LaunchPath) -> None:
        self._launch_path = launch_path
        name = settings.cookie_name
        self.plain_starts = (f"{name}=", f"{name}-tab=")
        self.secure_starts = (f"__Secure-{name}=", f"__Secure-{name}-tab=")
        self._fit_frame = settings.fit_frame
        self._warned_plain_http = False

    def take(self, request: Request) -> Offered:
        """What the request offers as a proof. ``request.app_cookies`` becomes the ``Cookie`` header
        without it."""
        header: str = request.get("HTTP_COOKIE", "")
        starts = self.secure_starts if request.secure else self.plain_starts
        frame, tab = starts
        if ";" not in header and "," not in header:
            ltik = header.removeprefix(frame)
            if len(ltik) < len(header):
                request.app_cookies = ""
                return Offered((ltik,), ())
        found, request.app_cookies = split_request(header, starts, first_only=self._fit_frame)
        if not found:
            return _NOTHING
        return Offered(
            [pair[len(frame) :] for pair in found if pair.startswith(frame)],
            [pair[len(tab) :] for pair in found if pair.startswith(tab)],
        )

    def make(
        self, request: Request, entry: CachedLaunch, seconds: float, *, tab: bool = False
    ) -> tuple[str, ...]:
        """Values of ``Set-Cookie`` that last as long as the launch; none where no browser would
        keep them.

        Args:
            request: the request that is answered.
            entry: the launch.
            seconds: how long it still lasts.
            tab: whether it is for a tab of its own.
        """
        way = reached(request)
        start = (self.secure_starts if way == "https" else self.plain_starts)[tab]
        path = self._launch_path.of(request, entry.id)
        cookie = f"{start}{entry.ltik}; Path={path}; Max-Age={max(0, int(seconds))}; HttpOnly"
        # SameSite=None needs Secure, and a blocked third-party cookie is kept only with Partitioned
        # (wire.md, "Where the browser gets in the way").
        in_a_frame = cookie + IN_A_FRAME
        if way == "https":
            return (in_a_frame,)
        if way == "http":
            self._warn(
                "this tool is reached by plain http: no cookie can be set in an LMS's iframe, so "
                "launches are open to whoever knows their address. " + _PROXY
            )
            return ()
        if _is_proxied(request):
            self._warn(
                "this tool takes itself to be reached by plain http on this machine, and the "
                "browser seems to see another address. " + _PROXY
            )
            # A browser that came by TLS keeps it; without Secure it could leak.
            return (in_a_frame,)
        # Browsers trust loopback as they do TLS, but for Safari; and programs do not.
        return (in_a_frame, f"{cookie}; SameSite=Lax")

    def _warn(self, message: str) -> None:
        if not self._warned_plain_http:
            self._warned_plain_http = True
            _log.warning(message)


def _is_proxied(request: Request) -> bool:
    """Whether a request that seems to come from this machine came through a proxy that does not
    tell: it says so, or another machine's page made it."""
    forwarded: str = request.get("HTTP_FORWARDED") or ""
    if (
        "https" in (request.get("HTTP_X_FORWARDED_PROTO") or "").lower()
        or "proto=https" in forwarded.lower().replace('"', "")
        or (request.get("HTTP_X_FORWARDED_SSL") or "").lower() == "on"
    ):
        return True
    if request.get("HTTP_SEC_FETCH_SITE") != "cross-site":
        return False
    # A sandbox's LMS is another site, too, but on this machine.
    try:
        host = urlsplit(request.get("HTTP_REFERER") or "").hostname or ""
    except ValueError:
        return True
    return not is_loopback(host)
