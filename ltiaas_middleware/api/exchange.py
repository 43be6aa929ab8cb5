"""One call to LTIAAS: what is sent, when it is sent again, and what comes of it. No I/O.

Theory of operation. ``exchange`` is a generator that says what to do next (``Send``, ``Pause``) and
is told how it went (``Answer``, ``Failure``). Its driver owns the sockets and the clock:
``session`` with requests, ``async_session`` with httpx. Two rules: whatever is true of a call is
decided here, once; and nothing that a driver returns or that is raised here holds a header.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar, cast

from ..credentials import Credential
from ..errors import ApiError, InvalidRequest, UpstreamError
from .addresses import address
from .error_answers import error_for

__all__ = ["Answer", "Call", "Failure", "Flow", "Limits", "Pause", "Send", "exchange"]

T = TypeVar("T")

# Levels of arrays and objects in an answer. What decodes here, near the bottom of the stack, must
# not be too deep for whoever encodes, copies or prints it in a view.
_DEEPEST = 64
# RFC 9110 section 9.2.2. A POST may have been taken although its answer was lost: whether it is
# sent again is for the caller to decide, who can look.
_IDEMPOTENT = {"GET", "HEAD", "OPTIONS", "PUT", "DELETE"}


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
        read: from the decoded JSON (None where the answer has no body) to the result, or to
            another call that has to be made for it. A ``ValueError`` from it means that LTIAAS
            returned an invalid response.
        query: names and values, not yet encoded.
        body: to be sent as JSON; None sends none.
    """

    method: str
    path: str
    read: Callable[[Any], T | Call[T]]
    query: tuple[tuple[str, str], ...] = ()
    # Not shown: error trackers keep the locals of a traceback, and these are people's grades.
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


def exchange(
    call: Call[T],
    credential: Credential,
    limits: Limits,
    *,
    monotonic: Callable[[], float] = time.monotonic,
    jitter: Callable[[float, float], float] = random.uniform,
) -> Flow[T]:
    """Make one call, and repeat it where that is safe and makes sense.

    Raises:
        InvalidRequest: what was asked cannot be sent.
        CredentialScopeError: the credential is not for this address. Nothing was sent.
        ApiError: LTIAAS answered with an error, or did not answer.
    """
    until = monotonic() + limits.deadline
    value = yield from _attempts(call, credential, limits, until, monotonic, jitter)
    while isinstance(value, Call):
        value = yield from _attempts(value, credential, limits, until, monotonic, jitter)
    return value


def _attempts(
    call: Call[T],
    credential: Credential,
    limits: Limits,
    until: float,
    monotonic: Callable[[], float],
    jitter: Callable[[float, float], float],
) -> Flow[T | Call[T]]:
    url, path = address(call.path, call.query, credential)
    content = _content(call.body)
    attempt = 0
    while True:
        attempt += 1
        outcome = yield Send(call.method, url, content, until - monotonic(), until)
        if isinstance(outcome, Answer) and 200 <= outcome.status < 300:
            return _value(call, outcome, path)
        error, passing = _error(call.method, path, cast("Answer | Failure", outcome), limits)
        if call.method == "DELETE" and attempt > 1 and error.status == 404:
            # An earlier attempt did it, and its answer was lost.
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


def _value(call: Call[T], answer: Answer, path: str) -> T | Call[T]:
    read = _read(call, answer)
    if isinstance(read, Failure):
        # Raised here, where neither a local nor the chain holds the document.
        raise UpstreamError(read.why, status=answer.status, method=call.method, path=path)
    return read.value


@dataclass(frozen=True, slots=True)
class _Value(Generic[T]):
    value: T


def _read(call: Call[T], answer: Answer) -> _Value[T | Call[T]] | Failure:
    document: Any = None
    try:
        if answer.status != 204 and answer.content.strip():
            document = json.loads(answer.content)
    except (ValueError, RecursionError):
        return Failure("the answer is not JSON")
    # Few answers have so many brackets at all.
    brackets = answer.content.count(b"{") + answer.content.count(b"[")
    if brackets > _DEEPEST and _depth(document) > _DEEPEST:
        return Failure("the answer is nested too deeply")
    try:
        return _Value(call.read(document))
    except ValueError as error:
        return Failure(str(error))


def _depth(document: Any) -> int:
    """How many levels of arrays and objects there are. Without recursion."""
    depth = 0
    level: list[Any] = [[document]]
    while level := [
        item
        for one in level
        for item in (one.values() if type(one) is dict else one)
        if type(item) is dict or type(item) is list
    ]:
        depth += 1
    return depth


def _content(body: Any) -> bytes | None:
    if body is None:
        return None
    try:
        return json.dumps(body, allow_nan=False, separators=(",", ":")).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidRequest(f"the body cannot be sent as JSON ({type(error).__name__})") from None
