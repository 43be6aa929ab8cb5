"""One flight per launch, freshness, and what is remembered."""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor

import pytest

from ltiaas_middleware import Settings
from ltiaas_middleware._crypto.keys import LaunchIds
from ltiaas_middleware._verification.authenticator import Authenticator
from ltiaas_middleware._verification.launches import DAY, CachedLaunch, launch_end
from ltiaas_middleware.errors import ApiKeyRejected, LaunchExpired, RateLimited, UpstreamError
from tests.tokens import ltik
from tests.waiting import wait_until


@pytest.fixture
def make(clock, upstream):
    made = []

    def make(**options):
        settings = Settings(url="https://your.ltiaas.com", api_key="key-key-key", **options)
        made.append(
            Authenticator(
                settings,
                upstream,
                LaunchIds(settings.signing_secrets),
                clock=lambda: clock.wall,
                monotonic=lambda: clock.since_boot,
            )
        )
        return made[-1]

    yield make
    upstream.go_on.set()
    for authenticator in made:
        authenticator.close()


@pytest.fixture
def authenticator(make):
    return make()


def known(authenticator, launch_id):
    """What a request that has proved the launch is served with, without asking LTIAAS."""
    entry = authenticator.peek(launch_id)
    return None if entry is None else authenticator.use(entry)


def settle(authenticator):
    """Wait for what runs in the background."""
    for flight in authenticator._flights.under_way():
        flight.result(timeout=10)


class TestOneFlight:
    def test_200_threads_ask_once(self, make, upstream):
        authenticator, token = make(max_blocked_threads=200), ltik()
        upstream.go_on.clear()
        with ThreadPoolExecutor(200) as pool:
            waiting = [pool.submit(authenticator.verify, token) for _ in range(200)]
            wait_until(lambda: authenticator.stats.coalesced == 199)
            upstream.go_on.set()
            outcomes = {id(future.result(10)) for future in waiting}
        assert len(outcomes) == 1
        assert upstream.asked == [token]

    def test_200_tasks_ask_once_and_the_loop_goes_on(self, authenticator, upstream):
        token = ltik()
        upstream.go_on.clear()

        async def main():
            waiting = [asyncio.create_task(authenticator.verify_async(token)) for _ in range(200)]
            for _ in range(50):
                await asyncio.sleep(0)
            assert authenticator.stats.coalesced == 199
            upstream.go_on.set()
            return await asyncio.gather(*waiting)

        outcomes = asyncio.run(main())
        assert len({id(outcome) for outcome in outcomes}) == 1
        assert isinstance(outcomes[0], CachedLaunch)
        assert upstream.asked == [token]

    def test_the_first_of_200_tasks_is_cancelled_and_the_others_are_served(
        self, authenticator, upstream
    ):
        token = ltik()
        upstream.go_on.clear()

        async def main():
            waiting = [asyncio.create_task(authenticator.verify_async(token)) for _ in range(200)]
            for _ in range(50):
                await asyncio.sleep(0)
            waiting[0].cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting[0]
            upstream.go_on.set()
            return await asyncio.gather(*waiting[1:])

        outcomes = asyncio.run(main())
        assert len(outcomes) == 199
        assert all(isinstance(outcome, CachedLaunch) for outcome in outcomes)
        assert upstream.asked == [token]

    def test_threads_and_tasks_share_a_flight(self, authenticator, upstream):
        token = ltik()
        upstream.go_on.clear()

        async def main():
            tasks = [asyncio.create_task(authenticator.verify_async(token)) for _ in range(5)]
            with ThreadPoolExecutor(5) as pool:
                threads = [pool.submit(authenticator.verify, token) for _ in range(5)]
                while authenticator.stats.coalesced < 9:
                    await asyncio.sleep(0.001)
                upstream.go_on.set()
                return await asyncio.gather(*tasks), [thread.result(10) for thread in threads]

        tasks, threads = asyncio.run(main())
        assert len({id(outcome) for outcome in [*tasks, *threads]}) == 1
        assert upstream.asked == [token]

    def test_different_launches_do_not_wait_for_each_other(self, authenticator, upstream):
        slow, quick = ltik(), ltik()
        upstream.go_on.clear()
        with ThreadPoolExecutor(2) as pool:
            waiting = pool.submit(authenticator.verify, slow)
            assert upstream.entered.acquire(timeout=60)
            also = pool.submit(authenticator.verify, quick)
            assert upstream.entered.acquire(timeout=60)
            upstream.go_on.set()
            assert waiting.result(10).ltik == slow
            assert also.result(10).ltik == quick

    def test_a_failure_reaches_everyone_and_the_next_one_asks_again(self, authenticator, upstream):
        token = ltik()
        upstream.error = UpstreamError("no connection")
        assert authenticator.verify(token) is upstream.error
        upstream.error = None
        assert authenticator.verify(token).ltik == token
        assert len(upstream.asked) == 2

    def test_a_bug_in_the_fetch_hangs_nobody_and_tells_no_secret(
        self, authenticator, upstream, caplog
    ):
        token = ltik()
        upstream.error = RuntimeError(f"secret {token}")
        assert isinstance(authenticator.verify(token), UpstreamError)
        assert "RuntimeError" in caplog.text
        assert token not in caplog.text

    def test_whoever_waits_too_long_gives_up_without_failing_the_others(self, make, upstream):
        authenticator = make(timeout=0.01)
        authenticator._timeout = lambda flight, asked: 0.02
        token = ltik()
        upstream.go_on.clear()
        assert isinstance(authenticator.verify(token), UpstreamError)
        assert isinstance(asyncio.run(authenticator.verify_async(token)), UpstreamError)
        upstream.go_on.set()
        settle(authenticator)
        assert authenticator.verify(token).ltik == token
        assert upstream.asked == [token]

    def test_after_close_a_new_launch_is_refused_and_a_known_one_is_served(
        self, authenticator, upstream
    ):
        token = ltik()
        known = authenticator.verify(token)
        authenticator.close()
        assert authenticator.verify(token).claims is known.claims
        assert isinstance(authenticator.verify(ltik()), UpstreamError)
        assert authenticator._flights.under_way() == []


class TestTheCookieBoundMark:
    """That the cookie came back is noted with the launch, not by whoever waits for the answer."""

    def test_is_noted_although_everyone_gave_up(self, make, upstream):
        authenticator = make()
        authenticator._timeout = lambda flight, asked: 0.02
        token = ltik()
        upstream.go_on.clear()
        assert isinstance(authenticator.verify(token, binds=True), UpstreamError)
        upstream.go_on.set()
        settle(authenticator)
        assert authenticator.verify(token).cookie_bound

    def test_is_noted_although_its_task_was_cancelled(self, authenticator, upstream):
        token = ltik()
        upstream.go_on.clear()

        async def main():
            other = asyncio.create_task(authenticator.verify_async(token))
            await asyncio.sleep(0)
            mine = asyncio.create_task(authenticator.verify_async(token, binds=True))
            for _ in range(5):
                await asyncio.sleep(0)
            mine.cancel()
            upstream.go_on.set()
            return await other

        assert asyncio.run(main()).cookie_bound

    def test_is_not_noted_where_nobody_had_the_cookie(self, authenticator):
        assert not authenticator.verify(ltik()).cookie_bound


def test_what_something_before_ltiaas_refuses_does_not_hold_up_the_others(authenticator, upstream):
    upstream.error = UpstreamError("a firewall does not like it", status=403)
    for _ in range(20):
        assert isinstance(authenticator.verify(ltik(), address="192.0.2.1"), UpstreamError)
    upstream.error = None
    assert isinstance(authenticator.verify(ltik(), address="192.0.2.2"), CachedLaunch)


class TestFreshness:
    def test_within_the_ttl_nobody_is_asked(self, authenticator, upstream, clock):
        token = ltik()
        entry = authenticator.verify(token)
        clock.pass_(479)
        assert known(authenticator, entry.id).claims is entry.claims
        assert known(authenticator, entry.id)
        assert authenticator.verify(token).claims is entry.claims
        assert upstream.asked == [token]

    def test_close_to_the_ttl_it_is_refreshed_in_the_background(
        self, authenticator, upstream, clock
    ):
        token = ltik()
        entry = authenticator.verify(token)
        clock.pass_(481)
        upstream.go_on.clear()
        for _ in range(3):
            assert known(authenticator, entry.id).claims is entry.claims
        upstream.go_on.set()
        settle(authenticator)
        assert upstream.asked == [token, token]
        assert known(authenticator, entry.id).claims is not entry.claims

    def test_a_refresh_brings_the_new_claims(self, authenticator, upstream, clock):
        token = ltik()
        entry = authenticator.verify(token)
        upstream.claims = {"user": {"id": "changed"}}
        clock.pass_(601)
        assert known(authenticator, entry.id) is None
        assert b"changed" in authenticator.verify(token).claims

    def test_while_ltiaas_fails_it_is_served_on_and_asked_for_now_and_then(
        self, authenticator, upstream, clock
    ):
        token = ltik()
        entry = authenticator.verify(token)
        upstream.error = UpstreamError("no connection")
        clock.pass_(601)
        for _ in range(5):
            assert authenticator.verify(token).claims is entry.claims
        assert len(upstream.asked) == 2
        assert known(authenticator, entry.id)
        clock.pass_(16)
        assert known(authenticator, entry.id) is None
        assert authenticator.verify(token).claims is entry.claims
        assert len(upstream.asked) == 3
        assert authenticator.stats.stale_served == 2

    def test_a_wrong_api_key_does_not_end_a_verified_launch(self, authenticator, upstream, clock):
        token = ltik()
        entry = authenticator.verify(token)
        upstream.error = ApiKeyRejected("Invalid API key", status=401)
        clock.pass_(601)
        assert authenticator.verify(token).claims is entry.claims

    def test_it_ends_24_hours_after_the_launch_even_while_ltiaas_fails(
        self, authenticator, upstream, clock
    ):
        token = ltik()
        entry = authenticator.verify(token)
        upstream.error = UpstreamError("no connection")
        clock.pass_(DAY - 1)
        assert authenticator.verify(token).claims is entry.claims
        clock.pass_(2)
        assert known(authenticator, entry.id) is None
        assert isinstance(authenticator.verify(token), UpstreamError)

    def test_a_refresh_does_not_move_the_end(self, authenticator, upstream, clock):
        token = ltik()
        first = authenticator.verify(token)
        clock.pass_(DAY / 2)
        second = authenticator.verify(token)
        assert second.claims is not first.claims
        assert second.ends == first.ends
        assert second.ends_at == first.ends_at

    def test_it_ends_by_the_ltiks_own_time(self, authenticator, clock):
        token = ltik(iat=clock.wall - DAY + 100)
        entry = authenticator.verify(token)
        assert entry.ends - clock.since_boot == pytest.approx(100)
        clock.pass_(101)
        assert known(authenticator, entry.id) is None
        assert isinstance(authenticator.verify(token), LaunchExpired)

    @pytest.mark.parametrize("jump", [3600, -3600])
    def test_a_jump_of_the_wall_clock_breaks_nothing(self, authenticator, upstream, clock, jump):
        token = ltik(iat=clock.wall - 10)
        entry = authenticator.verify(token)
        clock.wall += jump
        assert known(authenticator, entry.id).claims is entry.claims
        assert authenticator.verify(token).claims is entry.claims
        clock.pass_(601)
        renewed = authenticator.verify(token)
        assert isinstance(renewed, CachedLaunch)
        assert renewed.ends <= entry.ends
        fresh = ltik(iat=clock.wall - jump)
        assert isinstance(authenticator.verify(fresh), CachedLaunch)

    def test_a_refused_refresh_ends_the_launch(self, authenticator, upstream, clock):
        token = ltik()
        entry = authenticator.verify(token)
        upstream.error = LaunchExpired("Invalid or expired ltik.", status=401)
        clock.pass_(601)
        assert isinstance(authenticator.verify(token), LaunchExpired)
        assert known(authenticator, entry.id) is None

    def test_a_mark_outlives_a_refresh(self, authenticator, clock):
        token = ltik()
        authenticator.verify(token)
        authenticator.verify(token, binds=True)
        clock.pass_(601)
        assert authenticator.verify(token).cookie_bound


class TestWhatIsRemembered:
    def test_a_refusal_for_60_seconds(self, authenticator, upstream, clock):
        token = ltik()
        upstream.error = LaunchExpired("Invalid or expired ltik.", status=401)
        for _ in range(5):
            assert isinstance(authenticator.verify(token), LaunchExpired)
        assert len(upstream.asked) == 1
        clock.pass_(61)
        upstream.error = None
        assert isinstance(authenticator.verify(token), CachedLaunch)

    def test_1_000_junk_tokens_push_no_launch_out(self, make, upstream):
        authenticator = make(max_launches=10)
        good = ltik()
        entry = authenticator.verify(good)
        upstream.error = LaunchExpired("Invalid or expired ltik.", status=401)
        with ThreadPoolExecutor(16) as pool:
            list(pool.map(authenticator.verify, (ltik(f"junk{n}") for n in range(1_000))))
        assert len(upstream.asked) == 1_001
        assert known(authenticator, entry.id).claims is entry.claims
        assert authenticator.verify(good).claims is entry.claims

    def test_at_most_so_many_launches_the_least_used_going_first(self, make, clock):
        authenticator = make(max_launches=3)
        first, second, third = (authenticator.verify(ltik()) for _ in range(3))
        clock.pass_(31)
        assert known(authenticator, first.id).claims is first.claims
        authenticator.verify(ltik())
        assert known(authenticator, second.id) is None
        assert known(authenticator, first.id).claims is first.claims
        assert known(authenticator, third.id).claims is third.claims

    def test_launches_that_are_over_are_forgotten(self, authenticator, clock):
        for _ in range(5):
            authenticator.verify(ltik())
        clock.pass_(DAY + 1)
        authenticator.verify(ltik())
        assert len(authenticator._launches._entries) == 1


class TestTheLaunchsEnd:
    NOW = 1_800_000_000.0

    @pytest.mark.parametrize(
        ("payload", "end"),
        [
            ({}, None),
            ({"iat": NOW}, NOW + DAY),
            ({"iat": NOW - 100, "exp": NOW + 500}, NOW + 500),
            ({"iat": NOW, "exp": NOW + 10 * DAY}, NOW + DAY),
            ({"iat": NOW, "exp": NOW - 5}, NOW + DAY),
            ({"exp": NOW + 500}, NOW + 500),
            ({"exp": NOW + 10 * DAY}, None),
            ({"iat": NOW + 60}, NOW + 60 + DAY),
            ({"iat": NOW + 2 * 3600}, None),
            ({"iat": NOW - 2 * DAY}, NOW - DAY),
            ({"iat": NOW * 1000}, None),
            ({"iat": "yesterday"}, None),
            ({"iat": True}, None),
            ({"iat": 0}, None),
            ({"iat": float("inf")}, None),
            ({"iat": float("nan")}, None),
            ([], None),
            ("text", None),
        ],
    )
    def test_is_taken_from_plausible_hints_only(self, payload, end):
        from tests.tokens import part

        assert launch_end(f"h.{part(payload)}.s", self.NOW) == end

    @pytest.mark.parametrize("token", ["h.!!!.s", "h.A.s", "h._w.s", "h." + "W1tb" * 9000 + ".s"])
    def test_is_unknown_where_the_payload_is_none(self, token):
        assert launch_end(token, self.NOW) is None


def test_counters(authenticator, upstream, clock):
    token = ltik()
    authenticator.verify(token)
    upstream.error = RateLimited("slow down", status=429)
    authenticator.verify(ltik())
    upstream.error = UpstreamError("no connection")
    authenticator.verify(ltik())
    counts = authenticator.stats.snapshot()
    assert counts["fetches"] == 3
    assert counts["misses"] == 3
    assert counts["upstream_errors.RateLimited"] == 1
    assert counts["upstream_errors.UpstreamError"] == 1


def test_a_failure_is_logged_by_the_launch_id_alone(authenticator, upstream, caplog):
    token = ltik()
    upstream.error = UpstreamError("no connection", path="/api/idtoken")
    with caplog.at_level(logging.DEBUG):
        authenticator.verify(token)
    assert LaunchIds(["key-key-key"]).of(token) in caplog.text
    assert token not in caplog.text
    assert "key-key-key" not in caplog.text
