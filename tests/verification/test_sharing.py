"""What workers that share a Redis know of each other's launches."""

from __future__ import annotations

import threading

import pytest

from ltiaas_middleware._verification.launches import CachedLaunch
from ltiaas_middleware.errors import (
    AccessForbidden,
    AnonymousLaunch,
    ApiError,
    ApiKeyRejected,
    LaunchExpired,
    PlatformInactive,
    UpstreamError,
)
from tests.tokens import ltik
from tests.waiting import wait_until

pytestmark = pytest.mark.redis


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
        self, first, second, redis_server, record_figure
    ):
        token = ltik()
        first.verify(token)
        first.settle()
        second.recall("x" * 22)
        wait_until(second.store._news.connected.is_set)
        trips = {}
        for name in ("shared hit", "repeat"):
            with redis_server.round_trips() as sent:
                second.verify(token) if name == "shared hit" else second.known(second.id_of(token))
            trips[name] = sent
        record_figure(f"round trips: {trips}")
        assert trips == {"shared hit": ["EVAL"], "repeat": []}

    def test_a_cold_launch_is_three_round_trips(self, first, redis_server, record_figure):
        """Look and lease; put and release; and, with the cookie that came back, confirm."""
        first.recall("x" * 22)
        wait_until(first.store._news.connected.is_set)
        with redis_server.round_trips() as sent:
            entry = first.verify(ltik())
            first.settle()
        assert sent == ["EVAL", "EVAL"]
        with redis_server.round_trips() as sent:
            first.authenticator.use(entry, confirms=True)
            first.settle()
        assert sent == ["EVAL"]

    def test_a_launch_that_comes_with_its_cookie_is_two(self, first, redis_server):
        first.recall("x" * 22)
        wait_until(first.store._news.connected.is_set)
        token = ltik()
        with redis_server.round_trips() as sent:
            first.verify(token, confirms=True)
            first.settle()
        assert sent == ["EVAL", "EVAL"]
        assert first.store.find(first.id_of(token)).confirmed

    def test_the_launch_is_shared_before_anyone_is_answered(self, first, second, upstream):
        for _ in range(50):
            entry = first.verify(ltik())
            assert second.recall(entry.id) is not None

    def test_so_is_a_refusal(self, first, second, upstream):
        upstream.error = LaunchExpired("Invalid or expired ltik.", status=401)
        for _ in range(20):
            token = ltik()
            first.verify(token)
            assert second.store.find(first.id_of(token)).refused

    def test_the_other_may_have_a_launch_on_its_path_alone(self, first, second, upstream):
        token = ltik()
        entry = first.verify(token)
        first.settle()
        assert second.known(entry.id) is None
        assert second.recall(entry.id).ltik == token
        assert upstream.asked == [token]

    def test_a_confirmation_reaches_who_asks_and_who_does_not(self, first, second, make):
        token = ltik()
        entry = first.verify(token)
        first.settle()
        mine = second.verify(token)
        wait_until(second.store._news.connected.is_set)
        first.authenticator.use(entry, confirms=True)
        wait_until(lambda: second.in_memory(mine.id).confirmed)
        assert make().recall(entry.id).confirmed

    def test_a_refusal_ends_the_launch_everywhere_at_once(self, first, second, upstream, clock):
        token = ltik()
        entry = first.verify(token)
        first.settle()
        second.verify(token)
        wait_until(second.store._news.connected.is_set)
        clock.pass_(601)
        upstream.error = LaunchExpired("Invalid or expired ltik.", status=401)
        assert isinstance(first.verify(token), LaunchExpired)
        wait_until(lambda: second.in_memory(entry.id) is None)
        assert second.known(entry.id) is None
        assert second.recall(entry.id) is None
        assert isinstance(second.verify(token), LaunchExpired)
        assert len(upstream.asked) == 2

    def test_a_refusal_is_not_overtaken_by_an_entry_on_its_way_into_memory(
        self, first, second, upstream, clock
    ):
        entry = first.verify(ltik())
        first.settle()
        found = second.store.find(entry.id)
        clock.pass_(1)
        second.authenticator._sharing._heard("over", entry.id, clock.wall)
        second.authenticator._flights.learn(entry.id, found)
        assert second.known(entry.id) is None

    def test_old_news_of_a_refusal_ends_nothing_from_after_it(self, first, clock):
        token = ltik()
        said = clock.wall
        clock.pass_(3600)
        entry = first.verify(token)
        first.authenticator._sharing._heard("over", entry.id, said)
        assert first.known(entry.id).claims is entry.claims
        first.authenticator._launches.remove(entry.id)
        first.authenticator._sharing._heard("over", entry.id, said)
        assert isinstance(first.verify(token), CachedLaunch)

    def test_a_refused_token_is_asked_for_once(self, first, second, upstream):
        token = ltik()
        upstream.error = LaunchExpired("Invalid or expired ltik.", status=401)
        first.verify(token)
        first.settle()
        assert isinstance(second.verify(token), LaunchExpired)
        assert len(upstream.asked) == 1

    def test_a_handoff_is_used_once_by_all_workers_together(self, first, second):
        assert first.authenticator.use_once("token")
        assert not second.authenticator.use_once("token")
        assert not first.authenticator.use_once("token")

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
        [UpstreamError, ApiKeyRejected, PlatformInactive, AccessForbidden, AnonymousLaunch,
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
        assert upstream.entered.acquire(timeout=5)
        upstream.go_on.set()
        for thread in threads:
            thread.join(10)
        assert [type(outcome) for outcome in outcomes] == [kind] * 2
        assert upstream.asked == [token]

    def test_workers_with_another_prefix_share_nothing(self, first, make, upstream):
        other = make(cache_prefix="other")
        token = ltik()
        first.verify(token)
        first.settle()
        other.verify(token)
        assert len(upstream.asked) == 2

    def test_a_secret_may_be_rotated(self, make, upstream):
        old, new = "the old secret, long", "the new secret, long"
        before, after = make(secret=old), make(secret=(new, old))
        token = ltik()
        launch_id = before.verify(token).id
        before.settle()
        assert after.recall(launch_id).ltik == token
        assert upstream.asked == [token]
