"""The waiting room of service keys and its thread, with writes that the tests hold up or fail."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ltiaas_middleware.activity import ActivityKey
from ltiaas_middleware.errors import ServiceKeyStoreError
from ltiaas_middleware.service_keys.database import Unstorable
from ltiaas_middleware.service_keys.writer import Launch, Writer
from tests.waiting import wait_until


class Keys:
    """A database of the test's own: remembers what is written, fails where it is told to."""

    def __init__(self) -> None:
        self.written: list[tuple[str, str]] = []
        self.attempts = 0
        self.error: Exception | None = None
        self.open = threading.Event()
        self.open.set()

    def write(self, place: ActivityKey, launch: Launch) -> bool:
        self.attempts += 1
        assert self.open.wait(30)
        if self.error is not None:
            raise self.error
        self.written.append((place.platform_id, launch.key))
        return True


@pytest.fixture
def keys() -> Keys:
    return Keys()


def at(name: str) -> ActivityKey:
    return ActivityKey(name, None, None)


@pytest.fixture
def idle() -> Callable[[], bool]:
    """Whether no thread writes that did not do so when the test began."""
    before = set(threading.enumerate())

    def no_thread_writes() -> bool:
        now = set(threading.enumerate()) - before
        return not [one for one in now if one.name.startswith("ltiaas-service-keys")]

    return no_thread_writes


def test_the_thread_ends_with_the_last_key_and_starts_again_with_the_next(
    keys: Keys, idle: Callable[[], bool]
) -> None:
    writer = Writer(keys.write, 10)
    for number in range(3):
        writer.add(at(str(number)), Launch(1, "k"))
        assert writer.flush(10)
        wait_until(idle)
    assert len(keys.written) == 3


def test_a_thread_that_cannot_be_started_loses_no_key_and_hangs_nobody(
    keys: Keys, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def no_thread(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    writer = Writer(keys.write, 100)
    with monkeypatch.context() as limited:
        limited.setattr(threading.Thread, "start", no_thread)
        for number in range(20):
            writer.add(at(str(number)), Launch(1, "k"))
        assert not writer.flush(30)
    assert writer.stats()["waiting"] == 20
    assert "can't start new thread" in caplog.text
    writer.add(at("the next call"), Launch(1, "k"))
    assert writer.flush(10)
    assert sorted(keys.written) == sorted(
        [(str(number), "k") for number in range(20)] + [("the next call", "k")]
    )
    assert writer.stats()["dropped"] == 0


def test_what_failed_waits_its_turn_again(keys: Keys) -> None:
    writer = Writer(keys.write, 10)
    keys.error = ServiceKeyStoreError("down")
    for name in "abc":
        writer.add(at(name), Launch(1, "k"))
    assert not writer.flush(10)
    assert writer.stats()["waiting"] == 3
    keys.error = None
    assert writer.flush(10)
    assert [name for name, _ in keys.written] != ["a", "b", "c"], "who failed stands last"
    assert sorted(name for name, _ in keys.written) == ["a", "b", "c"]
    assert writer.stats() | {"failed": 0} == {
        "stored": 3, "outdated": 0, "dropped": 0, "failed": 0, "waiting": 0,
    }  # fmt: skip


def test_repeats_back_off(keys: Keys, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    writer = Writer(keys.write, 10, lambda: now)
    keys.error = ServiceKeyStoreError("down")
    pauses = []
    for _ in range(12):
        failed = writer.stats()["failed"]
        writer.add(at("a"), Launch(1, "k"))
        wait_until(lambda failed=failed: writer.stats()["failed"] > failed)
        wait_until(lambda: writer._writing is None)
        pauses.append(writer._next_try - now)
        now = writer._next_try
    assert 0.25 <= pauses[0] <= 0.5
    assert all(7.5 <= pause <= 15 for pause in pauses[6:])
    keys.error = None
    assert writer.flush(10)


def test_a_later_launch_takes_the_place_of_one_that_waits_or_failed(keys: Keys) -> None:
    writer = Writer(keys.write, 10)
    keys.error = ServiceKeyStoreError("down")
    keys.open.clear()
    writer.add(at("a"), Launch(2, "second"))
    wait_until(lambda: keys.attempts)
    writer.add(at("a"), Launch(3, "third"))
    writer.add(at("a"), Launch(1, "first"))
    writer.add(at("b"), Launch(5, "fifth"))
    writer.add(at("b"), Launch(4, "fourth"))
    keys.open.set()
    assert not writer.flush(10)
    keys.error = None
    assert writer.flush(10)
    assert sorted(keys.written) == [("a", "third"), ("b", "fifth")]


def test_in_a_full_queue_the_oldest_launch_is_dropped(keys: Keys) -> None:
    writer = Writer(keys.write, 3)
    keys.open.clear()
    writer.add(at("being written"), Launch(1, "k"))
    wait_until(lambda: keys.attempts)
    for name, moment in (("b", 20), ("c", 10), ("d", 30), ("e", 40), ("f", 5)):
        writer.add(at(name), Launch(moment, "k"))
    assert writer.stats()["dropped"] == 2, "c is the oldest that waited, f older than all"
    keys.error = ServiceKeyStoreError("down")
    keys.open.set()
    wait_until(lambda: writer.stats()["failed"])
    assert writer.stats()["dropped"] == 3, "what failed is older than all that wait"
    keys.error = None
    assert writer.flush(10)
    assert sorted(name for name, _ in keys.written) == ["b", "d", "e"]
    assert writer.stats()["stored"] == 3


@pytest.mark.parametrize("error", [Unstorable("too long"), ValueError("k"), KeyError("k")])
def test_a_key_that_cannot_be_stored_does_not_hold_up_the_others(
    keys: Keys, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    def write(place: ActivityKey, launch: Launch) -> bool:
        if place == at("odd"):
            raise error
        return keys.write(place, launch)

    writer = Writer(write, 10)
    for name in ("a", "odd", "b"):
        writer.add(at(name), Launch(1, "secret-key"))
    assert writer.flush(10)
    assert [name for name, _ in keys.written] == ["a", "b"]
    assert (writer.stats()["failed"], writer.stats()["dropped"]) == (1, 1)
    assert "cannot store a service key" in caplog.text
    assert "secret-key" not in caplog.text


def test_the_log_says_when_it_changes_and_once_a_minute(
    keys: Keys, caplog: pytest.LogCaptureFixture
) -> None:
    now = 1000.0
    writer = Writer(keys.write, 10, lambda: now)
    keys.error = ServiceKeyStoreError("why it fails")

    def messages() -> list[str]:
        return [record.getMessage() for record in caplog.records]

    writer.add(at("a"), Launch(1, "k"))
    for _ in range(5):
        assert not writer.flush(10)
    assert len(messages()) == 1
    assert "why it fails" in messages()[0]
    now += 61
    # An attempt that was under way before does not count.
    wait_until(lambda: not writer.flush(10) and len(messages()) > 1)
    assert not writer.flush(10)
    assert len(messages()) == 2
    keys.error = None
    assert writer.flush(10)
    assert messages()[2:] == ["the service-key database works again"]
    writer.add(at("a"), Launch(1, "k"))
    assert writer.flush(10)
    assert len(messages()) == 3


def test_what_is_forgotten_while_its_write_fails_does_not_come_back(keys: Keys) -> None:
    writer = Writer(keys.write, 10)
    keys.error = ServiceKeyStoreError("down")
    keys.open.clear()
    writer.add(at("a"), Launch(1, "k"))
    wait_until(lambda: keys.attempts)
    assert not writer.delete(lambda place: place == at("a"), 0.01)
    keys.open.set()
    assert writer.delete(lambda place: place == at("a"), 10)
    keys.error = None
    assert writer.flush(10)
    assert keys.written == []


def test_finish_writes_what_it_can_and_leaves_no_thread_behind(
    keys: Keys, idle: Callable[[], bool], caplog: pytest.LogCaptureFixture
) -> None:
    writer = Writer(keys.write, 10)
    keys.error = ServiceKeyStoreError("down")
    for name in "ab":
        writer.add(at(name), Launch(1, "k"))
    writer.finish(10)
    assert writer.stats()["dropped"] == 2
    assert "2 service key(s) not stored" in caplog.text
    wait_until(idle)
    # And while a write hangs.
    keys.open.clear()
    before = keys.attempts
    writer.add(at("a"), Launch(1, "k"))
    wait_until(lambda: keys.attempts > before)
    writer.finish(0.01)
    keys.open.set()
    wait_until(idle)
    assert writer.stats()["dropped"] == 3
    assert writer.stats()["waiting"] == 0


def test_a_writer_that_nobody_holds_any_more_goes(keys: Keys, idle: Callable[[], bool]) -> None:
    writer = Writer(keys.write, 10)
    writer.add(at("a"), Launch(1, "k"))
    assert writer.flush(10)
    wait_until(idle)
    gone = weakref.ref(writer)
    del writer
    wait_until(lambda: gc.collect() >= 0 and gone() is None)


def test_many_threads_record_at_once(keys: Keys) -> None:
    writer = Writer(keys.write, 10_000)
    with ThreadPoolExecutor(8) as pool:
        for number in range(400):
            pool.submit(writer.add, at(str(number)), Launch(1, "k"))
    assert writer.flush(30)
    assert len(keys.written) == len(set(keys.written)) == 400


_EXITS = """
import atexit, sys, threading, time
from ltiaas_middleware.errors import ServiceKeyStoreError
from ltiaas_middleware.activity import ActivityKey
from ltiaas_middleware.service_keys.writer import Launch, Writer

calls = []
def write(place, launch):
    if "FAILS" in sys.argv:
        print("failed", place.platform_id)
        raise ServiceKeyStoreError("down")
    time.sleep(0.01)
    print("wrote", place.platform_id)
    return True

writer = Writer(write, 100)
def add(name): writer.add(ActivityKey(name, None, None), Launch(1, "k"))
def late():
    add("in atexit")
    writer.finish()
if "LATE" in sys.argv:
    atexit.register(late)
if "PAUSES" in sys.argv:
    writer._next_try = time.monotonic() + 3600
for number in range(20):
    add(str(number))
if "CUT" in sys.argv:
    del writer
"""


def ending(*how: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", _EXITS, *how],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    assert "Traceback" not in done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize("how", [(), ("PAUSES",), ("LATE",), ("CUT",)], ids=str)
def test_a_process_that_ends_loses_no_key(how: tuple[str, ...]) -> None:
    late = {"wrote in atexit"} if "LATE" in how else set()
    assert set(ending(*how)) == {f"wrote {number}" for number in range(20)} | late


def test_a_process_that_ends_does_not_wait_for_a_database_that_fails() -> None:
    assert 1 <= len(ending("FAILS")) <= 5
