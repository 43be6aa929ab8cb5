"""A network between here and a server that is far away: each byte takes its time, and no longer
because others are on their way."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator


class Distance:
    """A TCP proxy that holds bytes up. A TCP handshake is not: it is answered here.

    Attributes:
        port: where it listens, on 127.0.0.1.
        sent: how often a client has sent something.
    """

    def __init__(self, host: str, port: int, seconds: float) -> None:
        self._target = (host, port)
        self._seconds = seconds
        self.port = 0
        self.sent = 0

    async def listen(self) -> asyncio.Server:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        return server

    async def _serve(self, near: asyncio.StreamReader, to_near: asyncio.StreamWriter) -> None:
        far, to_far = await asyncio.open_connection(*self._target)
        there = self._pass(near, to_far, counts=True)
        await asyncio.gather(there, self._pass(far, to_near, counts=False))

    async def _pass(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, counts: bool
    ) -> None:
        loop = asyncio.get_running_loop()
        with contextlib.suppress(ConnectionError):
            while part := await reader.read(65_536):
                self.sent += counts
                loop.call_later(self._seconds, writer.write, part)
        loop.call_later(self._seconds, writer.close)


@contextlib.contextmanager
def away(host: str, port: int, seconds: float) -> Iterator[Distance]:
    """Put a server so many seconds away, in each direction."""
    distance = Distance(host, port, seconds)
    ready = threading.Event()
    stop: list[Callable[[], object]] = []

    async def serve() -> None:
        end, loop = asyncio.Event(), asyncio.get_running_loop()
        stop.append(lambda: loop.call_soon_threadsafe(end.set))
        async with await distance.listen():
            ready.set()
            await end.wait()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    assert ready.wait(10)
    try:
        yield distance
    finally:
        stop[0]()
        thread.join()
