"""Every limit on calls to LTIAAS: whose turn it is, who is paced, and when nobody calls.

- At most ``max_concurrent_calls`` at once. Requests that are *authenticated* for their launch go
  first and count against nobody; of the others one client has at most three quarters of the calls,
  and all of them together never the last eighth.
- A client is *paced* while its ltiks are mostly rejected: each rejected one is a debt, each
  verified one pays one back, and time pays the rest.
- One circuit breaker. It counts all that is no answer of LTIAAS's. While few clients have seen
  a failure it may be about them (anyone can make up ltiks), so that another one may try.

Not safe to use from many threads: ``Upstream`` has a lock.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from socket import AF_INET, AF_INET6, inet_ntop, inet_pton
from typing import TYPE_CHECKING

from cachetools import TTLCache

from ..api.error_answers import believed
from ..errors import UpstreamError

if TYPE_CHECKING:
    from .flights import Flight

__all__ = ["PATH", "Breaker", "Limits", "client_of"]

#: The endpoint that is asked (wire.md, "The ID token").
PATH = "/api/idtoken"
# The debt from which on a client is paced, and how much of it a second pays.
_MOST_DEBT = 20.0
_PAID_A_SECOND = 5.0
# So many clients in debt are remembered, each for so long (seconds).
_REMEMBERED_MOST = 10_000
_REMEMBERED = 300.0
# So many failures in a row open the breaker, for so long (seconds); longer after each probe that
# fails, but never longer than this.
_FAILURES = 5
_PAUSE = 1.0
_LONGEST_PAUSE = 30.0
# Seconds that a call waits for its turn.
_MAX_WAIT = 3.0
# What so many clients have seen fail is not about one of them.
_MANY = 3
# What an IPv4 address begins with as an IPv6 address (RFC 4291 section 2.5.5.2).
_MAPPED = bytes(10) + b"\xff\xff"


def client_of(address: str | None) -> str:
    """What counts as one client: an IPv4 address, or the first 64 bits of an IPv6 address, which is
    what one subscriber is given (RFC 6177). "" for all whose address the server does not tell."""
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
    """After several failures in a row nobody calls for a while; then one call tries.

    Args:
        probe_for: seconds that a probe may take before another one is let through.
    """

    def __init__(self, probe_for: float, monotonic: Callable[[], float]) -> None:
        self._probe_for = probe_for
        self._monotonic = monotonic
        # How often it failed in a row, and for whom first.
        self._failures = 0
        self._failed: set[str] = set()
        self._pause = _PAUSE
        self._open = False
        self._until = 0.0
        # Since when a call is trying, and whether it waited for its time.
        self._probe: tuple[float, bool] | None = None

    def wait(self, client: str) -> float | None:
        """Seconds until a call may be made: 0 for now, None while a probe is about to tell."""
        if not self._open:
            return 0.0
        now = self._monotonic()
        if self._probe is not None and now - self._probe[0] < self._probe_for:
            return None
        if client not in self._failed and len(self._failed) < _MANY:
            return 0.0
        return max(0.0, self._until - now)

    def begun(self) -> None:
        """A call is being made."""
        if self._open:
            now = self._monotonic()
            self._probe = now, now >= self._until

    def answered(self) -> None:
        """LTIAAS answered, if only that an ltik is over."""
        self._failed.clear()
        self._failures = 0
        self._open, self._probe, self._pause = False, None, _PAUSE

    def failed(self, client: str, retry_after: float | None) -> None:
        """There was no answer of LTIAAS's, or one that asks to come back later."""
        now, probe = self._monotonic(), self._probe
        self._failures += 1
        if len(self._failed) < _MANY:
            self._failed.add(client)
        if retry_after is not None:
            self._until = max(self._until, now + retry_after)
        elif self._open and probe is None:
            # Begun before it was opened: not the probe that the next pause depends on.
            return
        elif self._open or self._failures >= _FAILURES:
            if probe is not None and probe[1]:
                self._pause = min(self._pause * 2, _LONGEST_PAUSE)
            # Workers that failed together do not come back together.
            pause = self._pause * random.uniform(0.75, 1.25)  # noqa: S311 - no secret
            self._until = max(self._until, now + pause)
        else:
            return
        self._open, self._probe = True, None


class Limits:
    """What waits for its turn, and what is under way.

    Args:
        max_calls: how many calls are made at once.
        probe_for: see ``Breaker``.
    """

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
        # When the debt of a client will be paid, were nothing added to it.
        self._paid_at: TTLCache[str, float] = TTLCache(
            _REMEMBERED_MOST, _REMEMBERED, timer=monotonic
        )

    @property
    def under_way(self) -> int:
        """Calls that are being made or wait for their turn."""
        return len(self._queue) + self._under_way

    @property
    def waiting(self) -> int:
        """Calls that wait for their turn."""
        return len(self._queue)

    def add(self, call: Flight) -> None:
        """Queue a call, for ``sort_out``."""
        self._queue.append(call)

    def sort_out(self) -> tuple[list[Flight], list[tuple[Flight, UpstreamError, str]]]:
        """The calls that are to be made now, each followed by ``ended``; and those that are not
        made at all, with why, in an error and in the name of a counter."""
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
                # Because it failed, or because it asked for it.
                error = _error("circuit breaker open; not calling LTIAAS", believed(pause))
                refused.append((call, error, "CircuitOpen"))
            elif pause is None or not self._has_turn(call):
                waiting.append(call)
            else:
                self._breaker.begun()
                self._under_way += 1
                # It may become authenticated while it is under way.
                call.counted = not call.authenticated
                self._strangers += call.counted
                self._running[call.client] += 1
                begun.append(call)
        self._queue = waiting
        return begun, refused

    def ended(self, call: Flight) -> None:
        """A call that was begun has ended."""
        self._under_way -= 1
        self._strangers -= call.counted
        self._running[call.client] -= 1
        if not self._running[call.client]:
            del self._running[call.client]

    def answered(self, call: Flight, *, rejected: bool) -> None:
        """LTIAAS answered."""
        self._breaker.answered()
        if call.client and not call.authenticated:
            now = self._monotonic()
            debt = self._debt(call.client, now) + (1 if rejected else -1)
            if debt > 0:
                self._paid_at[call.client] = now + debt / _PAID_A_SECOND
            else:
                self._paid_at.pop(call.client, None)

    def failed(self, call: Flight, retry_after: float | None) -> None:
        """LTIAAS did not answer, or asked to come back later."""
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
