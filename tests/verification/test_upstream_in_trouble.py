"""What keeps a failing or slow LTIAAS from taking the tool with it, in one process."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from ltiaas_middleware._verification.launches import CachedLaunch
from ltiaas_middleware.errors import (
    AnonymousLaunch,
    ApiKeyRejected,
    LaunchExpired,
    RateLimited,
    UpstreamError,
)
from tests.tokens import ltik
from tests.waiting import wait_until

DOWN = UpstreamError("no connection")


@pytest.fixture
def worker(make_worker):
    return make_worker()


def fail(worker, upstream, times, error=DOWN):
    upstream.error = error
    for _ in range(times):
        worker.verify(ltik())


class TestTheBreaker:
    def test_after_five_failures_ltiaas_is_left_alone(self, worker, upstream):
        fail(worker, upstream, 50)
        assert len(upstream.asked) == 5
        assert worker.stats.upstream_errors == {"UpstreamError": 5, "CircuitOpen": 45}
        assert worker.verify(ltik()).retry_after >= 1

    def test_after_a_pause_one_launch_asks_for_all(self, worker, upstream, clock):
        fail(worker, upstream, 5)
        clock.pass_(1.3)
        fail(worker, upstream, 20)
        assert len(upstream.asked) == 6

    def test_an_answer_ends_it(self, worker, upstream, clock):
        fail(worker, upstream, 5)
        clock.pass_(1.3)
        upstream.error = None
        assert all(isinstance(worker.verify(ltik()), CachedLaunch) for _ in range(10))

    def test_a_known_launch_is_served_on_without_a_call(self, worker, upstream, clock):
        token = ltik()
        entry = worker.verify(token)
        fail(worker, upstream, 5)
        asked = len(upstream.asked)
        clock.pass_(601)
        for _ in range(20):
            clock.pass_(16)
            assert worker.verify(token).claims is entry.claims
        # Probes, one for each time that it is asked for.
        assert len(upstream.asked) <= asked + 20
        assert worker.stats.stale_served == 20

    @pytest.mark.parametrize(
        "error",
        [
            LaunchExpired("Invalid or expired ltik.", status=401),
            ApiKeyRejected("Invalid API key", status=401),
            AnonymousLaunch("the ID token has no user.id", status=200),
        ],
    )
    def test_an_answer_that_is_no_success_is_an_answer(self, worker, upstream, error):
        fail(worker, upstream, 30, error)
        assert len(upstream.asked) == 30

    def test_recovery_is_one_call_for_each_launch_and_no_more(self, worker, upstream, clock):
        tokens = [ltik() for _ in range(40)]
        for token in tokens:
            worker.verify(token)
        upstream.error = DOWN
        clock.pass_(601)
        for token in tokens:
            worker.verify(token)
        upstream.error = None
        upstream.asked.clear()
        for _ in range(10):
            clock.pass_(16)
            for token in tokens:
                assert isinstance(worker.verify(token), CachedLaunch)
        assert sorted(upstream.asked) == sorted(tokens)


class TestRetryAfter:
    @pytest.mark.parametrize(
        "error",
        [
            RateLimited("slow down", status=429, retry_after=60),
            UpstreamError("under repair", status=503, retry_after=60),
        ],
    )
    def test_ltiaas_is_not_called_before(self, worker, upstream, clock, error):
        fail(worker, upstream, 1, error)
        upstream.error = None
        clock.pass_(59)
        answer = worker.verify(ltik())
        assert isinstance(answer, UpstreamError)
        assert answer.retry_after == pytest.approx(1)
        assert len(upstream.asked) == 1
        clock.pass_(1)
        assert isinstance(worker.verify(ltik()), CachedLaunch)


class TestTheBulkhead:
    def test_so_many_calls_at_once_and_no_more(self, make_worker, upstream):
        worker = make_worker(max_concurrent_calls=3, max_blocked_threads=20)
        upstream.go_on.clear()
        with ThreadPoolExecutor(20) as pool:
            waiting = [pool.submit(worker.verify, ltik()) for _ in range(20)]
            wait_until(lambda: len(worker.authenticator._flights.under_way()) == 20)
            wait_until(lambda: worker.calls() == 20)
            for _ in range(3):
                assert upstream.entered.acquire(timeout=60)
            assert not upstream.entered.acquire(timeout=0.1)
            upstream.go_on.set()
            assert all(isinstance(one.result(10), CachedLaunch) for one in waiting)

    def test_whoever_waits_for_a_turn_waits_briefly(self, make_worker, upstream, clock):
        worker = make_worker(max_concurrent_calls=1)
        upstream.go_on.clear()
        with ThreadPoolExecutor(2) as pool:
            first = pool.submit(worker.verify, ltik())
            assert upstream.entered.acquire(timeout=60)
            waiting = pool.submit(worker.verify, ltik())
            wait_until(lambda: worker.calls() == 2)
            clock.pass_(3.1)
            error = waiting.result(10)
            assert isinstance(error, UpstreamError)
            assert error.retry_after
            upstream.go_on.set()
            assert isinstance(first.result(10), CachedLaunch)
        assert worker.stats.upstream_errors == {"Busy": 1}
        assert len(upstream.asked) == 1
        assert isinstance(worker.verify(ltik()), CachedLaunch)

    def test_known_launches_need_no_turn(self, make_worker, upstream):
        worker = make_worker(max_concurrent_calls=1)
        entry = worker.verify(ltik())
        upstream.go_on.clear()
        with ThreadPoolExecutor(1) as pool:
            pool.submit(worker.verify, ltik())
            wait_until(lambda: len(upstream.asked) == 2)
            assert worker.known(entry.id).claims is entry.claims
            upstream.go_on.set()


def test_a_known_launch_does_not_wait_long_for_a_slow_ltiaas(
    make_worker, upstream, clock, monkeypatch
):
    monkeypatch.setattr("ltiaas_middleware._verification.authenticator._CACHED_TIMEOUT", 0.05)
    worker = make_worker()
    token = ltik()
    entry = worker.verify(token)
    clock.pass_(601)
    upstream.go_on.clear()
    assert worker.verify(token).claims is entry.claims
    assert worker.stats.stale_served == 1
    upstream.go_on.set()
    worker.settle()
    assert worker.known(entry.id).claims is not entry.claims


def test_a_slow_refusal_ends_the_launch_all_the_same(make_worker, upstream, clock, monkeypatch):
    monkeypatch.setattr("ltiaas_middleware._verification.authenticator._CACHED_TIMEOUT", 0.05)
    worker = make_worker()
    token = ltik()
    entry = worker.verify(token)
    clock.pass_(601)
    upstream.go_on.clear()
    upstream.error = LaunchExpired("Invalid or expired ltik.", status=401)
    assert worker.verify(token).claims is entry.claims
    upstream.go_on.set()
    worker.settle()
    assert worker.known(entry.id) is None


def test_what_goes_wrong_on_the_way_hangs_nobody(worker, monkeypatch, caplog):
    def broken(flight):
        raise RuntimeError("a bug")

    monkeypatch.setattr(worker.authenticator._fetching.upstream, "ask", broken)
    assert isinstance(worker.verify(ltik()), UpstreamError)
    assert "RuntimeError" in caplog.text
    monkeypatch.undo()
    assert isinstance(worker.verify(ltik()), CachedLaunch)


def test_a_known_launch_waits_for_two_seconds_at_most(worker, upstream, clock):
    token = ltik()
    worker.verify(token)
    clock.pass_(601)
    upstream.go_on.clear()
    flight = worker.authenticator._join(worker.verification(token))
    for page in (False, True):
        assert worker.authenticator._timeout(flight, worker.verification(token, page=page)) == 2


def test_a_refresh_that_fails_ahead_of_its_time_takes_no_trust_away(worker, upstream, clock):
    entry = worker.verify(ltik())
    upstream.error = DOWN
    clock.pass_(481)
    assert worker.known(entry.id) is not None
    worker.settle()
    assert len(upstream.asked) == 2
    assert worker.in_memory(entry.id).trusted == entry.trusted
