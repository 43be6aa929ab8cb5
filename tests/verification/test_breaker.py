"""A circuit breaker, by its clock."""

from __future__ import annotations

import pytest

from ltiaas_middleware._verification.breaker import Breaker


@pytest.fixture
def breaker(clock):
    return Breaker(failures=3, pause=1, longest=8, probe_for=10, monotonic=lambda: clock.since_boot)


def fail(breaker, times):
    for _ in range(times):
        assert breaker.enter()
        breaker.failed()


def test_a_few_failures_keep_nobody_back(breaker):
    fail(breaker, 2)
    assert breaker.wait() == 0
    assert breaker.enter()


def test_a_success_in_between_starts_the_count_anew(breaker):
    fail(breaker, 2)
    breaker.succeeded()
    fail(breaker, 2)
    assert not breaker.is_open


def test_failures_in_a_row_open_it(breaker):
    fail(breaker, 3)
    assert breaker.is_open
    assert not breaker.enter()
    assert 0 < breaker.wait() <= 1.25


def test_after_the_pause_one_probe_is_let_through_and_no_second(breaker, clock):
    fail(breaker, 3)
    clock.pass_(1.26)
    assert [breaker.enter() for _ in range(5)] == [True, False, False, False, False]


def test_a_probe_that_succeeds_closes_it(breaker, clock):
    fail(breaker, 3)
    clock.pass_(1.26)
    assert breaker.enter()
    breaker.succeeded()
    assert all(breaker.enter() for _ in range(5))


def test_a_probe_that_succeeded_leaves_nothing_for_a_later_hold(breaker, clock):
    fail(breaker, 3)
    clock.pass_(1.26)
    assert breaker.enter()
    breaker.succeeded()
    breaker.hold(1)
    assert breaker.wait() == 1


def test_each_probe_that_fails_doubles_the_pause_up_to_the_longest(breaker, clock):
    fail(breaker, 3)
    pauses = []
    for _ in range(6):
        clock.pass_(breaker.wait())
        fail(breaker, 1)
        pauses.append(breaker.wait())
    for pause, middle in zip(pauses, [2, 4, 8, 8, 8, 8], strict=True):
        assert middle * 0.75 <= pause <= middle * 1.25


def test_failures_of_calls_that_were_under_way_when_it_opened_prolong_nothing(breaker):
    fail(breaker, 3)
    wait = breaker.wait()
    for _ in range(50):
        breaker.failed()
    assert breaker.wait() == wait


def test_a_probe_that_is_never_heard_of_again_makes_room_for_another(breaker, clock):
    fail(breaker, 3)
    clock.pass_(1.26)
    assert breaker.enter()
    clock.pass_(9.9)
    assert not breaker.enter()
    clock.pass_(0.2)
    assert breaker.enter()


def test_on_hold_nothing_is_let_through_whatever_succeeds_meanwhile(breaker, clock):
    breaker.hold(30)
    breaker.succeeded()
    assert breaker.wait() == 30
    clock.pass_(29.9)
    assert not breaker.enter()
    clock.pass_(0.2)
    assert [breaker.enter() for _ in range(3)] == [True, False, False]
    breaker.succeeded()
    assert not breaker.is_open


def test_a_shorter_hold_does_not_end_a_longer_one(breaker, clock):
    breaker.hold(30)
    breaker.hold(5)
    assert breaker.wait() == 30
    clock.pass_(6)
    breaker.succeeded()
    assert breaker.wait() == 24


def test_after_it_has_closed_the_first_pause_counts_again(breaker, clock):
    fail(breaker, 3)
    for _ in range(3):
        clock.pass_(breaker.wait())
        fail(breaker, 1)
    clock.pass_(breaker.wait())
    assert breaker.enter()
    breaker.succeeded()
    fail(breaker, 3)
    assert breaker.wait() <= 1.25


def test_a_probe_that_is_told_to_wait_waits_that_long_and_no_longer(breaker, clock):
    fail(breaker, 3)
    clock.pass_(1.26)
    assert breaker.enter()
    breaker.hold(1)
    assert breaker.wait() == 1
    clock.pass_(1)
    assert [breaker.enter() for _ in range(3)] == [True, False, False]


def test_a_hold_ends_no_pause_that_lasts_longer(breaker, clock):
    fail(breaker, 3)
    for _ in range(3):
        clock.pass_(breaker.wait())
        fail(breaker, 1)
    pause = breaker.wait()
    assert pause > 1
    breaker.hold(1)
    assert breaker.wait() == pause
