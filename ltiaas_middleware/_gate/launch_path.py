"""Addresses of launches: ``<mount point>/lti/<launch id>/…``."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from .._crypto.keys import LAUNCH_ID_LENGTH
from ..settings import Settings
from .request import Request, quoted_query

__all__ = ["LaunchPath", "is_launch_id"]

_LAUNCH_ID = re.compile(rf"[A-Za-z0-9_-]{{{LAUNCH_ID_LENGTH}}}")


def is_launch_id(segment: str) -> bool:
    """Whether a path segment has the shape of a launch id."""
    return _LAUNCH_ID.fullmatch(segment) is not None


class LaunchPath:
    """Where launches have their addresses.

    Attributes:
        prefix: what every launch path begins with, such as ``/lti/``. Without launch paths it is
            NUL, which no path begins with.
    """

    def __init__(self, settings: Settings) -> None:
        self.prefix = f"{settings.launch_path}/" if settings.launch_path else "\0"

    def of(self, request: Request, launch_id: str) -> str:
        """A launch's own path, percent-encoded, without a slash at its end."""
        return f"{request.mount}{self.prefix}{launch_id}"

    def address(self, request: Request, launch_id: str, query: str) -> str:
        """The request's address inside a launch, with another query."""
        mount = request.mount
        path = request.raw_path(mount)
        if path.startswith(self.prefix):
            first, _, rest = path[len(self.prefix) :].partition("/")
            if is_launch_id(first):
                # Below a launch path already: this launch's, or another one's.
                path = "/" + rest
        return f"{mount}{self.prefix}{launch_id}{path}{quoted_query(query)}"

    def is_own_new_tab(self, request: Request, launch_id: str) -> bool:
        """Whether it is a top-level navigation that, as the browser says, a page of this launch
        began.

        ``Referer`` is needed too: a link to somebody's launch path in another launch's page is
        same-origin as well.
        """
        if (
            request.get("REQUEST_METHOD") != "GET"
            or request.get("HTTP_SEC_FETCH_SITE") != "same-origin"
            or request.get("HTTP_SEC_FETCH_MODE") != "navigate"
            or request.get("HTTP_SEC_FETCH_DEST") != "document"
        ):
            return False
        referer: str = request.get("HTTP_REFERER", "")
        try:
            path = urlsplit(referer).path
        except ValueError:
            return False
        return path.startswith(f"{self.of(request, launch_id)}/")
