"""What a request is given once it is decided what it may have: the app in a launch, or the way to
where it belongs."""

from __future__ import annotations

from collections.abc import Sequence

from .._crypto import handoffs
from .._verification.authenticator import Authenticator
from .._verification.launches import CachedLaunch
from ..credentials import HeaderValue
from ..launch import Account, Launch
from ..refusals import Answer
from .decisions import Serve
from .launch_cookie import LaunchCookie
from .launch_path import LaunchPath
from .ltiks import Ltiks
from .new_tabs import HANDOFF_PATH, handoff_answer
from .request import Request, quoted_mount, without_parameter

__all__ = ["Serving"]


class Serving:
    """Makes what the adapters are given.

    Args:
        account: what launches are made with.
        authenticator: asked for how long a launch still lasts.
        launch_path: where launches have their addresses.
        cookie: the launch's own.
        ltiks: where else ltiks stand in a request.
    """

    def __init__(
        self,
        account: Account,
        authenticator: Authenticator,
        launch_path: LaunchPath,
        cookie: LaunchCookie,
        ltiks: Ltiks,
    ) -> None:
        self._account = account
        self._authenticator = authenticator
        self._launch_path = launch_path
        self._cookie = cookie
        self._ltiks = ltiks
        self._prefix = launch_path.prefix
        self._looks_in_headers = bool(ltiks.sources)

    def on_its_path(self, request: Request, entry: CachedLaunch) -> Serve | Answer:
        """Serve a launch on its path."""
        prefix = f"{self._prefix}{request.launch_id}"
        mount = request.get("SCRIPT_NAME")
        launch = Launch(entry, self._account, quoted_mount(mount) + prefix if mount else prefix)
        if request.path == HANDOFF_PATH:
            return handoff_answer(request, launch.handoff_url)
        serve = Serve(launch, request.path or "/", prefix)
        serve.query = request.app_query
        serve.cookies = request.app_cookies
        serve.set_cookies = request.set_cookies
        if self._looks_in_headers:
            # The app's error reports cannot show what it never saw.
            serve.without = self._ltiks.carriers(request)
        return serve

    def without_launch(self, request: Request) -> Serve:
        """Let the app answer a preflight: nobody is behind it yet."""
        prefix = f"{self._prefix}{request.launch_id}" if request.launch_id else ""
        serve = Serve(None, request.path or "/", prefix)
        self._cookie.take(request)
        serve.query = request.app_query
        serve.cookies = request.app_cookies
        return serve

    def outside(self, request: Request) -> Answer:
        """308 to an address that is never part of a launch, without anything that opens one."""
        query = request.query
        for parameter in ("ltik", handoffs.PARAMETER):
            query = without_parameter(query, parameter)[1]
        return self.moved(self._launch_path.address_outside(request, query))

    @staticmethod
    def moved(location: str) -> Answer:
        return Answer(308, (("Location", location),))

    def redirect(
        self, request: Request, entry: CachedLaunch, query: str, cookies: Sequence[str]
    ) -> Answer:
        """303 to the launch path, with its cookie and without what opened it."""
        headers = [
            ("Location", self._launch_path.address(request, entry.id, query)),
            ("Content-Type", "text/plain; charset=utf-8"),
            ("Referrer-Policy", "no-referrer"),
        ]
        headers += [("Set-Cookie", cookie) for cookie in cookies]
        return Answer(303, tuple(headers))

    def cookies(
        self, request: Request, entry: CachedLaunch, *, tab: bool = False
    ) -> tuple[str, ...]:
        seconds = self._authenticator.seconds_left(entry)
        return tuple(map(HeaderValue, self._cookie.make(request, entry, seconds, tab=tab)))

    def in_place(self, request: Request, entry: CachedLaunch) -> Serve:
        """Serve a launch where it is, without a path of its own."""
        launch = Launch(entry, self._account, request.mount)
        serve = Serve(launch, request.path, "")
        serve.query = request.app_query
        serve.without = self._ltiks.carriers(request)
        return serve
