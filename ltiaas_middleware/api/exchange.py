"""One call to LTIAAS: what to send, when to retry, and the result. No I/O.

Theory of operation: ``exchange`` is a generator that yields what to do next (``Send``, ``Pause``)
and receives the result (``Answer``, ``Failure``). Its driver, ``run`` or ``async_session``, has the
sockets and the clock. There are two rules: this module makes all decisions about a call; and
nothing that a driver returns or that this module raises contains a header.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any, Generic, NamedTuple, TypeVar, cast

from .._version import __version__
from ..credentials import Credential
from ..errors import ApiError, InvalidRequest, InvalidResponse, RateLimited, UpstreamError
from .addresses import address
from .error_answers import error_for

T = TypeVar("T")

# Levels of arrays and objects in an answer. What decodes here, near the bottom of the stack, must
# not be too deep for whoever encodes, copies or prints it in a view.
_DEEPEST = 64
# Bytes of an answer whose JSON takes about a millisecond to decode, in which no other thread runs.
_LARGE = 65_536
# RFC 9110 section 9.2.2. A POST may have been taken although its answer was lost: the caller, who
# can look, decides whether it is sent again.
_IDEMPOTENT = {"GET", "HEAD", "OPTIONS", "PUT", "DELETE"}


@dataclass(frozen=True, kw_only=True)
class RetryPolicy:
    """How long a call may take, and when the session retries it.

    Args:
        connect_timeout: seconds to wait for a connection to LTIAAS.
        read_timeout: seconds to wait for each piece of the response. LTIAAS calls the LMS before it
            responds, and an LMS can be slow.
        timeout: the total seconds for one call, including retries and pauses.
        attempts: the maximum number of attempts. The session retries GET, PUT and DELETE, which are
            idempotent, after a status in ``repeat_on`` or a lost connection. It retries all calls
            after 429 or an LMS's "Rate Limit Exceeded" (403), unless ``repeat_on`` does not contain
            429.
        repeat_on: the HTTP statuses after which to retry.
        max_retry_after: the longest ``Retry-After`` for which to wait, in seconds.
        max_response_size: the maximum size of one response, in bytes.
        ca_bundle: the path of a file of certificate authorities. The session always verifies TLS.

    Raises:
        ValueError: a number is not greater than 0.
    """

    connect_timeout: float = 3.05
    read_timeout: float = 20
    timeout: float = 60
    attempts: int = 5
    repeat_on: frozenset[int] = frozenset({429, 502, 503, 504})
    max_retry_after: float = 60
    max_response_size: int = 16_777_216
    ca_bundle: str | None = None

    def __post_init__(self) -> None:
        for name in ("connect_timeout", "read_timeout", "timeout", "attempts", "max_response_size"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be greater than 0")


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """A call to LTIAAS, and how to read its response.

    ``path`` is under ``/api/``, percent-encoded, or a URL on the account's own origin. ``read``
    creates the result from the decoded JSON (None if there is no body). If it raises
    ``ValueError``, the response is invalid. ``query`` is not yet encoded. ``body`` is sent as JSON.
    """

    method: str
    path: str
    read: Callable[[Any], T]
    query: tuple[tuple[str, str], ...] = ()
    # Not shown: error trackers keep the locals of a traceback, and these are people's grades.
    body: Any = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Send:
    """Send this request. ``left`` is how many seconds remain for it, and ``until`` is the deadline
    on the monotonic clock."""

    method: str
    url: str
    content: bytes | None = field(repr=False)
    left: float
    until: float


class Pause(NamedTuple):
    """Wait for this many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Answer:
    """A complete HTTP response. ``wait`` is its ``Retry-After``."""

    status: int
    # An ID token holds the service key.
    content: bytes = field(repr=False)
    wait: str | None = None


@dataclass(frozen=True, slots=True)
class Failure:
    """No response. ``passing`` says whether the next attempt may succeed."""

    why: str
    passing: bool = True


#: The headers of every call, whichever library sends it.
HEADERS = {
    "User-Agent": f"ltiaas-middleware/{__version__} (Python)",
    "Accept": "application/json",
    # A compressed answer could be a thousand times its size; these are a few kilobytes anyway.
    "Accept-Encoding": "identity",
}

#: Several calls: the generator yields each one, and receives its result or its error.
Steps = Generator[Call[Any], Any, T]
Flow = Generator[Send | Pause, Answer | Failure | None, T]
Jitter = Callable[[float, float], float]


def exchange(
    described: Call[T] | Steps[T],
    credential: Credential,
    policy: RetryPolicy,
    *,
    monotonic: Callable[[], float] = time.monotonic,
    jitter: Jitter = random.uniform,
) -> Flow[T]:
    """Make one call, or several that depend on each other. Each call has the full limits of
    ``policy``, and is retried if that is safe and useful. Raises the exceptions that ``Endpoints``
    documents."""
    if isinstance(described, Call):
        return (yield from _call(described, credential, policy, monotonic, jitter))
    value, error = None, None
    while True:
        try:
            call = described.send(value) if error is None else described.throw(error)
        except StopIteration as done:
            return cast(T, done.value)
        value, error = None, None
        try:
            value = yield from _call(call, credential, policy, monotonic, jitter)
        except ApiError as raised:
            error = raised


def run(
    flow: Flow[T],
    send: Callable[[Send], Answer | Failure],
    sleep: Callable[[float], None],
    turn: AbstractContextManager[object] | None = None,
) -> T:
    """Drive an exchange in a thread. Returns its result or raises its exception. ``turn`` is held
    while a large answer is read."""
    try:
        step = next(flow)
        while True:
            if isinstance(step, Pause):
                sleep(step.seconds)
                step = next(flow)
            else:
                outcome = send(step)
                is_large = isinstance(outcome, Answer) and len(outcome.content) > _LARGE
                with turn if turn is not None and is_large else nullcontext():
                    step = flow.send(outcome)
    except StopIteration as done:
        return cast(T, done.value)


def _call(
    call: Call[T], credential: Credential, policy: RetryPolicy, monotonic: Any, jitter: Jitter
) -> Flow[T]:
    until = monotonic() + policy.timeout
    url, path = address(call.path, call.query, credential)
    content = _content(call.body)
    outcome: Answer | Failure | None
    attempt = 0
    while True:
        attempt += 1
        left = until - monotonic()
        outcome = Failure("no time left", passing=False)
        if left > 0:
            outcome = yield Send(call.method, url, content, left, until)
        if isinstance(outcome, Answer) and 200 <= outcome.status < 300:
            return _value(call, outcome, path)
        if isinstance(outcome, Answer):
            outcome = replace(outcome, content=credential._hidden_in(outcome.content))
        error, passing = _error(call.method, path, cast("Answer | Failure", outcome), policy)
        if call.method == "DELETE" and attempt > 1 and error.status == 404:
            # An earlier attempt did it, and its answer was lost.
            return call.read(None)
        # Full jitter: workers that failed together do not come back together.
        pause = jitter(0.05, min(0.2 * 2**attempt, 10.0)) + (error.retry_after or 0)
        passing = passing and attempt < policy.attempts and monotonic() + pause < until
        if not passing or (error.retry_after or 0) > policy.max_retry_after:
            raise error
        yield Pause(pause)


def _error(
    method: str, path: str, outcome: Answer | Failure, policy: RetryPolicy
) -> tuple[ApiError, bool]:
    """The exception, and whether the call may be made again."""
    if isinstance(outcome, Failure):
        error: ApiError = UpstreamError(outcome.why, method=method, path=path)
        return error, outcome.passing and method in _IDEMPOTENT
    error = error_for(outcome.status, outcome.content, outcome.wait, method, path)
    if isinstance(error, RateLimited):
        # Whoever limits rates has not taken the call, of whichever method it is.
        return error, 429 in policy.repeat_on
    return error, outcome.status in policy.repeat_on and method in _IDEMPOTENT


def _value(call: Call[T], answer: Answer, path: str) -> T:
    try:
        return call.read(_document(answer))
    except ValueError as error:
        why = str(error)
    # Raised here, where neither a local nor the chain holds the document. What is not idempotent
    # was taken, or may have been: to repeat it would do it twice.
    passing = call.method in _IDEMPOTENT
    status, method = answer.status, call.method
    raise InvalidResponse(why, status=status, method=method, path=path, temporary=passing)


def _document(answer: Answer) -> Any:
    document: Any = None
    if answer.status != 204 and answer.content.strip():
        try:
            document = json.loads(answer.content)
        except (ValueError, RecursionError):
            raise ValueError("the response is not JSON") from None
    # Few answers have so many brackets at all.
    brackets = answer.content.count(b"{") + answer.content.count(b"[")
    if brackets > _DEEPEST and _is_deeper([document], _DEEPEST):
        raise ValueError("the response is nested too deeply")
    return document


def _is_deeper(value: Any, levels: int) -> bool:
    """Whether there are more than so many levels of arrays and objects in this one."""
    inside = value.values() if type(value) is dict else value
    return levels < 0 or any(
        _is_deeper(one, levels - 1) for one in inside if type(one) is dict or type(one) is list
    )


def _content(body: Any) -> bytes | None:
    if body is None:
        return None
    try:
        return json.dumps(body, allow_nan=False, separators=(",", ":")).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidRequest(f"the body cannot be sent as JSON ({type(error).__name__})") from None
