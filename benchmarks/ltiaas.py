"""A stand-in for LTIAAS that costs next to nothing, so that a crowd can be sent to it.

``python -m benchmarks.ltiaas LATENCY FAILING LIMIT VALUES``: seconds, a share of its answers,
answers a second beyond which it says 429 (0: no limit), and further values in an ID token. It
prints its address, and serves until its input ends. ``/counts`` tells how often it gave each
status.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator

from . import launches


@contextlib.contextmanager
def running(latency: float, failing: float, limit: int, values: int = 0) -> Iterator[str]:
    """Start one; gives its address."""
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "benchmarks.ltiaas",
            str(latency),
            str(failing),
            str(limit),
            str(values),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield process.stdout.readline().strip()
    finally:
        process.stdin.close()
        process.wait(10)
        process.stdout.close()


class _StandIn:
    def __init__(self, latency: float, failing: float, limit: int, values: int) -> None:
        self._latency = latency
        self._failing = failing
        self._limit = limit
        self._counts: Counter[int] = Counter()
        self._second, self._in_second = 0, 0
        claims = json.loads(launches.claims())
        claims["custom"] |= {f"v{number}": f"{number:08}" for number in range(values)}
        self._claims = json.dumps(claims).encode()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                if head.startswith(b"GET /counts"):
                    writer.write(_answer(200, json.dumps(self._counts).encode()))
                    continue
                writer.write(await self._id_token())
        writer.close()

    async def _id_token(self) -> bytes:
        status = 200
        if self._limit and self._over_limit():
            status = 429
        else:
            await asyncio.sleep(self._latency)
            if random.random() < self._failing:
                status = 500
        self._counts[status] += 1
        return _answer(status, self._claims if status == 200 else b'{"error": "no"}')

    def _over_limit(self) -> bool:
        second = int(time.monotonic())
        if second != self._second:
            self._second, self._in_second = second, 0
        self._in_second += 1
        return self._in_second > self._limit


def _answer(status: int, body: bytes) -> bytes:
    more = "Retry-After: 1\r\n" if status == 429 else ""
    head = (
        f"HTTP/1.1 {status} So\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n{more}\r\n"
    )
    return head.encode() + body


async def _main(latency: float, failing: float, limit: int, values: int) -> None:
    stand_in = _StandIn(latency, failing, limit, values)
    server = await asyncio.start_server(stand_in.serve, "127.0.0.1", 0, backlog=1024)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(_main(float(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])))
