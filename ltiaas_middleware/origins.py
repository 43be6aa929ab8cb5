"""Origins (RFC 6454), and hosts that can only be this machine."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

__all__ = ["is_loopback", "normal_origin", "origin_of"]

_DEFAULT_PORTS = {"http": 80, "https": 443}
# A websocket has the origin of the scheme that it upgrades from.
_WEBSOCKETS = {"ws": "http", "wss": "https"}


def is_loopback(host: str) -> bool:
    """Whether ``host`` (a name or IP address, no port) can only be this machine (RFC 6761, 6.3)."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def origin_of(url: str) -> str | None:
    """The origin of ``url`` as ``scheme://host[:port]``, or None if it is ambiguous.

    The origin of a URL with credentials, a backslash, white space or control characters is
    ambiguous: two parsers may read different hosts from it (RFC 3986 section 7.6).
    """
    if any(char <= " " or char in "\\\x7f" for char in url):
        return None
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return None
    if parts.scheme not in _DEFAULT_PORTS or not host or "@" in parts.netloc:
        return None
    if ":" in host:
        host = f"[{host}]"
    if port is None or port == _DEFAULT_PORTS[parts.scheme]:
        return f"{parts.scheme}://{host}"
    return f"{parts.scheme}://{host}:{port}"


def normal_origin(origin: str) -> str | None:
    """The value of an ``Origin`` header (RFC 6454 section 7) in a normal form, so that equal
    origins compare equal. None for ``null`` and for anything else that is not a single origin.

    It ignores default ports, case, different spellings of an IP address and a trailing dot of the
    host, and treats ``ws`` as ``http``.
    """
    scheme, mark, rest = origin.partition("://")
    scheme = _WEBSOCKETS.get(scheme.lower(), scheme.lower())
    if not mark or any(char in rest for char in "/?#"):
        return None
    found = origin_of(f"{scheme}://{rest}")
    if found is None:
        return None
    parts = urlsplit(found)
    host = (parts.hostname or "").removesuffix(".")
    if not host:
        return None
    if ":" in host:
        try:
            host = f"[{ipaddress.IPv6Address(host)}]"
        except ValueError:
            return None
    return f"{scheme}://{host}" if parts.port is None else f"{scheme}://{host}:{parts.port}"
