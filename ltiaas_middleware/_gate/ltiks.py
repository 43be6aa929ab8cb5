"""The ltiks in a request: where they may be, their format, and whether one authenticates a
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
#: Enough characters for an HS256 signature (43) and part of what it signs.
SIGNATURE = 64


class RequestLtik(NamedTuple):
    """An ltik in a request, other than in a cookie.

    Attributes:
        ltik: the token, well-formed.
        other_query: the query without it; None if it came in a header.
    """

    ltik: str
    other_query: str | None

    def __repr__(self) -> str:
        return "<RequestLtik>"


class Ltiks:
    """Reads and checks ltiks.

    Attributes:
        sources: the headers that may carry an ltik, as CGI variables.
        may_hold: a quick check whether a query may contain an ltik: a regular expression's
            ``search``.
    """

    def __init__(self, settings: Settings, ids: LaunchIds) -> None:
        self._ids = ids
        self._parameters = settings.ltik_parameters
        # "legacy-ltik" contains "ltik": searching for the shortest names is enough.
        names = {*settings.ltik_parameters}
        some = [name for name in names if not any(other in name for other in names - {name})]
        self.may_hold = re.compile("|".join(map(re.escape, some))).search
        headers = (name.upper().replace("-", "_") for name in settings.ltik_headers)
        self.sources = tuple(f"HTTP_{name}" for name in headers)

    def in_request(self, request: Request) -> RequestLtik | None:
        """The ltik in the request's query or an enabled header, or None.

        Raises:
            Refused: the request has several ltiks, or a malformed one.
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
        """The headers of this request that contain an ltik."""
        return [source for source in self.sources if _carried(request, source)]

    def matching(
        self, candidates: Iterable[str], launch_id: str, entry: CachedLaunch | None
    ) -> str | None:
        """The first of the candidates that belongs to this launch, or None. They may be
        malformed."""
        for ltik in candidates:
            if entry is None:
                if self._well_formed(ltik) and self._ids.match(ltik, launch_id):
                    return ltik
            else:
                # Compare the end first, in constant time, because it contains the signature (RFC
                # 7515 section 7.1). An attacker who has the right signature has nothing to learn
                # from the rest.
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
