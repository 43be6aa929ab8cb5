"""All limits on calls to LTIAAS: whose turn it is, who is slowed down, and when to stop calling.

- There are at most ``max_concurrent_calls`` calls at once. Requests that are *authenticated* for
  their launch go first and count toward no client's limit. Of the others, one client gets at most
  three quarters of the calls, and all of them together never get the last eighth.
- A client is *paced* while LTIAAS mostly rejects its ltiks: each rejected ltik adds to the client's
  debt, each verified ltik pays one back, and time pays the rest.
- There is one circuit breaker. It counts everything that is not a response from LTIAAS. As long as
  only a few clients have seen failures, those clients may be the cause (anyone can send invalid
  ltiks), so other clients may still try.

Not thread-safe: ``Upstream`` has a lock.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from socket import AF_INET, AF_INET6, inet_ntop, inet_pton
from typing import TYPE_CHECKING

from ..api.error_answers import believed
from ..errors import UpstreamError

if TYPE_CHECKING:
    from .flights import Flight

__all__ = ["PATH", "Breaker", "Limits", "client_of"]

#: The endpoint that the middleware calls (wire.md, "The ID token").
PATH = "/api/idtoken"
# The debt at which a client is paced, and how much of it each second pays.
_MOST_DEBT = 20.0
_PAID_A_SECOND = 5.0
# How many clients in debt to remember.
_REMEMBERED_MOST = 10_000
# How many consecutive failures open the breaker, and for how long (seconds). The pause grows after
# each failed probe, up to the maximum.
_FAILURES = 5
_PAUSE = 1.0
_LONGEST_PAUSE = 30.0
# How long a call waits for its turn (seconds).
_MAX_WAIT = 3.0
# If this many clients have seen failures, the cause is not one of them.
_MANY = 3
# The prefix of an IPv4-mapped IPv6 address (RFC 4291 section 2.5.5.2).
_MAPPED = bytes(10) + b"\xff\xff"


def client_of(address: str | None) -> str:
    """What counts as one client: an IPv4 address, or the first 64 bits of an IPv6 address, which is
    what one subscriber gets (RFC 6177). "" for all clients whose IP address the server does not
    report."""
    text = (address or "").partition("%")[0]
    try:
        if ":" not in text:
            return inet_ntop(AF_INET, inet_pton(AF_INET, text))
        ip = inet_pton(AF_INET6, text)
    except (OSError, ValueError):
        return ""
    if ip.startswith(_MAPPED):
        return inet_ntop(AF_INET, ip[len(_MAPPED) :])
    return f"{inet_ntop(AF_INET6, ip[:8] + bytes(8))}/64"


class Breaker:
    """After several consecutive failures, stops all calls for a while, and then lets one call try:
    a probe. If it takes longer than ``probe_for`` seconds, another one may start."""

    def __init__(self, probe_for: float, monotonic: Callable[[], float]) -> None:
        self._probe_for = probe_for
        self._monotonic = monotonic
        # How many consecutive calls failed, and for which clients first.
        self._failures = 0
        self._failed: set[str] = set()
        self._pause = _PAUSE
        self._open = False
        self._until = 0.0
        # When the current probe began, and whether it began after the pause.
        self._probe: tuple[float, bool] | None = None

    def wait(self, client: str) -> float | None:
        """Seconds until a call may be made: 0 means now, None means to wait for the current
        probe."""
        if not self._open:
            return 0.0
        now = self._monotonic()
        if self._probe is not None and now - self._probe[0] < self._probe_for:
            return None
        if client not in self._failed and len(self._failed) < _MANY:
            return 0.0
        return max(0.0, self._until - now)

    def begun(self) -> None:
        """Record that a call begins."""
        if self._open:
            now = self._monotonic()
            self._probe = now, now >= self._until

    def answered(self) -> None:
        """Record that LTIAAS responded, even if only to reject an ltik."""
        self._failed.clear()
        self._failures = 0
        self._open, self._probe, self._pause = False, None, _PAUSE

    def failed(self, client: str, retry_after: float | None) -> None:
        """Record that LTIAAS did not respond, or asked to come back later."""
        now, probe = self._monotonic(), self._probe
        self._failures += 1
        if len(self._failed) < _MANY:
            self._failed.add(client)
        if retry_after is not None:
            self._until = max(self._until, now + retry_after)
        elif self._open and probe is None:
            # The call began before the breaker opened, so it is not the probe that decides the next
            # pause.
            return
        elif self._open or self._failures >= _FAILURES:
            if probe is not None and probe[1]:
                self._pause = min(self._pause * 2, _LONGEST_PAUSE)
            # Spread the retries of workers that failed at the same time.
            pause = self._pause * random.uniform(0.75, 1.25)  # noqa: S311 - no secret
            self._until = max(self._until, now + pause)
        else:
            return
        self._open, self._probe = True, None


class Limits:
    """The calls that wait for their turn, and those in progress."""

    def __init__(self, max_calls: int, probe_for: float, monotonic: Callable[[], float]) -> None:
        self._most = max_calls
        self._most_of_one = max_calls - max_calls // 4
        self._most_of_strangers = max_calls - max_calls // 8
        self._strangers = 0
        self._monotonic = monotonic
        self._breaker = Breaker(probe_for, monotonic)
        self._queue: list[Flight] = []
        self._under_way = 0
        self._running: Counter[str] = Counter()
        # When each client's debt will be paid if nothing is added, the oldest first. A plain dict,
        # because each event looks at every waiting call.
        self._paid_at: dict[str, float] = {}

    @property
    def waiting(self) -> int:
        """The number of calls that wait for their turn."""
        return len(self._queue)

    def add(self, call: Flight) -> None:
        """Queue a call, for ``sort_out``."""
        self._queue.append(call)

    def sort_out(self) -> tuple[list[Flight], list[tuple[Flight, UpstreamError, str]]]:
        """The calls to make now, each followed by ``ended``, and the refused calls, each with an
        error and the name of a counter."""
        begun: list[Flight] = []
        refused: list[tuple[Flight, UpstreamError, str]] = []
        waiting: list[Flight] = []
        now = self._monotonic()
        for call in sorted(self._queue, key=lambda call: not call.authenticated):
            if now - call.queued_at > _MAX_WAIT:
                refused.append((call, _error("too many launches at once", 2), "Busy"))
                continue
            if self._under_way >= self._most:
                waiting.append(call)
                continue
            pause = self._breaker.wait(call.client)
            if not call.authenticated and self._debt(call.client, now) >= _MOST_DEBT:
                refused.append((call, _error("too many ltiks were rejected", 2), "Paced"))
            elif pause:
                # LTIAAS failed, or asked to wait.
                error = _error("circuit breaker open; not calling LTIAAS", believed(pause))
                refused.append((call, error, "CircuitOpen"))
            elif pause is None or not self._has_turn(call):
                waiting.append(call)
            else:
                self._breaker.begun()
                self._under_way += 1
                # It may become authenticated during the call.
                call.counted = not call.authenticated
                self._strangers += call.counted
                self._running[call.client] += 1
                begun.append(call)
        self._queue = waiting
        return begun, refused

    def ended(self, call: Flight) -> None:
        """Record the end of a call."""
        self._under_way -= 1
        self._strangers -= call.counted
        self._running[call.client] -= 1
        if not self._running[call.client]:
            del self._running[call.client]

    def answered(self, call: Flight, *, rejected: bool) -> None:
        """Record that LTIAAS responded."""
        self._breaker.answered()
        if call.client and not call.authenticated:
            now = self._monotonic()
            debt = self._debt(call.client, now) + (1 if rejected else -1)
            paid_at = self._paid_at
            paid_at.pop(call.client, None)
            if debt > 0:
                paid_at[call.client] = now + debt / _PAID_A_SECOND
            while paid_at and (
                len(paid_at) > _REMEMBERED_MOST or next(iter(paid_at.values())) <= now
            ):
                del paid_at[next(iter(paid_at))]

    def failed(self, call: Flight, retry_after: float | None) -> None:
        """Record that LTIAAS did not respond, or asked to come back later."""
        self._breaker.failed(call.client, retry_after)

    def _debt(self, client: str, now: float) -> float:
        return max(0.0, self._paid_at.get(client, now) - now) * _PAID_A_SECOND

    def _has_turn(self, call: Flight) -> bool:
        if call.authenticated:
            return True
        if self._strangers >= self._most_of_strangers:
            return False
        return not call.client or self._running[call.client] < self._most_of_one


def _error(why: str, retry_after: float | None) -> UpstreamError:
    return UpstreamError(why, path=PATH, retry_after=retry_after)
