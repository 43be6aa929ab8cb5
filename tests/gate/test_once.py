"""Log lines that strangers could repeat are logged once an hour."""

from __future__ import annotations

from ltiaas_middleware._gate.once import Once


def test_again_after_an_hour() -> None:
    now = [0.0]
    once = Once(monotonic=lambda: now[0])
    assert [once.first("a"), once.first("a")] == [True, False]
    now[0] = 1800
    assert [once.first("a"), once.first("b")] == [False, True]
    now[0] = 3600
    assert [once.first("a"), once.first("b"), once.first("a")] == [True, False, False]


def test_the_limit_is_for_an_hour() -> None:
    now = [0.0]
    once = Once(2, monotonic=lambda: now[0])
    assert [once.first(thing) for thing in "abc"] == [True, True, False]
    now[0] = 3600
    assert [once.first(thing) for thing in "cba"] == [True, True, False]


def test_paths_that_differ_by_ids_are_alike() -> None:
    once = Once()
    assert [once.first_like(path) for path in ("/quiz/1", "/quiz/22", "/report")] == [
        True, False, True,
    ]  # fmt: skip
