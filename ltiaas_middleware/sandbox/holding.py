"""Delays a request as long as the client waits for the response."""

from __future__ import annotations

import selectors
import socket
import struct
import threading
import time
from dataclasses import dataclass
from typing import NoReturn

_TICK = 0.05
"""Seconds between two looks at whether a held request is still wanted."""


class Gone(ConnectionAbortedError):
    """One end closed the connection while the request was delayed."""


@dataclass(frozen=True)
class Holding:
    """Delays one request while its connection is open.

    A stopping server closes its connections, so it needs no extra signal here.
    """

    connection: socket.socket | None
    """None for a plain WSGI caller."""

    def wait(self, seconds: float, ended: threading.Event) -> None:
        """Wait until the time is over or `ended` is set. Raises `Gone`."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            if self._hung_up():
                raise Gone("the client closed the connection")
            if ended.wait(min(left, _TICK)):
                return

    def reset(self) -> NoReturn:
        """End the connection with RST, like a machine that crashes. Raises `Gone`."""
        if self.connection is not None:
            linger = struct.pack("ii", 1, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self.connection.close()
        raise Gone("reset by the sandbox")

    def _hung_up(self) -> bool:
        connection = self.connection
        if connection is None:
            return False
        try:
            with selectors.DefaultSelector() as selector:
                selector.register(connection, selectors.EVENT_READ)
                if not selector.select(0):
                    return False
            # The plain socket's: TLS cannot be peeked into.
            return not socket.socket.recv(connection, 1, socket.MSG_PEEK)
        except (OSError, ValueError):
            return True
