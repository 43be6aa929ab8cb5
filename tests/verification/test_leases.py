"""The lease: one worker asks LTIAAS, however long that takes and whatever becomes of it."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from ltiaas_middleware._verification.launches import CachedLaunch
from ltiaas_middleware.errors import LaunchExpired
from tests.tokens import ltik
from tests.waiting import wait_until


@pytest.fixture
def first(make):
    return make(clock=None)


@pytest.fixture
def second(make):
    return make(clock=None)


class TestLeases:
    def test_one_worker_has_it(self, first, second):
        lease = first.shared.take_lease("id")
        assert second.shared.take_lease("id") is None
        assert second.shared.look("id").leased
        first.shared.release(lease)
        assert second.shared.take_lease("id") is not None

    def test_is_over_after_its_length(self, first, second):
        first.shared.lease = 0.05
        assert first.shared.take_lease("id")
        wait_until(lambda: second.shared.take_lease("id"))

    def test_that_has_run_out_is_not_given_back_by_who_had_it(self, first, second):
        first.shared.lease = 0.05
        lease = first.shared.take_lease("id")
        wait_until(lambda: second.shared.take_lease("id"))
        first.shared.release(lease)
        assert first.shared.take_lease("id") is None

    def test_that_was_lost_is_not_renewed(self, first, second):
        lease = first.shared.take_lease("id")
        first.store.delete(first.shared._name("id", "lease"))
        theirs = second.shared.take_lease("id")
        assert not first.shared.renew(lease)
        assert second.shared.renew(theirs)

    def test_that_the_store_forgot_is_taken_again(self, first, second):
        lease = first.shared.take_lease("id")
        first.store.delete(first.shared._name("id", "lease"))
        assert first.shared.renew(lease)
        assert second.shared.take_lease("id") is None

    def test_that_we_did_not_make_binds_nobody(self, first, upstream):
        token = ltik()
        name = first.shared._name(first.id_of(token), "lease")
        first.store.put_if_absent(name, b"for ever", None)
        assert isinstance(first.verify(token), CachedLaunch)

    def test_is_renewed_under_a_slow_call(self, first, second, upstream, monkeypatch):
        renewed = []

        def count(worker):
            renew = worker.shared.renew
            monkeypatch.setattr(
                worker.shared, "renew", lambda lease: renewed.append(lease) or renew(lease)
            )

        for worker in (first, second):
            worker.shared.lease = 3
            count(worker)
        token = ltik()
        upstream.go_on.clear()
        with ThreadPoolExecutor(2) as pool:
            outcomes = [pool.submit(worker.verify, token) for worker in (first, second)]
            assert upstream.entered.acquire(timeout=60)
            # Each after a third of its length, which is over by then.
            wait_until(lambda: len(renewed) == 4)
            assert upstream.asked == [token]
            upstream.go_on.set()
            assert all(isinstance(outcome.result(10), CachedLaunch) for outcome in outcomes)
        assert upstream.asked == [token]
        assert first.stats.lost_leases == second.stats.lost_leases == 0

    def test_of_a_worker_that_is_gone_holds_the_others_up_for_its_length(
        self, first, second, upstream
    ):
        first.shared.lease = 2
        token = ltik()
        assert first.shared.take_lease(first.id_of(token)) is not None
        asked = threading.Event()
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(second.verify, token)
            waiting.add_done_callback(lambda _: asked.set())
            assert not asked.wait(0.1)
            assert isinstance(waiting.result(10), CachedLaunch)

    @pytest.mark.parametrize(
        "error",
        [None, LaunchExpired("Invalid or expired ltik.", status=401), RuntimeError("a bug")],
    )
    def test_is_given_back_whatever_came_of_the_call(self, first, second, upstream, error):
        upstream.error = error
        token = ltik()
        first.verify(token)
        first.settle()
        wait_until(lambda: not second.shared.look(first.id_of(token)).leased)

    def test_while_one_worker_waits_for_its_turn_no_other_asks(self, make, upstream):
        """The lease is held from before the turn is waited for."""
        busy, other = make(clock=None, max_concurrent_calls=1), make(clock=None)
        upstream.go_on.clear()
        slow, token = ltik(), ltik()
        with ThreadPoolExecutor(3) as pool:
            outcomes = [pool.submit(busy.verify, slow)]
            assert upstream.entered.acquire(timeout=60)
            outcomes.append(pool.submit(busy.verify, token))
            wait_until(lambda: busy.shared.look(busy.id_of(token)).leased)
            outcomes.append(pool.submit(other.verify, token))
            assert not upstream.entered.acquire(timeout=0.4)
            upstream.go_on.set()
            assert all(isinstance(outcome.result(10), CachedLaunch) for outcome in outcomes)
        assert sorted(upstream.asked) == sorted([slow, token])

    def test_a_worker_that_is_starved_does_not_ask_because_its_look_takes_long(
        self, first, second, upstream
    ):
        """The store has not failed: its threads did not get to look."""
        busy, token = threading.Event(), ltik()
        for _ in range(16):
            first.authenticator._fetching.threads.submit(busy.wait, 20)
        upstream.go_on.clear()
        with ThreadPoolExecutor(2) as pool:
            outcomes = [pool.submit(second.verify, token)]
            assert upstream.entered.acquire(timeout=60)
            outcomes.append(pool.submit(first.verify, token))
            assert not upstream.entered.acquire(timeout=1.5)
            busy.set()
            upstream.go_on.set()
            assert all(isinstance(outcome.result(10), CachedLaunch) for outcome in outcomes)
        assert upstream.asked == [token]
