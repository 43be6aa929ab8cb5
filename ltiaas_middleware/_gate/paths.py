"""The one path matcher, of ``require`` and ``exclude``.

Proxies, servers and frameworks read one path differently: some merge slashes, some resolve ``..``,
some decode twice, some ignore bytes that are not UTF-8. So what no browser sends is refused first,
and the rest is judged in each form that one of them may see. A setting that protects applies if any
form is covered; one that lifts a protection, only if all are.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from urllib.parse import unquote

__all__ = ["Paths", "is_malformed"]

# Control characters (C0, DEL, C1); U+FFFD, which servers put in place of bytes that are not UTF-8;
# surrogates, which UTF-8 cannot encode.
_REFUSED = re.compile("[\x00-\x1f\x7f-\x9f\ufffd\ud800-\udfff]")
# A path with none of these, in lower case, has one form.
_SPELLED = re.compile(r"[%\\]|//|/\.|~[0-9A-Fa-f]{2}")
# Python's regular expressions take both for an i if they ignore case; case folding does not.
_DOTS = str.maketrans("\u0130\u0131", "ii")
# Datasette's own encoding: ``~2F`` is a slash.
_TILDE = re.compile(r"~(?=[0-9A-Fa-f]{2})")
# How often a path is decoded that the server has decoded already: by a proxy and a framework.
_DECODED = 2


def is_malformed(path: str) -> bool:
    """Whether a path is one that no browser sends and that programs read differently. An empty one,
    of the mount point itself, is not.

    Args:
        path: decoded, below the mount point.
    """
    return path[:1] not in ("", "/") or _REFUSED.search(path) is not None


class Paths:
    """A set of paths.

    Args:
        covered: prefixes of whole segments, or a function that is given a path's forms; True covers
            every path, False and None cover none.
        ends: what may follow a prefix.

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
        """Whether any form of a path is covered, in any case: for what protects.

        Args:
            path: decoded, as text, below the mount point and the launch path.
        """
        return any(map(self._covers, _forms(path, fold=True)))

    def all(self, path: str) -> bool:
        """Whether every form of a path is covered: for what lifts a protection."""
        return all(map(self._covers, _forms(path, fold=False)))


def _forms(path: str, *, fold: bool) -> Iterable[str]:
    """The forms in which programs may see a path: without empty and ``.`` segments, with ``..``
    resolved and not, with backslashes as slashes, decoded further; with ``fold``, each in lower
    case, too. A slash at the end stays."""
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
