"""One call to LTIAAS: what is sent, when it is sent again, and what comes of it. No I/O.

Theory of operation. ``exchange`` is a generator that says what to do next (``Send``, ``Pause``) and
is told how it went (``Answer``, ``Failure``). Whoever drives it owns the sockets and the clock:
``api_session`` with requests, ``async_session`` with httpx. Two rules: whatever is true of a call
is decided here, once; and nothing that a driver hands back or that is raised here holds a header.
"""

from __future__ import annotations

import json
import random
import re
import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any, Generic, TypeVar, cast
from urllib.parse import quote, unquote, urlencode, urlsplit

from ..credentials import ApiKeyCredential, Credential, LtikCredential, ServiceKeyCredential
from ..errors import (
    ApiError,
    ApiKeyRejected,
    CredentialScopeError,
    InvalidRequest,
    LaunchExpired,
    RateLimited,
    ServiceUnavailableForContext,
    UpstreamError,
)
from ..origins import origin_of
from ..scrubbing import scrub

__all__ = [
    "Answer",
    "Call",
    "Failure",
    "Flow",
    "Limits",
    "Pause",
    "Send",
    "error_for",
    "exchange",
    "retry_after",
    "segment",
]

T = TypeVar("T")

# A number of seconds or bytes that somebody may mean.
DIGITS = re.compile(r"[0-9]{1,18}")
# A compact JWS (RFC 7515 section 7.1), such as an ltik.
_JWS = re.compile(r"[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}")
_UNAVAILABLE = {"INACTIVE_SERVICE", "SERVICE_NOT_AVAILABLE_FOR_CONTEXT"}

# RFC 9110 section 9.2.2. A POST may have been taken although its answer was lost: whether it is
# sent again is for the caller to decide, who can look.
_IDEMPOTENT = {"GET", "HEAD", "OPTIONS", "PUT", "DELETE"}

# wire.md, "The three authorization schemes": which credential each address takes.
_LAUNCH = (LtikCredential,)
_SERVICE = (LtikCredential, ServiceKeyCredential)
_ACCOUNT = (ApiKeyCredential,)
_TAKES: Mapping[str, tuple[type[Credential], ...]] = {
    "idtoken": _LAUNCH,
    "deeplinking": _LAUNCH,
    "memberships": _SERVICE,
    "lineitems": _SERVICE,
    "registrations": _ACCOUNT,
    "platforms": _ACCOUNT,
}
_NAMES = {
    LtikCredential: "a launch",
    ServiceKeyCredential: "a service key",
    ApiKeyCredential: "the API key",
}


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How long a call may take and how often it is made.

    Args:
        connect_timeout: seconds to reach LTIAAS.
        read_timeout: seconds to wait for each piece of its answer. LTIAAS asks the LMS before it
            answers, and an LMS can be slow.
        deadline: seconds for one call altogether, repeats and pauses included.
        attempts: how often a call is made at most. Only calls whose repetition changes nothing
            (GET, PUT, DELETE; RFC 9110 section 9.2.2) are made more than once.
        repeat_on: HTTP statuses after which a call is made again; a lost connection is one too.
        patience: the longest ``Retry-After`` that is waited for, in seconds; None waits as long
            as ``deadline`` allows.
        max_response_size: bytes of one answer.
        ca_bundle: path of a file with certificate authorities. TLS is verified always.

    Raises:
        ValueError: a number is not greater than 0.
    """

    connect_timeout: float = 3.05
    read_timeout: float = 20
    deadline: float = 60
    attempts: int = 5
    repeat_on: frozenset[int] = frozenset({429, 502, 503, 504})
    patience: float | None = None
    max_response_size: int = 16_777_216
    ca_bundle: str | None = None

    def __post_init__(self) -> None:
        for name in ("connect_timeout", "read_timeout", "deadline", "attempts"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be greater than 0")
        if self.max_response_size <= 0:
            raise ValueError("max_response_size must be greater than 0")


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """What to ask of LTIAAS, and how to read the answer.

    Args:
        method: such as ``"GET"``.
        path: below ``/api/``, percent-encoded; or a URL on the account's own origin.
        read: from the decoded JSON (None where the answer has no body) to the result. A
            ``ValueError`` from it means that LTIAAS's answer is none.
        query: names and values, not yet encoded.
        body: to be sent as JSON; None sends none.
    """

    method: str
    path: str
    read: Callable[[Any], T]
    query: tuple[tuple[str, str], ...] = ()
    # Not shown: a traceback with its locals ends up in an error tracker, and people's grades there.
    body: Any = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Send:
    """Send this, and tell what came: an ``Answer`` or a ``Failure``.

    ``left`` is how many seconds are left for it, ``until`` the same on the monotonic clock.
    """

    method: str
    url: str
    content: bytes | None = field(repr=False)
    left: float
    until: float


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait for some seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer, whole. ``wait`` is its ``Retry-After``."""

    status: int
    # An ID token holds the service key.
    content: bytes = field(repr=False)
    wait: str | None = None


@dataclass(frozen=True, slots=True)
class Failure:
    """No answer. ``passing`` tells whether the next attempt may fare better."""

    why: str
    passing: bool = True


Flow = Generator[Send | Pause, Answer | Failure | None, T]


def segment(value: str, what: str = "an id") -> str:
    """One path segment, percent-encoded once, slashes too (wire.md: a line item's id is a URL).

    Raises:
        InvalidRequest: it is empty, no text, or a dot segment, which no encoding can protect
            (RFC 3986 section 6.2.2.3).
    """
    if not isinstance(value, str) or value in ("", ".", ".."):
        raise InvalidRequest(f"{what} cannot be {value!r}")
    try:
        return quote(value, safe="")
    except UnicodeEncodeError:
        raise InvalidRequest(f"{what} holds half a character") from None


def exchange(
    call: Call[T],
    credential: Credential,
    limits: Limits,
    *,
    monotonic: Callable[[], float] = time.monotonic,
    jitter: Callable[[float, float], float] = random.uniform,
) -> Flow[T]:
    """Make one call, again where that is safe and makes sense.

    Raises:
        InvalidRequest: what was asked cannot be sent.
        CredentialScopeError: the credential is not for this address. Nothing was sent.
        ApiError: LTIAAS answered with an error, or did not answer.
    """
    url, path = _address(call, credential)
    content = _content(call.body)
    until = monotonic() + limits.deadline
    attempt = 0
    while True:
        attempt += 1
        outcome = yield Send(call.method, url, content, until - monotonic(), until)
        if isinstance(outcome, Answer) and 200 <= outcome.status < 300:
            return _value(call, outcome, path)
        error, passing = _error(call.method, path, cast("Answer | Failure", outcome), limits)
        if call.method == "DELETE" and attempt > 1 and error.status == 404:
            # The attempt before did it and its answer was lost.
            return call.read(None)
        if not passing or call.method not in _IDEMPOTENT or attempt >= limits.attempts:
            raise error
        pause = _pause(error, attempt, limits, jitter)
        if pause is None or monotonic() + pause >= until:
            raise error
        yield Pause(pause)


def _pause(
    error: ApiError, attempt: int, limits: Limits, jitter: Callable[[float, float], float]
) -> float | None:
    """Seconds until the next attempt; None where LTIAAS asks for more than we would wait."""
    # Full jitter: workers that failed together do not come back together.
    pause = jitter(0.05, min(0.2 * 2**attempt, 10.0))
    if error.retry_after is None:
        return pause
    if limits.patience is not None and error.retry_after > max(pause, limits.patience):
        return None
    return error.retry_after + pause


def _error(
    method: str, path: str, outcome: Answer | Failure, limits: Limits
) -> tuple[ApiError, bool]:
    if isinstance(outcome, Failure):
        return UpstreamError(outcome.why, method=method, path=path), outcome.passing
    error = error_for(outcome.status, outcome.content, outcome.wait, method, path)
    return error, outcome.status in limits.repeat_on


def _value(call: Call[T], answer: Answer, path: str) -> T:
    read = _read(call, answer)
    if isinstance(read, Failure):
        # Raised here, where neither a local nor the chain holds the document.
        raise UpstreamError(read.why, status=answer.status, method=call.method, path=path)
    return read.value


@dataclass(frozen=True, slots=True)
class _Value(Generic[T]):
    value: T


def _read(call: Call[T], answer: Answer) -> _Value[T] | Failure:
    document: Any = None
    try:
        if answer.status != 204 and answer.content.strip():
            document = json.loads(answer.content)
    except (ValueError, RecursionError):
        return Failure("the answer is no JSON")
    try:
        return _Value(call.read(document))
    except ValueError as error:
        return Failure(str(error))


def _content(body: Any) -> bytes | None:
    if body is None:
        return None
    try:
        return json.dumps(body, allow_nan=False, separators=(",", ":")).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidRequest(f"the body cannot be sent as JSON ({type(error).__name__})") from None


def _address(call: Call[Any], credential: Credential) -> tuple[str, str]:
    """The URL to send to, and its path for errors."""
    path, query = call.path, ""
    if "://" in path.partition("?")[0]:
        target = origin_of(path)
        if target != credential.origin:
            raise CredentialScopeError(
                f"this credential is for {credential.origin} and was asked for a call to "
                f"{target or 'an unclear address'}"
            )
        parts = urlsplit(path)
        path, query = parts.path, parts.query
    else:
        path, _, query = path.partition("?")
        if not path.startswith(("/api/", "/admin/")):
            path = f"/api/{path.lstrip('/')}"
    if any(not "!" <= char <= "~" or char in "#\\?" for char in path):
        raise InvalidRequest("a path must be percent-encoded")
    segments = path.split("/")
    # HTTP clients remove these, encoded or not, and the call would go to another endpoint than the
    # one that the credential was held against.
    if any(unquote(one) in (".", "..") for one in segments) or "" in segments[1:-1]:
        raise InvalidRequest("a path cannot have empty or dot segments")
    _admit(segments[2], credential)
    try:
        added = urlencode(call.query, quote_via=quote, safe="")
    except UnicodeEncodeError:
        raise InvalidRequest("the query holds half a character") from None
    query = "&".join(filter(None, (query, added)))
    return f"{credential.origin}{path}{'?' if query else ''}{query}", path


def _admit(endpoint: str, credential: Credential) -> None:
    # An endpoint that wire.md does not know is LTIAAS's to judge.
    takes = _TAKES.get(unquote(endpoint).lower())
    if takes is not None and not isinstance(credential, takes):
        kinds = " or ".join(_NAMES[kind] for kind in takes)
        mine = next((name for kind, name in _NAMES.items() if isinstance(credential, kind)), "this")
        raise CredentialScopeError(
            f"/api/{endpoint} takes the credential of {kinds}, not that of {mine}"
        )


def error_for(status: int, body: bytes, wait: str | None, method: str, path: str) -> ApiError:
    """The exception for an answer of LTIAAS's that is no success (wire.md, "Errors").

    Args:
        status: HTTP status.
        body: of the answer.
        wait: its ``Retry-After``, or None.
        method: of the request.
        path: of the request, without query.
    """
    details: Any = None
    try:
        parsed = json.loads(body)
        details = parsed.get("details") if isinstance(parsed, dict) else None
    except (ValueError, RecursionError):
        pass
    details = details if isinstance(details, dict) else {}
    code = details.get("message")
    description = details.get("description")
    told = _shown(description) if isinstance(description, str) else ""
    kind: type[ApiError]
    if status == 429:
        kind = RateLimited
    elif status == 401 and "api key" in told.lower():
        # The same code is sent for a bad ltik: the description alone tells whose fault it is.
        kind = ApiKeyRejected
    elif (
        status == 401
        and code == "INVALID_LTIK_AUTH_AUTHORIZATION_HEADER"
        and ("ltik" in told.lower() or not told)
    ):
        kind = LaunchExpired
    elif code in _UNAVAILABLE:
        kind = ServiceUnavailableForContext
    elif status >= 500 or status < 400 or not details:
        kind = UpstreamError
    else:
        kind = ApiError
    return kind(
        told or f"LTIAAS answered {status}",
        status=status,
        code=_shown(code) if isinstance(code, str) else None,
        method=method,
        path=path,
        retry_after=retry_after(wait),
    )


def _shown(text: str) -> str:
    """What LTIAAS, or a proxy before it, says, as it may stand in a log: one line of it, without
    the header that it may quote."""
    text = _JWS.sub("[hidden]", scrub(text[:2000]))
    return "".join(char if char.isprintable() else " " for char in text)[:300]


def retry_after(value: str | None) -> float | None:
    """Seconds from a ``Retry-After`` header (RFC 9110 section 10.2.3); None where it has none."""
    if not value:
        return None
    if DIGITS.fullmatch(value.strip()):
        return min(float(value), 86_400.0)
    try:
        return max(0.0, min(parsedate_to_datetime(value).timestamp() - time.time(), 86_400.0))
    except (TypeError, ValueError, OverflowError):
        return None
