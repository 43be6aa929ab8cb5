"""News between workers, over Redis's publish and subscribe.

What is published while a worker is not connected never reaches it. So each (re)connection is
followed by ``missed``, for the worker to look up what it has in memory, and that is repeated until
it has succeeded.
"""

from __future__ import annotations

import contextlib
import logging
import random
import socket
import threading
import time
from collections.abc import Callable
from contextlib import closing
from typing import Any

from .store import StoreUnavailable

__all__ = ["News"]

_log = logging.getLogger("ltiaas_middleware")

# Seconds between two looks at what there is to do beside listening.
_LOOK = 1.0
# After so many looks at a quiet connection a sign of life is asked for; after twice as many it is
# taken for dead. A firewall or a machine that is gone closes nothing.
_QUIET = 5
# Seconds until the next attempt after the connection was lost.
_RECONNECT = 1.0
# Seconds that a subscription stands at least, however often it is to be made anew.
_STANDS = 5.0
# Seconds that ``close`` waits for the thread, which it has woken up.
_END = 2.0


class News:
    """One subscription, in a thread of its own.

    Args:
        client: returns a client of redis-py's, or raises.
        channel: where to listen.
        failed: called with the error when the connection is lost or cannot be made.
    """

    def __init__(
        self, client: Callable[[], Any], channel: str, failed: Callable[[Exception], None]
    ) -> None:
        self.channel = channel
        self._client = client
        self._failed = failed
        self._closed = threading.Event()
        self._renewed = threading.Event()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._subscription: Any = None
        #: Set while the subscription stands and nothing that was missed is left to be looked up.
        self.connected = threading.Event()

    def listen(self, heard: Callable[[bytes], None], missed: Callable[[], None]) -> None:
        """Start, unless it has been started. Where no thread can be started, the next call tries
        again.

        Args:
            heard: called with each message.
            missed: called when messages may have been missed; raises ``StoreUnavailable`` where it
                could not find out, to be called again.
        """
        with self._lock:
            if self._thread is not None or self._closed.is_set():
                return
            thread = threading.Thread(
                target=self._run, args=(heard, missed), name="ltiaas-news", daemon=True
            )
            try:
                thread.start()
            except RuntimeError as error:
                _log.error("no thread to listen in can be started yet: %s", error)
                return
            self._thread = thread

    def renew(self) -> None:
        """Subscribe anew, and look up what was missed: the connection may be one to a server that
        is cut off from the others. Does not block."""
        self._renewed.set()

    def close(self) -> None:
        """End the thread, and close its connection."""
        self._closed.set()
        with self._lock:
            thread = self._thread
        # It may be waiting for a message.
        connection = getattr(self._subscription, "connection", None)
        sock = getattr(connection, "_sock", None)
        if sock is not None:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        if thread is not None and thread is not threading.current_thread():
            thread.join(_END)

    def _run(self, heard: Callable[[bytes], None], missed: Callable[[], None]) -> None:
        while not self._closed.is_set():
            try:
                with closing(self._client().pubsub(ignore_subscribe_messages=False)) as one:
                    self._subscription = one
                    one.subscribe(self.channel)
                    self._follow(one, heard, missed)
                    continue
            except Exception as error:  # noqa: BLE001 - whatever it was, it connects again
                if not self._closed.is_set():
                    self._failed(error)
            finally:
                self._subscription = None
                self.connected.clear()
            # Workers that were cut off together do not come back together.
            self._closed.wait(_RECONNECT * random.uniform(0.5, 1.5))  # noqa: S311 - no secret

    def _follow(
        self, subscription: Any, heard: Callable[[bytes], None], missed: Callable[[], None]
    ) -> None:
        quiet = 0
        behind = False
        self._renewed.clear()
        stands_until = time.monotonic() + _STANDS
        while not self._closed.is_set():
            if self._renewed.is_set() and time.monotonic() >= stands_until:
                return
            if behind:
                with contextlib.suppress(StoreUnavailable):
                    missed()
                    behind = False
                    self.connected.set()
            message = subscription.get_message(timeout=_LOOK)
            if message is None:
                quiet += 1
                if quiet >= 2 * _QUIET:
                    raise ConnectionError("no sign of life")
                if quiet == _QUIET:
                    subscription.ping()
                continue
            quiet = 0
            if message["type"] == "subscribe":
                # From here on nothing is missed; what was, is looked up now.
                behind = True
            elif message["type"] == "message":
                heard(message["data"])
