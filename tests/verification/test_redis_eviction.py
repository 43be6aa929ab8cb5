"""A Redis with too little memory, by each maxmemory-policy: what is lost, and what stays shut."""

from __future__ import annotations

import secrets
from math import inf

import pytest

from ltiaas_middleware._verification.launches import CachedLaunch
from tests.redis_server import RedisServer
from tests.tokens import ltik

pytestmark = pytest.mark.redis

POLICIES = [
    "allkeys-lru",
    "volatile-lru",
    "allkeys-random",
    "volatile-ttl",
    "noeviction",
]
TOKENS = 40


@pytest.fixture(scope="module")
def small_redis(tmp_path_factory):
    server = RedisServer(tmp_path_factory.mktemp("small"), "--maxmemory-samples", "10").start()
    yield server
    server.kill()


@pytest.fixture
def full(small_redis):
    """Makes it full, of launches from an hour ago, under a policy."""

    def full(policy):
        client = small_redis.client
        client.config_set("maxmemory-policy", policy)
        used = client.info("memory")["used_memory"]
        client.config_set("maxmemory", used + 3_000_000)
        if policy == "noeviction":
            client.config_set("maxmemory", used - 100_000)
        else:
            crowd(small_redis, 1500, idle=3600)

    client = small_redis.client
    client.config_set("maxmemory", 0)
    client.flushall()
    yield full
    client.config_set("maxmemory", 0)


@pytest.fixture
def make(make_worker, small_redis):
    return lambda: make_worker(small_redis.url, clock=None)


def crowd(server, number, idle=0):
    """Launches of other users, nobody's for so many seconds: 2.6 KB each, and a day to live."""
    with server.client.pipeline(transaction=False) as pipe:
        pipe.set("one", b"x" * 2600)
        pipe.dump("one")
        one = pipe.execute(raise_on_error=False)[-1]
        for _ in range(number):
            name = f"ltiaas:{{{secrets.token_hex(8)}}}:launch"
            pipe.restore(name, 86_000_000, one or b"", idletime=idle)
        pipe.execute(raise_on_error=False)


@pytest.mark.parametrize("policy", POLICIES)
def test_a_one_time_token_opens_once(make, small_redis, full, policy, record_figure):
    """Redis gives up launches first, if it may choose (docs/howto/redis.md)."""
    first, second = make(), make()
    full(policy)
    tokens = [f"token-{number}" for number in range(TOKENS)]
    assert all(first.authenticator.use_once(token, inf) for token in tokens)
    crowd(small_redis, 300)
    assert not any(first.authenticator.use_once(token, inf) for token in tokens)
    again = sum(second.authenticator.use_once(token, inf) for token in tokens)
    record_figure(f"{policy}: of {TOKENS} used tokens {again} open again in another worker")
    if policy != "allkeys-random":
        assert again == 0


@pytest.mark.parametrize("policy", ["allkeys-lru", "volatile-lru"])
def test_of_what_is_in_use_nothing_is_lost(make, small_redis, full, policy, upstream):
    """A launch is read by each worker that it reaches; the older ones go first."""
    first = make()
    full(policy)
    tokens = [ltik() for _ in range(40)]
    for token in tokens:
        first.verify(token, binds=True)
    crowd(small_redis, 300)
    late = make()
    for token in tokens:
        assert late.recall(late.id_of(token)).cookie_bound
    assert upstream.asked == tokens


def test_a_redis_that_is_full_and_evicts_nothing_keeps_shut_what_was_shut(
    make, small_redis, full, upstream, caplog, record_figure
):
    """Rejections, bound launches and used tokens are noted; only launches do not fit in."""
    first = make()
    known = first.verify(ltik())
    over = first.verify(ltik())
    full("noeviction")
    assert isinstance(first.verify(ltik()), CachedLaunch)
    assert first.stats.store_errors > 0
    first.authenticator.use(known, binds=True)
    first.authenticator.end(over.id)
    assert first.authenticator.use_once("a token", inf)
    first.settle()
    late = make()
    assert late.recall(known.id).cookie_bound
    assert late.recall(over.id) is None
    assert late.shared.look(over.id).over is not None
    assert not late.authenticator.use_once("a token", inf)
    # However much of a morning that is: what can be read is read, and the log is not flooded.
    for _ in range(200):
        token = ltik()
        assert isinstance(first.verify(token), CachedLaunch)
        late.recall(known.id)
    lines = [record for record in caplog.records if "Redis" in record.getMessage()]
    record_figure(f"full: {len(lines)} log lines for 200 launches of two workers")
    assert "it is full" in caplog.text
    assert len(lines) <= 4


def test_a_token_that_cannot_be_noted_opens_nothing_where_redis_can_be_read(
    make, small_redis, full
):
    first, second = make(), make()
    assert first.authenticator.use_once("before", inf)
    small_redis.client.replicaof("127.0.0.1", "1")
    try:
        assert not second.authenticator.use_once("before", inf)
        assert not second.authenticator.use_once("now", inf)
        assert not first.authenticator.use_once("now", inf)
        assert second.stats.store_errors > 0
    finally:
        small_redis.client.replicaof("NO", "ONE")
    assert second.authenticator.use_once("afterwards", inf)
