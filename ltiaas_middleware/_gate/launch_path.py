"""URLs of launches: ``<mount point>/lti/<launch id>/…``."""

from __future__ import annotations

import re

from .._crypto.keys import LAUNCH_ID_LENGTH
from ..settings import Settings
from .request import Request, quoted_path, quoted_query

__all__ = ["LaunchPath", "is_launch_id"]

# Base64url of 128 bits: the last character encodes two bits. Few words in a path end like that.
_LAUNCH_ID = re.compile(rf"[A-Za-z0-9_-]{{{LAUNCH_ID_LENGTH - 1}}}[AQgw]")


def is_launch_id(segment: str) -> bool:
    """Whether a path segment has the format of a launch id."""
    return _LAUNCH_ID.fullmatch(segment) is not None


class LaunchPath:
    """Builds and recognizes the URLs of launches.

    Attributes:
        prefix: the beginning of every launch path, such as ``/lti/``. Without launch paths, it is
            NUL, because no path begins with that.
        of_refusals: the path, under the mount point, of a page that says that a form was refused.
            Users can safely reload it. None without launch paths.
    """

    def __init__(self, settings: Settings) -> None:
        self.prefix = f"{settings.launch_path}/" if settings.launch_path else "\0"
        self.of_refusals = f"{self.prefix}ltiaas-refused" if settings.launch_path else None

    def of(self, request: Request, launch_id: str) -> str:
        """A launch's path, percent-encoded, without a trailing slash."""
        return f"{request.mount}{self.prefix}{launch_id}"

    def location(self, request: Request, launch_id: str, query: str) -> str:
        """The request's URL inside a launch, with another query."""
        mount = request.mount
        path = self._path_below(request, mount)
        return f"{mount}{self.prefix}{launch_id}{path}{quoted_query(query)}"

    def excluded_location(self, request: Request, query: str) -> str:
        """The request's URL outside any launch, with another query."""
        mount = request.mount
        # ``//host`` would be another site (RFC 3986 section 4.2).
        path = self._path_below(request, mount).lstrip("/")
        return f"{mount}/{path}{quoted_query(query)}"

    def _path_below(self, request: Request, mount: str) -> str:
        """The path under the launch path, as received."""
        path = request.path_as_arrived(mount)
        if request.named_id is None:
            return path
        inside = f"{self.prefix}{request.named_id}"
        below = path.removeprefix(inside)
        if path.startswith(inside) and below[:1] in ("", "/"):
            return below or "/"
        return quoted_path(request.path)

    def launch_id_in(self, path: str, mount: str) -> str | None:
        """The launch id in a URL's path, or None.

        Args:
            path: with the mount point, percent-encoded.
            mount: the mount point, percent-encoded, without a trailing slash.
        """
        start = mount + self.prefix
        if not path.startswith(start):
            return None
        first = path[len(start) :].partition("/")[0]
        return first if is_launch_id(first) else None
