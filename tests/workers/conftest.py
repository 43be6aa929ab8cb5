from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ltiaas_middleware import Settings
from ltiaas_middleware.authenticator import Authenticator
from ltiaas_middleware.keys import LaunchIds
from ltiaas_middleware.redis_cache import RedisStore
from ltiaas_middleware.stats import Stats
from tests.core.upstream import Upstream

from .redis_server import RedisServer

_FIGURES: list[str] = []
API_KEY = "7d1c3f0e-0000-4000-8000-000000000002"


@pytest.fixture
def record_figure(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Keeps a line with what a test has measured, for the end of the run."""

    def record(line: str) -> None:
        if "PYTEST_XDIST_WORKER" in os.environ:
            # The summary is written by another process, which never reads this file.
            capture = request.config.pluginmanager.getplugin("capturemanager")
            with capture.global_and_fixture_disabled():
                print(f"figure: {line}", file=sys.stderr, flush=True)
        else:
            _FIGURES.append(line)

    return record


def pytest_terminal_summary(terminalreporter: Any) -> None:
    if _FIGURES:
        terminalreporter.section("figures: many workers, and an LTIAAS that fails")
        for line in _FIGURES:
            terminalreporter.write_line(line)


@pytest.fixture(scope="session")
def redis_session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path_factory.mktemp("redis")).start()
    yield server
    server.kill()


@pytest.fixture
def redis_server(redis_session: RedisServer) -> RedisServer:
    """The session's Redis, emptied."""
    redis_session.client.flushall()
    return redis_session


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[RedisServer]:
    """A Redis that the test may kill."""
    server = RedisServer(tmp_path).start()
    yield server
    server.kill()


class Clock:
    """One machine's clocks. `wall` may be set; `since_boot` may not."""

    def __init__(self) -> None:
        self.wall = 1_800_000_000.0
        self.since_boot = 1000.0

    def pass_(self, seconds: float) -> None:
        self.wall += seconds
        self.since_boot += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def upstream() -> Upstream:
    return Upstream()


class Worker:
    """What one process has: an authenticator, its store and its counters."""

    def __init__(self, upstream: Upstream, clock: Clock | None, cache: str, **options: Any) -> None:
        self.settings = Settings(
            url="https://your.ltiaas.com", api_key=API_KEY, cache=cache, **options
        )
        self.ids = LaunchIds(self.settings.secrets)
        self.stats = Stats()
        times: dict[str, Any] = {}
        if clock is not None:
            times = {"clock": lambda: clock.wall, "monotonic": lambda: clock.since_boot}
        self.store = None
        if cache != "memory":
            self.store = RedisStore(self.settings, self.ids, self.stats, **times)
        self.authenticator = Authenticator(
            self.settings, upstream, self.ids, shared=self.store, stats=self.stats, **times
        )
        self.verify = self.authenticator.verify
        self.known = self.authenticator.known
        self.recall = self.authenticator.recall

    def id_of(self, ltik: str) -> str:
        return self.ids.of(ltik)

    def in_memory(self, launch_id: str) -> Any:
        return self.authenticator._launches.find(launch_id).entry

    def settle(self) -> None:
        """Wait for what runs in the background."""
        for flight in list(self.authenticator._flights.values()):
            flight.result(timeout=10)
        # What is told to the store after landing runs in the threads that called.
        wait_until(lambda: self.authenticator._under_way == 0)
        wait_until(lambda: self.authenticator._pool._work_queue.empty())


@pytest.fixture
def make_worker(upstream: Upstream, clock: Clock) -> Iterator[Callable[..., Worker]]:
    """Makes workers on one machine's clocks, or on `clock=`."""
    made: list[Worker] = []

    def make(cache: str = "memory", **options: Any) -> Worker:
        made.append(Worker(upstream, options.pop("clock", clock), cache, **options))
        return made[-1]

    yield make
    upstream.go_on.set()
    for worker in made:
        worker.authenticator.close()


def wait_until(condition: Callable[[], Any], seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never came to that"
        threading.Event().wait(0.005)
