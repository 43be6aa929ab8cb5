"""The limits on calls to LTIAAS: they hold up whoever brings invalid tokens, and nobody who is
authenticated."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from ltiaas_middleware._verification.flights import Flight
from ltiaas_middleware._verification.launches import CachedLaunch, Verification
from ltiaas_middleware._verification.limits import Limits, client_of
from ltiaas_middleware.errors import (
    ApiKeyRejected,
    InvalidResponse,
    LaunchExpired,
    PlatformInactive,
    RateLimited,
    UpstreamError,
)
from tests.counters.bytecodes import at_most, counting
from tests.tokens import ltik
from tests.waiting import wait_until

JUNK, REAL = "203.0.113.9", "198.51.100.7"
REJECTED = LaunchExpired("Invalid or expired ltik.", status=401)


@pytest.mark.parametrize(
    ("text", "client"),
    [
        ("203.0.113.9", "203.0.113.9"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("::ffff:cb00:7109", "203.0.113.9"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::ffff", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
        (None, ""),
        ("unix:", ""),
        ("testclient", ""),
        ("203.0.113.9, 198.51.100.7", ""),
    ],
)
def test_what_counts_as_one_client(text, client):
    assert client_of(text) == client


class TestTurns:
    @pytest.fixture
    def limits(self, clock):
        return Limits(8, 10, lambda: clock.since_boot)

    @pytest.fixture
    def add(self, limits, clock):
        def add(address="", times=1, **more):
            of = {"address": address, **more}
            calls = [
                Flight(Verification(ltik(), ltik(), **of), None, clock.since_boot)
                for _ in range(times)
            ]
            for call in calls:
                limits.add(call)
            return calls

        return add

    @staticmethod
    def begun(limits):
        return limits.sort_out()[0]

    def test_one_client_has_three_quarters_of_the_calls_at_most(self, limits, add):
        add(JUNK, 8)
        assert len(self.begun(limits)) == 6
        other = add(REAL)
        assert self.begun(limits) == other

    def test_strangers_leave_some_to_who_is_authenticated(self, limits, add):
        for number in range(10):
            add(f"198.51.100.{number}")
        assert len(self.begun(limits)) == 7
        known = add(JUNK, authenticated=True)
        assert self.begun(limits) == known

    def test_who_is_authenticated_goes_first_and_counts_against_nobody(self, limits, add):
        add(JUNK, 20)
        known = add(JUNK, 8, authenticated=True)
        assert self.begun(limits) == known
        for call in known:
            limits.ended(call)
        assert len(self.begun(limits)) == 6

    def test_a_turn_comes_when_a_call_ends(self, limits, add):
        add("", 10)
        first, *_ = self.begun(limits)
        assert self.begun(limits) == []
        limits.ended(first)
        assert len(self.begun(limits)) == 1

    def test_nobody_waits_for_longer_than_three_seconds(self, limits, add, clock):
        add(JUNK, 8)
        self.begun(limits)
        clock.pass_(2.9)
        assert limits.sort_out() == ([], [])
        clock.pass_(0.2)
        _, refused = limits.sort_out()
        assert [kind for _, _, kind in refused] == ["Busy"] * 2
        assert all(error.retry_after for _, error, _ in refused)
        assert limits.waiting == 0

    def test_those_that_wait_cost_little_each_time_another_comes(self, limits, add):
        for number in range(500):
            add(f"198.51.{number % 50}.1")
        self.begun(limits)
        with counting() as bytecodes:
            assert bytecodes.of(limits.sort_out) <= at_most(493 * 110)

    def reject(self, limits, add, times, address=JUNK):
        made = 0
        for _ in range(times):
            add(address)
            for one in self.begun(limits):
                made += 1
                limits.answered(one, rejected=True)
                limits.ended(one)
        return made

    def test_whose_tokens_are_rejected_is_paced(self, limits, add, clock):
        made = 0
        for _ in range(100):
            made += self.reject(limits, add, 4)
            clock.pass_(0.1)
        # Twenty at once, and five a second.
        assert 60 <= made <= 75

    def test_and_no_more_once_that_is_paid(self, limits, add, clock):
        self.reject(limits, add, 30)
        assert self.reject(limits, add, 1) == 0
        clock.pass_(4)
        assert self.reject(limits, add, 10) == 10

    def test_nor_if_as_many_are_verified(self, limits, add):
        """A school behind one IP, where somebody reloads a launch of yesterday."""
        for _ in range(100):
            self.reject(limits, add, 1)
            (call,) = add(JUNK)
            assert self.begun(limits) == [call]
            limits.answered(call, rejected=False)
            limits.ended(call)

    def test_nobody_is_paced_whose_ip_is_unknown_or_who_is_authenticated(self, limits, add):
        assert self.reject(limits, add, 100, address="") == 100
        self.reject(limits, add, 100)
        known = add(JUNK, authenticated=True)
        assert self.begun(limits) == known

    def test_clients_do_not_fill_the_memory(self, limits, add, clock):
        for number in range(12_000):
            self.reject(limits, add, 1, address=f"2001:db8:{number:x}::1")
        assert len(limits._paid_at) == 10_000
        clock.pass_(1)
        self.reject(limits, add, 1)
        assert limits._paid_at.keys() == {JUNK}
        assert not limits._running
        assert limits._under_way == 0


class TestTheBreaker:
    @pytest.fixture
    def worker(self, make_worker):
        return make_worker()

    @staticmethod
    def send_junk(worker, upstream, error, times, address=JUNK):
        for _ in range(times):
            token = ltik()
            upstream.errors[token] = error
            worker.verify(token, address=address)

    def all_get_in(self, worker, times=10):
        return all(
            isinstance(worker.verify(ltik(), address=f"198.51.100.{number}"), CachedLaunch)
            for number in range(times)
        )

    @pytest.mark.parametrize(
        "error",
        [
            RateLimited("slow down", status=429, retry_after=3600),
            RateLimited("slow down", status=429),
            UpstreamError("under repair", status=503, retry_after=3600),
            UpstreamError("error", status=500),
            UpstreamError("no answer"),
            REJECTED,
        ],
    )
    def test_is_opened_for_nobody_else_by_one_client(self, worker, upstream, clock, error):
        for _ in range(5):
            self.send_junk(worker, upstream, error, 12)
            assert self.all_get_in(worker)
            clock.pass_(3)

    @pytest.mark.parametrize(
        "error",
        [
            RateLimited("slow down", status=429),
            UpstreamError("error", status=500),
            InvalidResponse("the response is not JSON", status=200),
            UpstreamError("a gateway", status=404),
        ],
    )
    def test_counts_every_failure(self, worker, upstream, error):
        self.send_junk(worker, upstream, error, 50)
        assert len(upstream.asked) == 5

    def test_takes_an_ipv6_network_for_one_client(self, worker, upstream):
        for number in range(50):
            address = f"2001:db8:1:2::{number:x}"
            self.send_junk(worker, upstream, UpstreamError("error", status=500), 1, address)
        assert len(upstream.asked) == 5
        assert self.all_get_in(worker)

    @pytest.mark.parametrize(
        ("error", "most"),
        [
            (RateLimited("slow down", status=429, retry_after=60), 3),
            (RateLimited("slow down", status=429, retry_after=0), 3),
            (UpstreamError("no connection"), 5),
        ],
    )
    def test_is_opened_for_all_by_several_clients(self, worker, upstream, error, most):
        upstream.error = error
        for number in range(50):
            worker.verify(ltik(), address=f"198.51.100.{number}")
        assert len(upstream.asked) == most

    @pytest.mark.parametrize(("said", "believed"), [(0, 1), (7, 7), (86_402, 60)])
    @pytest.mark.parametrize("page", [False, True])
    def test_believes_and_tells_a_retry_after_between_1_and_60_seconds(
        self, worker, upstream, clock, said, believed, page
    ):
        upstream.error = RateLimited("slow down", status=429, retry_after=said)
        told = worker.verify(ltik(), page=page).retry_after
        assert min(believed, 58) <= told <= (60 if page else believed)
        upstream.error = None
        clock.pass_(believed - 0.5)
        assert not isinstance(worker.verify(ltik(), page=page), CachedLaunch)
        assert len(upstream.asked) == 1
        clock.pass_(1)
        assert isinstance(worker.verify(ltik(), page=page), CachedLaunch)

    def test_is_closed_to_who_is_paced(self, worker, upstream):
        self.send_junk(worker, upstream, REJECTED, 30)
        upstream.asked.clear()
        self.send_junk(worker, upstream, REJECTED, 10)
        assert not upstream.asked
        assert self.all_get_in(worker)

    @pytest.mark.parametrize(
        "error",
        [
            ApiKeyRejected("Invalid API key", status=401),
            PlatformInactive("not active", status=400),
        ],
    )
    def test_what_the_account_is_to_blame_for_paces_nobody(self, worker, upstream, error):
        self.send_junk(worker, upstream, error, 100)
        assert len(upstream.asked) == 100

    def test_lets_junk_wait_behind_itself(self, make_worker, upstream):
        worker = make_worker(max_concurrent_calls=4, max_blocked_threads=64)
        upstream.go_on.clear()
        with ThreadPoolExecutor(40) as pool:
            for _ in range(30):
                pool.submit(self.send_junk, worker, upstream, REJECTED, 1)
            wait_until(lambda: worker.calls() == 30)
            for _ in range(3):
                assert upstream.entered.acquire(timeout=60)
            # One of four is left for others.
            real = ltik()
            waiting = pool.submit(worker.verify, real, address=REAL)
            assert upstream.entered.acquire(timeout=60)
            assert real in upstream.asked[:4]
            upstream.go_on.set()
            assert isinstance(waiting.result(10), CachedLaunch)


class TestWhoIsAuthenticated:
    def test_is_served_however_busy_strangers_are(self, make_worker, upstream):
        """By the cookie of the launch path, in a worker that does not know the launch."""
        worker = make_worker(max_concurrent_calls=8, max_blocked_threads=4)
        upstream.go_on.clear()
        with ThreadPoolExecutor(40) as pool:
            for number in range(20):
                pool.submit(worker.verify, ltik(), address=f"198.51.100.{number}")
            wait_until(lambda: worker.calls() == 20)
            for _ in range(7):
                assert upstream.entered.acquire(timeout=60)
            waiting = pool.submit(worker.verify, ltik(), authenticated=True)
            assert upstream.entered.acquire(timeout=60)
            upstream.go_on.set()
            assert isinstance(waiting.result(10), CachedLaunch)

    def test_may_be_so_by_the_store(self, make, upstream, clock):
        """Its ttl is over, so that LTIAAS is asked."""
        tokens = [ltik() for _ in range(6)]
        first = make()
        for token in tokens:
            first.verify(token, address=JUNK)
        clock.pass_(601)
        late = make()
        TestTheBreaker.send_junk(late, upstream, REJECTED, 40)
        for token in tokens:
            assert late.verify(token, address=JUNK).verified_at == clock.wall
