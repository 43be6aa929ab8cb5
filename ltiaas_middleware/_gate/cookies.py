"""Cookies in an iframe: binds the app's cookies to a launch, and reads a request's cookies.

Most libraries parse the attributes of ``Set-Cookie`` that they know and drop the rest
(``http.cookies`` loses ``Partitioned`` before Python 3.14, and every future attribute). So this
module splits the value as a browser does (RFC 6265 section 5.2): at each semicolon, quoted or not.
Everything that it does not rewrite keeps its bytes and its place.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Collection, Mapping
from email.utils import mktime_tz, parsedate_tz
from functools import lru_cache
from types import MappingProxyType
from typing import Literal, NamedTuple, TypeAlias
from urllib.parse import unquote, urlsplit

from .._crypto.keys import LAUNCH_ID_LENGTH
from ..origins import is_loopback
from .request import SECURE_SCHEMES, Variables

__all__ = [
    "SetCookie",
    "Transport",
    "ends_at",
    "for_app",
    "for_launch",
    "read_set_cookie",
    "split_request",
    "tag_of",
    "transport_of",
]

#: The attributes that a cookie needs in another site's iframe: ``SameSite=None`` requires
#: ``Secure``, and browsers that block third-party cookies keep only ``Partitioned`` ones (wire.md,
#: "Browser restrictions").
IN_A_FRAME = "; Secure; SameSite=None; Partitioned"

_TAG_LENGTH = 8
_REPLACED = frozenset({"secure", "samesite", "partitioned"})
# Attributes that the middleware sets itself or removes.
_OWN = frozenset({"", "path", "domain", "httponly"})
# Characters that end a header's value (RFC 9110 section 5.5). Browsers ignore cookies with them.
_LINE_ENDS = str.maketrans("", "", "\r\n\0")

#: How the browser reaches the tool: "loopback" is plain http on the developer's own machine.
Transport: TypeAlias = Literal["https", "loopback", "http"]


def transport_of(environ: Variables) -> Transport:
    """How the browser reaches the tool, from a request's CGI variables."""
    if environ.get("wsgi.url_scheme") in SECURE_SCHEMES:
        return "https"
    try:
        host = urlsplit(f"//{environ.get('HTTP_HOST', '')}").hostname or ""
    except ValueError:
        return "http"
    return "loopback" if is_loopback(host) else "http"


def tag_of(launch_id: str) -> str:
    """The prefix of the names of a launch's cookies, including the dot."""
    return f"{launch_id[:_TAG_LENGTH]}."


class SetCookie(NamedTuple):
    """A ``Set-Cookie`` header, split as a browser splits it.

    Attributes:
        name: the cookie's name; "" if it has none (RFC 6265bis section 5.6).
        value: the cookie's value.
        found: the last value of each attribute, which is the one that counts, by its lower-case
            name.
        kept: the attributes that stay with the launch's cookie, as text.
        replaced: those that ``IN_A_FRAME`` replaces, as text.
    """

    name: str
    value: str
    found: Mapping[str, str]
    kept: str
    replaced: str

    @property
    def is_deletion(self) -> bool:
        """Whether it leaves nothing to read: an empty value, or a lifetime that is over."""
        if not self.value.strip(' \t"'):
            return True
        until = ends_at(self.found)
        return until is not None and until <= time.time()


def read_set_cookie(header: str) -> SetCookie | None:
    """Parse a ``Set-Cookie`` header. None for an empty one, which browsers ignore."""
    if not header.isprintable():
        header = header.translate(_LINE_ENDS)
    pair, _, attributes = header.partition(";")
    if not pair.strip():
        return None
    name, equals, value = pair.partition("=")
    if not equals:
        name, value = "", name.strip()
    return SetCookie(name.strip(), value, *_attributes(attributes))


# Cached, because an app sends the same attributes with every response.
@lru_cache(maxsize=256)
def _attributes(text: str) -> tuple[Mapping[str, str], str, str]:
    found, kept, replaced = {}, "", ""
    for attribute in text.split(";"):
        key, _, what = attribute.partition("=")
        key = key.strip().lower()
        found[key] = what.strip()
        if key in _REPLACED:
            replaced += f"; {attribute.strip()}"
        elif key not in _OWN:
            kept += f"; {attribute.strip()}"
    return MappingProxyType(found), kept, replaced


def for_launch(
    value: str,
    mount: str,
    launch_path: str,
    transport: Transport = "https",
    shared: Collection[str] = (),
    note: Callable[[SetCookie, str], None] | None = None,
) -> tuple[str, ...]:
    """What the middleware sends instead of the app's ``Set-Cookie`` header under a launch path.

    The cookie gets the name ``<tag>.<name>``, which no other launch uses, a path under the launch
    path, no ``Domain``, and the attributes that it needs in an iframe. The path alone does not
    separate launches: ``__Host-`` cookies have ``Path=/``, and browsers would send a session that
    began outside a launch to all launches. Value, lifetime, ``HttpOnly`` and unknown attributes
    stay.

    Scripts look for names such as ``csrftoken``, so a cookie that is not ``HttpOnly`` also gets a
    copy under its own name, which the app never sees. A deletion deletes both, even with
    ``HttpOnly``, because an app may add ``HttpOnly`` when it deletes a cookie that scripts could
    read. ``__Host-`` names have no copy, because browsers accept them only with ``Path=/``, where
    launches would read each other's cookies.

    A cookie with a ``shared`` name or a path outside the mount point stays unchanged.

    Args:
        value: the header's value.
        mount: the mount point, percent-encoded, without a trailing slash.
        launch_path: the launch's path, ``<mount>/lti/<id>``, in the same format.
        transport: over plain http from another machine, browsers reject ``Secure`` cookies, so no
            iframe keeps any cookie, and the app's ``Secure`` and ``SameSite`` stay. Browsers accept
            ``Secure`` cookies from loopback, which they trust like TLS.
        shared: the names in the setting ``shared_cookies``.
        note: called with each cookie that belongs to the launch, and its new path.

    Returns:
        The values to send instead. None of them contains CR, LF or NUL.
    """
    cookie = read_set_cookie(value)
    if cookie is None or cookie.name in shared:
        return (value.translate(_LINE_ENDS),)
    name, given, found, kept, replaced = cookie
    path = _path_for_launch(found.get("path", ""), mount, launch_path)
    if path is None:
        return (value.translate(_LINE_ENDS),)
    if note is not None:
        note(cookie, path)
    at_path, hidden = f"; Path={path}", "httponly" in found
    tag = tag_of(launch_path[-LAUNCH_ID_LENGTH:])
    forms = [f"{tag}{name}={given}{at_path}{kept}{'; HttpOnly' if hidden else ''}"]
    if not name.lower().startswith("__host-"):
        if not hidden:
            equals = "=" if name or "=" in given else ""
            forms.append(f"{name}{equals}{given}{at_path}{kept}")
        elif cookie.is_deletion:
            forms.append(f"{name}={at_path}; Max-Age=0")
    end = replaced if transport == "http" else IN_A_FRAME
    return tuple([form + end for form in forms])


def ends_at(attributes: Mapping[str, str]) -> float | None:
    """When a cookie expires (seconds since the epoch), or None. ``Max-Age`` takes precedence over
    ``Expires`` (RFC 6265 section 5.3)."""
    seconds, date = attributes.get("max-age"), None
    if seconds and re.fullmatch(r"-?[0-9]+", seconds):
        return time.time() + float(seconds)
    if "expires" in attributes:
        date = parsedate_tz(attributes["expires"])
    try:
        return None if date is None else float(mktime_tz(date))
    except (ValueError, OverflowError):
        return None


def for_app(header: str, tag: str, shared: Collection[str], *, joined: bool = True) -> str:
    """The ``Cookie`` header that the app gets in a launch: this launch's cookies under the app's
    own names, and those that all launches share.

    If several cookies have the same name, the app gets the first one, which has the longest path
    (RFC 6265 section 5.4).

    Args:
        header: the request's header, without the launch's cookie.
        tag: the launch's ``tag_of``.
        shared: the names of the setting ``shared_cookies``.
        joined: whether commas may separate the cookies. Browsers use semicolons, so a header that
            came with one is not joined.
    """
    if tag not in header and not shared:
        return ""
    given: dict[str, str] = {}
    for pair in header.split(";") if "," not in header else _at_commas(header, tag, shared, joined):
        bare = pair.strip()
        ours = bare.startswith(tag)
        name, _, value = bare.removeprefix(tag).partition("=")
        if ours != (name in shared):
            given.setdefault(name, value)
    return "; ".join([f"{name}={value}" if name else value for name, value in given.items()])


def _at_commas(header: str, tag: str, shared: Collection[str], joined: bool) -> list[str]:
    """The pairs in a header, in case a server joined several headers with commas (gunicorn,
    Werkzeug). A comma may also be part of a value, so only text that begins like one of this
    launch's cookies is a separate pair, or if the header was ``joined``, also text that begins like
    a copy of one or a shared cookie."""
    tag = re.escape(tag)
    names = {*re.findall(rf"{tag}([^=;,\s]+)=", header), *shared} if joined else ()
    starts = "|".join([f"{tag}[^=;,]*", *map(re.escape, sorted(names))])
    return re.split(rf";|,\s*(?=(?:{starts})=)", header)


def _path_for_launch(path: str, mount: str, launch_path: str) -> str | None:
    """A cookie's path in the launch, or None if the path is outside the mount point.

    A path without a leading slash is not a path (RFC 6265 section 5.2.4). The browser would instead
    use the folder of the request's URL. For a websocket at ``/lti/<id>``, that is ``/lti``, which
    covers all launches. A quotation mark ends a quoted value, although browsers do not treat it
    that way; no URL contains one.
    """
    if path == "/" or not path.startswith("/") or '"' in path:
        return launch_path
    # Compare decoded paths: apps may or may not percent-encode their mount point.
    plain, plain_mount, plain_launch_path = (
        unquote(each, encoding="latin-1").rstrip("/") + "/" for each in (path, mount, launch_path)
    )
    if plain.startswith(plain_launch_path):
        return path
    if plain_launch_path.startswith(plain):
        return launch_path
    if not plain.startswith(plain_mount):
        return None
    below = path.split("/")[len(mount.split("/")) :]
    return "/".join((launch_path, *below))


def split_request(header: str, starts: tuple[str, ...]) -> tuple[list[str], str]:
    """The launch's cookies in a ``Cookie`` header, as ``name=value``, and the header without them.

    Args:
        header: the header's value. Some servers join several headers with commas (gunicorn,
            Werkzeug). These can be separated, because no ltik contains a comma.
        starts: the possible names of the launch's cookie, each followed by ``=``.
    """
    found: list[str] = []
    others: list[str] = []
    for pair in header.split(";"):
        for piece in _apart(pair, starts) if "," in pair else (pair,):
            bare = piece.strip()
            if bare.startswith(starts):
                found.append(bare)
            else:
                others.append(piece)
    return found, ";".join(others).strip()


def _apart(pair: str, starts: tuple[str, ...]) -> list[str]:
    """Split text that a server joined with commas around the launch's cookie."""
    pieces: list[str] = []
    ours = True
    for part in pair.split(","):
        before, ours = ours, part.strip().startswith(starts)
        if before or ours:
            pieces.append(part)
        else:
            pieces[-1] += "," + part
    return pieces
