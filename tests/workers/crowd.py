"""Many requests at once, each on a connection of its own, so that all workers get some."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Reply:
    """An answer; status 0 where the server hung up without one. `took` is in seconds, `at` and
    `asked_at` by the monotonic clock."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    asked_at: float = 0.0
    at: float = 0.0

    @property
    def took(self) -> float:
        return self.at - self.asked_at

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def ask(
    port: int,
    paths: Iterable[str],
    headers: Mapping[str, str] | None = None,
    *,
    at_once: int = 1000,
    timeout: float = 60,
    source: str | None = None,
) -> list[Reply]:
    """GET every path, `at_once` at a time, from the address `source`; the replies in the same
    order."""
    return asyncio.run(
        gather(port, paths, headers, at_once=at_once, timeout=timeout, source=source)
    )


async def gather(
    port: int,
    paths: Iterable[str],
    headers: Mapping[str, str] | None = None,
    *,
    at_once: int = 1000,
    timeout: float = 60,
    source: str | None = None,
) -> list[Reply]:
    """`ask`, for tasks."""
    turn = asyncio.Semaphore(at_once)

    async def one(path: str) -> Reply:
        async with turn:
            return await asyncio.wait_for(get(port, path, headers or {}, source), timeout)

    return await asyncio.gather(*(one(path) for path in paths))


async def get(port: int, path: str, headers: Mapping[str, str], source: str | None = None) -> Reply:
    """One GET on a new connection."""
    reply = Reply(asked_at=time.monotonic())
    lines = [f"GET {path} HTTP/1.1", f"Host: 127.0.0.1:{port}", "Connection: close"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    writer = None
    try:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", port, local_addr=(source, 0) if source else None
        )
        writer.write("\r\n".join([*lines, "", ""]).encode())
        answer = await reader.read(-1)
        head, _, reply.body = answer.partition(b"\r\n\r\n")
        first, *rest = head.decode("latin-1").split("\r\n")
        if first:
            reply.status = int(first.split()[1])
        for line in rest:
            name, _, value = line.partition(":")
            reply.headers[name.strip().lower()] = value.strip()
    except OSError:
        pass  # the server was killed: no answer
    finally:
        if writer is not None:
            writer.close()
    reply.at = time.monotonic()
    return reply
