"""From an answer of LTIAAS's that is no success to an exception (wire.md, "Errors")."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any

from ..errors import (
    AccessForbidden,
    ApiError,
    ApiKeyRejected,
    LaunchExpired,
    PlatformInactive,
    RateLimited,
    ServiceUnavailableForContext,
    UpstreamError,
)
from ..scrubbing import scrub

__all__ = ["DIGITS", "error_for", "retry_after"]

# A number of seconds or bytes that somebody may mean.
DIGITS = re.compile(r"[0-9]{1,18}")
# A compact JWS (RFC 7515 section 7.1), such as an ltik.
_JWS = re.compile(r"[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}")
# LTIAAS's codes are written like constants, and its texts are not.
_CODE = re.compile(r"[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+")

_BAD_LTIK = "INVALID_LTIK_AUTH_AUTHORIZATION_HEADER"
_INACTIVE_PLATFORM = "UNREGISTERED_OR_INACTIVE_PLATFORM"
_UNAVAILABLE = {"INACTIVE_SERVICE", "SERVICE_NOT_AVAILABLE_FOR_CONTEXT"}
# Request Timeout and Too Early (RFC 9110 section 15.5.9, RFC 8470): the same call may succeed.
_TRY_AGAIN = {408, 425}


def error_for(status: int, body: bytes, wait: str | None, method: str, path: str) -> ApiError:
    """The exception for an answer of LTIAAS's that is no success.

    What LTIAAS itself refuses (4xx, a JSON object) stays refused however often it is asked. An
    answer that is no JSON object comes from a proxy in front of it, and is an ``UpstreamError``.

    Args:
        status: HTTP status.
        body: of the answer.
        wait: its ``Retry-After``, or None.
        method: of the request.
        path: of the request, without query.
    """
    try:
        document: Any = json.loads(body)
    except (ValueError, RecursionError):
        document = None
    code, told = _reason(document)
    kind: type[ApiError]
    if status == 429:
        kind = RateLimited
    elif status == 401 and "api key" in told.lower():
        # The same code is sent for a bad ltik: only the description tells whose fault it is.
        kind = ApiKeyRejected
    elif status == 401 and code == _BAD_LTIK and ("ltik" in told.lower() or not told):
        kind = LaunchExpired
    elif code in _UNAVAILABLE:
        kind = ServiceUnavailableForContext
    elif code == _INACTIVE_PLATFORM and status < 500:
        kind = PlatformInactive
    elif not 400 <= status < 500 or status in _TRY_AGAIN or not isinstance(document, Mapping):
        kind = UpstreamError
    elif status == 403:
        kind = AccessForbidden
    else:
        kind = ApiError
    return kind(
        told or f"LTIAAS answered {status}",
        status=status,
        code=code,
        method=method,
        path=path,
        retry_after=retry_after(wait),
    )


def _reason(document: Any) -> tuple[str | None, str]:
    """The code and the description of an error document.

    The code stands in ``details.message`` or in ``details.code``; the other of the two may be a
    sentence. Without ``details``, both are looked for in the document itself
    (``{"message": "Forbidden"}``).
    """
    if not isinstance(document, Mapping):
        return None, ""
    details = document.get("details")
    if isinstance(details, str):
        details = {"description": details}
    if not isinstance(details, Mapping):
        details = document
    said = [value for name in ("message", "code") if isinstance(value := details.get(name), str)]
    code = next((one for one in said if _CODE.fullmatch(one)), None)
    if code is None and details is not document and said:
        code = said[0]
    description = details.get("description")
    if not isinstance(description, str) or not description:
        description = next((one for one in said if one != code), "")
    return None if code is None else _shown(code), _shown(description)


def _shown(text: str) -> str:
    """What LTIAAS, or a proxy in front of it, says, fit for a log: one line, without the header
    that it may quote."""
    text = _JWS.sub("[hidden]", scrub(text[:2000]))
    return "".join(char if char.isprintable() else " " for char in text)[:300]


def retry_after(value: str | None) -> float | None:
    """Seconds from a ``Retry-After`` header (RFC 9110 section 10.2.3), at most a day; None where
    there is none."""
    if not value:
        return None
    if DIGITS.fullmatch(value.strip()):
        return min(float(value), 86_400.0)
    try:
        return max(0.0, min(parsedate_to_datetime(value).timestamp() - time.time(), 86_400.0))
    except (TypeError, ValueError, OverflowError):
        return None
