"""A master, two replicas and three Sentinels, all real."""

from __future__ import annotations

import pytest

from ltiaas_middleware._verification.launches import CachedLaunch
from ltiaas_middleware._verification.stores import StoreUnavailable
from tests.tokens import ltik
from tests.waiting import wait_until

pytestmark = pytest.mark.redis


@pytest.fixture
def master(sentinels):
    wait_until(lambda: (master := sentinels.master()) and _replicas(master) == 2)
    return sentinels.master()


@pytest.fixture
def make(make_worker, sentinels, master):
    def make(**options):
        return make_worker(sentinels.url, clock=None, **options)

    return make


def _replicas(server):
    return server.client.info("replication").get("connected_slaves")


def _reads(worker):
    try:
        worker.shared.look("x" * 22)
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
    first.authenticator.use(entry, binds=True)
    first.settle()
    assert second.recall(entry.id).cookie_bound
    assert first.stats.store_errors == second.stats.store_errors == 0


def test_a_sentinel_that_hangs_is_passed_over(make, sentinels, upstream):
    with sentinels.sentinels[0].hanging():
        first, second = make(), make()
        token = ltik()
        first.verify(token)
        wait_until(lambda: _reads(first))
        wait_until(lambda: _reads(second))
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
    wait_until(lambda: master.client.wait(2, 1000) == 2)
    if how == "dies":
        master.kill()
    else:
        master.pause()
    try:
        assert isinstance(first.verify(ltik()), CachedLaunch)
        for token in tokens:
            assert first.known(first.id_of(token)) is not None
        wait_until(lambda: _moved(sentinels, master))
        late = make()
        wait_until(lambda: _reads(late))
        found = sum(late.recall(late.id_of(token)) is not None for token in tokens)
        # And a worker that was there before finds the new master.
        wait_until(lambda: _reads(second))
        wait_until(lambda: _reads(late))
        late.authenticator.end(late.id_of(tokens[0]))
        assert second.recall(second.id_of(tokens[0])) is None
    finally:
        if how == "dies":
            master.start()
        else:
            master.go_on()
    record_figure(f"the master {how}: {found} of {len(tokens)} launches found")
    assert found == len(tokens)
    assert len(upstream.asked) == len(tokens) + 1
