"""Calls to LTIAAS are shared out between client addresses, and junk from one shuts out no other."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from ltiaas_middleware._verification.breaker import Breaker
from ltiaas_middleware._verification.clients import KNOWN, UNKNOWN, Clients, address_of
from ltiaas_middleware._verification.launches import CachedLaunch
from ltiaas_middleware.errors import (
    ApiKeyRejected,
    LaunchExpired,
    PlatformInactive,
    RateLimited,
    UpstreamError,
)
from tests.tokens import ltik
from tests.waiting import wait_until

JUNK, REAL = "203.0.113.9", "198.51.100.7"
REFUSED = LaunchExpired("Invalid or expired ltik.", status=401)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("203.0.113.9", "203.0.113.9"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("::ffff:cb00:7109", "203.0.113.9"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::ffff", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", UNKNOWN),
        (None, UNKNOWN),
        ("unix:", UNKNOWN),
        ("testclient", UNKNOWN),
        (KNOWN, UNKNOWN),
        ("203.0.113.9, 198.51.100.7", UNKNOWN),
    ],
)
def test_what_counts_as_one_client(text, address):
    assert address_of(text) == address


class TestTurns:
    @pytest.fixture
    def clients(self, clock):
        def new_breaker():
            return Breaker(failures=5, pause=1, longest=8, probe_for=10)

        return Clients(8, 3, new_breaker, lambda: clock.since_boot)

    @staticmethod
    def drain(clients):
        """All that may be made now, each ended before the next."""
        taken = []
        while (call := clients.take()) is not None:
            taken.append(call[0])
            clients.ended(call[2], call)
        return taken

    @staticmethod
    def add(clients, address, times=1):
        for _ in range(times):
            queued = clients.add(address, call := Call((address, object())))
            if queued is not None:
                call.append(queued[0])

    @staticmethod
    def refuse(clients, clock, address, times=1):
        for _ in range(times):
            call = Call((address, object()))
            client, _full = clients.add(address, call)
            assert clients.take() is call
            client.count(refused=True, now=clock.since_boot)
            clients.ended(client, call)

    def test_are_taken_by_one_address_after_the_other(self, clients):
        self.add(clients, "a", 4)
        self.add(clients, "b", 2)
        self.add(clients, KNOWN)
        assert self.drain(clients) == ["a", "b", KNOWN, "a", "b", "a", "a"]
        assert len(clients) == 0

    def test_whose_ltiks_were_refused_lately_comes_last(self, clients, clock):
        self.refuse(clients, clock, "a")
        self.add(clients, "a", 2)
        self.add(clients, "b", 3)
        assert self.drain(clients) == ["b", "b", "b", "a", "a"]

    def test_and_no_more_once_that_is_long_ago(self, clients, clock):
        self.refuse(clients, clock, "a")
        assert clients.comes_last("a")
        clock.pass_(120)
        assert not clients.comes_last("a")

    def test_nor_where_more_were_verified(self, clients, clock):
        self.add(clients, "school", 2)
        for _ in range(2):
            call = clients.take()
            call[2].count(refused=False, now=clock.since_boot)
            clients.ended(call[2], call)
        self.refuse(clients, clock, "school")
        assert not clients.comes_last("school")

    def test_nobody_is_told_apart_whose_address_is_unknown(self, clients, clock):
        self.refuse(clients, clock, UNKNOWN, 50)
        assert not clients.comes_last(UNKNOWN)

    def test_one_address_leaves_some_for_others(self, clients):
        self.add(clients, "a", 8)
        assert [clients.take()[0] for _ in range(6)] == ["a"] * 6
        assert clients.take() is None
        self.add(clients, "b")
        assert clients.take()[0] == "b"

    def test_all_that_come_last_leave_most_for_others(self, clients, clock):
        for address in ("a", "b", "c"):
            self.refuse(clients, clock, address)
            self.add(clients, address)
        assert clients.take() is not None
        assert clients.take() is not None
        assert clients.take() is None

    def test_whoever_comes_last_is_paced(self, clients, clock):
        self.refuse(clients, clock, "a")
        made = 0
        for _ in range(100):
            self.add(clients, "a", 4)
            made += len(self.drain(clients))
            clock.pass_(0.1)
        # Twenty at once, and five a second.
        assert 60 <= made <= 75

    def test_and_told_when_to_look_again(self, clients, clock):
        self.refuse(clients, clock, "a")
        for _ in range(7):
            self.add(clients, "a", 3)
            self.drain(clients)
        self.add(clients, "a")
        assert clients.take() is None
        seconds = clients.seconds_to_next()
        assert 0 < seconds <= 0.2
        clock.pass_(seconds)
        assert clients.take() is not None

    def test_and_turned_away_where_it_would_wait_in_vain(self, clients, clock):
        self.refuse(clients, clock, "a")
        self.add(clients, "a", 1000)
        assert len(clients) == 15

    def test_addresses_do_not_fill_the_memory(self, clients, clock):
        for number in range(12_000):
            self.refuse(clients, clock, f"2001:db8:{number:x}::/64")
        assert len(clients._past) == 10_000
        assert not clients._busy
        assert not clients._turns
        assert not clients._last


class Call(list):
    """Told apart by identity, as calls are."""

    __hash__ = object.__hash__

    def __eq__(self, other):
        return self is other


class TestJunk:
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
            REFUSED,
        ],
    )
    def test_of_one_address_shuts_out_no_other(self, worker, upstream, clock, error):
        for _ in range(5):
            self.send_junk(worker, upstream, error, 12)
            assert self.all_get_in(worker)
            clock.pass_(3)
        assert not worker.authenticator._upstream._breaker.is_open

    @pytest.mark.parametrize(
        "error", [RateLimited("slow down", status=429), UpstreamError("error", status=500)]
    )
    def test_that_fails_is_asked_about_no_more(self, worker, upstream, error):
        self.send_junk(worker, upstream, error, 50)
        assert len(upstream.asked) == 5

    def test_within_one_ipv6_network_is_one_address(self, worker, upstream):
        for number in range(50):
            address = f"2001:db8:1:2::{number:x}"
            self.send_junk(worker, upstream, UpstreamError("error", status=500), 1, address)
        assert len(upstream.asked) == 5
        assert self.all_get_in(worker)

    @pytest.mark.parametrize(
        ("error", "most"),
        [
            (RateLimited("slow down", status=429, retry_after=60), 3),
            (UpstreamError("no connection"), 5),
        ],
    )
    def test_is_told_from_an_ltiaas_that_fails_for_all(self, worker, upstream, error, most):
        upstream.error = error
        for number in range(50):
            worker.verify(ltik(), address=f"198.51.100.{number}")
        assert len(upstream.asked) == most
        assert worker.authenticator._upstream._breaker.is_open

    def test_a_launch_that_was_verified_before_says_enough(self, worker, upstream, clock):
        token = ltik()
        worker.verify(token, address=REAL)
        clock.pass_(601)
        upstream.error = RateLimited("slow down", status=429, retry_after=60)
        worker.verify(token, address=REAL)
        assert worker.authenticator._upstream._breaker.is_open

    def test_gets_no_probe(self, worker, upstream, clock):
        self.send_junk(worker, upstream, REFUSED, 3)
        upstream.error = UpstreamError("no connection")
        for number in range(10):
            worker.verify(ltik(), address=f"198.51.100.{number}")
        upstream.error = None
        upstream.asked.clear()
        clock.pass_(1.3)
        self.send_junk(worker, upstream, REFUSED, 10)
        assert not upstream.asked
        assert self.all_get_in(worker)

    def test_waits_behind_itself(self, make_worker, upstream):
        worker = make_worker(max_calls=4, max_waiting=64)
        upstream.go_on.clear()
        with ThreadPoolExecutor(40) as pool:
            for _ in range(30):
                pool.submit(self.send_junk, worker, upstream, REFUSED, 1)
            wait_until(lambda: worker.authenticator._upstream.under_way == 30)
            for _ in range(3):
                assert upstream.entered.acquire(timeout=5)
            # One of four is left for others.
            real = ltik()
            waiting = pool.submit(worker.verify, real, address=REAL)
            assert upstream.entered.acquire(timeout=5)
            assert real in upstream.asked[:4]
            upstream.go_on.set()
            assert isinstance(waiting.result(10), CachedLaunch)

    def test_leaves_threads_to_others(self, make_worker, upstream):
        worker = make_worker(max_calls=8, max_waiting=4)
        self.send_junk(worker, upstream, REFUSED, 1)
        upstream.go_on.clear()
        with ThreadPoolExecutor(12) as pool:
            junk = [pool.submit(self.send_junk, worker, upstream, REFUSED, 1) for _ in range(8)]
            wait_until(lambda: sum(one.done() for one in junk) == 7)
            waiting = pool.submit(worker.verify, ltik(), address=REAL)
            wait_until(lambda: worker.authenticator._room._seats._value == 2)
            upstream.go_on.set()
            assert isinstance(waiting.result(10), CachedLaunch)

    def test_that_is_paced_gets_its_turn(self, make_worker, upstream):
        worker = make_worker(clock=None, max_waiting=64)
        self.send_junk(worker, upstream, REFUSED, 24)
        assert upstream.asked
        # Who comes last and has a real launch gets in, later.
        assert isinstance(worker.verify(ltik(), address=JUNK), CachedLaunch)

    @pytest.mark.parametrize(
        "error",
        [
            ApiKeyRejected("Invalid API key", status=401),
            PlatformInactive("not active", status=400),
        ],
    )
    def test_is_not_what_the_account_is_to_blame_for(self, worker, upstream, error):
        self.send_junk(worker, upstream, error, 10)
        assert not worker.authenticator._upstream.comes_last(JUNK)
