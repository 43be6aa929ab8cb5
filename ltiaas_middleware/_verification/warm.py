"""A connection to LTIAAS that is open before it is needed.

The first launch of a process would otherwise pay for the TCP and TLS handshakes, and for loading
the certificates, before its own call goes out.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from .pool import Pool
from .timer import Timer

__all__ = ["Warm"]

_log = logging.getLogger("ltiaas_middleware")

# Servers close a connection that nobody uses, often after a minute. Looking costs one system call.
_EVERY = 15.0
# After so many looks without a launch the connection is left to itself: an hour.
_LOOKS = 240


class Warm:
    """Opens a connection in a thread of its own, and looks after it for an hour of no launches.

    Args:
        connect: opens a connection unless there is one. It may wait, and may raise: then it is
            tried again at the next look. Nothing else depends on it.
        every: seconds between two looks.
    """

    def __init__(self, connect: Callable[[], object], every: float = _EVERY) -> None:
        self._connect = connect
        self._every = every
        self._lock = threading.Lock()
        self._pool = Pool(1, "ltiaas-warm")
        self._timer = Timer()
        self._looks = 0
        self._begun = False

    def begin(self) -> None:
        """Open a connection in the background. Returns at once; further calls do nothing."""
        with self._lock:
            if self._begun:
                return
            self._begun = True
        self._look()

    def used(self) -> None:
        """A launch was verified: look after the connection for another hour."""
        with self._lock:
            again = self._begun and self._looks >= _LOOKS
            self._looks = 0
        if again:
            self._look()

    def close(self, *, wait: bool = True) -> None:
        """Stop looking."""
        self._timer.close(wait=wait)
        self._pool.shutdown(wait=wait)

    def _look(self) -> None:
        # Where no thread can be started, launches open connections as they need them.
        try:
            self._pool.submit(self._connect_once)
        except RuntimeError as error:
            _log.debug("no connection to LTIAAS is opened in advance: %s", error)

    def _connect_once(self) -> None:
        try:
            self._connect()
        except Exception as error:  # noqa: BLE001 - urllib3 and the socket raise what they like
            _log.debug("LTIAAS cannot be reached in advance (%s)", type(error).__name__)
        with self._lock:
            self._looks += 1
            if self._looks >= _LOOKS:
                return
        self._timer.call(self._every, self._look)
