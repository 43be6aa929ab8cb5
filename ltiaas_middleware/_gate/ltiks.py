"""The ltiks that a request carries: where they may stand, their shape, and whether one proves a
launch."""

from __future__ import annotations

import re
from collections.abc import Iterable
from hmac import compare_digest
from typing import NamedTuple

from .._crypto.keys import LaunchIds
from .._verification.launches import CachedLaunch
from ..settings import Settings
from .request import Request, without_parameter

__all__ = ["SIGNATURE", "Brought", "Ltiks", "MalformedLtik"]

# A compact JWS (RFC 7515 section 7.1): three parts of base64url.
_LTIK = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
#: Characters that hold an HS256 signature (43) and some of what it signs.
SIGNATURE = 64


class MalformedLtik(Exception):
    """What the request brings is not one well-formed ltik."""


class Brought(NamedTuple):
    """An ltik that a request brings, other than by cookie.

    Attributes:
        ltik: the token, well-formed.
        other_query: the query without it; None where it came in a header.
    """

    ltik: str
    other_query: str | None

    def __repr__(self) -> str:
        return "<Brought>"


class Ltiks:
    """Reads and checks ltiks.

    Args:
        settings: where ltiks may stand, and how long they may be.
        ids: from an ltik to its launch id.

    Attributes:
        sources: the headers that may carry one, as CGI variables.
    """

    def __init__(self, settings: Settings, ids: LaunchIds) -> None:
        self._ids = ids
        self._max_length = settings.max_ltik_length
        custom = "HTTP_" + settings.header.upper().replace("-", "_") if settings.header else None
        bearer = "HTTP_AUTHORIZATION" if settings.bearer else None
        self.sources = tuple(source for source in (bearer, custom) if source)

    def brought(self, request: Request) -> Brought | None:
        """The ltik that the request brings in its query or an enabled header, or None.

        Raises:
            MalformedLtik: it brings several, or one of another shape.
        """
        in_query, other_query = without_parameter(request.query, "ltik")
        in_headers = [value for source in self.sources if (value := _carried(request, source))]
        if not in_query and not in_headers:
            return None
        ltik = (in_query or in_headers)[0]
        several = len(in_query) > 1 or len({*in_query, *in_headers}) > 1
        if several or not self._well_formed(ltik):
            raise MalformedLtik
        return Brought(ltik, other_query if in_query else None)

    def carriers(self, request: Request) -> list[str]:
        """The headers of this request that carry an ltik."""
        return [source for source in self.sources if _carried(request, source)]

    def proof(
        self, offered: Iterable[str], launch_id: str, entry: CachedLaunch | None
    ) -> str | None:
        """The first of the offered ltiks that is this launch's, or None.

        Args:
            offered: what came as a proof, in any shape.
            launch_id: the id that the path names.
            entry: what is known of that launch.
        """
        for ltik in offered:
            if entry is None:
                if self._well_formed(ltik) and self._ids.match(ltik, launch_id):
                    return ltik
            else:
                # Constant-time comparison, of the end first: it holds the signature (RFC 7515
                # section 7.1). Whoever gets that right has nothing left to learn from the rest.
                end = ltik[-SIGNATURE:]
                if (
                    end.isascii()
                    and compare_digest(end, entry.ltik[-SIGNATURE:])
                    and ltik == entry.ltik
                ):
                    return ltik
        return None

    def _well_formed(self, ltik: str) -> bool:
        return len(ltik) <= self._max_length and _LTIK.fullmatch(ltik) is not None


def _carried(request: Request, source: str) -> str:
    value: str = request.get(source, "")
    if source != "HTTP_AUTHORIZATION":
        return value.strip()
    scheme, _, token = value.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""
