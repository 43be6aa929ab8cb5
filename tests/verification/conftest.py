"""Workers that share the session's Redis."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.fixtures.workers import Worker
from tests.redis_server import RedisServer


@pytest.fixture
def make(make_worker: Callable[..., Worker], redis_server: RedisServer) -> Callable[..., Worker]:
    def make(**options: Any) -> Worker:
        return make_worker(redis_server.url, **options)

    return make


@pytest.fixture
def first(make: Callable[..., Worker]) -> Worker:
    return make()


@pytest.fixture
def second(make: Callable[..., Worker]) -> Worker:
    return make()
