"""A circuit breaker: what failed repeatedly is left alone for a while, then tried by one call.

Without it, every request of an outage would pay the whole timeout, and what comes back up would be
met by all of them at once.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable

__all__ = ["Breaker"]


class Breaker:
    """Safe to use from many threads. A call that may be made is followed by ``succeeded``,
    ``failed`` or ``hold``; where nothing follows, the next probe goes out all the same.

    Args:
        failures: so many in a row open it.
        pause: seconds until the first probe; doubled after each probe that fails.
        longest: seconds; the pause grows no further.
        probe_for: seconds that a probe may take before another one is let through.
        monotonic: seconds of a clock that nobody sets.
    """

    def __init__(
        self,
        *,
        failures: int,
        pause: float,
        longest: float,
        probe_for: float,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._most = failures
        self._first_pause = pause
        self._longest = longest
        self._probe_for = probe_for
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._failures = 0
        self._pause = pause
        self._open = False
        self._probing = False
        self._until = 0.0
        self._held_until = 0.0

    @property
    def is_open(self) -> bool:
        """Whether calls are being kept back, but for a probe now and then."""
        return self._open

    def wait(self) -> float:
        """Seconds until a call may be made; 0 where one may be made now."""
        with self._lock:
            return self._wait(self._monotonic())

    def enter(self) -> bool:
        """Whether a call may be made now. Where it is open and its pause is over, one is let
        through as a probe."""
        if not self._open:
            return True
        with self._lock:
            now = self._monotonic()
            if self._wait(now) > 0:
                return False
            if self._open:
                self._probing = True
                self._until = now + self._probe_for
            return True

    def succeeded(self) -> None:
        """A call got an answer."""
        if not self._open and not self._failures:
            return
        with self._lock:
            self._failures = 0
            if self._monotonic() >= self._held_until:
                self._open = self._probing = False
                self._pause = self._first_pause
                # The time that a probe was given is over with its answer.
                self._until = 0.0

    def failed(self) -> None:
        """A call got none."""
        with self._lock:
            now = self._monotonic()
            self._failures += 1
            if not self._open and self._failures < self._most:
                return
            if self._open and not self._probing:
                # Begun before it was opened: not the probe that the next pause depends on.
                return
            if self._open:
                self._pause = min(self._pause * 2, self._longest)
            # Workers that failed together do not come back together.
            pause = self._pause * random.uniform(0.75, 1.25)  # noqa: S311 - no secret
            self._until = max(now + pause, self._held_until)
            self._open, self._probing = True, False

    def hold(self, seconds: float) -> None:
        """Make no call for so long: the other side asked for it (RFC 9110 section 10.2.3)."""
        with self._lock:
            now = self._monotonic()
            self._held_until = max(self._held_until, now + seconds)
            # What a probe was given to take is over with its answer.
            self._until = max(now if self._probing else self._until, self._held_until)
            self._open, self._probing = True, False

    def _wait(self, now: float) -> float:
        return max(0.0, self._until - now) if self._open else 0.0
