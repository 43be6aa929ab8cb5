"""What is stored belongs to one account, and what a store forgot opens nothing again."""

from __future__ import annotations

import pytest

from ltiaas_middleware._verification.launches import DAY, CachedLaunch
from tests.tokens import ltik
from tests.waiting import wait_until

SECRET = "a secret that two tools share"


def test_no_launch_of_one_account_is_served_by_another(make, upstream):
    """The same secret, the same store and the same prefix."""
    ours = make(secrets=SECRET)
    theirs = make(secrets=SECRET, url="https://other.ltiaas.com")
    token = ltik()
    entry = ours.verify(token)
    assert theirs.shared.look(entry.id).entry is None
    # An entry that was copied under the other account's name does not open there, either.
    (value,) = ours.store.get(ours.shared._name(entry.id, "launch"))
    theirs.store.put(theirs.shared._name(entry.id, "launch"), value, 3600)
    assert theirs.shared.look(entry.id).entry is None
    assert theirs.stats.rejected_entries == 1
    theirs.verify(token)
    assert len(upstream.asked) == 2


def test_no_value_of_one_kind_or_launch_stands_for_another(make, first, clock):
    """Account, name and purpose are authenticated with every value."""
    entry, other = first.verify(ltik()), first.verify(ltik())
    first.shared.reject(other.id, clock.wall + 1, was_verified=True)
    worker = make()
    name = first.shared._name
    for source in (name(other.id, "over"), name("", "epoch"), name(other.id, "launch")):
        (value,) = first.store.get(source)
        if value is not None:
            first.store.put(name(entry.id, "over"), value, 60)
            assert worker.shared.look(entry.id).over is None
    assert worker.recall(entry.id) is not None


def test_a_token_that_is_made_for_the_first_launch_opens_it(first, second, clock):
    first.verify(ltik())
    made_at = clock.wall
    clock.pass_(1)
    assert second.authenticator.use_once("token", made_at)
    assert not first.authenticator.use_once("token", made_at)


@pytest.mark.redis
def test_a_used_token_stays_used_when_the_store_is_emptied(make_redis, redis_server, clock):
    first = make_redis()
    assert first.authenticator.use_once("one from before the store remembers", clock.wall + 1)
    clock.pass_(1)
    made_at = clock.wall
    assert first.authenticator.use_once("token", made_at)
    redis_server.client.flushall()
    clock.pass_(1)
    late = make_redis()
    assert not late.authenticator.use_once("token", made_at)
    assert not late.authenticator.use_once("another of that time", made_at)
    clock.pass_(1)
    assert late.authenticator.use_once("one of now", clock.wall)


def test_an_epoch_that_nobody_here_made_opens_nothing(make, clock):
    worker, late = make(), make()
    made_at = clock.wall
    assert worker.authenticator.use_once("token", made_at)
    clock.pass_(1)
    name = worker.shared._name("", "epoch")
    worker.store.delete(name)
    worker.store.put_if_absent(name, b"from 1970", None)
    assert not late.authenticator.use_once("token", made_at)
    assert not late.authenticator.use_once("another", made_at)
    clock.pass_(1)
    assert late.authenticator.use_once("now", clock.wall)


def test_a_store_that_began_while_the_clock_was_ahead_takes_tokens_once_it_is_set(make, clock):
    clock.wall += 30 * DAY
    made_ahead = clock.wall
    assert make().authenticator.use_once("token", made_ahead)
    clock.wall -= 30 * DAY
    worker = make()
    assert not worker.authenticator.use_once("another of before", clock.wall - 1)
    clock.pass_(1)
    made_at = clock.wall
    assert worker.authenticator.use_once("now", made_at)
    assert not make().authenticator.use_once("now", made_at)


def test_one_from_before_this_worker_began_opens_nothing_without_a_store(make_worker, clock):
    worker = make_worker("memory")
    assert not worker.authenticator.use_once("before", clock.wall - 1)
    assert worker.authenticator.use_once("now", clock.wall)
    assert not worker.authenticator.use_once("now", clock.wall)


def test_deleting_the_mark_does_not_open_a_launch_that_was_stored_as_bound(first, make):
    token = ltik()
    entry = first.verify(token, binds=True)
    first.store.delete(first.shared._name(entry.id, "bound"))
    seen = make().shared.look(entry.id)
    assert (seen.bound, seen.entry.cookie_bound) == (True, True)


def test_an_old_entry_that_is_put_back_does_not_undo_a_mark(first, make):
    entry = first.verify(ltik())
    name = first.shared._name(entry.id, "launch")
    (old,) = first.store.get(name)
    first.authenticator.use(entry, binds=True)
    first.settle()
    first.store.put(name, old, 3600)
    assert make().recall(entry.id).cookie_bound


def test_a_cookie_that_comes_back_while_its_launch_lands_binds_it_in_every_worker(
    first, monkeypatch
):
    """After the launch has been put into the store, and before those who wait are told."""
    token = ltik()
    put = first.shared.put

    def put_and_join(entry):
        put(entry)
        first.authenticator._join(first.verification(token, binds=True))

    monkeypatch.setattr(first.shared, "put", put_and_join)
    entry = first.verify(token)
    assert isinstance(entry, CachedLaunch)
    assert first.in_memory(entry.id).cookie_bound
    first.settle()
    wait_until(lambda: first.shared.look(entry.id).bound)


def test_a_cookie_that_comes_back_to_a_worker_that_did_not_know_the_launch_binds_it_in_all(
    first, second, make
):
    token = ltik()
    entry = first.verify(token)
    assert second.verify(token, binds=True).cookie_bound
    second.settle()
    for worker in (first, make()):
        assert worker.recall(entry.id).cookie_bound


def test_a_launch_that_is_bound_or_over_has_no_jar(first, second):
    """Whatever another worker that does not know it yet would keep there."""
    for done in (lambda entry: first.shared.bind(entry), lambda entry: first.shared.end(entry.id)):
        entry = first.verify(ltik())
        first.shared.change_jar(entry, lambda content: b"cookies")
        assert second.shared.jar(entry.id) == b"cookies"
        done(entry)
        assert second.shared.jar(entry.id) is None
        second.shared.change_jar(entry, lambda content: b"late")
        assert second.shared.jar(entry.id) is None
