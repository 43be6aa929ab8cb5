"""What is never part of a launch: static files, health checks, staff pages.

A proxy in front may have rules for such paths (``location /admin { deny all; }``). A launch path
must not be a way around them, whatever the path is spelled like.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from urllib.parse import unquote

__all__ = ["Outside"]

# Percent-encoding within percent-encoding is taken off so many times.
_DECODED = 3


class Outside:
    """Decides which paths are never part of a launch.

    Args:
        outside: prefixes, or a function of the path; None for no path.
    """

    def __init__(self, outside: Iterable[str] | Callable[[str], bool] | None) -> None:
        if callable(outside):
            self._is_outside: Callable[[str], bool] = outside
        else:
            prefixes = tuple(prefix.rstrip("/").casefold() for prefix in outside or ())
            starts = tuple(f"{prefix}/" for prefix in prefixes)
            self._is_outside = lambda path: (
                path.casefold() in prefixes or path.casefold().startswith(starts)
            )
        #: Whether there is anything to ask.
        self.anything = callable(outside) or bool(outside)

    def covers(self, path: str) -> bool:
        """Whether a path is never part of a launch, in any of its spellings: as it came, as a file
        system would read it, and in lower case.

        Args:
            path: decoded, below the mount point and the launch path.
        """
        plain = _plain(path)
        spellings = dict.fromkeys((path, plain, plain.lower()))
        return any(self._is_outside(spelling) for spelling in spellings)


def _plain(path: str) -> str:
    """A path without what proxies, servers and frameworks disagree about: encoding within encoding,
    backslashes, repeated slashes, ``.`` and ``..``."""
    for _ in range(_DECODED):
        decoded = unquote(path, encoding="latin-1") if "%" in path else path
        if decoded == path:
            break
        path = decoded
    segments: list[str] = []
    for segment in path.replace("\\", "/").split("/"):
        if segment == "..":
            segments = segments[:-1]
        elif segment not in ("", "."):
            segments.append(segment)
    end = "/" if path.endswith(("/", "/.", "/..", "\\")) and segments else ""
    return f"/{'/'.join(segments)}{end}"
