"""What a request's cookies prove."""

from __future__ import annotations

import logging
from typing import NamedTuple

from .._verification.launches import CachedLaunch
from .decisions import Refused
from .launch_cookie import LaunchCookie
from .ltiks import Ltiks
from .once import Once
from .request import Request

__all__ = ["Authentication", "CookieAuthentication"]

_log = logging.getLogger("ltiaas_middleware")

# How many headers are remembered: those of the launches that are busy at one moment.
_REMEMBERED = 1000


class Authentication(NamedTuple):
    """What proves a launch.

    Attributes:
        ltik: the token.
        binds: whether it came in the frame's cookie, so that the frame keeps cookies.
    """

    ltik: str
    binds: bool = False

    def __repr__(self) -> str:
        return "<Authentication>"


class CookieAuthentication:
    """Reads the launch's cookie, and remembers what it found in headers that proved a launch: a
    page's requests all send the same one.

    A header is looked up by its hash, which a stranger cannot know, so that the time it takes says
    nothing of the ltiks in those that are remembered.

    Args:
        cookie: the launch's own.
        ltiks: checks what the cookie holds.
    """

    def __init__(self, cookie: LaunchCookie, ltiks: Ltiks) -> None:
        self._cookie = cookie
        self._ltiks = ltiks
        self._found: dict[tuple[str, str, str], tuple[Authentication, str | None]] = {}
        self._once = Once()

    def of(
        self, request: Request, launch_id: str, entry: CachedLaunch | None
    ) -> Authentication | None:
        """The proof of a launch in a request's cookies, or None. ``request.app_cookies`` becomes
        the header without them.

        Args:
            request: the request.
            launch_id: the id that its path names.
            entry: what is known of that launch.
        """
        get = request.get
        key = (launch_id, get("wsgi.url_scheme", ""), get("HTTP_COOKIE", ""))
        found = self._found.get(key)
        if found is not None:
            authentication, request.app_cookies = found
            return authentication
        ltiks = self._cookie.extract(request)
        ltik = self._ltiks.matching(ltiks.frame, launch_id, entry)
        if ltik is None:
            ltik = self._ltiks.matching(ltiks.tab, launch_id, entry)
            return None if ltik is None else Authentication(ltik)
        if len(self._found) >= _REMEMBERED:
            self._found.clear()
        authentication = Authentication(ltik, binds=True)
        self._found[key] = authentication, request.app_cookies
        return authentication

    def refusal(self, request: Request, launch_id: str, *, is_bound: bool) -> Refused:
        """The refusal of a request without proof. The log says why, once for each reason.

        Args:
            request: the request.
            launch_id: the id that its path names.
            is_bound: whether only the launch's cookie opens it.
        """
        sent = self._cookie.is_in(request)
        if self._once.first("sent" if sent else is_bound):
            if sent:
                _log.warning(
                    "a request for launch %s had a cookie that was made with another secret. If "
                    "users report this, LTIAAS_SECRETS (or LTIAAS_API_KEY if that is not set) "
                    "changed or differs between workers: give all workers the same value, and "
                    "keep the old value after the new one. (Logged once.)",
                    launch_id,
                )
            elif is_bound:
                _log.warning(
                    "a request for launch %s did not have its cookie, although its browser keeps "
                    "cookies. If users report this, a proxy removes the Cookie header: configure "
                    "it to forward the header. Otherwise, someone else has the URL. (Logged "
                    "once.)",
                    launch_id,
                )
            else:
                _log.warning(
                    "launch %s is unknown here, and the request did not have its cookie. If users "
                    "report this and the tool runs on several machines or in several containers, "
                    "set cache (LTIAAS_CACHE) to a Redis URL. Otherwise, look for a proxy that "
                    "removes the Cookie header. (Logged once.)",
                    launch_id,
                )
        return Refused("launch_unknown")
