"""``python -m benchmarks.sizing``: a launch's cost, for docs/explanation/performance.md.

One worker of each server with a Redis, and launches one after the other: the request with the ltik
and the one that it is redirected to. What is told is processor time, user and system, as the kernel
and Redis count it: it does not depend on what else the machine is doing, nor on how far away LTIAAS
is. Redis's bytes are the growth of its ``used_memory``.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tests import redis_server, servers
from tests.redis_server import RedisServer

from . import sandbox
from .processor_time import Browser, processor_seconds, workers
from .report import machine

_LAUNCHES, _WARM_UP, _REPEATS = 600, 50, 2000


def main() -> None:
    print(machine(), end="\n\n")
    with sandbox.running(2 * _LAUNCHES) as served:
        ltiks = iter(served["ltiks"])
        for name in ("gunicorn", "uvicorn"):
            with redis_server.running() as redis:
                env = {
                    "LTIAAS_URL": served["url"],
                    "LTIAAS_API_KEY": served["api_key"],
                    "LTIAAS_CACHE": redis.url,
                }
                with _server(name, env) as port:
                    _measure(name, port, redis, ltiks)


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
    browser = Browser(port)
    for _ in range(_WARM_UP):
        path, cookie = browser.launch(next(ltiks))
    pids = workers(port)
    usual = _seconds(pids, redis)
    bytes_before = redis.client.info("memory")["used_memory"]
    count = _LAUNCHES - _WARM_UP
    for _ in range(count):
        path, cookie = browser.launch(next(ltiks))
    launched = _seconds(pids, redis)
    grown = redis.client.info("memory")["used_memory"] - bytes_before
    for _ in range(_REPEATS):
        assert browser.ask(path, cookie).status == 200
    known = _seconds(pids, redis)
    browser.close()
    for what, before, after, number in (
        ("a new launch, both requests", usual, launched, count),
        ("a request of a known launch", launched, known, _REPEATS),
    ):
        worker, in_redis = (1000 * (b - a) / number for a, b in zip(before, after, strict=True))
        print(f"{name}: {what}: {worker:.2f} ms of the worker, {in_redis:.3f} ms of Redis")
    print(f"{name}: a launch in Redis, with its cookie-bound mark: {grown / count:.0f} bytes")


def _seconds(pids: list[int], redis: RedisServer) -> tuple[float, float]:
    """Processor time so far, of the server's processes and of Redis."""
    cpu = redis.client.info("cpu")
    in_redis = float(cpu["used_cpu_user"]) + float(cpu["used_cpu_sys"])
    return processor_seconds(pids), in_redis


if __name__ == "__main__":
    main()
