"""URLs as received and as sent."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit, urlunsplit

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment


def raw_path(environ: WSGIEnvironment) -> str:
    """The path as received, still percent-encoded, without the origin of an absolute request
    target."""
    target: str = (
        environ.get("REQUEST_URI") or environ.get("RAW_URI") or quote(environ.get("PATH_INFO", "/"))
    )
    path = target.split("?", 1)[0]
    if not path.startswith("/"):
        path = "/" + path.partition("://")[2].partition("/")[2]
    return path


def with_query(url: str, *parts: str) -> str:
    scheme, netloc, path, own, fragment = urlsplit(url)
    return urlunsplit((scheme, netloc, path, "&".join(filter(None, [own, *parts])), fragment))


def kept_query(query: str) -> str:
    """`query` byte for byte, except what a URL cannot contain."""
    return quote(query.lstrip("?"), safe="!$%&'()*+,-./:;=?@_~")


def checked_url(name: str, url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(
            f"{name} must be a full URL, such as http://127.0.0.1:8000/launch, not {url!r}"
        )
    return url
