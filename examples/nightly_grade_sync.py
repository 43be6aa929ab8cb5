"""Send the grades of a CSV to the LMSes they belong to. Meant for cron; safe to run again.

    LTIAAS_URL=… LTIAAS_API_KEY=… LTIAAS_SERVICE_KEYS=sqlite:///keys.sqlite3 \\
        python nightly_grade_sync.py grades.csv --ledger grade-sync.sqlite3

The CSV has the columns ``platform_id, context_id, resource_link_id, user_id, score, maximum,
graded_at`` (ISO 8601, with its time zone), and may have ``comment`` and ``line_item_id``. The first
three say which activity; the middleware stores the service key of each one that is launched.

What keeps a grade from being sent twice:

- The *ledger*, a small SQLite file, knows what was sent. What stands in it is not sent again, even
  if the LMS shows something else by now: a late penalty, or a teacher's own correction, which must
  not be overwritten every night.
- What does not stand in it is looked up in the LMS before it is sent, and again whenever the answer
  to sending it was lost or the LMS has something as new (409). So a run that was killed between
  sending and writing down, a connection that broke, and a ledger that was deleted double nothing
  either.

Some LMSes compare timestamps by whole seconds and drop what is not newer. So a changed grade is
sent with a timestamp at least a second after the last one of its student.

Exit status: 0 all is well, 1 something failed (the summary says what and why), 2 could not start.
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
"""How often one grade is sent at most, with a look at the LMS between each two."""
CONFLICT = 409
"""How an LMS refuses a score that is not newer than the one it has (AGS 2.0 section 3.4.7)."""
LONGEST_WAIT = 30.0
"""Seconds. An LMS that wants us to wait longer is left for the next night."""


class Grade(NamedTuple):
    """One line of the CSV."""

    score: Score
    line_item_id: str | None

    @property
    def digest(self) -> str:
        """Changes whenever anything about the grade does."""
        text = json.dumps([self.score.body(), self.line_item_id], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def is_shown_by(self, result: Result) -> bool:
        """Whether the LMS holds this very grade: it scales it to its own maximum, and rounds. A
        comment is a part of the grade; an LMS that gives none back is told again."""
        if result.user_id != self.score.user_id or result.score is None:
            return False
        given, of = self.score.score_given or 0, self.score.score_maximum or 1
        same_points = abs(result.score - given / of * (result.maximum or 1)) < 0.01
        return same_points and self.score.comment in (None, result.comment)

    def is_there(self, results: Iterable[Result]) -> bool:
        """Whether an LMS that refuses the grade as not new holds it: some give no result of 0."""
        own = [result for result in results if result.user_id == self.score.user_id]
        unscored = all(result.score is None for result in own)
        return any(map(self.is_shown_by, own)) or (self.score.score_given == 0 and unscored)


class Failed(NamedTuple):
    """What did not work, and why."""

    where: str
    why: str


class Ledger:
    """What was sent. Only one run at a time has it open."""

    def __init__(self, path: Path) -> None:
        self._file = sqlite3.connect(path, timeout=0, isolation_level=None)
        # The lock stays until the file is closed: two runs at once would double grades.
        self._file.execute("PRAGMA locking_mode=EXCLUSIVE")
        self._file.execute("BEGIN EXCLUSIVE")
        self._file.execute(
            "CREATE TABLE IF NOT EXISTS grades (activity TEXT, line_item TEXT, user_id TEXT, "
            "grade TEXT, stamp REAL, arrived INTEGER, PRIMARY KEY (activity, line_item, user_id))"
        )
        self._file.execute("COMMIT")

    def has(self, place: ActivityKey, grade: Grade) -> bool:
        """Whether this very grade was sent."""
        digest, _, arrived = self._row(place, grade)
        return bool(arrived) and digest == grade.digest

    def begin(self, place: ActivityKey, grade: Grade) -> Score:
        """Write down that it is about to be sent, and with which timestamp."""
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
        """Write down that it was sent."""
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
        """Let the next run have it."""
        self._file.close()


class Activity:
    """The grades of one activity, on their way into its LMS."""

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
        """Send what is not there yet. One grade that fails does not keep the others back."""
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
                # It may have arrived all the same.
                there = self._api.scores(column, user_id=grade.score.user_id)
                if not any(map(grade.is_shown_by, there)):
                    continue
            except ApiError as error:
                if error.status != CONFLICT:
                    raise
                # The LMS has one that is as new: this very one, whose answer was lost?
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
    """The CSV by activity, and the lines of it that cannot be."""
    table = csv.DictReader(lines)
    missing = [name for name in REQUIRED if name not in (table.fieldnames or ())]
    if missing:
        raise ValueError(f"the CSV has no column {', '.join(missing)}")
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
                # The same at every run: an LMS drops what is older than what it has.
                timestamp=datetime.fromisoformat(row["graded_at"].replace("Z", "+00:00")),
                comment=row.get("comment") or None,
            )
        except (TypeError, ValueError) as error:
            failed.append(Failed(f"line {table.line_num} of the CSV", str(error)))
            continue
        grades.setdefault(place, []).append(Grade(score, row.get("line_item_id") or None))
    return {place: _latest(found) for place, found in grades.items()}, failed


def _latest(grades: list[Grade]) -> list[Grade]:
    """Of several grades of one student in one column, the last."""
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
    """Send all grades, activity by activity, whatever fails on the way."""
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
            # The key is as old as the launch that brought it, and may have gone stale since.
            + f", last synced {key.refreshed_at:%Y-%m-%d %H:%M} UTC"
            + (", " + "; ".join(failure.why for failure in failures) if failures else "")
        )
    failed += [
        Failed(_name(place), "no service key: it was not launched since keys are stored")
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
    parser = argparse.ArgumentParser(description="Send the grades of a CSV to their LMSes.")
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
        _say(f"cannot start: the ledger cannot be used ({error}); is another run under way?")
        return 2
    try:
        failed += sync(store, grades, ledger, progress=_say)
    except LTIAASError as error:
        # The API key, or the database of service keys: nothing else can work either.
        failed.append(Failed("everything from here on", str(error)))
    finally:
        ledger.close()
        store.close()
    print(f"{len(grades)} activities, {len({failure.where for failure in failed})} failures")
    for failure in failed:
        print(f"  {failure.where}: {failure.why}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
