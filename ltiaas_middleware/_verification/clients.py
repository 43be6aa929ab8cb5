"""Whose turn it is to call LTIAAS: calls are shared out fairly between client addresses.

Anyone can make up ltiks. Whoever does so waits behind themselves: each address with calls that wait
has one turn after the other (fair queueing), an address most of whose ltiks were refused lately
comes last and is paced, and what fails for one address holds up that address alone.

Not safe to use from many threads: the caller has a lock.
"""

from __future__ import annotations

import ipaddress
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from cachetools import TTLCache

from .breaker import Breaker

__all__ = ["KNOWN", "UNKNOWN", "Client", "Clients", "address_of"]

#: Stands for whoever asks for a launch that was verified before, in the place of an address.
KNOWN = "known"
#: All whose address the server does not tell.
UNKNOWN = ""

# Of an address most of whose ltiks were refused, so many calls more go out at once, and then so
# many a second.
_BURST = 20.0
_RATE = 5.0
# What is counted of an address counts half after so long (seconds), and no more than so much.
_HALF_LIFE = 60.0
_MOST_COUNTED = 32.0
# So many addresses are remembered, each for so long (seconds) after its last call.
_REMEMBERED_MOST = 10_000
_REMEMBERED = 300.0
# One address never has more than three quarters of all calls, and all that come last together
# never more than one.
_SHARE = 4

_CallT = TypeVar("_CallT", bound=Hashable)


def address_of(text: str | None) -> str:
    """What counts as one client: an IPv4 address, or the first 64 bits of an IPv6 address, which is
    what one subscriber is given (RFC 6177). An IPv4 address within IPv6 (RFC 4291 section 2.5.5.2)
    is that IPv4 address. ``UNKNOWN`` for what is no address."""
    try:
        address = ipaddress.ip_address((text or "").partition("%")[0])
    except ValueError:
        return UNKNOWN
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is None:
            return str(ipaddress.ip_network((address, 64), strict=False))
        address = address.ipv4_mapped
    return str(address)


class Client(Generic[_CallT]):
    """One address.

    Attributes:
        address: as ``address_of`` gives it, or ``KNOWN``.
        waiting: calls that wait for their turn.
        running: how many of its calls are being made.
        breaker: open where its calls fail.
    """

    __slots__ = (
        "_counted_at",
        "_refused",
        "_tokens",
        "_tokens_at",
        "_verified",
        "address",
        "breaker",
        "running",
        "waiting",
    )

    def __init__(self, address: str, breaker: Breaker, now: float) -> None:
        self.address = address
        self.waiting: deque[_CallT] = deque()
        self.running = 0
        self.breaker = breaker
        self._refused = self._verified = 0.0
        self._counted_at = now
        self._tokens = _BURST
        self._tokens_at = now

    def count(self, *, refused: bool, now: float) -> None:
        """Note that an ltik of this address was refused, or verified."""
        # Of those whose address nobody tells, nobody can be told apart.
        if self.address in (KNOWN, UNKNOWN):
            return
        self._fade(now)
        if refused:
            self._refused = min(self._refused + 1, _MOST_COUNTED)
        else:
            self._verified = min(self._verified + 1, _MOST_COUNTED)

    def comes_last(self, now: float) -> bool:
        """Whether more of its ltiks were refused than verified lately. A school behind one address,
        where somebody reloads a launch of yesterday, does not."""
        self._fade(now)
        return self._refused > max(self._verified, 0.5)

    def take_token(self, now: float) -> None:
        """Note that a call of an address that comes last is made."""
        self._fill(now)
        self._tokens -= 1

    def seconds_to_token(self, now: float) -> float:
        """How long until its next call may be made; 0 for now."""
        self._fill(now)
        return max(0.0, (1 - self._tokens) / _RATE)

    def _fill(self, now: float) -> None:
        self._tokens = min(_BURST, self._tokens + (now - self._tokens_at) * _RATE)
        self._tokens_at = now

    def _fade(self, now: float) -> None:
        faded = 0.5 ** ((now - self._counted_at) / _HALF_LIFE)
        self._refused *= faded
        self._verified *= faded
        self._counted_at = now


class Clients(Generic[_CallT]):
    """The calls that wait or are being made, by address.

    Args:
        max_calls: how many are made at once.
        max_wait: seconds that one may wait.
        new_breaker: makes the breaker of an address.
        monotonic: seconds of a clock that nobody sets.
    """

    def __init__(
        self,
        max_calls: int,
        max_wait: float,
        new_breaker: Callable[[], Breaker],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._most = max_calls
        self._most_of_one = max_calls - max_calls // _SHARE
        self._most_of_last = max(1, max_calls // _SHARE)
        self._most_waiting = max(1, int(max_wait * _RATE))
        self._new_breaker = new_breaker
        self._monotonic = monotonic
        # Those with calls that wait, in the order of their turns; those with calls; and others.
        self._turns: OrderedDict[str, Client[_CallT]] = OrderedDict()
        self._busy: dict[str, Client[_CallT]] = {}
        self._past: TTLCache[str, Client[_CallT]] = TTLCache(
            _REMEMBERED_MOST, _REMEMBERED, timer=monotonic
        )
        self._waiting = 0
        self._running = 0
        # Calls that are being made for those who come last.
        self._last: set[_CallT] = set()

    def __len__(self) -> int:
        return self._waiting + self._running

    def comes_last(self, address: str) -> bool:
        """Whether an address comes last."""
        client = self._busy.get(address) or self._past.get(address)
        return client is not None and client.comes_last(self._monotonic())

    def add(self, address: str, call: _CallT) -> tuple[Client[_CallT], bool] | None:
        """Queue a call.

        Returns:
            Its client, and whether it may have to wait; or None where it could only wait in vain.
        """
        client = self._busy.get(address) or self._past.pop(address, None)
        now = self._monotonic()
        if client is None:
            client = Client(address, self._new_breaker(), now)
        last = client.comes_last(now)
        if last and len(client.waiting) >= self._most_waiting:
            self._rest(client)
            return None
        full = len(self) >= self._most or last
        if address not in (KNOWN, UNKNOWN):
            full |= client.running + len(client.waiting) >= self._most_of_one
        self._busy[address] = client
        self._turns.setdefault(address, client)
        client.waiting.append(call)
        self._waiting += 1
        return client, full

    def take(self) -> _CallT | None:
        """The next call to make, if one may be made now; ``ended`` follows."""
        now = self._monotonic()
        last = None
        for client in self._turns.values():
            if client.comes_last(now):
                if last is None and self._may_call_last(client, now):
                    last = client
            elif client.address in (KNOWN, UNKNOWN) or client.running < self._most_of_one:
                return self._begin(client)
        if last is None:
            return None
        last.take_token(now)
        return self._begin(last, last=True)

    def seconds_to_next(self) -> float | None:
        """When to try ``take`` again, unless a call ends before; None where that has to be."""
        now = self._monotonic()
        if len(self._last) >= self._most_of_last:
            return None
        waits = [
            client.seconds_to_token(now)
            for client in self._turns.values()
            if client.comes_last(now)
        ]
        return min(waits, default=None)

    def ended(self, client: Client[_CallT], call: _CallT) -> None:
        """A call that was taken has ended."""
        self._running -= 1
        client.running -= 1
        self._last.discard(call)
        self._rest(client)

    def withdraw(self, client: Client[_CallT], call: _CallT) -> bool:
        """Take a call back, if it still waits.

        Returns:
            Whether it did.
        """
        if call not in client.waiting:
            return False
        client.waiting.remove(call)
        self._waiting -= 1
        if not client.waiting:
            del self._turns[client.address]
        self._rest(client)
        return True

    def _may_call_last(self, client: Client[_CallT], now: float) -> bool:
        return (
            len(self._last) < self._most_of_last
            # A token may be a rounding error away.
            and client.seconds_to_token(now) < 1e-6
        )

    def _begin(self, client: Client[_CallT], *, last: bool = False) -> _CallT:
        call = client.waiting.popleft()
        self._waiting -= 1
        self._running += 1
        client.running += 1
        if last:
            self._last.add(call)
        if client.waiting:
            self._turns.move_to_end(client.address)
        else:
            del self._turns[client.address]
        return call

    def _rest(self, client: Client[_CallT]) -> None:
        if not client.running and not client.waiting:
            self._busy.pop(client.address, None)
            self._past[client.address] = client
