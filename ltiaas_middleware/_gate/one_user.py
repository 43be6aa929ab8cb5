"""``one_user_per_browser``: when a different user launches, the browser's earlier launches end.

A cookie identifies the user who launched last in this browser, or in this LMS's partition of it.
Its value is an HMAC, so nobody can forge it or learn who the user was. If a request has the
launch's cookie, it must also have this one, or the middleware refuses it. The server stores
nothing, so this works in every worker.
"""

from __future__ import annotations

import hmac
from base64 import urlsafe_b64encode
from collections.abc import Sequence

from .._crypto.keys import derive
from .._verification.launches import CachedLaunch
from ..errors import IdTokenError
from ..launch import Account, Launch
from .cookies import IN_A_FRAME, split_request, transport_of
from .request import Request

__all__ = ["OneUser"]


class OneUser:
    """Marks a browser with the user who launched last."""

    def __init__(self, account: Account) -> None:
        self.enabled = account.settings.one_user_per_browser
        self._account = account
        self._name = f"{account.settings.cookie_name}-user"
        self._keys = [derive(each, "one-user") for each in account.settings.signing_secrets]

    def allows(self, request: Request, entry: CachedLaunch) -> bool:
        """Whether no other user has launched in this browser since. If the browser sends neither
        this cookie nor a launch's, the answer is True."""
        found = self._found(request)
        if not found:
            return self._account.settings.cookie_name not in request.get("HTTP_COOKIE", "")
        return self._is_of(entry, found)

    def is_marked(self, request: Request, entry: CachedLaunch) -> bool:
        """Whether the launch's user is already the last one who launched."""
        found = self._found(request)
        return bool(found) and self._is_of(entry, found)

    def cookie(self, request: Request, entry: CachedLaunch) -> str:
        """A value of ``Set-Cookie`` that identifies the launch's user."""
        secure = "__Secure-" if transport_of(request.variables) == "https" else ""
        mark, path = self._marks(entry)[0], request.mount or "/"
        return f"{secure}{self._name}={mark}; Path={path}; HttpOnly{IN_A_FRAME}"

    def _found(self, request: Request) -> Sequence[str]:
        start = f"{'__Secure-' if request.secure else ''}{self._name}="
        found, _ = split_request(request.get("HTTP_COOKIE", ""), (start,))
        return [pair.removeprefix(start) for pair in found]

    def _is_of(self, entry: CachedLaunch, found: Sequence[str]) -> bool:
        """Whether all cookies found identify the launch's user: another host of the site may have
        planted one."""
        marks = self._marks(entry)
        return all(
            any(hmac.compare_digest(mark.encode(), each.encode()) for mark in marks)
            for each in found
        )

    def _marks(self, entry: CachedLaunch) -> list[str]:
        try:
            user = "\0".join(Launch(entry, self._account).global_user_id)
        except IdTokenError:
            # The user is unknown, so each launch counts as a different user.
            user = entry.id
        digests = (hmac.digest(key, user.encode(), "sha256") for key in self._keys)
        return [urlsafe_b64encode(digest[:16]).decode().rstrip("=") for digest in digests]
