"""Writes service keys in the background, so that the database can neither delay nor fail a launch.

Keys wait in a bounded queue, one for each activity, until a single thread writes them one after the
other. The thread starts with the first key and ends after the last. If a write fails, the key waits
again, with exponential backoff. If the queue is full, the oldest launch is dropped.
"""

from __future__ import annotations

import atexit
import logging
import random
import threading
import time
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field

from ..activity import ActivityKey
from ..errors import ServiceKeyStoreError
from .database import Unstorable

_log = logging.getLogger("ltiaas_middleware")

# Seconds between two log entries about a database that goes on failing.
_LOG_EVERY = 60.0
# Seconds until the first and the slowest repeat.
_BACK_OFF, _MAX_BACK_OFF = 0.5, 15.0
# Seconds that the end of the process waits for keys that are still to be written.
_LAST_CALL = 2.0


@dataclass(frozen=True, slots=True)
class Launch:
    """A service key to write, and when its launch began (microseconds)."""

    at: int
    key: str = field(repr=False)


class Writer:
    """Writes keys in the background. Thread-safe. Up to ``size`` keys may wait.

    ``write`` stores one key, and returns whether it did (False if a later launch's key is already
    stored). It raises ``ServiceKeyStoreError`` if the database fails. Any other exception, such as
    ``Unstorable``, concerns only this key.
    """

    def __init__(
        self,
        write: Callable[[ActivityKey, Launch], bool],
        size: int,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._write, self._size, self._monotonic = write, size, monotonic
        self._counts = dict.fromkeys(("stored", "outdated", "dropped", "failed"), 0)
        self.start_over()
        _writers.add(self)

    def start_over(self) -> None:
        """Call this in the child of a fork, because the thread, the lock and the waiting keys
        belong to the parent."""
        self._changed = threading.Condition()
        self._waiting: dict[ActivityKey, Launch] = {}
        self._writing: ActivityKey | None = None
        self._thread: threading.Thread | None = None
        # What is being written must not wait again if that fails.
        self._last_try = False
        # Failures of the database: in all, and in a row.
        self._failures = self._streak = 0
        self._next_try = self._quiet_until = float("-inf")
        # Whether the log says that the database fails.
        self._logged = False

    def add(self, key: ActivityKey, launch: Launch) -> None:
        """Add a key to the queue. Never blocks."""
        with self._changed:
            self._admit(key, launch)
            self._start()

    def flush(self, timeout: float) -> bool:
        """See ``ServiceKeyStore.flush``."""
        with self._changed:
            failures, self._next_try = self._failures, float("-inf")
            if self._start():
                self._changed.wait_for(lambda: self._done() or self._failures > failures, timeout)
            return self._done()

    def finish(self, timeout: float = _LAST_CALL) -> None:
        """Write waiting keys for at most ``timeout`` seconds, in this thread if no other thread can
        start. Drop the rest."""
        self.flush(timeout)
        with self._changed:
            end = time.monotonic() + timeout
            while self._thread is None and self._waiting and time.monotonic() < end:
                if not self._write_next():
                    break
            left = len(self._waiting)
            self._counts["dropped"] += left
            self._waiting.clear()
            self._last_try = True
            self._changed.notify_all()
        if left:
            _log.error(
                "%d service key(s) not stored; the next launch of each activity stores its key",
                left,
            )

    def delete(self, chosen: Callable[[ActivityKey], bool], timeout: float) -> bool:
        """Remove keys from the queue, and wait for a running write to end. Returns False if it did
        not end within ``timeout`` seconds."""
        with self._changed:
            for key in [one for one in self._waiting if chosen(one)]:
                del self._waiting[key]
            if self._writing is not None and chosen(self._writing):
                self._last_try = True
            self._changed.notify_all()
            return self._changed.wait_for(
                lambda: self._writing is None or not chosen(self._writing), timeout
            )

    def settle(self, key: ActivityKey, timeout: float) -> None:
        """Wait, for at most ``timeout`` seconds, until the key of one activity is no longer waiting
        or the database fails, so that a caller that recorded a launch can read its key."""
        with self._changed:
            failures = self._failures

            def settled() -> bool:
                waits = key in self._waiting or self._writing == key
                return not waits or self._streak > 0 or self._failures > failures

            self._changed.wait_for(settled, timeout)

    def stats(self) -> dict[str, int]:
        """See ``ServiceKeyStore.stats``."""
        with self._changed:
            return self._counts | {"waiting": len(self._waiting) + (self._writing is not None)}

    def reject(self, error: Exception) -> None:
        """Count and log a key that cannot be stored at all."""
        with self._changed:
            self._counts["failed"] += 1
            self._counts["dropped"] += 1
        why = str(error) if isinstance(error, ServiceKeyStoreError) else type(error).__name__
        _log.warning("cannot store a service key: %s", why)

    # All that follows holds the lock

    def _done(self) -> bool:
        return not self._waiting and self._writing is None

    def _admit(self, key: ActivityKey, launch: Launch) -> None:
        waiting = self._waiting.get(key)
        if waiting is None and len(self._waiting) >= self._size:
            self._counts["dropped"] += 1
            oldest = min(self._waiting, key=lambda one: self._waiting[one].at)
            if launch.at < self._waiting[oldest].at:
                return
            del self._waiting[oldest]
        if waiting is None or launch.at >= waiting.at:
            self._waiting[key] = launch

    def _start(self) -> bool:
        """See to it that a thread is at work if there is any. False if none can be had."""
        self._changed.notify_all()
        if self._thread is None and self._waiting:
            thread = threading.Thread(target=self._run, name="ltiaas-service-keys", daemon=True)
            try:
                thread.start()
            except RuntimeError as error:
                _log.warning(
                    "cannot start the thread that stores service keys (%s); %d keys wait for the "
                    "next launch", error, len(self._waiting),
                )  # fmt: skip
                return False
            self._thread = thread
        return True

    def _run(self) -> None:
        with self._changed:
            try:
                while self._waiting:
                    pause = self._next_try - self._monotonic()
                    if pause > 0:
                        self._changed.wait(pause)
                    else:
                        self._write_next()
            finally:
                self._thread = None
                self._changed.notify_all()

    def _write_next(self) -> bool:
        """Write the key whose turn it is, without the lock. False if the database failed."""
        key = next(iter(self._waiting))
        launch = self._waiting.pop(key)
        self._writing, self._last_try = key, False
        failure: Exception | None = None
        self._changed.release()
        try:
            stored = self._write(key, launch)
        except Exception as error:  # noqa: BLE001 - the thread must go on
            failure = error
        finally:
            self._changed.acquire()
        self._writing = None
        well = not isinstance(failure, ServiceKeyStoreError) or isinstance(failure, Unstorable)
        if failure is None:
            self._recovered(stored)
        elif well:
            self.reject(failure)
        else:
            if self._last_try:
                self._counts["dropped"] += 1
            else:
                self._admit(key, launch)
            self._trouble(failure)
        self._changed.notify_all()
        return well

    def _recovered(self, stored: bool) -> None:
        self._counts["stored" if stored else "outdated"] += 1
        if self._logged:
            _log.warning("the service-key database works again")
        self._streak, self._logged = 0, False

    def _trouble(self, error: Exception) -> None:
        now = self._monotonic()
        self._counts["failed"] += 1
        self._failures += 1
        # Capped: 2.0**1024 is no float.
        back_off = min(_MAX_BACK_OFF, _BACK_OFF * 2.0 ** min(self._streak, 16))
        self._streak += 1
        self._next_try = now + back_off * random.uniform(0.5, 1)  # noqa: S311
        if now >= self._quiet_until:
            self._quiet_until, self._logged = now + _LOG_EVERY, True
            _log.error(
                "cannot store service keys (%d failed writes so far); the middleware retries %d "
                "of them: %s", self._counts["failed"], len(self._waiting), error,
            )  # fmt: skip


_writers: weakref.WeakSet[Writer] = weakref.WeakSet()


def _last_call() -> None:
    for writer in list(_writers):
        writer.finish()


atexit.register(_last_call)
