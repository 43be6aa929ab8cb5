"""Where an app's redirects lead: an address that was written down (``/accounts/login/``) leaves the
launch that the request belongs to.

It is led back by rewriting it, and not by what the browser says of it when it gets there: the
``Referer`` of a redirect is that of the page where the navigation began, which for the first page
of a launch is the LMS's.
"""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import unquote, urlsplit

from .launch_path import is_launch_id

__all__ = ["is_own_address", "start_of_path", "within_launch"]


def within_launch(
    location: str, mount: str, prefix: str, host: str, is_excluded: Callable[[str], bool]
) -> str:
    """The value of a ``Location`` header, kept within the launch.

    What leads to another host, beside the mount point, into a launch already (this one or another)
    or to what is never part of a launch stays as it is; so does a relative address, which is within
    the launch by itself.

    Args:
        location: as the app sent it.
        mount: the mount point, percent-encoded, without a slash at its end.
        prefix: what follows it in the launch's path, such as ``/lti/<id>``.
        host: the request's ``Host``.
        is_excluded: whether a path, decoded, below the mount point, is excluded from launches.
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
    """Whether a ``Location`` header leads to the request's own address outside of its launch.

    Args:
        location: as the app sent it.
        path: the request's, decoded, with the mount point and without the launch path.
        query: the request's.
        host: the request's ``Host``.
    """
    start = start_of_path(location, host)
    if start is None:
        return False
    # Not urlsplit: it takes a path that begins with two slashes for a host, and ``[`` for IPv6.
    to, _, to_query = location[start:].partition("#")[0].partition("?")
    return unquote(to, encoding="latin-1") == path and to_query == query


def start_of_path(location: str, host: str) -> int | None:
    """Where the path of an absolute address on this host begins, or would begin; or None."""
    if location[:1] == "/":
        # Browsers take ``//`` and ``/\\`` for the beginning of a host (WHATWG URL, 4.4).
        return None if location[1:2] in ("/", "\\") else 0
    try:
        to = urlsplit(location)
    except ValueError:
        return None
    if to.scheme not in ("http", "https") or not host or to.netloc.lower() != host.lower():
        return None
    return len(to.scheme) + len("://") + len(to.netloc)
