"""Keeps other people's web pages away from the LMS and control pages, which ask nobody to sign in.

The API is not guarded: it asks for the API key, which no such page has.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection
from urllib.parse import urlsplit

from werkzeug import Request

_READS = ("GET", "HEAD", "OPTIONS")


def refusal(request: Request, own_hosts: Collection[str], *, from_anywhere: bool) -> str | None:
    """Why a request is refused, or None.

    `own_hosts` are the values that `Host` may have (none: any port of this machine).
    `from_anywhere` is for what a tool's page posts to by design.
    """
    host = request.environ.get("HTTP_HOST", "").lower()
    if not _own(host, own_hosts):
        return f"This sandbox is not {host or 'nameless'}: a page of another site may be behind it."
    if request.method in _READS or from_anywhere:
        return None
    site = request.headers.get("Sec-Fetch-Site")
    if site == "cross-site":
        return "A page of another site may not change anything here."
    origin = request.headers.get("Origin")
    if site is None and origin is not None and not _own(urlsplit(origin).netloc.lower(), own_hosts):
        return "A page of another origin may not change anything here."
    return None


def _own(host: str, own_hosts: Collection[str]) -> bool:
    try:
        parts = urlsplit(f"//{host}")
        name, port = parts.hostname or "", parts.port
    except ValueError:
        return False
    if not own_hosts:
        return name in ("localhost", "127.0.0.1", "::1")
    if host in own_hosts:
        return True
    # Rebinding needs a name to rebind: an address cannot be anybody else's.
    ports = {urlsplit(f"//{own}").port for own in own_hosts}
    return _is_address(name) and port in ports


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
