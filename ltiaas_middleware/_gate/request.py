"""A request as the gate sees it: CGI variables (RFC 3875 section 4.1), and what follows from them.

WSGI has these variables; the ASGI adapter translates.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote, unquote

if TYPE_CHECKING:
    from .jar import Jar

__all__ = [
    "SECURE_SCHEMES",
    "Request",
    "Variables",
    "quoted_mount",
    "quoted_path",
    "quoted_query",
    "without_parameters",
]

#: Of an address that the browser reaches by TLS.
SECURE_SCHEMES = frozenset({"https", "wss"})
# Methods that change nothing (RFC 9110 section 9.2.1).
_SAFE_METHODS = ("GET", "HEAD", "OPTIONS", "TRACE")
# What may stand in a path unencoded (RFC 3986 section 3.3).
_PATH_SAFE = "/:@!$&'()*+,;=~-._"
# The same minus the separators of cookie attributes (RFC 6265 section 4.1.1).
_MOUNT_SAFE = _PATH_SAFE.replace(";", "").replace(",", "")
# Everything visible: a query goes back exactly as it came.
_QUERY_SAFE = "/?:@!$&'()*+,;=~-._%[]{}|^`\"<>\\#"


class Variables(Protocol):
    """A request's CGI variables, as in a WSGI ``environ`` (PEP 3333): texts whose characters stand
    for bytes (latin-1). For a websocket, ``wsgi.url_scheme`` is ``ws`` or ``wss`` and
    ``REQUEST_METHOD`` is ``WEBSOCKET``."""

    def get(self, key: str, default: Any = None, /) -> Any: ...

    def __iter__(self) -> Iterator[str]:
        """The keys that there are; at least those of all headers."""


class Request:
    """One request, and what the gate has found out about it so far.

    Attributes:
        variables: its CGI variables.
        get: one of them by name.
        path: the path for the app: decoded, as text, below the mount point and the launch path.
        query: the query as it arrived.
        named_id: the launch id in the path as it arrived, or None.
        launch_id: the launch that it is about: the path's, unless the request brings another's
            ltik.
        error_launch_id: the launch that an error response names.
        site: ``Sec-Fetch-Site``, or None.
        one_time_token: a one-time link that it may use up, or None.
        app_query: the query for the app; None leaves it as it arrived.
        app_cookies: the ``Cookie`` header for the app; None leaves it as it arrived.
        set_cookies: values of ``Set-Cookie`` for the response.
        jar: the app's cookies, if the browser keeps none; else None.
    """

    error_launch_id: str | None = None

    def __init__(self, variables: Variables, path: str, query: str, launch_id: str | None) -> None:
        self.variables = variables
        self.get = variables.get
        self.site: str | None = self.get("HTTP_SEC_FETCH_SITE")
        self.path = path
        self.query = query
        self.named_id = launch_id
        self.launch_id = launch_id
        self.one_time_token: str | None = None
        self.app_query: str | None = None
        self.app_cookies: str | None = None
        self.set_cookies: tuple[str, ...] = ()
        self.jar: Jar | None = None

    def __repr__(self) -> str:
        return f"<Request {self.launch_id}>"

    @property
    def mount(self) -> str:
        """The mount point, percent-encoded, without a slash at its end."""
        path = self.get("SCRIPT_NAME")
        return quoted_mount(path) if path else ""

    @property
    def secure(self) -> bool:
        """Whether it came by TLS, as far as the server knows."""
        return self.get("wsgi.url_scheme") in SECURE_SCHEMES

    @property
    def origin(self) -> str:
        """The tool's own origin, as far as the server knows; "" if the request names no host."""
        host = self.get("HTTP_HOST")
        return f"http{'s' if self.secure else ''}://{host}" if host else ""

    @property
    def is_navigation(self) -> bool:
        """Whether a person will look at the answer (Fetch Metadata; ``Accept`` for older
        browsers)."""
        if self.get("REQUEST_METHOD") == "WEBSOCKET":
            return False
        mode = self.get("HTTP_SEC_FETCH_MODE")
        if mode:
            return mode in ("navigate", "nested-navigate")
        return "text/html" in self.get("HTTP_ACCEPT", "")

    @property
    def captures(self) -> bool:
        """Whether the browser can be redirected to an address that shows no secret."""
        return self.get("REQUEST_METHOD") == "GET" and self.is_navigation and not self.upgrades

    @property
    def is_preflight(self) -> bool:
        """Whether it is a CORS preflight, with which no browser sends a credential, and which none
        sends to the page's own origin (Fetch, "CORS-preflight fetch")."""
        return (
            self.get("REQUEST_METHOD") == "OPTIONS"
            and bool(self.get("HTTP_ORIGIN"))
            and bool(self.get("HTTP_ACCESS_CONTROL_REQUEST_METHOD"))
            and self.site != "same-origin"
        )

    @property
    def is_plain_get(self) -> bool:
        """Whether it is a GET that says nothing of how it came about: a webview's download, or a
        browser older than Fetch Metadata."""
        return (
            self.get("REQUEST_METHOD") == "GET"
            and not self.upgrades
            and not any(self.get(f"HTTP_SEC_FETCH_{what}") for what in ("SITE", "MODE", "DEST"))
        )

    @property
    def may_use_one_time_token(self) -> bool:
        """Whether a person follows it now. A prefetch is not followed, and a HEAD, which link
        checkers send, is not looked at."""
        purposes = f"{self.get('HTTP_SEC_PURPOSE', '')},{self.get('HTTP_PURPOSE', '')}".lower()
        if "prefetch" in purposes or "prerender" in purposes or self.get("HTTP_X_MOZ"):
            return False
        return self.is_plain_get or self.captures

    @property
    def is_websocket(self) -> bool:
        """Whether it opens a websocket."""
        return self.get("REQUEST_METHOD") == "WEBSOCKET" or self.upgrades

    @property
    def may_change_something(self) -> bool:
        """Whether it does more than read. A websocket does: its handshake is a GET, but what
        follows is not read-only."""
        return self.get("REQUEST_METHOD") not in _SAFE_METHODS or self.upgrades

    @property
    def upgrades(self) -> bool:
        """Whether it is a websocket's handshake that a WSGI server hands on: a GET (RFC 6455
        section 4.1)."""
        upgrade: str = self.get("HTTP_UPGRADE", "")
        return "websocket" in upgrade.lower() or self.get("HTTP_SEC_FETCH_MODE") == "websocket"

    def path_as_arrived(self, mount: str) -> str:
        """The path below the mount point as it arrived where the server passes it on, otherwise
        encoded anew."""
        path = self.get("PATH_INFO", "")
        # Neither is part of PEP 3333; most servers have one of them.
        arrived = self.get("RAW_URI") or self.get("REQUEST_URI") or ""
        arrived = arrived.partition("?")[0]
        for raw in (arrived.removeprefix(mount), arrived):
            if raw.startswith("/") and unquote(raw, encoding="latin-1") == path:
                return quote(raw, safe=_PATH_SAFE + "%", encoding="latin-1")
        return quote(path, safe=_PATH_SAFE, encoding="latin-1") or "/"


def quoted_path(path: str) -> str:
    """A path, decoded as text, percent-encoded; at least a slash."""
    return quote(path, safe=_PATH_SAFE) or "/"


def quoted_mount(mount: str) -> str:
    """A mount point, percent-encoded, with exactly one slash before it and none after: ``//host``
    in a ``Location`` would be another site (RFC 3986 section 4.2), and the mount point may come
    from a header."""
    path = mount.strip("/")
    return "/" + quote(path, safe=_MOUNT_SAFE, encoding="latin-1") if path else ""


def quoted_query(query: str) -> str:
    """A query with its question mark, for a ``Location``; "" stays ""."""
    return "?" + quote(query, safe=_QUERY_SAFE, encoding="latin-1") if query else ""


def without_parameters(query: str, names: Sequence[str]) -> tuple[list[tuple[str, str]], str]:
    """The parameters of these names with their values, and the query without them; every other
    byte is kept."""
    if not any(name in query for name in names):
        return [], query
    found, rest = [], []
    for part in query.split("&"):
        name, _, value = part.partition("=")
        if name in names:
            found.append((name, unquote(value) if "%" in value else value))
        else:
            rest.append(part)
    return found, "&".join(rest)
