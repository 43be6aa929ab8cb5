"""Workers that share a store: the files of this machine, and the session's Redis."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any

import pytest

from tests.fixtures.workers import Worker


@pytest.fixture(params=["host", pytest.param("redis", marks=pytest.mark.redis)])
def make(request: pytest.FixtureRequest, make_worker: Callable[..., Worker]) -> Callable[..., Any]:
    """Makes workers that share one store, by each kind of store."""
    cache, prefix = "auto", secrets.token_hex(8)
    if request.param == "redis":
        cache = request.getfixturevalue("redis_server").url

    def make(**options: Any) -> Worker:
        return make_worker(cache, **{"cache_prefix": prefix} | options)

    return make


@pytest.fixture
def make_redis(make_worker: Callable[..., Worker], redis_server: Any) -> Callable[..., Worker]:
    """Makes workers that share the session's Redis."""
    return lambda **options: make_worker(redis_server.url, **options)


@pytest.fixture
def first(make: Callable[..., Worker]) -> Worker:
    return make()


@pytest.fixture
def second(make: Callable[..., Worker]) -> Worker:
    return make()
