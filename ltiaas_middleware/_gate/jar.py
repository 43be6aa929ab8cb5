"""The app's cookies for a browser that blocks cookies: the middleware stores them with the launch.

A jar exists only while a launch is not cookie-bound, and only for requests that the URL alone
authenticates. The middleware still sends the app's ``Set-Cookie`` headers, but the app gets the
cookies in the jar. The responses of a launch change its jar one after the other, and each changes
only the cookies that it sets, so that no response overwrites another's cookies.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Collection
from functools import partial
from typing import NamedTuple, TypeAlias
from urllib.parse import unquote

from .._forking import in_child
from .._rare_log import RareLog
from ..responses import Response
from .cookies import SetCookie, ends_at, for_launch
from .request import Request

__all__ = ["COOKIES_PATH", "Change", "Jar"]

#: The path in a launch to which scripts send the cookies that they set.
COOKIES_PATH = "/ltiaas-cookies"

_rare_log = RareLog()
in_child(_rare_log, RareLog.__init__)

# Browsers ignore cookies with control characters (RFC 6265bis section 5.6).
_CONTROL = re.compile(r"[\0-\x08\x0a-\x1f\x7f]")
# Maximum size of a launch's cookies in total, in bytes of JSON.
_MOST = 8192
# A launch lasts a day, so a cookie that lasts longer needs no expiry.
_LONG = 2 * 86_400.0


class _Kept(NamedTuple):
    value: str
    until: float | None
    hidden: bool


# By name and path under the launch path, decoded. None deletes the cookie.
_Cookies: TypeAlias = "dict[tuple[str, str], _Kept]"
_Changes: TypeAlias = "dict[tuple[str, str], _Kept | None]"
#: Maps a jar's old content to its new content.
Change: TypeAlias = "Callable[[bytes | None], bytes]"


class Jar:
    """The cookies of one launch, for one request.

    Args:
        content: the stored content, or None.
        launch_id: of the launch.
        path: of the request, decoded, under the launch path.
        keep: applies a change to the store; may block.
        shared: the names in the setting ``shared_cookies``, which belong to no launch.
    """

    __slots__ = ("_changes", "_cookies", "_keep", "_launch_id", "_path", "_shared")

    def __init__(
        self,
        content: bytes | None,
        launch_id: str,
        path: str,
        keep: Callable[[Change], None],
        shared: Collection[str],
    ) -> None:
        self._cookies = _loads(content)
        self._launch_id = launch_id
        self._path = f"{path}/"
        self._keep = keep
        self._shared = shared
        self._changes: _Changes = {}

    def __repr__(self) -> str:
        return "<Jar>"

    def for_app(self, others: str | None) -> str:
        """The ``Cookie`` header for the app.

        Args:
            others: the launch's cookies that the browser sent anyway, and shared ones.
        """
        pairs = self._pairs(self._cookies)
        if others:
            names = {pair.partition("=")[0] for pair in pairs}
            sent = others.split("; ")
            pairs += [pair for pair in sent if pair.partition("=")[0] not in names]
        return "; ".join(pairs)

    def for_scripts(self) -> str:
        """What ``document.cookie`` shows: the cookies that are not ``HttpOnly``."""
        readable = {key: kept for key, kept in self._cookies.items() if not kept.hidden}
        # Browsers decode cookies as UTF-8.
        return "; ".join(self._pairs(readable)).encode("latin-1").decode("utf-8", "replace")

    def _pairs(self, cookies: _Cookies) -> list[str]:
        """The cookies for the request's path, the first of each name. Longer paths come first (RFC
        6265 section 5.4)."""
        found: dict[str, str] = {}
        for (name, path), kept in sorted(cookies.items(), key=lambda item: -len(item[0][1])):
            if not path or self._path.startswith(f"{path}/"):
                found.setdefault(name, f"{name}={kept.value}" if name else kept.value)
        return list(found.values())

    def note(self, cookie: SetCookie, path: str, *, by_script: bool = False) -> None:
        """Record a cookie that the app sets, or that a script sets with ``document.cookie``.

        Args:
            cookie: the cookie.
            path: the cookie's path, including the launch path, percent-encoded.
            by_script: whether a script sets it. Scripts cannot read or set ``HttpOnly`` cookies.
        """
        below = path.partition(self._launch_id)[2].rstrip("/")
        if below:
            below = unquote(below, "latin-1").encode("latin-1").decode("utf-8", "replace")
        key, hidden = (cookie.name, below), "httponly" in cookie.found
        before = self._cookies.get(key)
        if by_script and (hidden or (before is not None and before.hidden)):
            return
        kept = _kept(cookie, hidden=hidden)
        if before != kept and not _CONTROL.search(cookie.name + cookie.value):
            _change(self._cookies, key, kept)
            self._changes[key] = kept

    @property
    def changed(self) -> bool:
        """Whether there is anything to ``save``."""
        return bool(self._changes)

    def save(self) -> None:
        """Store the recorded cookies. May block."""
        if self._changes:
            self._keep(self._merged)

    def _merged(self, content: bytes | None) -> bytes:
        cookies = _loads(content)
        # Deletions first, because they make room.
        for key, kept in sorted(self._changes.items(), key=lambda change: change[1] is not None):
            before = cookies.get(key)
            _change(cookies, key, kept)
            if len(_dumps(cookies)) > _MOST:
                # Browsers also drop cookies that are too large.
                _change(cookies, key, before)
                _rare_log.warning(
                    key,
                    "a browser blocks cookies, and the app's cookies exceed %s bytes in one "
                    "launch, so the middleware dropped %.100r. Keep sessions on the server. "
                    "(Logged once an hour per cookie.)",
                    _MOST,
                    key[0],
                )
        return _dumps(cookies)

    def response(self, request: Request, launch_path: str) -> Response:
        """Record the cookies that a script has set. The caller then calls ``save``.

        Args:
            request: a request for ``COOKIES_PATH`` in the launch.
            launch_path: the launch's path, percent-encoded, including the mount point.
        """
        if request.get("REQUEST_METHOD") != "POST":
            return Response(405, (("Allow", "POST"),))
        header = unquote(request.get("HTTP_LTIAAS_COOKIE") or "")
        text = header.encode("utf-8", "replace").decode("latin-1")
        note = partial(self.note, by_script=True)
        for_launch(text, request.mount, launch_path, shared=self._shared, note=note)
        return Response(204)


def _kept(cookie: SetCookie, *, hidden: bool) -> _Kept | None:
    until = ends_at(cookie.found)
    if until is not None:
        left = until - time.time()
        if left <= 0:
            return None
        if left > _LONG:
            until = None
    return _Kept(cookie.value, until, hidden)


def _change(cookies: _Cookies, key: tuple[str, str], kept: _Kept | None) -> None:
    if kept is None:
        cookies.pop(key, None)
    else:
        cookies[key] = kept


def _loads(content: bytes | None) -> _Cookies:
    if content is None:
        return {}
    now = time.time()
    return {
        (name, path): _Kept(value, until, hidden)
        for name, path, value, until, hidden in json.loads(content.decode())
        if until is None or until > now
    }


def _dumps(cookies: _Cookies) -> bytes:
    return json.dumps([(*key, *kept) for key, kept in cookies.items()]).encode()
