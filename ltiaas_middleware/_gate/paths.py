"""The path matcher for ``require`` and ``exclude``.

Proxies, servers and frameworks may read the same path differently: some merge slashes, some resolve
``..``, some decode twice, some ignore bytes that are not UTF-8. So the middleware first refuses
paths that no browser sends, and then checks each form in which a program may read the path. A
setting that protects paths applies if it covers any form. A setting that removes protection applies
only if it covers all forms.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from urllib.parse import unquote

__all__ = ["Paths", "is_malformed"]

# Control characters (C0, DEL, C1); U+FFFD, which servers substitute for bytes that are not UTF-8;
# surrogates, which UTF-8 cannot encode.
_REFUSED = re.compile("[\x00-\x1f\x7f-\x9f\ufffd\ud800-\udfff]")
# A lower-case path without any of these has only one form.
_SPELLED = re.compile(r"[%\\]|//|/\.|~[0-9A-Fa-f]{2}")
# Python's regular expressions match both as an i if they ignore case; case folding does not.
_DOTS = str.maketrans("\u0130\u0131", "ii")
# Datasette's own encoding: ``~2F`` is a slash.
_TILDE = re.compile(r"~(?=[0-9A-Fa-f]{2})")
# How often programs may decode a path again after the server: a proxy and a framework.
_DECODED = 2


def is_malformed(path: str) -> bool:
    """Whether programs may read a path differently; browsers do not send such paths. An empty path,
    of the mount point itself, is not malformed.

    Args:
        path: decoded, under the mount point.
    """
    return path[:1] not in ("", "/") or _REFUSED.search(path) is not None


class Paths:
    """A set of paths.

    Args:
        covered: prefixes that match whole segments, or a function that gets each form of a path;
            True covers every path, False and None cover none.
        ends: the characters that may follow a prefix.

    Attributes:
        anything: whether it covers any path at all.
    """

    def __init__(
        self, covered: bool | Iterable[str] | Callable[[str], bool] | None, ends: str = "/"
    ) -> None:
        self.anything = bool(covered)
        if callable(covered):
            self._covers = covered
            return
        if isinstance(covered, bool) or covered is None:
            self._covers = lambda _: bool(covered)
            return
        prefixes = tuple({form.rstrip("/") for each in covered for form in _forms(each, fold=True)})
        starts = tuple(prefix + end for prefix in prefixes for end in ends)
        self._covers = lambda path: path in prefixes or path.startswith(starts)

    def any(self, path: str) -> bool:
        """Whether any form of a path is covered, ignoring case: for settings that protect.

        Args:
            path: decoded, as text, under the mount point and the launch path.
        """
        return any(map(self._covers, _forms(path, fold=True)))

    def all(self, path: str) -> bool:
        """Whether every form of a path is covered: for settings that remove protection."""
        return all(map(self._covers, _forms(path, fold=False)))


def _forms(path: str, *, fold: bool) -> Iterable[str]:
    """The forms in which programs may read a path: without empty and ``.`` segments, with ``..``
    resolved and unresolved, with backslashes as slashes, and decoded again. With ``fold``, each
    form also in lower case. A trailing slash stays."""
    if path[:1] == "/" and not _SPELLED.search(path) and (not fold or path == _folded(path)):
        return (path,)
    found = dict.fromkeys(_unfolded(path))
    if fold:
        found |= dict.fromkeys(map(_folded, list(found)))
    return found


def _folded(path: str) -> str:
    return path.translate(_DOTS).casefold()


def _unfolded(path: str) -> Iterator[str]:
    for _ in range(_DECODED + 1):
        yield from _resolved(path)
        if "~" in path:
            yield from _resolved(unquote(_TILDE.sub("%", path)))
        decoded = unquote(path)
        if decoded == path:
            return
        path = decoded


def _resolved(path: str) -> Iterator[str]:
    segments = path.replace("\\", "/").split("/")
    end = "/" if segments[-1] in ("", ".", "..") else ""
    kept: list[str] = []
    resolved: list[str] = []
    for segment in segments:
        if segment in ("", "."):
            continue
        kept.append(segment)
        if segment == "..":
            del resolved[-1:]
        else:
            resolved.append(segment)
    for each in (kept, resolved):
        yield f"/{'/'.join(each)}{end if each else ''}"
