"""The lease: one worker asks LTIAAS, however long that takes and whatever becomes of it."""

from __future__ import annotations

import threading
import time

import pytest

from ltiaas_middleware._verification.launches import CachedLaunch
from ltiaas_middleware.errors import LaunchExpired
from tests.tokens import ltik
from tests.waiting import wait_until

pytestmark = pytest.mark.redis


class TestLeases:
    def test_one_worker_has_it(self, first, second):
        turn = first.store.begin("id")
        assert turn.lease is not None
        assert second.store.begin("id").lease is None
        first.store.release(turn.lease)
        assert second.store.begin("id").lease is not None

    def test_is_over_after_its_length(self, first, second, redis_server):
        first.store.lease = second.store.lease = 0.05
        assert first.store.begin("id").lease
        wait_until(lambda: second.store.begin("id").lease, 2)

    def test_is_not_freed_by_another(self, first, second):
        lease = first.store.begin("id").lease
        second.store.release(lease._replace(token="not it"))
        assert second.store.begin("id").lease is None

    def test_that_was_lost_is_not_renewed(self, first, second, redis_server):
        lease = first.store.begin("id").lease
        redis_server.client.delete(first.key("id", "lease"))
        theirs = second.store.begin("id").lease
        assert not first.store.renew(lease)
        assert second.store.renew(theirs)

    def test_that_redis_forgot_is_taken_again(self, first, second, redis_server):
        lease = first.store.begin("id").lease
        redis_server.client.flushall()
        assert first.store.renew(lease)
        assert second.store.begin("id").lease is None

    @pytest.mark.parametrize("life", [None, 3600])
    def test_that_we_did_not_make_binds_nobody(self, first, redis_server, life):
        redis_server.client.set(first.key("id", "lease"), "for ever", ex=life)
        assert first.store.begin("id").lease is not None

    def test_is_renewed_under_a_slow_call(self, first, second, upstream):
        first.store.lease = second.store.lease = 0.3
        token = ltik()
        upstream.go_on.clear()
        outcomes = []
        threads = [
            threading.Thread(target=lambda w=worker: outcomes.append(w.verify(token)))
            for worker in (first, second)
        ]
        for thread in threads:
            thread.start()
        assert upstream.entered.acquire(timeout=5)
        # Three times its length: a second call would have come by now.
        assert not upstream.entered.acquire(timeout=0.9)
        upstream.go_on.set()
        for thread in threads:
            thread.join(10)
        assert all(isinstance(outcome, CachedLaunch) for outcome in outcomes)
        assert upstream.asked == [token]
        assert first.stats.lost_leases == second.stats.lost_leases == 0

    def test_of_a_worker_that_is_gone_holds_the_others_up_for_its_length(
        self, first, second, upstream
    ):
        first.store.lease = second.store.lease = 0.5
        token = ltik()
        assert first.store.begin(first.id_of(token)).lease is not None
        began = time.monotonic()
        assert isinstance(second.verify(token), CachedLaunch)
        assert 0.3 < time.monotonic() - began < 3

    def test_is_given_back_whatever_came_of_the_call(self, first, upstream, redis_server):
        for error in (
            None,
            LaunchExpired("Invalid or expired ltik.", status=401),
            RuntimeError("a bug"),
        ):
            upstream.error = error
            token = ltik()
            first.verify(token)
            first.settle()
            left = redis_server.client.get(first.key(first.id_of(token), "lease"))
            assert left is None or left.startswith(b"!")
