"""Calls LTIAAS, each call in a thread, when ``limits`` gives it a turn."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from ..api.decoded import Decoded
from ..api.error_answers import believed
from ..errors import ApiError, ApiKeyRejected, PlatformInactive, RateLimited, UpstreamError
from ..settings import Settings
from .flights import Flight
from .id_tokens import IdTokenSource
from .limits import PATH, Limits
from .stats import Stats
from .threads import Threads, Ticker

__all__ = ["Upstream"]

_log = logging.getLogger("ltiaas_middleware")

# Seconds between checks of waiting calls while nothing else happens.
_TICK = 0.1


class Upstream:
    """Makes the calls. Thread-safe.

    Args:
        threads: the threads for calls; there are more of them than ``max_concurrent_calls``.
        run: carries out a flight when it has its turn, in a separate thread. It calls ``ask``, must
            not raise, and may block.
        refuse: called for a flight that does not run, with the error and the name of the counter.
    """

    def __init__(
        self,
        settings: Settings,
        source: IdTokenSource,
        stats: Stats,
        threads: Threads,
        *,
        run: Callable[[Flight], object],
        refuse: Callable[[Flight, UpstreamError, str], object],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._source = source
        self._stats = stats
        self._run = run
        self._refuse = refuse
        self._monotonic = monotonic
        self._limits = Limits(settings.max_concurrent_calls, settings.timeout, monotonic)
        self._lock = threading.Lock()
        self._threads = threads
        self._ticker = Ticker(_TICK, self._tick, "ltiaas-turns")
        self._closed = False

    def submit(self, flight: Flight, *, here: bool = False) -> None:
        """Run a flight when it has its turn. Does not block, unless it is called in one of the
        threads (``here``), in which the flight may then run immediately."""
        if self._closed:
            self._refuse(flight, UpstreamError("closed", path=PATH), "Closed")
            return
        flight.queued_at = self._monotonic()
        with self._lock:
            self._limits.add(flight)
        self._go_on(flight if here else None)
        if self._limits.waiting:
            try:
                self._ticker.wake()
            except RuntimeError as error:
                _log.error("cannot start the thread for waiting calls: %s", error)

    def ask(self, flight: Flight) -> Decoded | ApiError:
        """Call LTIAAS for a flight that has its turn."""
        self._stats.count("fetches")
        error: ApiError
        try:
            found = flight.context.run(self._source.id_token, flight.ltik)
        except ApiError as failed:
            error = failed
        except BaseException as failed:  # noqa: BLE001 - waiting requests need an outcome
            _log.error("a call to LTIAAS failed: internal error (%s)", type(failed).__name__)
            error = UpstreamError("the fetch failed", path=PATH)
        else:
            with self._lock:
                self._limits.answered(flight, rejected=False)
            return found
        if error.retry_after is not None:
            error.retry_after = believed(error.retry_after)
        with self._lock:
            if isinstance(error, RateLimited | UpstreamError) and error.temporary:
                self._limits.failed(flight, error.retry_after)
            else:
                self._limits.answered(flight, rejected=_rejects_ltik(error))
        return error

    def close(self) -> None:
        """Make no more calls."""
        self._closed = True

    def _tick(self) -> bool:
        self._go_on()
        return bool(self._limits.waiting) and not self._closed

    def _go_on(self, mine: Flight | None = None) -> None:
        """Start the flights that may run now, and refuse those that have waited too long."""
        with self._lock:
            begun, refused = self._limits.sort_out()
        for flight, error, kind in refused:
            self._refuse(flight, error, kind)
        for flight in begun:
            if flight is mine:
                continue
            try:
                self._threads.submit(self._work, flight)
            except RuntimeError as error:
                _log.error("cannot start a thread for a call to LTIAAS: %s", error)
                with self._lock:
                    self._limits.ended(flight)
                no_thread = UpstreamError(
                    "no thread available for the call", path=PATH, retry_after=2
                )
                self._refuse(flight, no_thread, "NoThread")
        if mine is not None and mine in begun:
            self._work(mine)

    def _work(self, flight: Flight) -> None:
        try:
            self._run(flight)
        finally:
            with self._lock:
                self._limits.ended(flight)
            self._go_on()


def _rejects_ltik(error: ApiError) -> bool:
    """Whether an error is about the ltik, not about the account or the LMS."""
    if isinstance(error, ApiKeyRejected | PlatformInactive):
        return False
    return error.status is not None and 400 <= error.status < 500
