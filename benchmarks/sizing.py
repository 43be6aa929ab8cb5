"""``python -m benchmarks.sizing``: what a launch costs a worker and Redis, for docs/deployment.md.

One worker of each server with a Redis, and launches one after the other: the request with the ltik
and the one that it is redirected to. What is told is processor time, user and system, as the kernel
and Redis count it: it does not depend on what else the machine is doing, nor on how far away LTIAAS
is. Redis's bytes are the growth of its ``used_memory``.
"""

from __future__ import annotations

import http.client
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests import servers
from tests.redis_server import RedisServer

from . import launches, sandbox
from .report import machine

_LAUNCHES, _WARM_UP, _REPEATS = 600, 50, 2000


def main() -> None:
    print(machine(), end="\n\n")
    with tempfile.TemporaryDirectory() as folder, sandbox.running(2 * _LAUNCHES) as served:
        ltiks = iter(served["ltiks"])
        for name in ("gunicorn", "uvicorn"):
            redis = RedisServer(Path(folder)).start()
            env = {
                "LTIAAS_URL": served["url"],
                "LTIAAS_API_KEY": served["api_key"],
                "LTIAAS_CACHE": redis.url,
                "LTIAAS_CACHE_TIMEOUT": "5",
            }
            try:
                with _server(name, env) as port:
                    _measure(name, port, redis, ltiks)
            finally:
                redis.client.close()
                redis.kill()


@contextmanager
def _server(name: str, env: dict[str, str]) -> Iterator[int]:
    if name == "gunicorn":
        options = ["--worker-class", "gthread", "--log-level", "warning"]
        server = servers.gunicorn(
            "benchmarks.tools:wrapped_wsgi", threads=32, options=options, env=env
        )
    else:
        server = servers.uvicorn(
            "benchmarks.tools:wrapped_asgi", options=["--no-access-log"], env=env
        )
    with server as running:
        yield running.port


def _measure(name: str, port: int, redis: RedisServer, ltiks: Iterator[str]) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)

    def ask(path: str, cookie: str | None = None) -> http.client.HTTPResponse:
        headers = dict(launches.BROWSER)
        if cookie:
            headers["Cookie"] = cookie
        connection.request("GET", path, headers=headers)
        reply = connection.getresponse()
        reply.read()
        return reply

    def launch() -> tuple[str, str]:
        captured = ask(f"/course?ltik={next(ltiks)}")
        assert captured.status == 303, captured.status
        path = urlsplit(captured.headers["Location"]).path
        cookie = captured.headers["Set-Cookie"].partition(";")[0]
        assert ask(path, cookie).status == 200
        return path, cookie

    for _ in range(_WARM_UP):
        path, cookie = launch()
    pids = _workers(port)
    usual = _seconds(pids, redis)
    bytes_before = redis.client.info("memory")["used_memory"]
    count = _LAUNCHES - _WARM_UP
    for _ in range(count):
        path, cookie = launch()
    launched = _seconds(pids, redis)
    grown = redis.client.info("memory")["used_memory"] - bytes_before
    for _ in range(_REPEATS):
        assert ask(path, cookie).status == 200
    known = _seconds(pids, redis)
    connection.close()
    for what, before, after, number in (
        ("a new launch, both requests", usual, launched, count),
        ("a request of a known launch", launched, known, _REPEATS),
    ):
        worker, in_redis = (1000 * (b - a) / number for a, b in zip(before, after, strict=True))
        print(f"{name}: {what}: {worker:.2f} ms of the worker, {in_redis:.3f} ms of Redis")
    print(f"{name}: a launch in Redis, with its confirmation: {grown / count:.0f} bytes")


def _workers(port: int) -> list[int]:
    """The processes that listen there."""
    inodes = {
        line.split()[9]
        for line in Path("/proc/net/tcp").read_text().splitlines()[1:]
        if line.split()[1].endswith(f":{port:04X}") and line.split()[3] == "0A"
    }
    sockets = {f"socket:[{inode}]" for inode in inodes}
    found = []
    for folder in Path("/proc").glob("[0-9]*/fd"):
        try:
            if sockets & {os.readlink(one) for one in folder.iterdir()}:
                found.append(int(folder.parent.name))
        except OSError:
            continue
    return found


def _seconds(pids: list[int], redis: RedisServer) -> tuple[float, float]:
    """Processor time so far, of the server's processes and of Redis."""
    ticks = os.sysconf("SC_CLK_TCK")
    total = 0.0
    for pid in pids:
        fields: Any = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        total += (int(fields[11]) + int(fields[12])) / ticks
    cpu = redis.client.info("cpu")
    return total, float(cpu["used_cpu_user"]) + float(cpu["used_cpu_sys"])


if __name__ == "__main__":
    main()
