"""News between workers, over Redis's publish and subscribe.

What is published while a worker is not connected never reaches it. So each (re)connection is
followed by ``missed``, for the worker to look at what it has in memory.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from contextlib import closing
from typing import Any

__all__ = ["News"]

# Seconds between two looks at whether to end.
_LOOK = 1.0
# After so many looks at a quiet connection a sign of life is asked for; after twice as many it is
# taken for dead. A firewall or a machine that is gone closes nothing.
_QUIET = 10
# Seconds until the next attempt after the connection was lost.
_RECONNECT = 1.0


class News:
    """One subscription, in a thread of its own.

    Args:
        client: a client of redis-py's.
        channel: where to listen.
        failed: called when the connection is lost or cannot be made.
    """

    def __init__(self, client: Any, channel: str, failed: Callable[[], None]) -> None:
        self.channel = channel
        self._redis = client
        self._failed = failed
        self._closed = threading.Event()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        #: Set while the subscription stands.
        self.connected = threading.Event()

    def listen(self, heard: Callable[[bytes], None], missed: Callable[[], None]) -> None:
        """Start, unless it has been started: see ``RedisStore.listen``."""
        with self._lock:
            if self._thread is not None or self._closed.is_set():
                return
            self._thread = threading.Thread(
                target=self._run, args=(heard, missed), name="ltiaas-news", daemon=True
            )
            self._thread.start()

    def close(self) -> None:
        """Tell the thread to end. It is not waited for: it may be waiting itself, for a second, and
        when it wakes up it does nothing more."""
        self._closed.set()

    def _run(self, heard: Callable[[bytes], None], missed: Callable[[], None]) -> None:
        while not self._closed.is_set():
            try:
                with closing(self._redis.pubsub(ignore_subscribe_messages=False)) as subscription:
                    subscription.subscribe(self.channel)
                    self._follow(subscription, heard, missed)
            except Exception:  # noqa: BLE001 - whatever it was, the answer is to connect again
                if not self._closed.is_set():
                    self._failed()
            finally:
                self.connected.clear()
            # Workers that were cut off together do not come back together.
            self._closed.wait(_RECONNECT * random.uniform(0.5, 1.5))  # noqa: S311 - no secret

    def _follow(
        self, subscription: Any, heard: Callable[[bytes], None], missed: Callable[[], None]
    ) -> None:
        quiet = 0
        while not self._closed.is_set():
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
                # From here on nothing is missed; what was, is looked for now.
                self.connected.set()
                missed()
            elif message["type"] == "message":
                heard(message["data"])
