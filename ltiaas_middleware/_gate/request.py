"""A request as the gate sees it: CGI variables (RFC 3875 section 4.1), and values derived from
them.

WSGI provides these variables; the ASGI adapter translates.
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

#: The schemes of URLs that use TLS.
SECURE_SCHEMES = frozenset({"https", "wss"})
# Methods that change nothing (RFC 9110 section 9.2.1).
_SAFE_METHODS = ("GET", "HEAD", "OPTIONS", "TRACE")
# Characters that need no encoding in a path (RFC 3986 section 3.3).
_PATH_SAFE = "/:@!$&'()*+,;=~-._"
# The same without the separators of cookie attributes (RFC 6265 section 4.1.1).
_MOUNT_SAFE = _PATH_SAFE.replace(";", "").replace(",", "")
# All visible characters: the middleware returns a query exactly as received.
_QUERY_SAFE = "/?:@!$&'()*+,;=~-._%[]{}|^`\"<>\\#"


class Variables(Protocol):
    """A request's CGI variables, as in a WSGI ``environ`` (PEP 3333): strings whose characters
    represent bytes (latin-1). For a websocket, ``wsgi.url_scheme`` is ``ws`` or ``wss`` and
    ``REQUEST_METHOD`` is ``WEBSOCKET``."""

    def get(self, key: str, default: Any = None, /) -> Any: ...

    def __iter__(self) -> Iterator[str]:
        """The available keys, at least those of all headers."""


class Request:
    """One request, and what the gate knows about it so far.

    Attributes:
        variables: its CGI variables.
        get: returns a variable by name.
        path: the path for the app: decoded, as text, under the mount point and the launch path.
        query: the query as received.
        named_id: the launch id in the path as received, or None.
        launch_id: the request's launch: the one in the path, unless the request has another
            launch's ltik.
        error_launch_id: the launch that an error response identifies.
        site: ``Sec-Fetch-Site``, or None.
        one_time_token: a one-time token that the request may use, or None.
        app_query: the query for the app; None leaves it unchanged.
        app_cookies: the ``Cookie`` header for the app; None leaves it unchanged.
        set_cookies: values of ``Set-Cookie`` for the response.
        jar: the app's cookies if the browser blocks cookies; otherwise None.
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
        """The mount point, percent-encoded, without a trailing slash."""
        path = self.get("SCRIPT_NAME")
        return quoted_mount(path) if path else ""

    @property
    def paths(self) -> tuple[str, ...]:
        """The path, and the one that Pyramid's traversal makes of it: it begins under the virtual
        root, which is in a header that any client can send."""
        root = self.get("HTTP_X_VHM_ROOT")
        if not root:
            return (self.path,)
        return self.path, root.encode("latin-1").decode("utf-8", "replace") + self.path

    @property
    def secure(self) -> bool:
        """Whether the request used TLS, as far as the server knows."""
        return self.get("wsgi.url_scheme") in SECURE_SCHEMES

    @property
    def origin(self) -> str:
        """The tool's own origin, as far as the server knows; "" if the request names no host."""
        host = self.get("HTTP_HOST")
        return f"http{'s' if self.secure else ''}://{host}" if host else ""

    @property
    def is_navigation(self) -> bool:
        """Whether a person will see the response (Fetch Metadata; ``Accept`` for older
        browsers)."""
        if self.get("REQUEST_METHOD") == "WEBSOCKET":
            return False
        mode = self.get("HTTP_SEC_FETCH_MODE")
        if mode:
            return mode in ("navigate", "nested-navigate")
        return "text/html" in self.get("HTTP_ACCEPT", "")

    @property
    def captures(self) -> bool:
        """Whether the browser can be redirected to a URL without a secret."""
        return self.get("REQUEST_METHOD") == "GET" and self.is_navigation and not self.upgrades

    @property
    def is_preflight(self) -> bool:
        """Whether it is a CORS preflight. Browsers send no credentials with these, and never send
        one to the page's own origin (Fetch, "CORS-preflight fetch")."""
        return (
            self.get("REQUEST_METHOD") == "OPTIONS"
            and bool(self.get("HTTP_ORIGIN"))
            and bool(self.get("HTTP_ACCESS_CONTROL_REQUEST_METHOD"))
            and self.site != "same-origin"
        )

    @property
    def is_plain_get(self) -> bool:
        """Whether it is a GET without Fetch Metadata, as from a webview's download manager or an
        old browser."""
        return (
            self.get("REQUEST_METHOD") == "GET"
            and not self.upgrades
            and not any(self.get(f"HTTP_SEC_FETCH_{what}") for what in ("SITE", "MODE", "DEST"))
        )

    @property
    def may_use_one_time_token(self) -> bool:
        """Whether a person follows the link now. Nobody follows a prefetch, and nobody looks at the
        response to a HEAD, which link checkers send."""
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
        """Whether the request may do more than read. A websocket may: its handshake is a GET, but
        what follows is not read-only."""
        return self.get("REQUEST_METHOD") not in _SAFE_METHODS or self.upgrades

    @property
    def upgrades(self) -> bool:
        """Whether it is a websocket handshake that a WSGI server passes on as a GET (RFC 6455
        section 4.1)."""
        upgrade: str = self.get("HTTP_UPGRADE", "")
        return "websocket" in upgrade.lower() or self.get("HTTP_SEC_FETCH_MODE") == "websocket"

    def path_as_arrived(self, mount: str) -> str:
        """The path under the mount point as received if the server passes it on, otherwise encoded
        again."""
        path = self.get("PATH_INFO", "")
        # Neither is part of PEP 3333, but most servers provide one of them.
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
    """A mount point, percent-encoded, with exactly one leading slash and no trailing slash:
    ``//host`` in a ``Location`` would be another site (RFC 3986 section 4.2), and the mount point
    may come from a header."""
    path = mount.strip("/")
    return "/" + quote(path, safe=_MOUNT_SAFE, encoding="latin-1") if path else ""


def quoted_query(query: str) -> str:
    """A query with a question mark, for a ``Location``; "" stays ""."""
    return "?" + quote(query, safe=_QUERY_SAFE, encoding="latin-1") if query else ""


def without_parameters(query: str, names: Sequence[str]) -> tuple[list[tuple[str, str]], str]:
    """The parameters with these names and their values, and the query without them. Every other
    byte stays the same."""
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
