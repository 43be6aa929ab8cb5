"""Threads that cannot be started, calls that never end, and the context in which calls are made."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar

import pytest
import trio
import trio.testing

from ltiaas_middleware._verification.launches import CachedLaunch
from ltiaas_middleware._verification.threads import Threads, Ticker, run_in, wait_for
from ltiaas_middleware.errors import UpstreamError
from tests.tokens import ltik
from tests.waiting import wait_until

request_id = ContextVar("request_id", default="none")


@pytest.fixture
def no_new_threads(monkeypatch):
    """From `forbid` to `allow` no thread can be started, as at a limit of process ids."""

    class Limit:
        def forbid(self):
            def start(thread):
                raise RuntimeError("can't start new thread")

            monkeypatch.setattr(threading.Thread, "start", start)

        def allow(self):
            monkeypatch.undo()

    limit = Limit()
    yield limit
    limit.allow()


class TestAThreadThatCannotBeStarted:
    def test_a_ticker_tries_again_with_the_next_call(self, no_new_threads):
        ticked = threading.Event()
        ticker = Ticker(0.001, ticked.set, "test")
        no_new_threads.forbid()
        with pytest.raises(RuntimeError, match="start new thread"):
            ticker.wake()
        no_new_threads.allow()
        ticker.wake()
        assert ticked.wait(10)

    def test_a_ticker_goes_on_for_as_long_as_it_is_wanted(self):
        left = [3]

        def tick():
            left[0] -= 1
            return left[0] > 0

        ticker = Ticker(0.001, tick, "test")
        ticker.wake()
        wait_until(lambda: left[0] == 0 and not ticker._runs)
        left[0] = 2
        ticker.wake()
        wait_until(lambda: left[0] == 0 and not ticker._runs)

    def test_threads_are_reused_and_bounded(self):
        pool, go_on = Threads(3, "test"), threading.Event()
        for _ in range(5):
            pool.submit(lambda: None).result(10)
            wait_until(lambda: pool._idle == 2)
        # One more than was needed, so that the next job finds one.
        assert len(pool._threads) == 2
        jobs = [pool.submit(go_on.wait, 10) for _ in range(10)]
        wait_until(lambda: pool._idle == 0)
        assert len(pool._threads) == 3
        go_on.set()
        assert all(job.result(10) for job in jobs)
        pool.close()

    def test_an_event_loop_starts_only_the_first_thread(self, monkeypatch):
        start, starters = threading.Thread.start, []

        def noting(thread):
            starters.append(threading.current_thread())
            start(thread)

        monkeypatch.setattr(threading.Thread, "start", noting)
        pool, together = Threads(8, "test"), threading.Barrier(8)
        jobs = [pool.submit(together.wait, 10) for _ in range(8)]
        assert sorted(job.result(10) for job in jobs) == list(range(8))
        assert len(starters) == 8
        assert starters.count(threading.current_thread()) == 1
        pool.close()

    def test_a_job_that_was_refused_is_never_done(self, no_new_threads):
        pool, done = Threads(2, "test"), []
        no_new_threads.forbid()
        with pytest.raises(RuntimeError, match="start new thread"):
            pool.submit(done.append, "refused")
        no_new_threads.allow()
        pool.submit(done.append, "accepted").result(10)
        pool.close()
        assert done == ["accepted"]

    def test_the_threads_there_are_do_what_a_new_one_should_have(self, no_new_threads):
        pool, go_on = Threads(3, "test"), threading.Event()
        held = pool.submit(go_on.wait, 60)
        wait_until(lambda: len(pool._threads) == 2)
        no_new_threads.forbid()
        others = [pool.submit(lambda: "done") for _ in range(2)]
        assert [other.result(10) for other in others] == ["done"] * 2
        no_new_threads.allow()
        together = threading.Barrier(2)
        jobs = [pool.submit(together.wait, 10) for _ in range(2)]
        assert sorted(job.result(10) for job in jobs) == [0, 1]
        go_on.set()
        assert held.result(10)
        pool.close()

    def test_the_next_job_starts_the_thread_that_could_not_be_started(self, monkeypatch):
        start, go_on = threading.Thread.start, threading.Event()
        failures = iter([False, True])

        def failing_once(thread):
            if next(failures, False):
                raise RuntimeError("can't start new thread")
            start(thread)

        monkeypatch.setattr(threading.Thread, "start", failing_once)
        pool = Threads(2, "test")
        held = pool.submit(go_on.wait, 60)
        wait_until(lambda: pool._idle == 0)
        assert pool.submit(lambda: "done").result(10) == "done"
        go_on.set()
        assert held.result(10)
        pool.close()

    def test_a_launch_is_answered_once_and_not_asked_for_behind_its_back(
        self, make_worker, upstream, no_new_threads
    ):
        worker = make_worker()
        no_new_threads.forbid()
        refused = worker.verify(ltik())
        assert isinstance(refused, UpstreamError)
        assert refused.retry_after
        assert "shutting down" not in str(refused)
        no_new_threads.allow()
        good = ltik()
        assert isinstance(worker.verify(good), CachedLaunch)
        assert upstream.asked == [good]
        assert worker.stats.upstream_errors == {"NoThread": 1}
        wait_until(lambda: worker.calls() == 0)


class TestACallThatNeverEnds:
    def test_after_three_deadlines_another_may_start(self, make_worker, upstream, clock):
        worker = make_worker(timeout=1)
        worker.authenticator._timeout = lambda flight, asked: 0.01
        token = ltik()
        upstream.go_on.clear()
        assert isinstance(worker.verify(token), UpstreamError)
        assert upstream.entered.acquire(timeout=60)
        for seconds, calls in ((2.9, 1), (0.2, 2)):
            clock.pass_(seconds)
            assert isinstance(worker.verify(token), UpstreamError)
            wait_until(lambda calls=calls: len(upstream.asked) == calls)
        upstream.go_on.set()
        worker.settle()
        assert isinstance(worker.verify(token), CachedLaunch)
        assert len(upstream.asked) == 2

    def test_who_waits_for_the_lost_one_is_told(self, make_worker, upstream, clock):
        worker = make_worker(timeout=1)
        token = ltik()
        upstream.go_on.clear()
        (waiting,) = [worker.authenticator._join(worker.verification(token))]
        assert upstream.entered.acquire(timeout=60)
        clock.pass_(3.1)
        other = worker.authenticator._join(worker.verification(token))
        assert other is not waiting
        assert isinstance(waiting.result(10), UpstreamError)
        upstream.go_on.set()
        assert isinstance(other.result(10), CachedLaunch)


class TestTheContextOfTheRequest:
    @pytest.fixture
    def seen(self, upstream, monkeypatch):
        seen, fetch = [], upstream.id_token

        def id_token(ltik):
            seen.append(request_id.get())
            return fetch(ltik)

        monkeypatch.setattr(upstream, "id_token", id_token)
        return seen

    def test_reaches_ltiaas_from_a_thread(self, make_worker, seen):
        worker = make_worker()

        def ask(name):
            request_id.set(name)
            assert isinstance(worker.verify(ltik()), CachedLaunch)

        with ThreadPoolExecutor(1) as pool:
            for name in ("first", "second"):
                pool.submit(ask, name).result(10)
        assert seen == ["first", "second"]
        assert request_id.get() == "none"

    @pytest.mark.redis
    def test_reaches_ltiaas_by_way_of_a_shared_store(self, make_worker, redis_server, seen):
        worker = make_worker(redis_server.url)
        with ThreadPoolExecutor(1) as pool:
            pool.submit(request_id.set, "mine").result(10)
            assert isinstance(pool.submit(worker.verify, ltik()).result(10), CachedLaunch)
        assert seen == ["mine"]

    @pytest.mark.parametrize("run", [asyncio.run, lambda main: trio.run(lambda: main)])
    def test_reaches_ltiaas_from_a_task(self, make_worker, seen, run):
        worker = make_worker()

        async def main():
            request_id.set("task")
            assert isinstance(await worker.authenticator.verify_async(ltik()), CachedLaunch)
            return await worker.authenticator.run_async(request_id.get)

        assert run(main()) == "task"
        assert seen == ["task"]


class TestTrio:
    def test_the_loop_goes_on_and_a_cancelled_waiter_cancels_nobody(self, make_worker, upstream):
        worker, token, found = make_worker(), ltik(), []
        upstream.go_on.clear()

        async def wait():
            found.append(await worker.authenticator.verify_async(token))

        async def main():
            async with trio.open_nursery() as others:
                others.start_soon(wait)
                with trio.CancelScope() as scope:
                    async with trio.open_nursery() as mine:
                        mine.start_soon(wait)
                        await trio.testing.wait_all_tasks_blocked()
                        scope.cancel()
                assert scope.cancelled_caught
                upstream.go_on.set()

        trio.run(main)
        assert [outcome.ltik for outcome in found] == [token]
        assert upstream.asked == [token]

    def test_a_waiter_gives_up(self, make_worker, upstream):
        worker = make_worker()
        worker.authenticator._timeout = lambda flight, asked: 0.01
        upstream.go_on.clear()
        outcome = trio.run(worker.authenticator.verify_async, ltik())
        assert isinstance(outcome, UpstreamError)
        upstream.go_on.set()
        worker.settle()

    def test_what_a_call_raises_is_raised(self):
        pool = Threads(1, "test")
        with pytest.raises(ZeroDivisionError):
            trio.run(run_in, pool, lambda: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            asyncio.run(run_in(pool, lambda: 1 / 0))
        pool.close()

    def test_a_future_that_is_done_after_the_run_disturbs_nobody(self, caplog):
        pool, go_on = Threads(1, "test"), threading.Event()
        for run in (
            lambda f: trio.run(wait_for, f, 0.01),
            lambda f: asyncio.run(wait_for(f, 0.01)),
        ):
            go_on.clear()
            future = pool.submit(go_on.wait, 10)
            wait_until(future.running)
            assert not run(future)
            go_on.set()
            assert future.result(10)
        pool.close()
        assert caplog.text == ""
