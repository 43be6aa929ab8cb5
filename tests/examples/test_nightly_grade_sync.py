"""``examples/nightly_grade_sync.py`` as cron runs it: a process of its own, against a sandbox whose
gradebook is looked at afterwards."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from werkzeug import Response

from ltiaas_middleware import NewLineItem, Settings
from ltiaas_middleware.api.session import ApiSession
from ltiaas_middleware.sandbox import Sandbox, SandboxServer, app
from ltiaas_middleware.sandbox.world import Activity, Course, World
from ltiaas_middleware.sandbox.world_file import default_world
from ltiaas_middleware.service_keys import ActivityKey, ServiceKeyStore
from tests.account import SECRET, Account

pytestmark = pytest.mark.slow

SCRIPT = Path(__file__).parents[2] / "examples" / "nightly_grade_sync.py"
ACTIVITIES = 200
NOW = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)
COLUMNS = (
    "platform_id", "context_id", "resource_link_id", "user_id", "score", "maximum", "graded_at",
    "comment", "line_item_id",
)  # fmt: skip


def big_world() -> World:
    """Four more courses, of fifty activities each."""
    world = default_world()
    biology = world.courses[0]
    courses = [
        Course(
            f"course-{number}",
            f"C-{number}",
            f"Course {number}",
            biology.platform,
            tuple(
                Activity(f"unit-{index}", f"Task {index}", "To do.", 20)
                for index in range(number, ACTIVITIES, 4)
            ),
            biology.members,
        )
        for number in range(4)
    ]
    return World((*world.courses, *courses))


class Night:
    """A sandbox with 200 activities, a store that holds their service keys, and a CSV."""

    def __init__(self, sandbox: Sandbox, url: str, home: Path) -> None:
        self.sandbox = sandbox
        self.account = Account(sandbox, url)
        self.database = f"sqlite:///{home}/keys.sqlite3"
        self.home = home
        settings = Settings(url=url, api_key=sandbox.api_key, secrets=SECRET["secret"])
        self.store = ServiceKeyStore(self.database, settings)
        self.rows = [self.row(index) for index in range(ACTIVITIES)]
        for index in range(ACTIVITIES):
            self.launch(index)
        assert self.store.flush(30)
        sandbox.api_log.clear()

    def place(self, index: int) -> ActivityKey:
        course = self.sandbox.world.course(f"course-{index % 4}")
        assert course is not None
        return ActivityKey(course.platform.id, course.id, f"unit-{index}")

    def row(self, index: int) -> dict[str, str]:
        values = (
            *self.place(index), "ben", str(index % 11), "10", f"{NOW:%Y-%m-%dT%H:%M:%SZ}", "", "",
        )  # fmt: skip
        return dict(zip(COLUMNS, map(str, values), strict=True))

    def launch(self, index: int) -> None:
        seat = {"course": f"course-{index % 4}", "activity": f"unit-{index}"}
        with ApiSession(self.account.launch(**seat)) as api:
            self.store.record(api.id_token(), NOW)

    def endpoint(self, index: int) -> str:
        from urllib.parse import quote

        return f"/api/lineitems/{quote(self.account.line_item(f'unit-{index}'), safe='')}/scores"

    def command(self) -> list[str]:
        path = self.home / "grades.csv"
        with path.open("w", newline="", encoding="utf-8") as file:
            table = csv.DictWriter(file, COLUMNS)
            table.writeheader()
            table.writerows(self.rows)
        return [sys.executable, str(SCRIPT), str(path), "--ledger", str(self.home / "ledger")]

    def environment(self) -> dict[str, str]:
        return {
            **{name: value for name, value in os.environ.items() if "LTIAAS" not in name},
            "LTIAAS_URL": self.account.url,
            "LTIAAS_API_KEY": self.account.key,
            "LTIAAS_SECRETS": SECRET["secret"],
            "LTIAAS_SERVICE_KEYS": self.database,
            "PYTHONPATH": str(SCRIPT.parents[1]),
        }

    def run(self) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            self.command(), env=self.environment(), capture_output=True, text=True, timeout=600
        )
        for secret in (self.account.key, SECRET["secret"], "sk-", "SERVICE-AUTH"):
            assert secret not in done.stdout + done.stderr
        return done

    def is_right(self, index: int, submissions: int = 1) -> bool:
        held = self.sandbox.scores(activity=f"unit-{index}").get("ben")
        if held is None:
            return False
        given, of = held["scoreGiven"], held["scoreMaximum"]
        # Each submission is a second newer than the one before it.
        stamp = f"2026-03-01T12:00:{submissions - 1:02}.000Z"
        return (given, of, held["submissions"], held["timestamp"]) == (
            float(self.rows[index]["score"]), 10, submissions, stamp,
        )  # fmt: skip

    def right(self) -> set[int]:
        return {index for index in range(ACTIVITIES) if self.is_right(index)}


@pytest.fixture
def make_night(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Callable[..., Night]]:
    monkeypatch.setattr(app, "default_world", big_world)
    opened: list[Any] = []

    def make(kind: type[Sandbox] = Sandbox) -> Night:
        server = SandboxServer(kind())
        server.start()
        night = Night(server.sandbox, server.url, tmp_path)
        opened.extend((night.store.close, server.stop))
        return night

    yield make
    for close in opened:
        close()


def test_of_200_activities_10_fail_in_different_ways_and_190_are_right(
    make_night: Callable[..., Night],
) -> None:
    night = make_night()
    sandbox = night.sandbox
    night.rows[0]["user_id"] = "left-the-course"
    sandbox.fault("status", status=500, endpoint=night.endpoint(1))
    sandbox.fault("rate_limit", retry_after=3600, endpoint=night.endpoint(2))
    sandbox.fault("reset", endpoint=night.endpoint(3))
    sandbox.fault("wrong_type", endpoint=night.endpoint(4))
    night.store.put(night.place(5), "sk-revoked", NOW + timedelta(hours=1))
    with ApiSession(night.account.launch(course="course-2", activity="unit-6")) as api:
        api.delete_line_item(night.account.line_item("unit-6"))
    night.store.delete(night.place(7))
    settings = Settings(
        url=night.account.url, api_key=night.account.key, secrets="another-secret-altogether"
    )
    other = ServiceKeyStore(night.database, settings)
    other.put(night.place(8), "sk-unreadable", NOW + timedelta(hours=1))
    other.close()
    night.rows[9]["score"] = "excellent"

    done = night.run()

    assert done.returncode == 1
    assert night.right() == set(range(10, ACTIVITIES))
    summary = done.stdout.splitlines()
    # The line of the CSV that makes no sense belongs to no activity.
    assert summary[0] == "199 activities, 10 failures"
    whys = {
        0: "the LMS responded", 1: "500", 2: "429", 3: "broke off|no connection|failed",
        4: "none of the scores", 5: "Invalid service key", 6: "0 line items", 7: "no service key",
        8: "none of the secrets decrypts",
    }  # fmt: skip
    assert len(summary) == 11
    for index, why in whys.items():
        (line,) = [line for line in summary if line.partition(":")[0].endswith(f"/ unit-{index}")]
        assert any(part in line for part in why.split("|")), line
    assert any("line 11 of the CSV file" in line and "excellent" in line for line in summary)
    assert f"[{ACTIVITIES - 2}/{ACTIVITIES - 1}]" in done.stderr
    assert f"last synced {NOW:%Y-%m-%d %H:%M} UTC" in done.stderr

    # Again, with what can be healed healed: the rest arrives, and nothing twice.
    sandbox.clear_faults()
    night.rows[0]["user_id"] = "ben"
    night.rows[9]["score"] = "9"
    for index in (5, 7, 8):
        seat = {"course": f"course-{index % 4}", "activity": f"unit-{index}"}
        with ApiSession(night.account.launch(**seat)) as api:
            night.store.record(api.id_token(), NOW + timedelta(hours=2))
    assert night.store.flush()
    sandbox.api_log.clear()
    done = night.run()
    assert done.returncode == 1
    assert done.stdout.splitlines()[0] == "200 activities, 1 failures"
    assert night.right() == set(range(ACTIVITIES)) - {6}
    posts = [entry for entry in sandbox.api_log if entry.method == "POST"]
    assert len(posts) == 9


class RateLimiting(Sandbox):
    """Answers 429 to every tenth call before it looks at it: limited by count, so that a slow
    machine meets the limit as often as a fast one."""

    calls = limited = 0

    def __call__(self, environ: Any, start_response: Any) -> Iterable[bytes]:
        lock: threading.Lock = self.__dict__.setdefault("limiting", threading.Lock())
        with lock:
            self.calls += 1
            full = self.calls % 10 == 0
            self.limited += full
        if full:
            return Response("{}", 429, {"Retry-After": "1"})(environ, start_response)
        return super().__call__(environ, start_response)


def test_against_a_sandbox_that_rate_limits_all_are_right_and_none_twice(
    make_night: Callable[..., Night],
) -> None:
    night = make_night(RateLimiting)
    before = night.sandbox.limited  # type: ignore[attr-defined]
    done = night.run()
    assert night.sandbox.limited > before  # type: ignore[attr-defined]
    assert (done.returncode, done.stdout) == (0, "200 activities, 0 failures\n")
    assert night.right() == set(range(ACTIVITIES))


class LimitingScores(Sandbox):
    """Answers 429 to the first attempt at each score."""

    def __call__(self, environ: Any, start_response: Any) -> Iterable[bytes]:
        met: set[str] = self.__dict__.setdefault("met", set())
        address = environ["REQUEST_URI"]
        if environ["REQUEST_METHOD"] == "POST" and address not in met:
            met.add(address)
            return Response("{}", 429, {"Retry-After": "0"})(environ, start_response)
        return super().__call__(environ, start_response)


class LosingAnswers(Sandbox):
    """Takes every score, and every third time answers with a proxy's error page."""

    def __call__(self, environ: Any, start_response: Any) -> Iterable[bytes]:
        answer = super().__call__
        if environ["REQUEST_METHOD"] != "POST":
            return answer(environ, start_response)
        taken = self.__dict__["taken"] = self.__dict__.get("taken", 0) + 1
        if taken % 3:
            return answer(environ, start_response)
        list(answer(environ, lambda *ignored: lambda data: None))
        return Response("<h1>502", 502, mimetype="text/html")(environ, start_response)


@pytest.mark.parametrize("kind", [LimitingScores, LosingAnswers])
def test_a_score_whose_answer_was_lost_is_looked_for_before_it_is_sent_again(
    make_night: Callable[..., Night], kind: type[Sandbox]
) -> None:
    night = make_night(kind)
    night.rows = night.rows[:15]
    done = night.run()
    assert (done.returncode, done.stdout) == (0, "15 activities, 0 failures\n")
    assert all(night.is_right(index) for index in range(15))


class Strict(Sandbox):
    """As Moodle: takes only what is newer, in whole seconds, and gives no result of 0. Loses the
    answer to every first score."""

    def __call__(self, environ: Any, start_response: Any) -> Iterable[bytes]:
        address = environ["REQUEST_URI"].partition("?")[0]
        answer = super().__call__
        if not address.endswith("/scores"):
            return answer(environ, start_response)
        stamps: dict[str, datetime] = self.__dict__.setdefault("stamps", {})
        if environ["REQUEST_METHOD"] == "POST":
            sent = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
            environ["wsgi.input"] = io.BytesIO(sent)
            stamp = datetime.fromisoformat(json.loads(sent)["timestamp"].replace("Z", "+00:00"))
            stamp = stamp.replace(microsecond=0)
            before = stamps.get(address)
            if before is not None and stamp <= before:
                return Response("{}", 409, mimetype="application/json")(environ, start_response)
            stamps[address] = stamp
            if before is None:
                list(answer(environ, lambda *ignored: lambda data: None))
                return Response("<h1>502", 502, mimetype="text/html")(environ, start_response)
            return answer(environ, start_response)
        told = b"".join(answer(environ, lambda *ignored: lambda data: None))
        scores = [one for one in json.loads(told)["scores"] if one.get("resultScore") != 0]
        body = json.dumps({"scores": scores})
        return Response(body, mimetype="application/json")(environ, start_response)


def test_a_strict_lms_that_hides_zeros_and_loses_answers_has_each_grade_once(
    make_night: Callable[..., Night],
) -> None:
    night = make_night(Strict)
    night.rows = night.rows[:3]
    assert night.rows[0]["score"] == "0"
    for _ in range(3):
        done = night.run()
        assert (done.returncode, done.stdout) == (0, "3 activities, 0 failures\n")
        assert all(night.is_right(index) for index in range(3))
    # Another grade of the same second, and a ledger that was lost.
    night.rows[0]["score"], night.rows[1]["score"] = "5", "0"
    night.rows[0]["graded_at"] = f"{NOW:%Y-%m-%dT%H:%M:%S}.400Z"
    assert night.run().returncode == 0
    assert night.sandbox.scores(activity="unit-0")["ben"]["scoreGiven"] == 5
    assert night.is_right(1, submissions=2)
    (night.home / "ledger").unlink()
    assert night.run().returncode == 0
    assert night.is_right(1, submissions=2)


def test_of_two_grades_of_one_student_the_later_is_sent(make_night: Callable[..., Night]) -> None:
    night = make_night()
    night.rows = night.rows[:1]
    later = {"score": "7", "graded_at": f"{NOW + timedelta(seconds=1):%Y-%m-%dT%H:%M:%SZ}"}
    night.rows = [night.rows[0] | later, night.rows[0], night.rows[0] | {"user_id": "chen"}]
    for _ in range(2):
        assert night.run().returncode == 0
    held = night.sandbox.scores(activity="unit-0")
    assert [(held[user]["scoreGiven"], held[user]["submissions"]) for user in ("ben", "chen")] == [
        (7, 1), (0, 1),
    ]  # fmt: skip


class Hanging(Sandbox):
    """Takes the fifth score and then says nothing."""

    def __call__(self, environ: Any, start_response: Any) -> Iterable[bytes]:
        answer = super().__call__(environ, start_response)
        if environ["REQUEST_METHOD"] == "POST":
            self.__dict__["taken"] = self.__dict__.get("taken", 0) + 1
            if self.__dict__["taken"] == 5:
                environ["ltiaas.sandbox.stopping"].wait(20)
        return answer


def test_a_run_that_is_killed_between_sending_and_writing_down_doubles_nothing(
    make_night: Callable[..., Night],
) -> None:
    night = make_night(Hanging)
    night.rows = night.rows[:20]
    process = subprocess.Popen(night.command(), env=night.environment(), stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 20
    while sum(entry.method == "POST" for entry in night.sandbox.api_log) < 5:
        assert time.monotonic() < deadline
        night.sandbox.api_log.wait_for(len(night.sandbox.api_log) + 1, timeout=20)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    done = night.run()
    assert (done.returncode, done.stdout) == (0, "20 activities, 0 failures\n")
    assert all(night.is_right(index) for index in range(20))


def test_what_was_sent_is_sent_again_only_when_the_grade_changes(
    make_night: Callable[..., Night],
) -> None:
    night = make_night()
    night.rows = night.rows[:6]
    assert night.run().returncode == 0
    # A teacher corrects one in the LMS; that is not overwritten every night.
    column = night.sandbox.gradebook.column_of("unit-1")
    assert column is not None
    column.entries["ben"].score = column.entries["ben"].score | {"scoreGiven": 9.5}
    night.sandbox.api_log.clear()
    assert night.run().returncode == 0
    assert night.sandbox.api_log.count() == 0
    assert night.sandbox.scores(activity="unit-1")["ben"]["scoreGiven"] == 9.5
    # Another grade is sent, once, and so is another comment.
    night.rows[2]["score"] = "3.5"
    night.rows[3]["comment"] = "Well done"
    assert night.run().returncode == 0
    assert [e.method for e in night.sandbox.api_log].count("POST") == 2
    assert night.is_right(2, submissions=2)
    assert night.sandbox.scores(activity="unit-3")["ben"]["comment"] == "Well done"
    # Without its ledger it asks the LMS. Moodle says nothing of a zero: that one is sent again.
    (night.home / "ledger").unlink()
    night.rows[1]["score"] = "9.5"
    assert night.run().returncode == 0
    assert [e.method for e in night.sandbox.api_log].count("POST") == 3


def test_one_activity_of_two_columns_needs_to_be_told_which(
    make_night: Callable[..., Night],
) -> None:
    night = make_night()
    night.rows = night.rows[:2]
    with ApiSession(night.account.launch(course="course-0", activity="unit-0")) as api:
        extra = api.create_line_item(
            NewLineItem(label="Bonus", score_maximum=5, resource_link_id="unit-0")
        )
    done = night.run()
    assert done.returncode == 1
    assert "2 line items" in done.stdout
    night.rows[0]["line_item_id"] = str(extra.id)
    assert night.run().returncode == 0
    assert night.sandbox.scores(line_item=extra.id)["ben"]["submissions"] == 1


def test_a_wrong_api_key_ends_the_run_at_once(make_night: Callable[..., Night]) -> None:
    night = make_night()
    night.sandbox.fault("bad_api_key")
    done = night.run()
    assert done.returncode == 1
    assert night.sandbox.api_log.count() == 1
    assert "all remaining activities" in done.stdout


def test_two_runs_at_once_cannot_happen_and_a_bad_start_says_so(
    make_night: Callable[..., Night],
) -> None:
    night = make_night()
    night.rows = night.rows[:1]
    sys.path.insert(0, str(SCRIPT.parent))
    try:
        import nightly_grade_sync
    finally:
        sys.path.pop(0)
    ledger = nightly_grade_sync.Ledger(night.home / "ledger")
    done = night.run()
    assert (done.returncode, done.stdout) == (2, "")
    assert "another run" in done.stderr
    ledger.close()
    assert night.run().returncode == 0
    command = night.command()
    (night.home / "grades.csv").write_text("user_id,score\nben,1\n")
    for environment in (night.environment(), {"PYTHONPATH": str(SCRIPT.parents[1])}):
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        assert done.returncode == 2
        assert "cannot start: the CSV file has no column" in done.stderr
