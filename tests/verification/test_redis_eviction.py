"""A Redis with too little memory, by each maxmemory-policy: what is lost, and what stays shut."""

from __future__ import annotations

import secrets

import pytest

from ltiaas_middleware._verification.launches import CachedLaunch
from tests.redis_server import RedisServer
from tests.tokens import ltik
from tests.waiting import wait_until

pytestmark = pytest.mark.redis

POLICIES = [
    "allkeys-lru",
    "volatile-lru",
    "allkeys-random",
    "volatile-ttl",
    "noeviction",
]
HANDOFFS = 40


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
def test_a_handoff_opens_once(make, small_redis, full, policy, record_figure):
    """Whatever is evicted: the workers that are running have heard of it."""
    first, second = make(), make()
    for worker in (first, second):
        worker.recall("x" * 22)
        wait_until(worker.store._news.connected.is_set)
    full(policy)
    tokens = [f"handoff-{number}" for number in range(HANDOFFS)]
    assert all(first.authenticator.use_once(token) for token in tokens)
    wait_until(lambda: len(second.authenticator._launches._used) == HANDOFFS)
    crowd(small_redis, 300)
    again = sum(second.authenticator.use_once(token) for token in tokens)
    # A worker that was started since knows only what Redis still has.
    late = make()
    by_a_late_one = sum(late.authenticator.use_once(token) for token in tokens)
    record_figure(
        f"{policy}: of {HANDOFFS} used handoffs {again} open again, in a worker that was started "
        f"meanwhile {by_a_late_one}"
    )
    assert again == 0
    if policy in ("allkeys-lru", "volatile-lru", "noeviction"):
        assert by_a_late_one == 0


@pytest.mark.parametrize("policy", ["allkeys-lru", "volatile-lru"])
def test_of_what_is_in_use_nothing_is_lost(make, small_redis, full, policy, upstream):
    """A launch is read by each worker that it reaches; the older ones go first."""
    first = make()
    full(policy)
    tokens = [ltik() for _ in range(40)]
    for token in tokens:
        first.verify(token, confirms=True)
    crowd(small_redis, 300)
    late = make()
    for token in tokens:
        assert late.recall(late.id_of(token)).confirmed
    assert upstream.asked == tokens


def test_a_redis_that_is_full_and_evicts_nothing_keeps_shut_what_was_shut(
    make, small_redis, full, upstream, caplog, record_figure
):
    """Refusals, confirmations and used handoffs are noted; only launches do not fit in."""
    first = make()
    known = first.verify(ltik())
    over = first.verify(ltik())
    full("noeviction")
    assert isinstance(first.verify(ltik()), CachedLaunch)
    assert first.stats.redis_errors > 0
    first.authenticator.use(known, confirms=True)
    first.store.refuse(over.id, over.verified_at + 1)
    assert first.authenticator.use_once("a handoff")
    first.settle()
    late = make()
    assert late.recall(known.id).confirmed
    assert late.recall(over.id) is None
    assert late.store.find(over.id).refused_at is not None
    assert not late.authenticator.use_once("a handoff")
    # However much of a morning that is: what can be read is read, and the log is not flooded.
    for _ in range(200):
        token = ltik()
        assert isinstance(first.verify(token), CachedLaunch)
        late.recall(known.id)
    lines = [record for record in caplog.records if "Redis" in record.getMessage()]
    record_figure(f"full: {len(lines)} log lines for 200 launches of two workers")
    assert "it is full" in caplog.text
    assert len(lines) <= 4


def test_a_handoff_that_cannot_be_noted_opens_nothing_where_redis_can_be_read(
    make, small_redis, full
):
    first, second = make(), make()
    assert first.authenticator.use_once("before")
    small_redis.client.replicaof("127.0.0.1", "1")
    try:
        assert not second.authenticator.use_once("before")
        assert not second.authenticator.use_once("now")
        assert not first.authenticator.use_once("now")
        assert second.stats.redis_errors > 0
    finally:
        small_redis.client.replicaof("NO", "ONE")
    assert second.authenticator.use_once("afterwards")
