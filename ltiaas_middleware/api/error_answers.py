"""Turns LTIAAS's error responses into exceptions (wire.md, "Errors")."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from urllib3.exceptions import InvalidHeader
from urllib3.util import Retry

from ..errors import (
    ApiError,
    ApiKeyRejected,
    Forbidden,
    LaunchExpired,
    LmsError,
    PlatformInactive,
    RateLimited,
    ServiceNotAvailable,
    UpstreamError,
)  # fmt: skip
from ..scrubbing import scrub

# A compact JWS (RFC 7515 section 7.1), such as an ltik.
_JWS = re.compile(r"[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}")
# LTIAAS's codes are written like constants, and its texts are not.
_CODE = re.compile(r"[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+")

_BAD_LTIK = "INVALID_LTIK_AUTH_AUTHORIZATION_HEADER"
_INACTIVE_PLATFORM = "UNREGISTERED_OR_INACTIVE_PLATFORM"
_UNAVAILABLE = {"INACTIVE_SERVICE", "SERVICE_NOT_AVAILABLE_FOR_CONTEXT"}
# Request Timeout and Too Early (RFC 9110 section 15.5.9, RFC 8470): the same call may succeed.
_TRY_AGAIN = {408, 425}
_LMS_TRY_AGAIN = {408, 502, 503, 504}
# Where the error documents of LMSes and their frameworks have words for people.
_SAYING = (
    "message", "reason", "error_description", "errors", "error", "detail", "description", "title",
)  # fmt: skip
# Characters of a text, and entries of a list, that are kept of an error.
_LONGEST, _MOST = 2000, 100


def error_for(status: int, body: bytes, wait: str | None, method: str, path: str) -> ApiError:
    """The exception for an error response from LTIAAS; ``wait`` is its ``Retry-After``.

    If LTIAAS itself refuses a call (4xx with a JSON object), a retry does not help. A response that
    is not a JSON object comes from a proxy in front of LTIAAS, and becomes an ``UpstreamError``.
    """
    document = _json(body)
    code, description = _reason(document)
    details = _details(document)
    words = _lms_message(details) if _relayed(details, code) else None
    kind = _kind(status, code, description, words, document)
    who = "LTIAAS" if words is None else "the LMS"
    return kind(
        description or f"{who} responded with {status}",
        status=status,
        code=code,
        method=method,
        path=path,
        retry_after=retry_after(wait),
        temporary=status in _LMS_TRY_AGAIN if kind is LmsError else None,
        lms_message=words or None,
        details=details,
    )


def _json(text: str | bytes) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _kind(
    status: int, code: str | None, description: str, lms_message: str | None, document: Any
) -> type[ApiError]:
    throttled = status == 403 and "rate limit exceeded" in f"{description} {lms_message}".lower()
    if status == 429 or throttled:
        return RateLimited
    if lms_message is not None and code not in _UNAVAILABLE:
        # Before all that blames the tool's own API key or ltik: these were not refused.
        return LmsError
    if status == 401 and "api key" in description.lower():
        # The same code is sent for a bad ltik: only the description tells whose fault it is.
        return ApiKeyRejected
    if status == 401 and code == _BAD_LTIK and ("ltik" in description.lower() or not description):
        return LaunchExpired
    if code in _UNAVAILABLE:
        return ServiceNotAvailable
    if code == _INACTIVE_PLATFORM and status < 500:
        return PlatformInactive
    if not 400 <= status < 500 or status in _TRY_AGAIN or not isinstance(document, Mapping):
        return UpstreamError
    return Forbidden if status == 403 else ApiError


def _details(document: Any) -> dict[str, Any]:
    """LTIAAS's details without what we sent, and without credentials that they may quote."""
    details = document.get("details") if isinstance(document, Mapping) else None
    if not isinstance(details, Mapping):
        return {}
    return {name: _clean(value) for name, value in details.items() if name != "bodySent"}


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return _JWS.sub("[hidden]", scrub(value[:_LONGEST]))
    if isinstance(value, list):
        return [_clean(one) for one in value[:_MOST]]
    if isinstance(value, dict):
        return {_clean(name): _clean(one) for name, one in list(value.items())[:_MOST]}
    return value


def _relayed(details: Mapping[str, Any], code: str | None) -> bool:
    """Whether the LMS said it, and LTIAAS passed it on (wire.md, "Errors")."""
    return (code or "").startswith("EXTERNAL_") or any(
        details.get(name) for name in ("bodyReceived", "externalError", "externalUrl")
    )


def _lms_message(details: Mapping[str, Any]) -> str:
    """The LMS's words, on one line; empty if it gave none."""
    names = ("bodyReceived", "externalError", "errors", "description")
    return _shown(next(filter(None, (_words(details.get(name)) for name in names)), ""), _LONGEST)


def _words(value: Any) -> str:
    """What a person would read of an error document of whatever shape."""
    if isinstance(value, str):
        inside = _json(value)
        return _words(inside) if isinstance(inside, (dict, list)) else value.strip()
    if isinstance(value, list):
        return "; ".join(filter(None, map(_words, value)))
    if isinstance(value, Mapping):
        return next(filter(None, (_words(value.get(name)) for name in _SAYING)), "")
    return ""


def _reason(document: Any) -> tuple[str | None, str]:
    """The code, from ``details.message`` or ``details.code`` (the other may be a sentence), and the
    description. Without ``details``, both are of the document itself (``{"message": …}``)."""
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


def _shown(text: str, most: int = 300) -> str:
    """What LTIAAS, or a proxy in front of it, says, fit for a log: one line, without the header
    that it may quote."""
    return "".join(char if char.isprintable() else " " for char in _clean(text))[:most]


def retry_after(value: str | None) -> float | None:
    """Seconds from a ``Retry-After`` header (RFC 9110 section 10.2.3), limited by ``believed``, or
    None if there is no header."""
    try:
        return believed(Retry().parse_retry_after(value or ""))
    except (InvalidHeader, ValueError, OverflowError):
        return None


def believed(seconds: float) -> float:
    """A wait limited to 1 to 60 seconds, also for clients. A shorter wait would cause a flood, and
    a longer one would be an outage of our own."""
    return max(1.0, min(seconds, 60.0))
