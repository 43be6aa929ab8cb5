"""Who waits for LTIAAS: pages that ask again, and no more than a share of the threads."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from ltiaas_middleware._verification.launches import CachedLaunch
from ltiaas_middleware._verification.waiting import Waiting
from ltiaas_middleware.errors import (
    ApiKeyRejected,
    LaunchExpired,
    PlatformInactive,
    RateLimited,
    UpstreamError,
)
from tests.tokens import ltik
from tests.waiting import wait_until


@pytest.fixture(params=["thread", "task"])
def verify(request):
    """Asks as a thread does or as a task does."""

    def verify(worker, *args, **options):
        if request.param == "thread":
            return worker.verify(*args, **options)
        return asyncio.run(worker.authenticator.verify_async(*args, **options))

    return verify


class TestAPage:
    def test_is_told_to_ask_again_and_finds_the_launch(self, make_worker, upstream, verify):
        worker, token = make_worker(waiting_page_after=0.01), ltik()
        upstream.go_on.clear()
        outcome = verify(worker, token, page=True)
        assert isinstance(outcome, Waiting)
        assert outcome.retry_after >= 1
        assert worker.stats.waiting == 1
        upstream.go_on.set()
        worker.settle()
        assert isinstance(verify(worker, token, page=True), CachedLaunch)
        assert upstream.asked == [token]

    def test_waits_for_a_quick_answer(self, make_worker, verify):
        assert isinstance(verify(make_worker(), ltik(), page=True), CachedLaunch)

    @pytest.mark.parametrize(
        "error",
        [
            UpstreamError("no connection"),
            RateLimited("slow down", status=429, retry_after=7),
            RateLimited("slow down", status=429),
        ],
    )
    def test_is_told_so_where_ltiaas_fails_for_now(self, make_worker, upstream, verify, error):
        worker, upstream.error = make_worker(), error
        outcome = verify(worker, ltik(), page=True)
        assert isinstance(outcome, Waiting)
        assert outcome.retry_after >= max(1, error.retry_after or 0)

    @pytest.mark.parametrize(
        "error",
        [
            LaunchExpired("Invalid or expired ltik.", status=401),
            ApiKeyRejected("Invalid API key", status=401),
            PlatformInactive("not active", status=400),
            UpstreamError("a response longer than max_response_size", temporary=False),
        ],
    )
    def test_is_not_kept_waiting_for_what_lasts(self, make_worker, upstream, verify, error):
        worker, upstream.error, token = make_worker(), error, ltik()
        for _ in range(2):
            assert type(verify(worker, token, page=True)) is type(error)

    def test_a_program_is_told_of_the_failure_itself(self, make_worker, upstream, verify):
        worker, upstream.error = make_worker(), UpstreamError("no connection")
        assert verify(worker, ltik()) is upstream.error

    def test_gives_up_after_a_while(self, make_worker, upstream, clock, verify):
        worker, token = make_worker(), ltik()
        upstream.error = UpstreamError("no connection")
        for _ in range(6):
            assert isinstance(verify(worker, token, page=True), Waiting)
            clock.pass_(30)
        clock.pass_(1)
        assert not isinstance(verify(worker, token, page=True), Waiting)
        assert isinstance(verify(worker, ltik(), page=True), Waiting)

    def test_of_many_reloads_at_different_times(self, make_worker, upstream):
        worker = make_worker()
        upstream.error = UpstreamError("no connection")
        pauses = [worker.verify(ltik(), page=True).retry_after for _ in range(300)]
        assert max(pauses[:20]) < 4
        assert max(pauses) - min(pauses) > 3


class TestTheShareOfThreads:
    def test_is_no_limit_while_ltiaas_answers_in_half_a_second(
        self, make_worker, upstream, monkeypatch
    ):
        # Which is long on a busy machine.
        monkeypatch.setattr("ltiaas_middleware._verification.waiting._STANDING", 10)
        worker = make_worker(max_blocked_threads=1)
        upstream.go_on.clear()
        with ThreadPoolExecutor(8) as pool:
            waiting = [pool.submit(worker.verify, ltik()) for _ in range(8)]
            wait_until(lambda: len(upstream.asked) == 8)
            upstream.go_on.set()
            assert all(isinstance(one.result(10), CachedLaunch) for one in waiting)

    def test_that_wait_is_limited_and_the_others_are_answered_soon(self, make_worker, upstream):
        worker = make_worker(max_blocked_threads=2)
        known = worker.verify(ltik())
        upstream.go_on.clear()
        with ThreadPoolExecutor(2) as pool:
            waiting = [pool.submit(worker.verify, ltik()) for _ in range(2)]
            wait_until(lambda: len(worker.authenticator._flights.under_way()) == 2)
            wait_until(lambda: worker.authenticator._room._seats._value == 0)
            program, page = ltik(), ltik()
            answer = worker.verify(program)
            assert isinstance(answer, UpstreamError)
            assert answer.retry_after
            assert isinstance(worker.verify(page, page=True), Waiting)
            assert worker.known(known.id) is not None
            upstream.go_on.set()
            assert all(isinstance(one.result(10), CachedLaunch) for one in waiting)
        worker.settle()
        # They were asked for all the same, and the seats are free again.
        for token in (program, page, ltik()):
            assert isinstance(worker.verify(token), CachedLaunch)
        assert len(upstream.asked) == 6

    def test_a_known_launch_that_finds_no_seat_is_served_on(self, make_worker, upstream, clock):
        worker, token = make_worker(max_blocked_threads=1), ltik()
        entry = worker.verify(token)
        clock.pass_(601)
        upstream.go_on.clear()
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(worker.verify, ltik())
            wait_until(lambda: worker.authenticator._room._seats._value == 0)
            assert worker.verify(token).claims is entry.claims
            upstream.go_on.set()
            waiting.result(10)

    def test_tasks_are_not_counted(self, make_worker, upstream):
        worker = make_worker(max_blocked_threads=1)
        upstream.go_on.clear()

        async def main():
            asking = [
                asyncio.create_task(worker.authenticator.verify_async(ltik())) for _ in range(10)
            ]
            await asyncio.sleep(0)
            threading.Timer(0.01, upstream.go_on.set).start()
            return await asyncio.gather(*asking)

        assert all(isinstance(outcome, CachedLaunch) for outcome in asyncio.run(main()))
