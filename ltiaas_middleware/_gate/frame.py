"""What an app's response needs to work in an LMS's iframe and to stay in its launch.

Both adapters pass the headers of each of the app's responses to ``AppAnswers``, one as strings and
one as bytes. It looks at every header of every response in a launch, so it is written for speed.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import AnyStr
from urllib.parse import unquote

from .._rare_log import RareLog, pattern_of
from ..settings import Settings
from .adapter_text import AdapterText
from .callbacks import Callbacks
from .cookies import for_launch, read_set_cookie, tag_of, transport_of
from .decisions import Serve
from .launch_cookie import deletions
from .redirects import is_own_address, start_of_path, within_launch
from .request import Variables

__all__ = ["AppAnswers"]

_log = logging.getLogger("ltiaas_middleware")

# Other sites see the tool's origin, which embedded videos and an LMS's ``Origin`` checks need, but
# never the launch path.
_ON_LAUNCH_PATH = "strict-origin-when-cross-origin"
# The URL may contain an ltik, which must not appear as a Referer even in the tool's own log.
_IN_PLACE = "strict-origin"

_POLICY = "referrer-policy"
_LOOKED_AT = (
    "content-type",
    "set-cookie",
    "x-frame-options",
    "content-security-policy",
    "referrer-policy",
    "cache-control",
    "location",
)


class AppAnswers(AdapterText[AnyStr]):
    """Adapts the headers of the app's responses.

    Args:
        kind: ``str`` or ``bytes``, whichever the adapter's headers are.
        settings: whether to change cookies, redirects and frame headers.
        callbacks: encrypts the launch into the redirect to a provider.
        is_excluded: whether a path is excluded.
    """

    def __init__(
        self,
        kind: type[AnyStr],
        settings: Settings,
        callbacks: Callbacks,
        is_excluded: Callable[[str], bool],
    ) -> None:
        super().__init__(kind)
        self._iframe_support = settings.iframe_support
        self._cookie_name = settings.cookie_name
        self._shared = settings.shared_cookies
        self._callbacks = callbacks
        self._is_excluded = is_excluded
        self._warned = False
        self._rare_log = RareLog()
        # By lower-case name. ASGI requires lower case (ASGI, "Response Start"), but not all apps
        # comply.
        self._looked_at: Mapping[AnyStr, str] = {self._encode(name): name for name in _LOOKED_AT}
        pair = self._pair
        self._on_launch_path: tuple[AnyStr, AnyStr] = pair("Referrer-Policy", _ON_LAUNCH_PATH)
        self._in_place: tuple[AnyStr, AnyStr] = pair("Referrer-Policy", _IN_PLACE)
        self._no_referrer: tuple[AnyStr, AnyStr] = pair("Referrer-Policy", "no-referrer")
        self._same_origin: AnyStr = self._encode("same-origin")
        self._private: tuple[AnyStr, AnyStr] = pair("Cache-Control", "private")
        self._no_store: tuple[AnyStr, AnyStr] = pair("Cache-Control", "no-store")
        self._html: AnyStr = self._encode("html")
        self._javascript: AnyStr = self._encode("javascript")

    def _pair(self, name: str, value: str) -> tuple[AnyStr, AnyStr]:
        return self._encode(name if self._is_text else name.lower()), self._encode(value)

    def headers(  # noqa: C901, PLR0915
        self, given: Iterable[tuple[AnyStr, AnyStr]], serve: Serve, request: Variables
    ) -> list[tuple[AnyStr, AnyStr]]:
        """The headers to send in place of the app's. If they say neither HTML nor JavaScript, the
        response cannot have the script.

        - ``Referrer-Policy`` and ``Cache-Control: private`` are added unless the app sets them. A
          policy that shows other sites whole URLs is replaced, and with ``iframe_support``,
          ``no-referrer`` becomes ``same-origin``. A response that sets one of the middleware's
          cookies is ``no-store``, whatever the app says.
        - Under a launch path, the app's cookies belong to the launch (``cookies.for_launch``).
        - There, unless ``iframe_support`` is off, ``X-Frame-Options`` is removed. That is safe,
          because only a browser with the launch's cookie sees the page, and the cookie is
          partitioned by the site around the iframe. A ``frame-ancestors`` directive stays, because
          it names the sites that may frame the app; the middleware logs one warning.
        - Also only with ``iframe_support``, a redirect that leaves the launch is rewritten to stay
          inside it (``redirects.within_launch``). A redirect to the request's own URL outside its
          launch passes, with ``no-referrer``; otherwise, it would be redirected into the launch
          again and again.
        """
        looked_at, launch, prefix = self._looked_at, serve.launch, serve.prefix
        set_cookies = serve.set_cookies
        if launch is not None and launch.ended and prefix:
            set_cookies = deletions(self._cookie_name, launch.path)
        fits = self._iframe_support and prefix != ""
        has_policy = has_caching = in_circles = is_code = False
        location, sent = "", []
        for name, value in given:
            known = looked_at.get(name.lower())
            if known is not None:
                if known == "content-type":
                    if serve.may_have_script:
                        kind = value.lower()
                        # With bytes, ``in`` is slower.
                        is_code = kind.find(self._html) >= 0 or kind.find(self._javascript) >= 0
                elif known == "referrer-policy":
                    policy = self._decode(value).lower()
                    if "unsafe-url" in policy or "no-referrer-when-downgrade" in policy:
                        # They would show other sites the launch's URL.
                        continue
                    has_policy = True
                    if fits and policy.rpartition(",")[2].strip() == "no-referrer":
                        # Other sites still see nothing, but the redirect into the launch needs it.
                        value = self._same_origin
                elif known == "cache-control":
                    if set_cookies:
                        continue
                    has_caching = True
                elif known == "location":
                    if prefix:
                        location, in_circles = self._redirect(self._decode(value), serve, request)
                        value = self._encode(location)
                elif known == "set-cookie":
                    if prefix:
                        sent += self._cookies(name, value, serve, request)
                        continue
                elif fits:
                    if known == "x-frame-options":
                        continue
                    if not self._warned:
                        self._warn_of_frame_ancestors(self._decode(value))
            sent.append((name, value))
        serve.may_have_script = is_code
        if location and not in_circles:
            self._warn_of_lost_cookie(location, sent, serve, request)
        if in_circles:
            sent = [pair for pair in sent if looked_at.get(pair[0].lower()) != _POLICY]
            sent.append(self._no_referrer)
        elif not has_policy:
            sent.append(self._on_launch_path if prefix else self._in_place)
        if set_cookies:
            sent.append(self._no_store)
            sent += [self._pair("Set-Cookie", cookie) for cookie in set_cookies]
        elif not has_caching and (prefix or serve.without):
            # The URL alone does not identify the user: a shared cache would send the response to
            # others.
            sent.append(self._private)
        return sent

    def handshake_headers(
        self, given: Iterable[tuple[AnyStr, AnyStr]], serve: Serve, request: Variables
    ) -> list[tuple[AnyStr, AnyStr]]:
        """The headers that accept a websocket. Only the rule about cookies applies there."""
        sent = []
        for name, value in given:
            if serve.prefix and self._looked_at.get(name.lower()) == "set-cookie":
                sent += self._cookies(name, value, serve, request)
            else:
                sent.append((name, value))
        return sent

    def _redirect(self, location: str, serve: Serve, request: Variables) -> tuple[str, bool]:
        """The redirect's new target, and whether it is the request's own URL."""
        mount, host = serve.mount, request.get("HTTP_HOST") or ""
        if request.get("REQUEST_METHOD") in ("GET", "HEAD"):
            path = unquote(mount, encoding="latin-1") + request.get("PATH_INFO", "")
            query = request.get("QUERY_STRING") or ""
            if is_own_address(location, path, query, host):
                return location, True
        assert serve.launch is not None
        outward = self._callbacks.outward(location, serve.launch.id, mount, host)
        if outward is not None:
            return outward, False
        if not self._iframe_support:
            return location, False
        return within_launch(location, mount, serve.prefix, host, self._is_excluded), False

    def _cookies(
        self, name: AnyStr, value: AnyStr, serve: Serve, request: Variables
    ) -> list[tuple[AnyStr, AnyStr]]:
        ended = serve.launch is None or serve.launch.ended
        note = None if ended or serve.jar is None else serve.jar.note
        text, transport = self._decode(value), transport_of(request)
        values = for_launch(text, serve.mount, serve.launch_path, transport, self._shared, note)
        return [(name, self._encode(each)) for each in values]

    def _warn_of_lost_cookie(
        self,
        location: str,
        sent: Iterable[tuple[AnyStr, AnyStr]],
        serve: Serve,
        request: Variables,
    ) -> None:
        """Warn if the app sets a cookie, as it does to sign a user in, and redirects to a URL to
        which the browser does not send it. Cookies that the request already had do not count,
        because apps refresh them with many responses."""
        start = start_of_path(location, request.get("HTTP_HOST") or "")
        if start is None:
            return
        path = location[start:].partition("#")[0].partition("?")[0]
        if f"{path}/".startswith(f"{serve.launch_path}/"):
            return
        assert serve.launch is not None
        tag, had = tag_of(serve.launch.id), f"; {serve.cookies or ''}"
        for _, value in sent:
            text = self._decode(value)
            if not text.startswith(tag):
                continue
            cookie = read_set_cookie(text.removeprefix(tag))
            own = "" if cookie is None or cookie.is_deletion else cookie.name
            if own and f"; {own}=" not in had:
                self._rare_log.warning(
                    pattern_of(path),
                    "the app set the cookie %.100r and redirected to %.200r, outside the launch, "
                    "where the browser does not send it: the cookie belongs to the launch. If it "
                    "signs users in there, add it to shared_cookies. (Logged once an hour per path "
                    "pattern.)",
                    own,
                    path,
                )

    def _warn_of_frame_ancestors(self, policy: str) -> None:
        for directive in policy.replace(",", ";").split(";"):
            name, _, sources = directive.strip().partition(" ")
            if name.lower() == "frame-ancestors":
                self._warned = True
                _log.warning(
                    "this app's Content-Security-Policy has frame-ancestors %s, so an LMS can "
                    "show the app in an iframe only if its origin is listed. Add your LMSes' "
                    "origins, or remove the directive.",
                    ascii(sources.strip()[:200]),
                )
                return
