"""A master, two replicas and three Sentinels, all real."""

from __future__ import annotations

import time

import pytest

from ltiaas_middleware._verification.launches import CachedLaunch
from ltiaas_middleware._verification.store import StoreUnavailable
from tests.tokens import ltik
from tests.waiting import wait_until

pytestmark = pytest.mark.redis

TIMEOUT = 0.5
# What a busy machine may add (seconds) to what is waited on purpose.
SLACK = 2.5


@pytest.fixture
def master(sentinels):
    wait_until(lambda: (master := sentinels.master()) and _replicas(master) == 2, 60)
    return sentinels.master()


@pytest.fixture
def make(make_worker, sentinels, master):
    def make(**options):
        return make_worker(sentinels.url, clock=None, cache_timeout=TIMEOUT, **options)

    return make


def _replicas(server):
    return server.client.info("replication").get("connected_slaves")


def _reads(worker):
    try:
        worker.store.find("x" * 22)
    except StoreUnavailable:
        return False
    return True


def _moved(sentinels, old):
    return (new := sentinels.master()) is not None and new is not old and new


def test_launches_are_shared_by_the_master_that_they_name(make, master, upstream):
    first, second = make(), make()
    token = ltik()
    entry = first.verify(token)
    assert isinstance(second.verify(token), CachedLaunch)
    assert upstream.asked == [token]
    assert master.client.exists(first.key(entry.id, "launch"))
    wait_until(second.store._news.connected.is_set)
    first.authenticator.use(entry, confirms=True)
    wait_until(lambda: second.in_memory(entry.id).confirmed)
    assert first.stats.redis_errors == second.stats.redis_errors == 0


def test_a_sentinel_that_hangs_is_passed_over(make, sentinels, upstream):
    with sentinels.sentinels[0].hanging():
        first, second = make(), make()
        token = ltik()
        first.verify(token)
        wait_until(lambda: _reads(first), 20)
        wait_until(lambda: _reads(second), 20)
        token = ltik()
        first.verify(token)
        assert isinstance(second.verify(token), CachedLaunch)
        assert upstream.asked.count(token) == 1


@pytest.mark.parametrize("how", ["dies", "hangs"])
def test_no_known_launch_is_lost_when_the_master(
    make, sentinels, master, upstream, how, record_figure
):
    first, second = make(), make()
    tokens = [ltik() for _ in range(40)]
    for token in tokens:
        assert isinstance(first.verify(token), CachedLaunch)
    second.recall("x" * 22)
    wait_until(second.store._news.connected.is_set)
    wait_until(lambda: master.client.wait(2, 1000) == 2, 60)
    if how == "dies":
        master.kill()
    else:
        master.pause()
    try:
        began = time.monotonic()
        assert isinstance(first.verify(ltik()), CachedLaunch)
        took = time.monotonic() - began
        for token in tokens:
            assert first.known(first.id_of(token)) is not None
        wait_until(lambda: _moved(sentinels, master), 60)
        late = make()
        wait_until(lambda: _reads(late), 30)
        found = sum(late.recall(late.id_of(token)) is not None for token in tokens)
        # And a worker that only listens hears of others at the new master.
        refused = second.verify(tokens[0])
        late.store.refuse(refused.id, time.time() + 1)
        wait_until(lambda: second.in_memory(refused.id) is None, 40)
    finally:
        if how == "dies":
            master.start()
        else:
            master.go_on()
    record_figure(
        f"the master {how}: {found} of {len(tokens)} launches found, a new one after {took:.2f} s"
    )
    assert found == len(tokens)
    assert took < 2 * TIMEOUT + SLACK
    assert len(upstream.asked) == len(tokens) + 1
