"""Calls that are made after a while, by one thread for all of them. Callbacks must not block."""

from __future__ import annotations

import heapq
import itertools
import logging
import threading
import time
from collections.abc import Callable

__all__ = ["Timer"]

_log = logging.getLogger("ltiaas_middleware")


class Timer:
    """The thread starts with the first call, so that a server may fork before it."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._calls: list[tuple[float, int, Callable[[], object]]] = []
        self._numbers = itertools.count()
        self._thread: threading.Thread | None = None
        self._closed = False

    def call(self, seconds: float, call: Callable[[], object]) -> None:
        """Make ``call`` after so many seconds. After ``close`` it is not made at all.

        Where no thread can be started the call is kept, and the next one tries again.
        """
        with self._changed:
            if self._closed:
                return
            heapq.heappush(self._calls, (time.monotonic() + seconds, next(self._numbers), call))
            if self._thread is None:
                thread = threading.Thread(target=self._run, name="ltiaas-timer", daemon=True)
                try:
                    thread.start()
                except RuntimeError as error:
                    _log.error("a timer's thread cannot be started yet: %s", error)
                    return
                self._thread = thread
            self._changed.notify()

    def close(self, *, wait: bool = True) -> None:
        """Forget all calls and end the thread.

        Args:
            wait: until it has ended.
        """
        with self._changed:
            self._closed = True
            self._calls.clear()
            self._changed.notify()
            thread = self._thread
        if wait and thread is not None and thread is not threading.current_thread():
            thread.join()

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._calls or self._calls[0][0] > time.monotonic():
                    if self._closed:
                        return
                    left = self._calls[0][0] - time.monotonic() if self._calls else None
                    self._changed.wait(left)
                if self._closed:
                    return
                call = heapq.heappop(self._calls)[2]
            try:
                call()
            except Exception as error:  # noqa: BLE001 - the other calls still have to be made
                _log.error("%s in a delayed call", type(error).__name__)
            # A launch is not kept alive until the next call.
            del call
