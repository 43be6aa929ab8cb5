"""Cookies in a frame: how the app's own belong to a launch, and how a request's are read.

Most libraries parse a ``Set-Cookie`` into what they know and drop the rest (``http.cookies`` loses
``Partitioned`` before Python 3.14, and every attribute that is yet to come), so the value is split
here as a browser splits it (RFC 6265 section 5.2): at each semicolon, quoted or not. Whatever is
not rewritten keeps its bytes and its place.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Collection, Mapping
from email.utils import mktime_tz, parsedate_tz
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

#: What the attributes of a cookie have to be in another site's frame: ``SameSite=None`` needs
#: ``Secure``, and where third-party cookies are blocked only ``Partitioned`` ones are kept
#: (wire.md, "Where the browser gets in the way").
IN_A_FRAME = "; Secure; SameSite=None; Partitioned"

_TAG_LENGTH = 8
_REPLACED = frozenset({"secure", "samesite", "partitioned"})
# Attributes that the middleware sets itself, or leaves out.
_OWN = _REPLACED | {"", "path", "domain", "httponly"}
# Ends a header's value (RFC 9110 section 5.5). Browsers ignore a cookie that holds one.
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
    """What the names of a launch's cookies begin with, the dot included."""
    return f"{launch_id[:_TAG_LENGTH]}."


class SetCookie(NamedTuple):
    """A ``Set-Cookie``, as a browser splits it.

    Attributes:
        name: of the cookie; "" if it has none (RFC 6265bis section 5.6).
        value: of the cookie.
        listed: its attributes in order, each by its lower-case name.
        found: the last value of each attribute, which counts.
    """

    name: str
    value: str
    listed: list[tuple[str, str]]
    found: Mapping[str, str]

    @property
    def is_deletion(self) -> bool:
        """Whether it leaves nothing to read: an empty value, or a lifetime that is over."""
        if not self.value.strip(' \t"'):
            return True
        until = ends_at(self.found)
        return until is not None and until <= time.time()


def read_set_cookie(header: str) -> SetCookie | None:
    """A ``Set-Cookie``; None for an empty one, which browsers ignore."""
    pair, *attributes = header.translate(_LINE_ENDS).split(";")
    if not pair.strip():
        return None
    name, equals, value = pair.partition("=")
    if not equals:
        name, value = "", name.strip()
    listed, found = [], {}
    for attribute in attributes:
        key, _, what = attribute.partition("=")
        key = key.strip().lower()
        found[key] = what.strip()
        listed.append((key, attribute.strip()))
    return SetCookie(name.strip(), value, listed, found)


def for_launch(
    value: str,
    mount: str,
    launch_path: str,
    transport: Transport = "https",
    shared: Collection[str] = (),
    note: Callable[[SetCookie, str], None] | None = None,
) -> tuple[str, ...]:
    """What the middleware sends in place of a ``Set-Cookie`` of the app under a launch path.

    The cookie is sent as ``<tag>.<name>``, a name that no other launch has, below the launch path
    and for this host only, with the attributes without which an iframe loses it. Path alone does
    not separate launches: ``__Host-`` cookies have ``Path=/``, and a session that began outside a
    launch would be sent to all of them. Value, lifetime, ``HttpOnly`` and what is not known here
    stay.

    Scripts look for ``csrftoken``, so a cookie that is not ``HttpOnly`` is sent under its own name,
    too; the app is never given that copy. A deletion deletes both: an app may say ``HttpOnly`` when
    it deletes what scripts could read. ``__Host-`` names have no copy, because browsers take them
    at ``Path=/`` only, where one launch would read another's.

    A cookie of a ``shared`` name, or for a path beside the mount point, stays as it is.

    Args:
        value: the header's value.
        mount: the mount point, percent-encoded, without a slash at its end.
        launch_path: the launch's path below it, ``<mount>/lti/<id>``, likewise.
        transport: over plain http from another machine no browser takes ``Secure``, and so no
            iframe keeps a cookie: ``Secure`` and ``SameSite`` stay the app's. Browsers take it
            from loopback, which they trust as they do TLS.
        shared: the names of the setting ``shared_cookies``.
        note: called with a cookie that belongs to the launch, and the path that it is sent to.

    Returns:
        The values to send in its place, none with a CR, LF or NUL.
    """
    cookie = read_set_cookie(value)
    if cookie is None or cookie.name in shared:
        return (value.translate(_LINE_ENDS),)
    name, given, listed, found = cookie
    path = _path_for_launch(found.get("path", ""), mount, launch_path)
    if path is None:
        return (value.translate(_LINE_ENDS),)
    if note is not None:
        note(cookie, path)
    kept = "".join([f"; {text}" for key, text in listed if key not in _OWN])
    at_path, hidden = f"; Path={path}", "httponly" in found
    tag = tag_of(launch_path[-LAUNCH_ID_LENGTH:])
    forms = [f"{tag}{name}={given}{at_path}{kept}{'; HttpOnly' if hidden else ''}"]
    if not name.lower().startswith("__host-"):
        if not hidden:
            equals = "=" if name or "=" in given else ""
            forms.append(f"{name}{equals}{given}{at_path}{kept}")
        elif cookie.is_deletion:
            forms.append(f"{name}={at_path}; Max-Age=0")
    if transport == "http":
        replaced = "".join([f"; {text}" for key, text in listed if key in _REPLACED])
        return tuple([form + replaced for form in forms])
    return tuple([form + IN_A_FRAME for form in forms])


def ends_at(attributes: Mapping[str, str]) -> float | None:
    """When a cookie's lifetime is over (seconds since the epoch), if it says so. ``Max-Age`` counts
    before ``Expires`` (RFC 6265 section 5.3)."""
    seconds, date = attributes.get("max-age"), None
    if seconds and re.fullmatch(r"-?[0-9]+", seconds):
        return time.time() + float(seconds)
    if "expires" in attributes:
        date = parsedate_tz(attributes["expires"])
    try:
        return None if date is None else float(mktime_tz(date))
    except (ValueError, OverflowError):
        return None


def for_app(header: str, tag: str, shared: Collection[str]) -> str:
    """The ``Cookie`` header that the app is given in a launch: this launch's cookies, under the
    app's own names, and those that all launches share.

    Of several cookies of one name the app is given the first, which has the longer path (RFC 6265
    section 5.4).

    Args:
        header: the request's, without the launch's own cookie.
        tag: ``tag_of`` the launch.
        shared: the names of the setting ``shared_cookies``.
    """
    if tag not in header and not shared:
        return ""
    given: dict[str, str] = {}
    for pair in header.split(";") if "," not in header else _at_commas(header, tag, shared):
        bare = pair.strip()
        ours = bare.startswith(tag)
        name, _, value = bare.removeprefix(tag).partition("=")
        if ours != (name in shared):
            given.setdefault(name, value)
    return "; ".join([f"{name}={value}" if name else value for name, value in given.items()])


def _at_commas(header: str, tag: str, shared: Collection[str]) -> list[str]:
    """The pairs of a header that a server may have joined of several by commas (gunicorn,
    Werkzeug). A comma may as well be part of a value, so that only what begins like a cookie of
    this launch, the copy of one, or a shared one is a pair of its own."""
    tag = re.escape(tag)
    names = {*re.findall(rf"{tag}([^=;,\s]+)=", header), *shared}
    starts = "|".join([f"{tag}[^=;,]*", *map(re.escape, sorted(names))])
    return re.split(rf";|,\s*(?=(?:{starts})=)", header)


def _path_for_launch(path: str, mount: str, launch_path: str) -> str | None:
    """A cookie's path in the launch; None where it is beside the mount point.

    One without a slash at its start is none (RFC 6265 section 5.2.4). The browser's default would
    be the folder of the URL that is answered: for a websocket at ``/lti/<id>`` that is ``/lti``,
    and with it all launches. A quote is the end of a quoted value that a browser does not see as
    one: no URL has it.
    """
    if path == "/" or not path.startswith("/") or '"' in path:
        return launch_path
    # Compared decoded: apps write their mount point either way.
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
    """The launch's cookies in a ``Cookie`` header, with their names, and the header without them.

    Args:
        header: its value. Some servers join several headers by commas (gunicorn, Werkzeug), which
            can be told apart because no ltik holds one.
        starts: the names that the launch's cookie may have, each with ``=``.
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
    """What a server joined by commas, parted around the launch's cookie."""
    pieces: list[str] = []
    ours = True
    for part in pair.split(","):
        before, ours = ours, part.strip().startswith(starts)
        if before or ours:
            pieces.append(part)
        else:
            pieces[-1] += "," + part
    return pieces
