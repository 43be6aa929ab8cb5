"""What every store of launches keeps to: the memory of a process, and Redis."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from ltiaas_middleware import Settings
from ltiaas_middleware._crypto.keys import LaunchIds
from ltiaas_middleware._verification.launches import Freshness
from ltiaas_middleware._verification.ltik_times import DAY
from ltiaas_middleware._verification.memory import LaunchCache
from ltiaas_middleware._verification.redis_store import RedisStore
from ltiaas_middleware._verification.stats import Stats
from ltiaas_middleware._verification.store import USED_FOR
from tests.tokens import ltik

SECRETS = ("a secret, long enough",)
IDS = LaunchIds(SECRETS)


def memory(request, clock):
    return LaunchCache(1000, lambda: clock.since_boot)


def in_redis(address):
    def make(request, clock):
        server = request.getfixturevalue("redis_server")
        settings = Settings(
            url="https://your.ltiaas.com",
            api_key="key-key-key",
            secret=SECRETS,
            cache=getattr(server, address),
        )
        store = RedisStore(
            settings,
            IDS,
            Stats(),
            clock=lambda: clock.wall,
            monotonic=lambda: clock.since_boot,
        )
        request.addfinalizer(store.close)
        return store

    return make


@pytest.fixture(
    params=[
        pytest.param(memory, id="memory"),
        pytest.param(in_redis("url"), id="redis", marks=pytest.mark.redis),
        pytest.param(in_redis("socket_url"), id="redis by socket", marks=pytest.mark.redis),
    ]
)
def store(request, clock):
    return request.param(request, clock)


@pytest.fixture
def entry(clock):
    """Makes an entry as LTIAAS would give it now."""
    freshness = Freshness(600, lambda: clock.wall, lambda: clock.since_boot)

    def entry(token=None, claims=b'{"user": {"id": "u1"}}', lasts=DAY, **more):
        token = token or ltik()
        more = {"verified_at": clock.wall, "ends_at": clock.wall + lasts} | more
        return freshness.entry(id=IDS.of(token), ltik=token, claims=claims, **more)

    return entry


def test_what_was_put_is_found(store, entry, clock):
    put = entry(claims='{"user": {"id": "u1", "name": "Zoë ✓"}}'.encode())
    store.put(put)
    found = store.find(put.id)
    assert (found.refused, found.confirmed) == (False, False)
    for name in ("id", "ltik", "claims", "ends_at", "verified_at", "confirmed"):
        assert getattr(found.entry, name) == getattr(put, name)
    for name in ("ends", "refresh", "trusted"):
        assert getattr(found.entry, name) == pytest.approx(getattr(put, name))


def test_what_was_not_put_is_not_found(store, entry):
    store.put(entry())
    assert store.find(entry().id) == (None, False, False, None)


def test_a_later_entry_takes_the_place_of_an_earlier_one(store, entry, clock):
    token = ltik()
    store.put(entry(token, b'{"n": 1}'))
    clock.pass_(500)
    later = entry(token, b'{"n": 2}')
    store.put(later)
    assert store.find(later.id).entry.claims == b'{"n": 2}'


def test_an_entry_ages(store, entry, clock):
    put = entry()
    store.put(put)
    clock.pass_(599)
    assert clock.since_boot < store.find(put.id).entry.trusted
    clock.pass_(2)
    assert clock.since_boot >= store.find(put.id).entry.trusted


def test_an_entry_ends_with_its_launch(store, entry, clock):
    put = entry(lasts=100)
    store.put(put)
    clock.pass_(99)
    assert store.find(put.id).entry is not None
    clock.pass_(2)
    assert store.find(put.id).entry is None


def test_a_refusal_ends_the_launch(store, entry, clock):
    put = entry()
    store.put(put)
    clock.pass_(1)
    store.refuse(put.id, clock.wall)
    assert store.find(put.id) == (None, True, False, clock.wall)


def test_a_refusal_outlives_an_entry_from_before_it(store, entry, clock):
    put = entry()
    store.put(put)
    clock.pass_(1)
    store.refuse(put.id, clock.wall)
    store.put(put)
    assert store.find(put.id).entry is None


def test_a_refused_token_that_never_was_a_launch_is_remembered_for_a_minute(store, clock):
    launch_id = IDS.of(ltik())
    store.refuse(launch_id, clock.wall)
    clock.pass_(59)
    assert store.find(launch_id).refused
    clock.pass_(2)
    assert not store.find(launch_id).refused


def test_what_ltiaas_takes_after_all_is_found(store, entry, clock):
    token = ltik()
    store.refuse(IDS.of(token), clock.wall)
    clock.pass_(61)
    store.put(entry(token))
    found = store.find(IDS.of(token))
    assert found.entry is not None
    assert not found.refused


def test_a_confirmation_is_found(store, entry):
    put = entry()
    store.put(put)
    store.confirm(put)
    assert store.find(put.id).confirmed
    assert store.find(put.id).entry.confirmed


def test_a_confirmation_outlives_a_refresh(store, entry, clock):
    token = ltik()
    store.put(entry(token))
    store.confirm(entry(token))
    clock.pass_(500)
    store.put(entry(token))
    assert store.find(IDS.of(token)).entry.confirmed


def test_an_entry_that_is_confirmed_says_so_where_it_is_put(store, entry):
    put = entry(confirmed=True)
    store.put(put)
    assert store.find(put.id).confirmed


def test_one_launchs_refusal_and_confirmation_are_not_anothers(store, entry, clock):
    refused, confirmed, neither = entry(), entry(), entry()
    for put in (refused, confirmed, neither):
        store.put(put)
    store.refuse(refused.id, clock.wall + 1)
    store.confirm(confirmed)
    assert store.find(neither.id)[1:] == (False, False, None)
    assert store.find(neither.id).entry is not None


def test_a_token_is_used_once(store):
    assert store.use_once("token")
    assert not store.use_once("token")
    assert store.use_once("another")


def test_of_many_who_use_a_token_one_is_the_first(store):
    with ThreadPoolExecutor(16) as pool:
        assert sum(pool.map(lambda _: store.use_once("token"), range(64))) == 1


def test_a_token_is_remembered_longer_than_a_handoff_is_good_for(store, clock):
    assert USED_FOR >= 60
    store.use_once("token")
    clock.pass_(61)
    assert not store.use_once("token")


@pytest.mark.parametrize("skew", [30, -30])
def test_clocks_that_are_a_little_apart_do_no_harm(store, entry, clock, skew):
    put = entry(verified_at=clock.wall + skew)
    store.put(put)
    found = store.find(put.id).entry
    assert clock.since_boot < found.trusted <= clock.since_boot + 600


def test_an_entry_from_the_future_is_asked_for_again(store, entry, clock):
    put = entry(verified_at=clock.wall + 3600)
    store.put(put)
    assert clock.since_boot >= store.find(put.id).entry.trusted


def test_no_entry_lasts_longer_than_a_day_whatever_the_clock_says(store, entry, clock):
    put = entry()
    store.put(put)
    clock.wall -= 7200
    assert store.find(put.id).entry.ends <= clock.since_boot + DAY
