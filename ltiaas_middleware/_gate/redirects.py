"""Keeps an app's redirects inside the launch: a hard-coded URL (``/accounts/login/``) would leave
it.

The middleware rewrites the redirect, because it cannot recognize the next request: browsers keep
the ``Referer`` of the page where the navigation began, and for the first page of a launch, that is
the LMS's page.
"""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import unquote, urlsplit

from .launch_path import is_launch_id

__all__ = ["is_own_address", "start_of_path", "within_launch"]


def within_launch(
    location: str, mount: str, prefix: str, host: str, is_excluded: Callable[[str], bool]
) -> str:
    """The value of a ``Location`` header, rewritten to stay inside the launch.

    A URL stays unchanged if it points to another host, outside the mount point, into a launch
    already (this one or another), or to an excluded path. A relative URL also stays unchanged,
    because it is already inside the launch.

    Args:
        location: as the app sent it.
        mount: the mount point, percent-encoded, without a slash at its end.
        prefix: what follows the mount point in the launch's path, such as ``/lti/<id>``.
        host: the request's ``Host``.
        is_excluded: whether a path, decoded, under the mount point, is excluded.
    """
    start = start_of_path(location, host)
    if start is None or not location.startswith(f"{mount}/", start):
        return location
    start += len(mount)
    below = location[start:]
    path = below.partition("#")[0].partition("?")[0]
    launches = f"{prefix.rpartition('/')[0]}/"
    if path.startswith(launches) and is_launch_id(path[len(launches) :].partition("/")[0]):
        return location
    if is_excluded(unquote(path)):
        return location
    return f"{location[:start]}{prefix}{below}"


def is_own_address(location: str, path: str, query: str, host: str) -> bool:
    """Whether a ``Location`` header points to the request's own URL outside its launch.

    Args:
        location: as the app sent it.
        path: the request's path, decoded, with the mount point and without the launch path.
        query: the request's query.
        host: the request's ``Host``.
    """
    start = start_of_path(location, host)
    if start is None:
        return False
    # Not urlsplit, which treats a path with two leading slashes as a host, and ``[`` as IPv6.
    to, _, to_query = location[start:].partition("#")[0].partition("?")
    return unquote(to, encoding="latin-1") == path and to_query == query


def start_of_path(location: str, host: str) -> int | None:
    """The index at which the path of an absolute URL on this host begins, or would begin; or
    None."""
    if location[:1] == "/":
        # Browsers treat ``//`` and ``/\\`` as the beginning of a host (WHATWG URL, 4.4).
        return None if location[1:2] in ("/", "\\") else 0
    try:
        to = urlsplit(location)
    except ValueError:
        return None
    if to.scheme not in ("http", "https") or not host or to.netloc.lower() != host.lower():
        return None
    return len(to.scheme) + len("://") + len(to.netloc)
