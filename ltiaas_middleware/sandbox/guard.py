"""Protects the sandbox, whose pages need no sign-in, from web pages on other origins.

The API has the same protection, because its default key is well known, so any page could send it.
"""

from __future__ import annotations

import contextlib
import ipaddress
from collections.abc import Collection
from urllib.parse import urlsplit

from werkzeug import Request

_READS = ("GET", "HEAD", "OPTIONS")


def refusal(request: Request, own_hosts: Collection[str], *, from_anywhere: bool) -> str | None:
    """Why a request is refused, or None.

    `own_hosts` are the allowed values of `Host` (if empty, any port on this machine).
    `from_anywhere` is for URLs to which a tool's page posts by design.
    """
    host = request.environ.get("HTTP_HOST", "").lower()
    # A tool may call the API through another port of this machine, such as a proxy's.
    forwarded = request.path.startswith(("/api", "/admin")) and _own(host, ())
    if not (forwarded or _own(host, own_hosts)):
        return (
            f"This sandbox does not answer as {host or 'a nameless host'}, because another site's "
            "page may have sent the request. In a container, set the container's hostname to this "
            "name, and listen on 0.0.0.0."
        )
    if request.method in _READS or from_anywhere:
        return None
    # A page of another local port is of the same site, but it is not this sandbox's.
    if request.headers.get("Sec-Fetch-Site", "none") not in ("same-origin", "none"):
        return "A page of another origin may not change anything here."
    origin = request.headers.get("Origin")
    if origin is not None and _netloc(origin) not in {host, *own_hosts}:
        return "A page of another origin may not change anything here."
    return None


def _netloc(origin: str) -> str | None:
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return None


def _own(host: str, own_hosts: Collection[str]) -> bool:
    try:
        parts = urlsplit(f"//{host}")
        name, port = parts.hostname or "", parts.port
    except ValueError:
        return False
    if not own_hosts:
        return name in ("localhost", "127.0.0.1", "::1")
    # Rebinding needs a name to rebind: an address cannot be anybody else's.
    ports = {urlsplit(f"//{own}").port for own in own_hosts}
    return host in own_hosts or (port in ports and _is_address(name))


def _is_address(name: str) -> bool:
    with contextlib.suppress(ValueError):
        ipaddress.ip_address(name)
        return True
    return False
