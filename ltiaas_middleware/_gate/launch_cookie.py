"""The launch's cookie, which contains its ltik: reads and creates it.

It has two names. The iframe's cookie shows that the browser keeps cookies there, so the launch's
path alone opens nothing from then on. A tab that a one-time link opened has a separate cookie jar,
so its cookie says nothing about the iframe's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from .._rare_log import RareLog
from ..origins import is_loopback
from ..settings import Settings
from .cookies import IN_A_FRAME, for_app, split_request, tag_of, transport_of
from .launch_path import LaunchPath
from .request import Request

if TYPE_CHECKING:
    from .._verification.launches import CachedLaunch

__all__ = ["CookieLtiks", "LaunchCookie", "deletions"]

_PROXY = (
    "If a proxy terminates TLS, configure it to send Host and X-Forwarded-Proto, and configure "
    "the app to read them: Werkzeug's ProxyFix around this middleware, uvicorn --proxy-headers."
)


class CookieLtiks(NamedTuple):
    """The values of cookies with the two names. There may be more than one, because a sibling host
    can plant cookies."""

    frame: Sequence[str]
    tab: Sequence[str]

    def __repr__(self) -> str:
        return "<CookieLtiks>"


_NOTHING = CookieLtiks((), ())


class LaunchCookie:
    """Reads and creates the cookie that authenticates a launch."""

    def __init__(self, settings: Settings, launch_path: LaunchPath) -> None:
        self._launch_path = launch_path
        name = settings.cookie_name
        self.plain_starts = (f"{name}=", f"{name}-tab=")
        self.secure_starts = (f"__Secure-{name}=", f"__Secure-{name}-tab=")
        self._shared = settings.shared_cookies
        self._rare_log = RareLog()

    def extract(self, request: Request) -> CookieLtiks:
        """The ltiks in the request's launch cookies. Sets ``request.app_cookies`` to the ``Cookie``
        header without them; in a launch, it contains only the app's cookies of that launch."""
        header: str = request.get("HTTP_COOKIE", "")
        starts = self.secure_starts if request.secure else self.plain_starts
        frame, tab = starts
        if ";" not in header and "," not in header:
            ltik = header.removeprefix(frame)
            if len(ltik) < len(header):
                request.app_cookies = ""
                return CookieLtiks((ltik,), ())
        found, others = split_request(header, starts)
        if request.launch_id is not None:
            tag, joined = tag_of(request.launch_id), ";" not in header
            others = for_app(others, tag, self._shared, joined=joined)
        request.app_cookies = others
        if not found:
            return _NOTHING
        return CookieLtiks(
            [pair[len(frame) :] for pair in found if pair.startswith(frame)],
            [pair[len(tab) :] for pair in found if pair.startswith(tab)],
        )

    def is_in(self, request: Request) -> bool:
        """Whether the request has a cookie with one of the launch cookie's names."""
        return self.plain_starts[0] in request.get("HTTP_COOKIE", "")

    def make(self, request: Request, entry: CachedLaunch, *, tab: bool = False) -> tuple[str, ...]:
        """Values of ``Set-Cookie``. There are none if no browser would keep them.

        They have no ``Max-Age``: on a shared computer, the launch ends when the browser closes.
        ``tab`` says whether the cookie is for a separate tab.
        """
        transport = transport_of(request.variables)
        start = (self.secure_starts if transport == "https" else self.plain_starts)[tab]
        path = self._launch_path.of(request, entry.id)
        cookie = f"{start}{entry.ltik}; Path={path}; HttpOnly"
        # SameSite=None requires Secure, and browsers that block third-party cookies keep only
        # Partitioned ones (wire.md, "Browser restrictions").
        in_a_frame = cookie + IN_A_FRAME
        if transport == "https":
            return (in_a_frame,)
        if transport == "http":
            self._warn(
                "the app sees plain http, so it cannot set cookies in an LMS's iframe, and anyone "
                "who knows a launch's URL can open the launch. " + _PROXY
            )
            return ()
        if _is_proxied(request):
            self._warn(
                "the app sees plain http on this machine, but the browser seems to use a "
                "different URL. " + _PROXY
            )
        # Browsers trust loopback like TLS (except Safari, which keeps no cookies in an iframe).
        return (in_a_frame,)

    def _warn(self, message: str) -> None:
        self._rare_log.warning("http", message)


def deletions(name: str, path: str) -> list[str]:
    """Values of ``Set-Cookie`` that delete all cookies that ``LaunchCookie`` creates for a launch.
    ``name`` is ``Settings.cookie_name``."""
    names = (f"{name}", f"{name}-tab", f"__Secure-{name}", f"__Secure-{name}-tab")
    return [f"{one}=; Path={path}; HttpOnly{IN_A_FRAME}; Max-Age=0" for one in names]


def _is_proxied(request: Request) -> bool:
    """Whether a request that seems to come from this machine came through a proxy that hides the
    real URL: its headers say so, or a page from another machine sent it."""
    forwarded: str = request.get("HTTP_FORWARDED") or ""
    if (
        "https" in (request.get("HTTP_X_FORWARDED_PROTO") or "").lower()
        or "proto=https" in forwarded.lower().replace('"', "")
        or (request.get("HTTP_X_FORWARDED_SSL") or "").lower() == "on"
    ):
        return True
    if request.get("HTTP_SEC_FETCH_SITE") != "cross-site":
        return False
    # The sandbox's LMS is also another site, but on this machine.
    try:
        host = urlsplit(request.get("HTTP_REFERER") or "").hostname or ""
    except ValueError:
        return True
    return not is_loopback(host)
