"""What workers that share a store know of each other's launches."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from ltiaas_middleware._verification.launches import CachedLaunch
from ltiaas_middleware.errors import (
    AnonymousLaunch,
    ApiError,
    ApiKeyRejected,
    Forbidden,
    LaunchExpired,
    PlatformInactive,
    UpstreamError,
)
from tests.tokens import ltik


class TestSharing:
    def test_what_one_has_verified_the_other_does_not_ask_for(self, first, second, upstream):
        token = ltik()
        first.verify(token)
        first.settle()
        entry = second.verify(token)
        assert isinstance(entry, CachedLaunch)
        assert upstream.asked == [token]
        assert (second.stats.shared_hits, second.stats.fetches) == (1, 0)

    def test_a_shared_hit_is_one_round_trip_and_a_repeat_is_none(
        self, make_redis, redis_server, record_figure
    ):
        first, second = make_redis(), make_redis()
        token = ltik()
        first.verify(token)
        first.settle()
        second.recall("x" * 22)
        trips = {}
        for name in ("shared hit", "repeat"):
            with redis_server.round_trips() as sent:
                second.verify(token) if name == "shared hit" else second.known(second.id_of(token))
            trips[name] = sent
        record_figure(f"round trips: {trips}")
        assert trips == {"shared hit": ["GETRANGE"] * 4, "repeat": []}

    def test_the_launch_is_shared_before_anyone_is_answered(self, first, second, upstream):
        for _ in range(50):
            entry = first.verify(ltik())
            assert second.recall(entry.id) is not None

    def test_so_is_a_refusal(self, first, second, upstream):
        upstream.error = LaunchExpired("Invalid or expired ltik.", status=401)
        for _ in range(20):
            token = ltik()
            first.verify(token)
            assert isinstance(second.verify(token), LaunchExpired)
        assert len(upstream.asked) == 20

    def test_the_other_may_have_a_launch_on_its_path_alone(self, first, second, upstream):
        token = ltik()
        entry = first.verify(token)
        first.settle()
        assert second.known(entry.id) is None
        assert second.recall(entry.id).ltik == token
        assert upstream.asked == [token]

    def test_that_a_cookie_came_back_is_seen_at_the_next_look(self, first, second, make):
        token = ltik()
        entry = first.verify(token)
        second.verify(token)
        first.authenticator.use(entry, binds=True)
        first.settle()
        assert second.recall(entry.id).cookie_bound
        assert second.in_memory(entry.id).cookie_bound
        assert make().recall(entry.id).cookie_bound

    def test_it_outlives_a_refresh_by_a_worker_that_does_not_know_it(
        self, first, second, make, clock
    ):
        token = ltik()
        entry = first.verify(token)
        second.verify(token)
        first.authenticator.use(entry, binds=True)
        first.settle()
        clock.pass_(601)
        second.verify(token)
        second.settle()
        assert make().recall(entry.id).cookie_bound

    def test_what_ltiaas_rejects_ends_everywhere_within_the_ttl(
        self, first, second, upstream, clock
    ):
        token = ltik()
        entry = first.verify(token)
        second.verify(token)
        clock.pass_(601)
        upstream.error = LaunchExpired("Invalid or expired ltik.", status=401)
        assert isinstance(first.verify(token), LaunchExpired)
        assert second.known(entry.id) is None
        assert isinstance(second.verify(token), LaunchExpired)
        assert second.recall(entry.id) is None
        assert len(upstream.asked) == 2

    def test_and_at_once_for_who_looks(self, first, second, upstream, clock):
        token = ltik()
        entry = first.verify(token)
        second.verify(token)
        clock.pass_(1)
        first.shared.reject(entry.id, clock.wall, was_verified=True)
        assert second.recall(entry.id) is None
        assert second.in_memory(entry.id) is None

    def test_a_rejection_is_not_overtaken_by_an_entry_on_its_way_into_memory(
        self, first, second, clock
    ):
        entry = first.verify(ltik())
        seen = second.shared.look(entry.id)
        clock.pass_(1)
        first.shared.reject(entry.id, clock.wall, was_verified=True)
        second.recall(entry.id)
        second.authenticator._flights.learn(entry.id, seen)
        assert second.known(entry.id) is None

    def test_a_launch_that_ltiaas_takes_after_all_is_one(self, first, second, upstream, clock):
        token = ltik()
        upstream.error = LaunchExpired("Invalid or expired ltik.", status=401)
        first.verify(token)
        upstream.error = None
        clock.pass_(61)
        assert isinstance(second.verify(token), CachedLaunch)
        assert isinstance(first.verify(token), CachedLaunch)

    def test_a_refresh_is_one_call_for_all_workers(self, make, upstream, clock):
        workers = [make() for _ in range(4)]
        token = ltik()
        for worker in workers:
            entry = worker.verify(token)
            worker.settle()
        clock.pass_(500)
        for worker in workers:
            worker.known(entry.id)
        for worker in workers:
            worker.settle()
        assert len(upstream.asked) == 2
        assert {worker.in_memory(entry.id).verified_at for worker in workers} == {clock.wall}

    def test_a_worker_that_never_saw_a_launch_serves_it_while_ltiaas_fails(
        self, first, make, upstream, clock
    ):
        token = ltik()
        first.verify(token)
        first.settle()
        clock.pass_(3600)
        upstream.error = UpstreamError("no connection")
        late = make()
        assert late.verify(token).ltik == token
        assert late.stats.stale_served == 1

    @pytest.mark.parametrize(
        "kind",
        [UpstreamError, ApiKeyRejected, PlatformInactive, Forbidden, AnonymousLaunch,
         ApiError],
    )  # fmt: skip
    def test_a_failure_is_told_to_those_who_wait_for_it(self, first, second, upstream, kind):
        """By its name, so that what lasts is an outage to nobody."""
        token = ltik()
        upstream.error = kind("no launch for you")
        upstream.go_on.clear()
        outcomes = []
        threads = [
            threading.Thread(target=lambda w=worker: outcomes.append(w.verify(token)))
            for worker in (first, second)
        ]
        for thread in threads:
            thread.start()
        assert upstream.entered.acquire(timeout=60)
        upstream.go_on.set()
        for thread in threads:
            thread.join(10)
        assert [type(outcome) for outcome in outcomes] == [kind] * 2
        assert upstream.asked == [token]

    def test_but_not_to_who_asks_afterwards(self, make, upstream):
        first, second, token = make(clock=None), make(clock=None), ltik()
        upstream.error = UpstreamError("no connection")
        assert isinstance(first.verify(token), UpstreamError)
        upstream.error = None
        assert isinstance(second.verify(token), CachedLaunch)

    def test_workers_with_another_prefix_share_nothing(self, first, make, upstream):
        other = make(cache_prefix="other")
        token = ltik()
        first.verify(token)
        first.settle()
        other.verify(token)
        assert len(upstream.asked) == 2

    def test_a_secret_may_be_rotated(self, make, upstream):
        old, new = "the old secret, long", "the new secret, long"
        before, after = make(secrets=old), make(secrets=(new, old))
        token = ltik()
        launch_id = before.verify(token).id
        before.settle()
        assert after.recall(launch_id).ltik == token
        assert upstream.asked == [token]


class TestTheEnd:
    def test_of_a_launch_is_seen_at_the_next_look_by_all(self, first, second, make, upstream):
        token = ltik()
        entry = first.verify(token)
        second.verify(token)
        first.authenticator.end(entry.id)
        assert first.known(entry.id) is None
        assert second.recall(entry.id) is None
        for worker in (first, second, make()):
            assert isinstance(worker.verify(token), LaunchExpired)
            assert worker.recall(entry.id) is None
        assert upstream.asked == [token]

    def test_lasts_as_long_as_its_ltik(self, first, second, upstream, clock):
        token = ltik(iat=clock.wall)
        entry = first.verify(token)
        first.authenticator.end(entry.id)
        for _ in range(23):
            clock.pass_(3600)
            assert isinstance(first.verify(token), LaunchExpired)
            assert isinstance(second.verify(token), LaunchExpired)
        assert upstream.asked == [token]

    def test_is_not_undone_by_a_call_under_way(self, first, upstream):
        token = ltik()
        upstream.go_on.clear()
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(first.verify, token)
            assert upstream.entered.acquire(timeout=60)
            first.authenticator.end(first.id_of(token))
            upstream.go_on.set()
            assert isinstance(waiting.result(10), LaunchExpired)
        assert first.recall(first.id_of(token)) is None

    def test_without_a_store_holds_in_this_worker(self, make_worker, upstream):
        worker = make_worker("memory")
        token = ltik()
        worker.authenticator.end(worker.verify(token).id)
        assert isinstance(worker.verify(token), LaunchExpired)
