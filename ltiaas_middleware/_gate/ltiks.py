"""The ltiks that a request carries: where they may stand, their shape, and whether one proves a
launch."""

from __future__ import annotations

import re
from collections.abc import Iterable
from hmac import compare_digest
from typing import NamedTuple

from .._crypto.keys import MAX_LTIK_LENGTH, LaunchIds
from .._verification.launches import CachedLaunch
from ..settings import Settings
from .decisions import Refused
from .request import Request, without_parameters

__all__ = ["SIGNATURE", "Ltiks", "RequestLtik"]

# A compact JWS (RFC 7515 section 7.1): three parts of base64url.
_LTIK = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
#: Characters that hold an HS256 signature (43) and some of what it signs.
SIGNATURE = 64


class RequestLtik(NamedTuple):
    """An ltik that a request brings, other than by cookie.

    Attributes:
        ltik: the token, well-formed.
        other_query: the query without it; None where it came in a header.
    """

    ltik: str
    other_query: str | None

    def __repr__(self) -> str:
        return "<RequestLtik>"


class Ltiks:
    """Reads and checks ltiks.

    Args:
        settings: which parameters and headers may carry one.
        ids: from an ltik to its launch id.

    Attributes:
        sources: the headers that may carry one, as CGI variables.
        may_hold: whether a query may hold one, told quickly: a ``search`` of regular expressions.
    """

    def __init__(self, settings: Settings, ids: LaunchIds) -> None:
        self._ids = ids
        self._parameters = settings.ltik_parameters
        # "legacy-ltik" holds "ltik": the shortest are enough.
        names = {*settings.ltik_parameters}
        some = [name for name in names if not any(other in name for other in names - {name})]
        self.may_hold = re.compile("|".join(map(re.escape, some))).search
        headers = (name.upper().replace("-", "_") for name in settings.ltik_headers)
        self.sources = tuple(f"HTTP_{name}" for name in headers)

    def in_request(self, request: Request) -> RequestLtik | None:
        """The ltik that the request brings in its query or an enabled header, or None.

        Raises:
            Refused: it brings several, or one of another shape.
        """
        found, other_query = without_parameters(request.query, self._parameters)
        in_query = [value for _, value in found]
        in_headers = [value for source in self.sources if (value := _carried(request, source))]
        if not in_query and not in_headers:
            return None
        ltik = (in_query or in_headers)[0]
        several = len({name for name, _ in found}) < len(found)
        if several or len({*in_query, *in_headers}) > 1 or not self._well_formed(ltik):
            raise Refused("malformed_ltik")
        return RequestLtik(ltik, other_query if in_query else None)

    def carriers(self, request: Request) -> list[str]:
        """The headers of this request that carry an ltik."""
        return [source for source in self.sources if _carried(request, source)]

    def matching(
        self, candidates: Iterable[str], launch_id: str, entry: CachedLaunch | None
    ) -> str | None:
        """The first of the candidates that is this launch's, or None.

        Args:
            candidates: what came as a proof, in any shape.
            launch_id: the id that the path names.
            entry: what is known of that launch.
        """
        for ltik in candidates:
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
        return len(ltik) <= MAX_LTIK_LENGTH and _LTIK.fullmatch(ltik) is not None


def _carried(request: Request, source: str) -> str:
    value: str = request.get(source, "")
    if source != "HTTP_AUTHORIZATION":
        return value.strip()
    scheme, _, token = value.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""
