"""The path alone, where workers share what they know."""

from __future__ import annotations

from tests.both_adapters import Tool
from tests.gate.test_launch_paths import Captured
from tests.waiting import wait_until


def test_it_opens_a_launch_that_only_another_worker_has_verified(workers: list[Tool]) -> None:
    first, second = workers
    launch = Captured(first)
    # What the first stores, it stores after its answer.
    wait_until(lambda: second.get(launch.location).status == 200)
    assert second.get(launch.location).seen["launch"] == launch.id


def test_it_opens_nothing_once_the_cookie_came_back_to_another_worker(workers: list[Tool]) -> None:
    first, second = workers
    launch = Captured(first)
    wait_until(lambda: second.get(launch.location).status == 200)
    # Both know the launch now, its cookie not seen.
    assert first.get(launch.location, launch.cookie).status == 200
    wait_until(lambda: second.get(launch.location).status == 401)
    assert first.get(launch.location).status == 401
    assert second.get(launch.location, launch.cookie).status == 200
