"""A TCP proxy between a client and a server of the test's own: a bad network, on demand.

It works on bytes, so that it serves for PostgreSQL, Redis and HTTP alike.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator

from tests.waiting import wait_until


class WireProxy:
    """What it does can be changed while connections are open.

    Attributes:
        port: where it listens, on 127.0.0.1.
        accepted: how many connections were made to it.
        swallowed: bytes that were taken and not passed on.
    """

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._mode = "pass"
        self._delay = 0.0
        self._ended = threading.Event()
        self._changed = threading.Condition()
        self._sockets: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._listener: socket.socket | None = None
        self.accepted = 0
        self.swallowed = 0
        self.port = 0
        self._listen()

    def pass_on(self) -> None:
        """Be a good network, for connections to come. Those that were swallowed are cut."""
        was, self._mode, self._delay = self._mode, "pass", 0.0
        if was == "swallow":
            self.cut()
        if self._listener is None:
            self._listen()

    def delay(self, seconds: float) -> None:
        """Hold everything up, in each direction."""
        self._delay = seconds

    def swallow(self) -> None:
        """Accept and acknowledge everything, pass on nothing, close nothing."""
        self._mode = "swallow"

    def cut(self) -> None:
        """Reset every open connection."""
        for one in list(self._sockets):
            with contextlib.suppress(OSError):
                # RST in place of FIN: RFC 9293 section 3.10.7, and SO_LINGER of 0.
                one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
                one.shutdown(socket.SHUT_RDWR)

    def refuse(self) -> None:
        """Listen no more, and cut what is open."""
        listener, self._listener = self._listener, None
        if listener is not None:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        self.cut()

    def close(self) -> None:
        self._ended.set()
        self.refuse()
        for thread in list(self._threads):
            thread.join(10)

    def _listen(self) -> None:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", self.port))
        listener.listen(64)
        self.port = listener.getsockname()[1]
        self._listener = listener
        self._begin(self._accept, listener)

    def _begin(self, work: object, *arguments: object) -> None:
        thread = threading.Thread(target=work, args=arguments, daemon=True)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self, listener: socket.socket) -> None:
        while not self._ended.is_set():
            try:
                client, _ = listener.accept()
            except OSError:
                return
            self.accepted += 1
            try:
                server = socket.create_connection(self._target, timeout=10)
                server.settimeout(None)
            except OSError:
                client.close()
                continue
            self._sockets |= {client, server}
            self._begin(self._pump, client, server)
            self._begin(self._pump, server, client)

    def _pump(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65_536):
                if self._delay:
                    self._ended.wait(self._delay)
                if self._mode == "swallow":
                    self.swallowed += len(data)
                    continue
                target.sendall(data)
        for one in (source, target):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        self._sockets.discard(source)
        source.close()


@contextlib.contextmanager
def proxied(host: str, port: int) -> Iterator[WireProxy]:
    proxy = WireProxy(host, port)
    try:
        yield proxy
    finally:
        proxy.close()


def until_swallowing(proxy: WireProxy) -> None:
    """Until something was swallowed."""
    wait_until(lambda: proxy.swallowed > 0)
