"""Cookies in a frame: how the app's own belong to a launch, and how a request's are read.

Most libraries parse a ``Set-Cookie`` into what they know and drop the rest (``http.cookies`` loses
``Partitioned`` before Python 3.14, and every attribute that is yet to come), so the value is split
here as a browser splits it (RFC 6265 section 5.2): at each semicolon, quoted or not. Whatever is
not rewritten keeps its bytes and its place.
"""

from __future__ import annotations

from typing import Literal, TypeAlias
from urllib.parse import unquote, urlsplit

from ..origins import is_loopback
from .request import SECURE_SCHEMES, Variables

__all__ = ["Reached", "for_launch", "reached", "split_request"]

#: What the attributes of a cookie have to be in another site's frame: ``SameSite=None`` needs
#: ``Secure``, and where third-party cookies are blocked only ``Partitioned`` ones are kept
#: (wire.md, "Where the browser gets in the way").
IN_A_FRAME = "; Secure; SameSite=None; Partitioned"

_REPLACED = frozenset({"secure", "samesite", "partitioned"})
# Ends a header's value (RFC 9110 section 5.5). Browsers ignore a cookie that holds one.
_LINE_ENDS = str.maketrans("", "", "\r\n\0")

#: How the browser reaches the tool: "loopback" is plain http on the developer's own machine.
Reached: TypeAlias = Literal["https", "loopback", "http"]


def reached(environ: Variables) -> Reached:
    """How the browser reaches the tool, from a request's CGI variables."""
    if environ.get("wsgi.url_scheme") in SECURE_SCHEMES:
        return "https"
    try:
        host = urlsplit(f"//{environ.get('HTTP_HOST', '')}").hostname or ""
    except ValueError:
        return "http"
    return "loopback" if is_loopback(host) else "http"


def for_launch(
    value: str, mount: str, launch_path: str, reached: Reached = "https"
) -> tuple[str, ...]:
    """What becomes of a ``Set-Cookie`` of the app's under a launch path.

    The cookie moves below the launch path, so that two launches in one browser have a session each,
    and gets the attributes without which a frame loses it. All else stays: name, value, lifetime (a
    deletion still deletes), ``Domain``, ``HttpOnly``, and what is not known here. ``Domain`` widens
    who is sent the cookie to sibling hosts, but only below the launch's path, where they have
    nothing; without it a cookie that a browser rejects, as meant for a foreign host, would be kept.

    A cookie for a path beside the mount point is another app's, and stays as it is.

    Args:
        value: the header's value.
        mount: the mount point, percent-encoded, without a slash at its end.
        launch_path: the launch's path below it, ``<mount>/lti/<id>``, likewise.
        reached: over plain http from another machine no browser takes ``Secure``, and so no frame
            keeps a cookie: only the path is changed. On loopback browsers differ, so that the
            cookie is set in both ways, the one that fewer take first.

    Returns:
        The values to send in its place, none with a CR, LF or NUL.
    """
    value = value.translate(_LINE_ENDS)
    pair, *attributes = value.split(";")
    if not pair.strip():
        return (value,)  # Browsers ignore it.
    moves = not pair.lstrip().lower().startswith("__host-")
    beside = False
    kept = [pair]
    framed = [pair]
    for attribute in attributes:
        name, equals, given = attribute.partition("=")
        key = name.strip().lower()
        if key == "path" and moves:
            path = _path_for_launch(given.strip(), mount, launch_path)
            beside = path is None  # The last one counts.
            if path is not None and path != given.strip():
                attribute = f"{name}{equals or '='}{path}"
        kept.append(attribute)
        if key not in _REPLACED:
            framed.append(attribute)
    if beside:
        return (value,)
    if reached == "http":
        return (";".join(kept),)
    in_a_frame = ";".join(framed).rstrip("; \t") + IN_A_FRAME
    return (in_a_frame,) if reached == "https" else (in_a_frame, ";".join(kept))


def _path_for_launch(path: str, mount: str, launch_path: str) -> str | None:
    """A cookie's path in the launch; None where it is beside the mount point.

    A missing slash makes it the browser's default, the folder of the address that is answered (RFC
    6265 section 5.2.4), which is in the launch already. A quote is the end of a quoted value that a
    browser does not see as one: no address has it, and the value stays whole.
    """
    if not path.startswith("/") or '"' in path:
        return path
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


def split_request(
    header: str, starts: tuple[str, ...], *, first_only: bool
) -> tuple[list[str], str]:
    """The launch's cookies in a ``Cookie`` header, with their names, and the header without them.

    Args:
        header: its value. Some servers join several headers by commas (gunicorn, Werkzeug), which
            can be told apart because no ltik holds one.
        starts: the names that the launch's cookie may have, each with ``=``.
        first_only: of several cookies of one name, leave the first alone: it is the one with the
            longer path (RFC 6265 section 5.4), and so the launch's own.
    """
    found: list[str] = []
    others: list[str] = []
    names: set[str] = set()
    for pair in header.split(";"):
        for piece in _apart(pair, starts) if "," in pair else (pair,):
            bare = piece.strip()
            if bare.startswith(starts):
                found.append(bare)
                continue
            name, equals, _ = bare.partition("=")
            if first_only and equals:
                if name in names:
                    continue
                names.add(name)
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
