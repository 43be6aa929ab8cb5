"""Builds the result once access is decided: the app in a launch, or a redirect to where the request
belongs."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from .._crypto import one_time_tokens
from .._rare_log import RareLog
from .._verification.launches import CachedLaunch
from ..credentials import HeaderValue
from ..launch import Account, Launch
from ..responses import Response
from .decisions import Flow, Refused, Serve
from .insertion import SHOWN
from .jar import COOKIES_PATH, Change, Jar
from .launch_cookie import LaunchCookie
from .launch_path import LaunchPath
from .launch_script import ONE_TIME_PATH, one_time_answer
from .ltiks import Ltiks
from .one_user import OneUser
from .request import Request, quoted_mount, without_parameters

__all__ = ["Serving"]


class Serving:
    """Builds the results that the adapters carry out."""

    def __init__(
        self,
        account: Account,
        launch_path: LaunchPath,
        cookie: LaunchCookie,
        ltiks: Ltiks,
    ) -> None:
        self._account = account
        self._launch_path = launch_path
        self._cookie = cookie
        self._ltiks = ltiks
        self._one_user = OneUser(account)
        self._rare_log = RareLog()
        self._prefix = launch_path.prefix
        self._has_callbacks = bool(account.settings.callbacks)
        self._looks_in_headers = bool(ltiks.sources)
        self._inserts = account.settings.insert_script

    def on_its_path(self, request: Request, entry: CachedLaunch) -> Serve | Response:
        """Serve a launch on its path."""
        if self._one_user.enabled:
            self._refuse_others(request, entry)
        prefix = f"{self._prefix}{request.launch_id}"
        mount = request.get("SCRIPT_NAME")
        launch = Launch(entry, self._account, quoted_mount(mount) + prefix if mount else prefix)
        if self._has_callbacks:
            launch.origin = request.origin
        if request.path == ONE_TIME_PATH:
            return one_time_answer(request, launch.one_time_url)
        serve = Serve()
        serve.launch = launch
        serve.path = request.path or "/"
        serve.prefix = prefix
        serve.query = request.app_query
        serve.cookies = request.app_cookies
        # What the app never sees cannot appear in its error reports.
        serve.without = self._ltiks.carriers(request) if self._looks_in_headers else ()
        serve.set_cookies = request.set_cookies
        serve.jar = request.jar
        serve.may_have_script = False
        if self._inserts:
            # Old browsers do not send it.
            destination = request.get("HTTP_SEC_FETCH_DEST")
            if not destination or destination in SHOWN:
                serve.may_have_script = True
                if destination or request.is_navigation:
                    # So that the app does not compress a page that gets the script's tag.
                    serve.without = (*serve.without, "HTTP_ACCEPT_ENCODING")
        return serve

    def with_jar(
        self,
        request: Request,
        entry: CachedLaunch,
        content: bytes | None,
        keep: Callable[[Change], None],
    ) -> Flow:
        """Serve a launch whose browser blocks cookies; see ``jar.Jar``."""
        jar = Jar(content, entry.id, request.path, keep, self._account.settings.shared_cookies)
        if request.path == COOKIES_PATH:
            if self._one_user.enabled:
                self._refuse_others(request, entry)
            answer = jar.response(request, self._launch_path.of(request, entry.id))
            yield jar.save
            return answer
        request.jar, request.app_cookies = jar, jar.for_app(request.app_cookies)
        return self.on_its_path(request, entry)

    def _refuse_others(self, request: Request, entry: CachedLaunch) -> None:
        # A response that sets the cookies for a one-time link identifies this user.
        if not (request.set_cookies or self._one_user.allows(request, entry)):
            raise Refused("launch_unknown")

    def excluded(self, request: Request) -> Response:
        """308 to the URL of an excluded path, without anything that opens a launch."""
        names = (*self._account.settings.ltik_parameters, one_time_tokens.PARAMETER)
        query = without_parameters(request.query, names)[1]
        return self.moved(self._launch_path.excluded_location(request, query))

    @staticmethod
    def moved(location: str, *, for_good: bool = True) -> Response:
        return Response(308 if for_good else 307, (("Location", location),))

    def redirect(
        self, request: Request, entry: CachedLaunch, query: str, cookies: Sequence[str]
    ) -> Response:
        """303 to the launch path, with its cookie and without the ltik or one-time token."""
        self._notice_lost_prefix(request)
        headers = [
            ("Location", self._launch_path.location(request, entry.id, query)),
            ("Content-Type", "text/plain; charset=utf-8"),
            ("Referrer-Policy", "no-referrer"),
        ]
        if cookies and self._one_user.enabled and not self._one_user.is_marked(request, entry):
            headers.append(("Clear-Site-Data", '"storage"'))
        headers += [("Set-Cookie", cookie) for cookie in cookies]
        return Response(303, tuple(headers))

    def cookies(
        self, request: Request, entry: CachedLaunch, *, tab: bool = False
    ) -> tuple[str, ...]:
        cookies = self._cookie.make(request, entry, tab=tab)
        if self._one_user.enabled:
            cookies += (self._one_user.cookie(request, entry),)
        return tuple(map(HeaderValue, cookies))

    def _notice_lost_prefix(self, request: Request) -> None:
        """Warn once if a proxy names a prefix that the middleware does not see."""
        for header in ("X-Forwarded-Prefix", "X-Script-Name"):
            named: str = request.get(f"HTTP_{header.upper().replace('-', '_')}") or ""
            prefixes = {quoted_mount(prefix.strip()) for prefix in named.split(",")} - {""}
            if prefixes and request.mount not in prefixes:
                self._rare_log.warning(
                    header,
                    "the proxy says that this tool is mounted at %.200r (%s), but the app sees "
                    "%.200r, so launches go to URLs that the proxy does not forward. Start "
                    "the server with this prefix (uvicorn --root-path), or put the code that reads "
                    "the header around the middleware, not inside it: Werkzeug's ProxyFix with "
                    "x_prefix=1, or ReverseProxied(LTIAASMiddleware(app)). (Logged once an hour.)",
                    named,
                    header,
                    request.mount or "/",
                )

    def in_place(self, request: Request, entry: CachedLaunch | None) -> Serve:
        """Serve a launch in place, without a launch path. ``entry`` is None for a preflight, which
        has no user yet."""
        serve = Serve()
        serve.launch = None if entry is None else Launch(entry, self._account, request.mount)
        serve.path = request.path
        serve.prefix = ""
        serve.query = request.app_query
        serve.cookies = serve.jar = None
        serve.without = self._ltiks.carriers(request)
        serve.set_cookies = ()
        serve.may_have_script = False
        return serve
