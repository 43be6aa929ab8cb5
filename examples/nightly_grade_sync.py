"""Send the grades in a CSV file to their LMSes. Made for cron; safe to run again.

    LTIAAS_URL=… LTIAAS_API_KEY=… LTIAAS_SERVICE_KEYS=sqlite:///keys.sqlite3 \\
        python nightly_grade_sync.py grades.csv --ledger grade-sync.sqlite3

The CSV file has the columns ``platform_id, context_id, resource_link_id, user_id, score, maximum,
graded_at`` (ISO 8601, with a time zone), and may have ``comment`` and ``line_item_id``. The first
three identify the activity; the middleware stores the service key of each activity that someone
launches.

Two things keep this script from sending a grade twice:

- The *ledger*, a small SQLite file, records what was sent. The script does not send a recorded
  grade again, even if the LMS shows a different one by now, such as after a late penalty or a
  teacher's correction, which must not be overwritten every night.
- Before it sends any other grade, the script checks whether the LMS has it. It checks again if the
  response was lost, or if the LMS has a score that is as new (409). So a run that was killed before
  it could record a grade, a lost connection or a deleted ledger does not cause duplicates, either.

Some LMSes compare timestamps in whole seconds and drop a score that is not newer. So the script
sends a changed grade with a timestamp at least a second after the student's last one.

Exit status: 0 if everything worked, 1 if something failed (the summary says what and why), 2 if the
script could not start.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import sqlite3
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import NamedTuple, TextIO

from ltiaas_middleware import (
    ApiError,
    ApiKeyRejected,
    ApiSession,
    InvalidRequest,
    LTIAASError,
    RateLimited,
    Result,
    RetryPolicy,
    Score,
    SettingsError,
    UpstreamError,
)
from ltiaas_middleware.service_keys import ActivityKey, ServiceKeyStore, StoredServiceKey

REQUIRED = ("platform_id", "user_id", "score", "maximum", "graded_at")
TRIES = 4
"""The maximum number of tries for one grade. The script checks the LMS between tries."""
CONFLICT = 409
"""The status with which an LMS refuses a score that is not newer than the one it has (AGS 2.0
section 3.4.7)."""
LONGEST_WAIT = 30.0
"""In seconds. If an LMS asks for a longer wait, the script tries again the next night."""


class Grade(NamedTuple):
    """One line of the CSV file."""

    score: Score
    line_item_id: str | None

    @property
    def digest(self) -> str:
        """A digest that changes whenever anything about the grade changes."""
        text = json.dumps([self.score.body(), self.line_item_id], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def is_shown_by(self, result: Result) -> bool:
        """Whether the LMS has exactly this grade, which it scales to its own maximum and rounds.
        The comment is part of the grade. If an LMS does not return comments, the script sends the
        grade again."""
        if result.user_id != self.score.user_id or result.score is None:
            return False
        given, of = self.score.score_given or 0, self.score.score_maximum or 1
        same_points = abs(result.score - given / of * (result.maximum or 1)) < 0.01
        return same_points and self.score.comment in (None, result.comment)

    def is_there(self, results: Iterable[Result]) -> bool:
        """Whether an LMS that refuses the grade as not new has it. Some LMSes return no score for a
        result of 0."""
        own = [result for result in results if result.user_id == self.score.user_id]
        unscored = all(result.score is None for result in own)
        return any(map(self.is_shown_by, own)) or (self.score.score_given == 0 and unscored)


class Failed(NamedTuple):
    """What failed, and why."""

    where: str
    why: str


class Ledger:
    """Records what was sent. Only one run at a time can open it."""

    def __init__(self, path: Path) -> None:
        self._file = sqlite3.connect(path, timeout=0, isolation_level=None)
        # The lock lasts until the file is closed: two runs at once would send grades twice.
        self._file.execute("PRAGMA locking_mode=EXCLUSIVE")
        self._file.execute("BEGIN EXCLUSIVE")
        self._file.execute(
            "CREATE TABLE IF NOT EXISTS grades (activity TEXT, line_item TEXT, user_id TEXT, "
            "grade TEXT, stamp REAL, arrived INTEGER, PRIMARY KEY (activity, line_item, user_id))"
        )
        self._file.execute("COMMIT")

    def has(self, place: ActivityKey, grade: Grade) -> bool:
        """Whether exactly this grade was sent."""
        digest, _, arrived = self._row(place, grade)
        return bool(arrived) and digest == grade.digest

    def begin(self, place: ActivityKey, grade: Grade) -> Score:
        """Record that the grade is about to be sent, and with which timestamp."""
        digest, last, _ = self._row(place, grade)
        graded_at = grade.score.timestamp
        assert graded_at is not None
        stamp = graded_at.timestamp()
        if last is not None:
            stamp = last if digest == grade.digest else max(stamp, last + 1)
        self._write(place, grade, stamp, arrived=False)
        moment = datetime.fromtimestamp(0, timezone.utc) + timedelta(seconds=stamp)
        return replace(grade.score, timestamp=moment)

    def note(self, place: ActivityKey, grade: Grade) -> None:
        """Record that the grade was sent."""
        assert grade.score.timestamp is not None
        digest, stamp, _ = self._row(place, grade)
        if digest != grade.digest or stamp is None:
            stamp = grade.score.timestamp.timestamp()
        self._write(place, grade, stamp, arrived=True)

    def _row(self, place: ActivityKey, grade: Grade) -> tuple[str | None, float | None, int]:
        found: tuple[str | None, float | None, int] | None = self._file.execute(
            "SELECT grade, stamp, arrived FROM grades "
            "WHERE activity = ? AND line_item = ? AND user_id = ?",
            (place.digest, grade.line_item_id or "", grade.score.user_id),
        ).fetchone()
        return found or (None, None, 0)

    def _write(self, place: ActivityKey, grade: Grade, stamp: float, *, arrived: bool) -> None:
        key = (place.digest, grade.line_item_id or "", grade.score.user_id)
        self._file.execute(
            "INSERT OR REPLACE INTO grades VALUES (?, ?, ?, ?, ?, ?)",
            (*key, grade.digest, stamp, arrived),
        )

    def close(self) -> None:
        """Release the ledger for the next run."""
        self._file.close()


class Activity:
    """Sends the grades of one activity to its LMS."""

    def __init__(
        self,
        api: ApiSession,
        place: ActivityKey,
        ledger: Ledger,
        sleep: Callable[[float], None],
    ) -> None:
        self._api = api
        self._place = place
        self._ledger = ledger
        self._sleep = sleep
        self._own_column: str | None = None
        self.sent = 0

    def send(self, grades: list[Grade]) -> list[Failed]:
        """Send the grades that the LMS does not have yet. A grade that fails does not stop the
        others."""
        where = _name(self._place)
        try:
            columns = [(self._column(grade), grade) for grade in grades]
            shown = {
                column: list(self._api.scores(column, limit=100))
                for column in dict.fromkeys(column for column, _ in columns)
            }
        except ApiKeyRejected:
            raise
        except LTIAASError as error:
            return [Failed(where, str(error))]
        failed = []
        for column, grade in columns:
            try:
                if not any(map(grade.is_shown_by, shown[column])):
                    self._send(column, grade)
                    self.sent += 1
            except ApiKeyRejected:
                raise
            except LTIAASError as error:
                failed.append(Failed(where, f"user {grade.score.user_id}: {error}"))
            else:
                self._ledger.note(self._place, grade)
        return failed

    def _send(self, column: str, grade: Grade) -> None:
        score = self._ledger.begin(self._place, grade)
        for tried in range(1, TRIES + 1):
            try:
                self._api.submit_score(column, score)
            except (RateLimited, UpstreamError) as error:
                wait = error.retry_after if error.retry_after is not None else 0.25 * 2**tried
                if tried == TRIES or wait > LONGEST_WAIT:
                    raise
                self._sleep(wait)
                # It may have arrived anyway.
                there = self._api.scores(column, user_id=grade.score.user_id)
                if not any(map(grade.is_shown_by, there)):
                    continue
            except ApiError as error:
                if error.status != CONFLICT:
                    raise
                # The LMS has a score that is as new: maybe this one, whose response was lost.
                if not grade.is_there(self._api.scores(column, user_id=grade.score.user_id)):
                    raise
            return

    def _column(self, grade: Grade) -> str:
        if grade.line_item_id is not None:
            return grade.line_item_id
        if self._own_column is None:
            found = list(self._api.line_items(resource_link_id=self._place.resource_link_id))
            if len(found) != 1:
                raise InvalidRequest(
                    f"the activity has {len(found)} line items: name one in line_item_id"
                )
            self._own_column = str(found[0].id)
        return self._own_column


def read_grades(lines: TextIO) -> tuple[dict[ActivityKey, list[Grade]], list[Failed]]:
    """The grades in the CSV file by activity, and its invalid lines."""
    table = csv.DictReader(lines)
    missing = [name for name in REQUIRED if name not in (table.fieldnames or ())]
    if missing:
        raise ValueError(f"the CSV file has no column {', '.join(missing)}")
    grades: dict[ActivityKey, list[Grade]] = {}
    failed = []
    for row in table:
        place = ActivityKey(
            row["platform_id"], row.get("context_id") or None, row.get("resource_link_id") or None
        )
        try:
            score = Score(
                user_id=row["user_id"],
                score_given=float(row["score"]),
                score_maximum=float(row["maximum"]),
                # The same in every run: an LMS drops a score that is older than the one it has.
                timestamp=datetime.fromisoformat(row["graded_at"].replace("Z", "+00:00")),
                comment=row.get("comment") or None,
            )
        except (TypeError, ValueError) as error:
            failed.append(Failed(f"line {table.line_num} of the CSV file", str(error)))
            continue
        grades.setdefault(place, []).append(Grade(score, row.get("line_item_id") or None))
    return {place: _latest(found) for place, found in grades.items()}, failed


def _latest(grades: list[Grade]) -> list[Grade]:
    """If a student has several grades in one column, only the last one."""
    found: dict[tuple[str, str | None], Grade] = {}
    for grade in sorted(grades, key=lambda grade: grade.score.timestamp or datetime.max):
        found[grade.score.user_id, grade.line_item_id] = grade
    return list(found.values())


def sync(
    store: ServiceKeyStore,
    grades: dict[ActivityKey, list[Grade]],
    ledger: Ledger,
    *,
    progress: Callable[[str], None],
    sleep: Callable[[float], None] = time.sleep,
) -> list[Failed]:
    """Send all grades, activity by activity, and continue after failures."""
    failed: list[Failed] = []
    without_key = dict(grades)
    activities = (key for key in store.all() if without_key.pop(key.activity_key, None) is not None)
    for number, key in enumerate(activities, 1):
        place = key.activity_key
        new = [grade for grade in grades[place] if not ledger.has(place, grade)]
        failures, sent = _sync_activity(key, new, ledger, sleep) if new else ([], 0)
        failed += failures
        progress(
            f"[{number}/{len(grades)}] {_name(place)}: {len(grades[place])} grades, {sent} sent"
            # The key is as old as its launch, and may have stopped working since.
            + f", last synced {key.refreshed_at:%Y-%m-%d %H:%M} UTC"
            + (", " + "; ".join(failure.why for failure in failures) if failures else "")
        )
    failed += [
        Failed(_name(place), "no service key: no launch of this activity has stored one")
        for place in without_key
    ]
    return failed


def _sync_activity(
    key: StoredServiceKey, grades: list[Grade], ledger: Ledger, sleep: Callable[[float], None]
) -> tuple[list[Failed], int]:
    try:
        activity = Activity(key.api, key.activity_key, ledger, sleep)
    except LTIAASError as error:
        return [Failed(_name(key.activity_key), str(error))], 0
    return activity.send(grades), activity.sent


def _name(place: ActivityKey) -> str:
    return " / ".join(id or "-" for id in place)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main(arguments: list[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description="Send the grades in a CSV file to their LMSes.")
    parser.add_argument("csv", type=Path)
    parser.add_argument("--ledger", type=Path, default=Path("grade-sync.sqlite3"))
    options = parser.parse_args(arguments)
    try:
        with options.csv.open(newline="", encoding="utf-8-sig") as lines:
            grades, failed = read_grades(lines)
        store = ServiceKeyStore.from_env(
            retry_policy=RetryPolicy(timeout=300, max_retry_after=LONGEST_WAIT)
        )
        ledger = Ledger(options.ledger)
    except (OSError, ValueError, SettingsError) as error:
        _say(f"cannot start: {error}")
        return 2
    except sqlite3.OperationalError as error:
        _say(f"cannot start: cannot use the ledger ({error}). Is another run in progress?")
        return 2
    try:
        failed += sync(store, grades, ledger, progress=_say)
    except LTIAASError as error:
        # The API key is wrong or the service-key database fails, so nothing else can work, either.
        failed.append(Failed("all remaining activities", str(error)))
    finally:
        ledger.close()
        store.close()
    print(f"{len(grades)} activities, {len({failure.where for failure in failed})} failures")
    for failure in failed:
        print(f"  {failure.where}: {failure.why}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
