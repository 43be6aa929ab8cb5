"""Authenticates requests by their cookies."""

from __future__ import annotations

from typing import NamedTuple

from .._rare_log import RareLog
from .._verification.launches import CachedLaunch
from .decisions import Refused
from .launch_cookie import LaunchCookie
from .ltiks import Ltiks
from .request import Request

__all__ = ["Authentication", "CookieAuthentication"]

# The maximum number of headers to remember: enough for the launches in use at one moment.
_REMEMBERED = 1000


class Authentication(NamedTuple):
    """What authenticates a request for a launch.

    Attributes:
        ltik: the token.
        binds: whether it came in the iframe's cookie, which shows that the iframe keeps cookies.
    """

    ltik: str
    binds: bool = False

    def __repr__(self) -> str:
        return "<Authentication>"


class CookieAuthentication:
    """Reads the launch's cookie, and remembers the result for headers that authenticated a launch,
    because all of a page's requests send the same header.

    It looks up headers by their hash, which strangers cannot know, so the time that a look-up takes
    reveals nothing about the ltiks in remembered headers.
    """

    def __init__(self, cookie: LaunchCookie, ltiks: Ltiks, *, uses_redis: bool) -> None:
        self._cookie = cookie
        self._ltiks = ltiks
        self._uses_redis = uses_redis
        self._found: dict[tuple[str, str, str], tuple[Authentication, str | None]] = {}
        self._rare_log = RareLog()

    def of(
        self, request: Request, launch_id: str, entry: CachedLaunch | None
    ) -> Authentication | None:
        """What authenticates a request for a launch in its cookies, or None. Sets
        ``request.app_cookies`` to the header without the launch's cookies."""
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
        """The refusal of a request that does not authenticate. Logs why, once an hour for each
        reason."""
        if self._cookie.is_in(request):
            self._rare_log.warning(
                "secret",
                "a request for launch %s had a cookie that was created with another secret. If "
                "users report this, LTIAAS_SECRETS (or LTIAAS_API_KEY if that is not set) "
                "changed or differs between workers: give all workers the same list of "
                "secrets, with both values in it. (Logged once an hour.)",
                launch_id,
            )
        elif is_bound:
            self._rare_log.warning(
                "cookie",
                "a request for launch %s did not have its cookie, although its browser keeps "
                "cookies. If users report this, a proxy removes the Cookie header: configure "
                "it to forward the header. Otherwise, someone else has the URL. (Logged once "
                "an hour.)",
                launch_id,
            )
        elif self._uses_redis:
            self._rare_log.warning(
                "unknown",
                "launch %s is unknown here, and the request did not have its cookie. If users "
                "report this, look for 'Redis failed' in this log, and check that all workers "
                "have the same LTIAAS_SECRETS and LTIAAS_CACHE. Otherwise, look for a proxy "
                "that removes the Cookie header. (Logged once an hour.)",
                launch_id,
            )
        else:
            self._rare_log.warning(
                "unknown",
                "launch %s is unknown here, and the request did not have its cookie. If users "
                "report this, check that all workers have the same LTIAAS_SECRETS. If the tool "
                "runs on several machines or in several containers, set cache (LTIAAS_CACHE) "
                "to a Redis URL. Otherwise, look for a proxy that removes the Cookie header. "
                "(Logged once an hour.)",
                launch_id,
            )
        return Refused("launch_unknown")
