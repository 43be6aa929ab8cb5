"""Writes service keys in the background, so that the database can neither delay nor fail a launch.

Keys wait in a bounded room, one for each place, until a thread writes them one after the other. The
thread starts with the first key and ends with the last. What the database failed to take waits its
turn again, with exponential back-off; if the room is full, the oldest launch is dropped.

Each step of the thread is a task of its own that submits the next one. An executor takes no more
tasks once the interpreter is ending: that is how the thread learns that it has to hurry.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from ..errors import ServiceKeyStoreError
from .database import Unstorable
from .schema import Place

__all__ = ["Launch", "Writer"]

_log = logging.getLogger("ltiaas_middleware")

# Seconds between two log entries about a database that goes on failing.
_LOG_EVERY = 60.0
# Seconds until the first and the slowest repeat.
_BACK_OFF, _MAX_BACK_OFF = 0.5, 15.0
# Seconds after which a thread that backs off looks whether it still should.
_GLANCE = 0.25
# Seconds that the end of the process waits for keys that are still to be written.
_LAST_CALL = 2.0


@dataclass(frozen=True, slots=True)
class Launch:
    """A service key that waits to be written, and when its launch began (microseconds)."""

    at: int
    key: str = field(repr=False)


class Writer:
    """Safe to use from many threads.

    Args:
        write: stores one key; says whether it was stored (False: a later launch's is there).
            Raises ``ServiceKeyStoreError`` where the database fails; any other exception,
            ``Unstorable`` among them, is this one key's.
        room: how many keys may wait.
        monotonic: seconds.
    """

    def __init__(
        self,
        write: Callable[[Place, Launch], bool],
        room: int,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._write = write
        self._size = room
        self._monotonic = monotonic
        self._counts = dict.fromkeys(("stored", "outdated", "dropped", "failed"), 0)
        self.start_over()

    def start_over(self) -> None:
        """In the child of a fork: thread, lock and waiting keys are the parent's."""
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._hurry = threading.Event()
        self._room: dict[Place, Launch] = {}
        self._writing: Place | None = None
        # A thread is at work, or about to be.
        self._active = False
        # What is being written must not wait again if that fails.
        self._last_try = False
        self._failures = self._streak = 0
        self._next_try = self._quiet_until = float("-inf")
        self._failing = False

    def add(self, place: Place, launch: Launch) -> None:
        """Let a key wait to be written. Never waits itself."""
        with self._lock:
            self._admit(place, launch)
        self._start()

    def flush(self, timeout: float) -> bool:
        """Wait until all keys are written, for at most ``timeout`` seconds.

        Returns:
            False where some still wait: the time was over, or the database failed.
        """
        with self._lock:
            failures = self._failures
            self._next_try = float("-inf")
        self._hurry.set()
        if not self._start():
            return False
        with self._changed:
            self._changed.wait_for(
                lambda: self._done() or self._failures > failures, timeout=timeout
            )
            return self._done()

    def finish(self, timeout: float = _LAST_CALL) -> None:
        """Write what waits, for at most ``timeout`` seconds, in this thread where no other can be
        had any more; drop the rest, so that nothing is left to do."""
        if not self.flush(timeout):
            with self._lock:
                alone, self._active = not self._active, True
            if alone:
                self._write_until(time.monotonic() + timeout)
        self._drop_all()

    def forget(self, chosen: Callable[[Place], bool], timeout: float) -> bool:
        """Take keys out of the room, and wait for the end of a write that is under way.

        Returns:
            False where that write did not end within ``timeout`` seconds.
        """
        with self._changed:
            for place in [one for one in self._room if chosen(one)]:
                del self._room[place]
            if self._writing is not None and chosen(self._writing):
                self._last_try = True
            self._changed.notify_all()
            return self._changed.wait_for(
                lambda: self._writing is None or not chosen(self._writing), timeout=timeout
            )

    def stats(self) -> dict[str, int]:
        """See ``ServiceKeyStore.stats``."""
        with self._lock:
            return self._counts | {"waiting": len(self._room) + (self._writing is not None)}

    def reject(self, error: Exception) -> None:
        """Count and log a key that cannot be stored at all."""
        with self._lock:
            self._counts["failed"] += 1
            self._counts["dropped"] += 1
        why = str(error) if isinstance(error, ServiceKeyStoreError) else type(error).__name__
        _log.warning("a service key cannot be stored: %s", why)

    # The room, under the lock

    def _done(self) -> bool:
        return not self._room and self._writing is None

    def _admit(self, place: Place, launch: Launch) -> None:
        waiting = self._room.get(place)
        if waiting is not None:
            if launch.at >= waiting.at:
                self._room[place] = launch
            return
        if len(self._room) >= self._size:
            self._counts["dropped"] += 1
            oldest = min(self._room, key=lambda one: self._room[one].at)
            if launch.at < self._room[oldest].at:
                return
            del self._room[oldest]
        self._room[place] = launch

    # The thread

    def _start(self) -> bool:
        """See to it that a thread is at work if there is any. False where none can be had."""
        with self._lock:
            if self._active or not self._room:
                return True
            self._active = True
        # Not under the lock: the start of a thread may switch to another one.
        executor = ThreadPoolExecutor(1, "ltiaas-service-keys")
        try:
            executor.submit(self._step, executor)
        except RuntimeError as error:  # No thread to be had, or the interpreter is ending.
            with self._changed:
                self._active = False
                waiting = len(self._room)
                self._changed.notify_all()
            _log.warning(
                "no thread can be started to store service keys (%s); %d wait for the next launch",
                error,
                waiting,
            )
            return False
        return True

    def _step(self, executor: ThreadPoolExecutor) -> None:
        pause = self._next_try - self._monotonic()
        if pause > 0:
            self._hurry.wait(min(pause, _GLANCE))
            self._hurry.clear()
        else:
            self._write_one()
        if self._rest():
            executor.shutdown(wait=False)
            return
        try:
            executor.submit(self._step, executor)
        except RuntimeError:
            self._write_until(time.monotonic() + _LAST_CALL)
            self._drop_all()

    def _rest(self) -> bool:
        """Whether there is nothing to do; if so, this thread is at work no more."""
        with self._changed:
            self._active = bool(self._room)
            self._changed.notify_all()
            return not self._active

    def _write_until(self, end: float) -> None:
        while time.monotonic() < end and self._write_one():
            pass
        with self._changed:
            self._active = False
            self._changed.notify_all()

    def _write_one(self) -> bool:
        """Write the key whose turn it is. False where there was none, or the database failed."""
        with self._lock:
            if not self._room:
                return False
            place = next(iter(self._room))
            launch = self._room.pop(place)
            self._writing, self._last_try = place, False
        failure: Exception | None = None
        stored = False
        try:
            stored = self._write(place, launch)
        except Exception as error:  # noqa: BLE001 - the thread must go on
            failure = error
        well = True
        if failure is None:
            self._recovered(stored)
        elif isinstance(failure, ServiceKeyStoreError) and not isinstance(failure, Unstorable):
            well = False
            self._trouble(failure)
        else:
            self.reject(failure)
        with self._changed:
            if not well:
                if self._last_try:
                    self._counts["dropped"] += 1
                else:
                    self._admit(place, launch)
            self._writing = None
            self._changed.notify_all()
        return well

    def _recovered(self, stored: bool) -> None:
        with self._lock:
            self._counts["stored" if stored else "outdated"] += 1
            recovered, self._failing, self._streak = self._failing, False, 0
        if recovered:
            _log.warning("the database of service keys works again")

    def _trouble(self, error: ServiceKeyStoreError) -> None:
        with self._lock:
            now = self._monotonic()
            self._counts["failed"] += 1
            self._failures += 1
            # Capped: 2.0**1024 is no float.
            back_off = min(_MAX_BACK_OFF, _BACK_OFF * 2.0 ** min(self._streak, 16))
            self._streak += 1
            self._next_try = now + back_off * random.uniform(0.5, 1)  # noqa: S311
            if now < self._quiet_until:
                return
            self._quiet_until = now + _LOG_EVERY
            self._failing = True
            failed, waiting = self._counts["failed"], len(self._room) + 1
        _log.error(
            "service keys cannot be stored (%d failed writes so far); %d wait and are tried "
            "again: %s",
            failed,
            waiting,
            error,
        )

    def _drop_all(self) -> None:
        with self._changed:
            left = len(self._room)
            self._counts["dropped"] += left
            self._room.clear()
            self._last_try = True
            self._changed.notify_all()
        if left:
            _log.error(
                "%d service key(s) not stored; the next launch of the same activity brings it "
                "again",
                left,
            )
