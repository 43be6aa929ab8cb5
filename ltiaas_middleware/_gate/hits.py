"""The usual request of a launch, in one function.

A tool that has been launched gets hundreds of requests that are alike: the launch is known, its
cookie came back, the tool's own page asks. ``Hits.serve`` makes the checks of
``Gate._on_launch_path`` for such a request in one place, because each step that is a function of
its own costs a page a microsecond (benchmarks/README.md). It refuses nothing: whatever is not
exactly as expected is left to the gate's steps. A test holds both to the same answers.
"""

from __future__ import annotations

from collections.abc import Callable
from hmac import compare_digest
from typing import Any

from .._crypto import handoffs
from .._verification.authenticator import Authenticator
from .._verification.launches import CachedLaunch
from ..launch import Account, Launch
from .cookies import split_request
from .decisions import Serve
from .launch_cookie import LaunchCookie
from .ltiks import SIGNATURE
from .new_tabs import RESERVED
from .request import SECURE_SCHEMES, quoted_mount

__all__ = ["Hits"]


class Hits:
    """Serves a known launch to a request that needs no step of its own.

    Args:
        account: what launches are made with.
        authenticator: knows until when a launch needs no look.
        prefix: what every launch path begins with.
        cookie: the launch's own.
    """

    def __init__(
        self, account: Account, authenticator: Authenticator, prefix: str, cookie: LaunchCookie
    ) -> None:
        self._account = account
        self._needs_no_look = authenticator.needs_no_look
        self._count = authenticator.stats.hit
        self._prefix = prefix
        self._fit_frame = account.settings.fit_frame
        self._secure_starts, self._plain_starts = cookie.secure_starts, cookie.plain_starts

    def serve(
        self, entry: CachedLaunch, path: str, query: str, get: Callable[..., Any]
    ) -> Serve | None:
        """What the app is given, or None where the gate has to go through its steps.

        Args:
            entry: the launch that the path names.
            path: the path for the app.
            query: as it arrived.
            get: a CGI variable by name.
        """
        if (
            not self._needs_no_look(entry)
            or get("HTTP_SEC_FETCH_SITE") != "same-origin"
            or not path
            or path.startswith(RESERVED)
            or handoffs.PARAMETER in query
        ):
            return None
        starts = (
            self._secure_starts if get("wsgi.url_scheme") in SECURE_SCHEMES else self._plain_starts
        )
        start = starts[0]
        header: str = get("HTTP_COOKIE", "")
        ltik, _, others = header.partition(";")
        if not ltik.startswith(start):
            return None
        ltik = ltik[len(start) :]
        # As in ``Ltiks.proof``: the end in constant time.
        end = ltik[-SIGNATURE:]
        if (
            not end.isascii()
            or not compare_digest(end, entry.ltik[-SIGNATURE:])
            or ltik != entry.ltik
        ):
            return None
        if others:
            _, others = split_request(others, starts, first_only=self._fit_frame)
        self._count()
        mount = get("SCRIPT_NAME")
        prefix = self._prefix + entry.id
        launch = Launch(entry, self._account, quoted_mount(mount) + prefix if mount else prefix)
        serve = Serve(launch, path, prefix)
        serve.cookies = others
        return serve
