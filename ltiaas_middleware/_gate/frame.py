"""What an app's answer needs to work in an LMS's frame, and to stay with its launch.

Both adapters hand the headers of each answer of the app's to ``AppAnswers``, one with texts and one
with bytes. It looks at every header of every answer in a launch, so it is written to be short at
run time.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, AnyStr, Generic, NamedTuple
from urllib.parse import unquote

from ..settings import Settings
from .cookies import for_launch, reached
from .once import Once
from .outside import Outside
from .redirects import is_own_address, within_launch
from .request import Variables

__all__ = ["AppAnswers", "Place"]

_log = logging.getLogger("ltiaas_middleware")

# Other sites see the tool's origin, which embedded videos and an LMS's check of ``Origin`` need,
# and never the launch path.
_ON_LAUNCH_PATH = "strict-origin-when-cross-origin"
# The address may hold an ltik, which not even the tool's own log is to have as a Referer.
_IN_PLACE = "strict-origin"

_POLICY = "referrer-policy"
_LOOKED_AT = (
    "set-cookie",
    "x-frame-options",
    "content-security-policy",
    "referrer-policy",
    "cache-control",
    "location",
)


class Place(NamedTuple):
    """Where a request of a launch is served.

    Attributes:
        path: the launch's own path, percent-encoded, without a slash at its end.
        prefix: its part below the mount point, such as ``/lti/<id>``; "" where it is served in
            place.
        is_private: whether the address alone does not say whose answer it is, so that a shared
            cache would give it to others.
    """

    path: str
    prefix: str
    is_private: bool

    @property
    def mount(self) -> str:
        """The mount point, percent-encoded, without a slash at its end."""
        return self.path.removesuffix(self.prefix)


class AppAnswers(Generic[AnyStr]):
    """Fits the headers of the app's answers.

    Args:
        kind: ``str`` or ``bytes``, whichever the adapter's headers are.
        settings: whether cookies, redirects and frame headers are the middleware's to change, and
            what is never part of a launch.
        variables: makes CGI variables of what the adapter has; by default it has them.
    """

    def __init__(
        self,
        kind: type[AnyStr],
        settings: Settings,
        *,
        variables: Callable[[Any], Variables] | None = None,
    ) -> None:
        self._fit_frame = settings.fit_frame
        self._is_outside = Outside(settings.outside).covers
        self._once = Once()
        self._variables = variables
        self._warned = False
        self._is_text = issubclass(kind, str)
        # By lower-case name; ASGI wants them so (ASGI, "Response Start"), and not all apps do.
        self._looked_at: Mapping[AnyStr, str] = {self._encode(name): name for name in _LOOKED_AT}
        pair = self._pair
        self._on_launch_path: tuple[AnyStr, AnyStr] = pair("Referrer-Policy", _ON_LAUNCH_PATH)
        self._in_place: tuple[AnyStr, AnyStr] = pair("Referrer-Policy", _IN_PLACE)
        self._no_referrer: tuple[AnyStr, AnyStr] = pair("Referrer-Policy", "no-referrer")
        self._private: tuple[AnyStr, AnyStr] = pair("Cache-Control", "private")
        self._no_store: tuple[AnyStr, AnyStr] = pair("Cache-Control", "no-store")

    def _encode(self, text: str) -> AnyStr:
        # ``str`` of a subclass is a plain one, which strict servers ask for.
        return str(text) if self._is_text else text.encode("latin-1")  # type: ignore[return-value]

    @staticmethod
    def _decode(value: AnyStr) -> str:
        return value if isinstance(value, str) else value.decode("latin-1")

    def _pair(self, name: str, value: str) -> tuple[AnyStr, AnyStr]:
        return self._encode(name if self._is_text else name.lower()), self._encode(value)

    def headers(
        self,
        given: Iterable[tuple[AnyStr, AnyStr]],
        place: Place,
        set_cookies: Sequence[str],
        request: Any,
    ) -> list[tuple[AnyStr, AnyStr]]:
        """The headers to send in place of the app's.

        - ``Referrer-Policy`` and ``Cache-Control: private`` are added unless the app has its own.
          An answer that carries a cookie of the middleware's is ``no-store`` whatever the app says.
        - Under a launch path, unless ``fit_frame`` is off: the app's cookies belong to the launch
          (``cookies.for_launch``), and ``X-Frame-Options`` goes, since only a browser with the
          launch's cookie sees the page, and it is partitioned by the site around the frame. A
          ``frame-ancestors`` stays, because it names who may frame the app; a warning says so once.
        - A redirect that leaves the launch is kept within it (``redirects.within_launch``), also
          only with ``fit_frame``. One to the request's own address outside of its launch is let go,
          with ``no-referrer``: it would be led back into the launch, again and again.

        Args:
            given: the app's headers.
            place: where the request is served.
            set_cookies: values of ``Set-Cookie`` to add.
            request: its CGI variables, or what ``variables`` makes them of.
        """
        looked_at = self._looked_at
        fits = self._fit_frame and place.prefix != ""
        has_policy = has_caching = in_circles = False
        sent = []
        for name, value in given:
            known = looked_at.get(name.lower())
            if known is not None:
                if known == "referrer-policy":
                    has_policy = True
                elif known == "cache-control":
                    if set_cookies:
                        continue
                    has_caching = True
                elif known == "location":
                    if place.prefix:
                        location, in_circles = self._redirect(self._decode(value), place, request)
                        value = self._encode(location)
                elif fits:
                    if known == "x-frame-options":
                        continue
                    if known == "set-cookie":
                        sent += self._cookies(name, value, place, request)
                        continue
                    if not self._warned:
                        self._warn_of_frame_ancestors(self._decode(value))
            sent.append((name, value))
        if in_circles:
            sent = [pair for pair in sent if self._looked_at.get(pair[0].lower()) != _POLICY]
            sent.append(self._no_referrer)
        elif not has_policy:
            sent.append(self._on_launch_path if place.prefix else self._in_place)
        if set_cookies:
            sent.append(self._no_store)
            sent += [self._pair("Set-Cookie", cookie) for cookie in set_cookies]
        elif place.is_private and not has_caching:
            sent.append(self._private)
        return sent

    def handshake_headers(
        self, given: Iterable[tuple[AnyStr, AnyStr]], place: Place, request: Any
    ) -> list[tuple[AnyStr, AnyStr]]:
        """The headers with which a websocket is accepted. Of all the rules only the one about
        cookies means anything there."""
        sent = []
        for name, value in given:
            if (
                self._fit_frame
                and place.prefix
                and self._looked_at.get(name.lower()) == "set-cookie"
            ):
                sent += self._cookies(name, value, place, request)
            else:
                sent.append((name, value))
        return sent

    def _redirect(self, location: str, place: Place, request: Any) -> tuple[str, bool]:
        """Where a redirect is to lead, and whether it leads back to where the request came from."""
        variables = request if self._variables is None else self._variables(request)
        mount, host = place.mount, variables.get("HTTP_HOST") or ""
        if variables.get("REQUEST_METHOD") in ("GET", "HEAD"):
            path = unquote(mount, encoding="latin-1") + variables.get("PATH_INFO", "")
            query = variables.get("QUERY_STRING") or ""
            if is_own_address(location, path, query, host):
                return location, True
        if not self._fit_frame:
            return location, False
        within = within_launch(location, mount, place.prefix, host, self._is_outside)
        if within != location and self._once.first(location.partition("?")[0]):
            _log.warning(
                "the app redirects to %.200r, which is outside of the launch, and the browser was "
                "kept within it. Build this address with the framework's own URL building, or put "
                "launch.path before it; if it is never part of a launch, name it in the setting "
                "'outside'. (Told once for each path.)",
                location.partition("?")[0],
            )
        return within, False

    def _cookies(
        self, name: AnyStr, value: AnyStr, place: Place, request: Any
    ) -> list[tuple[AnyStr, AnyStr]]:
        variables = request if self._variables is None else self._variables(request)
        values = for_launch(self._decode(value), place.mount, place.path, reached(variables))
        return [(name, self._encode(each)) for each in values]

    def _warn_of_frame_ancestors(self, policy: str) -> None:
        for directive in policy.replace(",", ";").split(";"):
            name, _, sources = directive.strip().partition(" ")
            if name.lower() == "frame-ancestors":
                self._warned = True
                _log.warning(
                    "this app's Content-Security-Policy has frame-ancestors %s, which stays: "
                    "an LMS can show the app in a frame only if its origin is among them.",
                    ascii(sources.strip()[:200]),
                )
                return
