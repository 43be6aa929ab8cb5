"""The clock of a machine is set while launches are shared."""

from __future__ import annotations

import pytest

from ltiaas_middleware._verification.launches import DAY, CachedLaunch
from ltiaas_middleware.errors import UpstreamError
from tests.fixtures.workers import Clock
from tests.tokens import ltik


class TestAnHoursJump:
    """The clock of a machine is set by an hour, forwards or backwards."""

    @pytest.mark.parametrize("jump", [3600, -3600])
    @pytest.mark.parametrize("whose", ["both", "one"])
    def test_breaks_nothing(self, make, upstream, jump, whose, record_figure):
        ours, theirs = Clock(), Clock()
        first, second = make(clock=ours), make(clock=theirs)
        tokens = [ltik(iat=ours.wall - 10), ltik(iat=ours.wall - DAY + 7200), ltik()]
        began = ours.since_boot
        last_end = dict.fromkeys(tokens, began + DAY)

        def ask():
            for token in tokens:
                for worker, clock in ((first, ours), (second, theirs)):
                    outcome = worker.verify(token)
                    assert isinstance(outcome, CachedLaunch), outcome
                    assert outcome.ltik == token
                    assert outcome.trusted <= clock.since_boot + 600
                    assert outcome.ends <= last_end[token] + 60
                    worker.settle()

        ask()
        before = len(upstream.asked)
        assert before == len(tokens)
        for clock in (ours, theirs) if whose == "both" else (ours,):
            clock.wall += jump
        ask()
        at_once = len(upstream.asked) - before
        # In memory nothing has moved.
        assert at_once == 0
        for _ in range(5):
            for clock in (ours, theirs):
                clock.pass_(601)
            ask()
        late = make(clock=ours)
        for token in tokens:
            assert isinstance(late.verify(token), CachedLaunch)
        later = len(upstream.asked) - before
        record_figure(
            f"6: clock {jump:+} s, {whose}: {at_once} calls at once, {later} over five ttls of "
            f"{len(tokens)} launches on 2 workers (at most {2 * 6 * len(tokens)})"
        )
        assert later <= 2 * 6 * len(tokens)

    @pytest.mark.parametrize("jump", [3600, -3600])
    def test_leaves_no_launch_waiting_for_a_call_that_failed(self, make, upstream, clock, jump):
        """The machine has just started: the network comes up, and then the right time."""
        first, second, token = make(), make(), ltik()
        upstream.error = UpstreamError("no connection")
        assert first.verify(token) is upstream.error
        first.settle()
        upstream.error = None
        clock.wall += jump
        clock.since_boot += 2
        assert isinstance(second.verify(token), CachedLaunch)

    @pytest.mark.parametrize("jump", [3600, -3600])
    @pytest.mark.parametrize("shares", [True, False])
    def test_closes_no_one_time_link(self, make, make_worker, clock, jump, shares):
        worker = make() if shares else make_worker("memory")
        worker.verify(ltik())
        worker.settle()
        clock.wall += jump
        clock.since_boot += 60
        # If the store is as old as tomorrow, what was made before that is noticed is refused.
        worker.authenticator.use_once("one", clock.wall - 1)
        assert worker.authenticator.use_once("another", clock.wall)
