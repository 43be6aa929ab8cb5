"""The LMS's gradebook: line items and their submitted scores. Thread-safe.

It follows the rules of the platform's product (`RULES`): which scores are too old, what happens to
a grade that a teacher entered, and what a result omits.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from .bodies import without_nulls
from .errors import ApiError
from .lms_errors import refused
from .world import Activity, Course, World

_KEYS = (
    "scoreGiven", "scoreMaximum", "activityProgress", "gradingProgress", "comment", "timestamp",
)  # fmt: skip


@dataclass(frozen=True)
class Rules:
    """How one product's gradebook treats scores."""

    whole_seconds: bool = False
    """It compares timestamps without their fractions."""
    takes_equal: bool = False
    """It takes a score with the last score's timestamp again, as another attempt."""
    graded: tuple[str, ...] = ("FullyGraded", "PendingManual")
    """`gradingProgress` of scores that count; any other clears the result."""
    keeps_override: bool = False
    """A grade that a teacher gave by hand stays when the tool sends another score."""
    omits_zero: bool = False
    """A result of 0 has neither score nor timestamp."""


# AGS 2.0 section 3.4.7 for everyone of whom nothing else is known.
_STANDARD = Rules()
RULES: Mapping[str, Rules] = {
    "canvas": Rules(takes_equal=True),
    "moodle": Rules(
        whole_seconds=True, graded=("FullyGraded",), keeps_override=True, omits_zero=True
    ),
}


@dataclass
class Entry:
    """The LMS's data about one user in one line item. `number` orders users by first entry, for
    paging."""

    number: int
    score: dict[str, Any] = field(default_factory=dict)
    """The last score taken; empty if there is only an override."""
    submissions: int = 0
    override: float | None = None
    """A teacher's grade by hand, in points of the line item."""
    changed: datetime | None = None
    """When the result changed last, by the score's own timestamp."""


@dataclass
class LineItem:
    """One column. `body` contains the values that the tool (or the LMS) set, without the id."""

    number: int
    id: str
    course: Course
    body: dict[str, Any]
    entries: dict[str, Entry] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        return {"id": self.id, **self.body}

    @property
    def rules(self) -> Rules:
        return RULES.get(self.course.platform.product, _STANDARD)


class Gradebook:
    """The line items of all courses. Starts with one for each graded activity."""

    def __init__(self, world: World) -> None:
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._items: dict[str, LineItem] = {}
        for course in world.courses:
            for activity in course.activities:
                self.add(course, activity)

    def add(self, course: Course, activity: Activity) -> LineItem | None:
        """Add the LMS's column for an activity. None if the activity is not graded."""
        if not (course.platform.grades and course.grades and activity.score_maximum):
            return None
        body = {
            "label": activity.label or activity.title,
            "scoreMaximum": activity.score_maximum,
            "resourceLinkId": activity.id,
            "resourceId": activity.resource_id,
            "tag": activity.tag,
            **activity.line_item,
        }
        return self.create(course, without_nulls(body))

    def create(self, course: Course, body: dict[str, Any]) -> LineItem:
        number = next(self._numbers)
        item = LineItem(number, course.line_item_url(number), course, body)
        self._items[item.id] = item
        return item

    def items(self, course: Course | None = None, **fields: Any) -> list[LineItem]:
        """The columns of `course` (None for all) with these values, oldest first."""
        return [
            item
            for item in list(self._items.values())
            if course in (None, item.course)
            and all(item.body.get(name) == value for name, value in fields.items())
        ]

    def find(self, item_id: str) -> LineItem | None:
        return self._items.get(item_id)

    def column_of(self, activity_id: str) -> LineItem | None:
        """The first column of an activity."""
        return next(iter(self.items(resourceLinkId=activity_id)), None)

    def delete(self, item: LineItem) -> None:
        self._items.pop(item.id, None)

    def submit(self, item: LineItem, score: dict[str, Any], stamp: datetime) -> None:
        """Record a score. Raises `ApiError` if the LMS refuses it."""
        user_id, rules = score["userId"], item.rules
        user = item.course.member(user_id)
        if user is None or not user.gradable:
            raise _refused("not_a_student", item, score)
        with self._lock:
            entry = self._entry(item, user_id)
            last = entry.changed
            if last is not None:
                if rules.whole_seconds:
                    stamp, last = stamp.replace(microsecond=0), last.replace(microsecond=0)
                if stamp < last or (stamp == last and not rules.takes_equal):
                    raise _refused("older_score", item, score, last.isoformat())
            entry.score, entry.changed = score, stamp
            entry.submissions += 1
            if not rules.keeps_override:
                entry.override = None

    def override(self, item: LineItem, user_id: str, grade: float, stamp: datetime) -> None:
        """Record a grade that a teacher enters, in points of the column."""
        with self._lock:
            entry = self._entry(item, user_id)
            entry.override = grade
            if item.rules.keeps_override:
                # Moodle has one time for the grade, whoever changed it.
                entry.changed = stamp

    def results(self, item: LineItem) -> list[tuple[int, dict[str, Any]]]:
        """The LMS's results: each user's result, scaled to the column's maximum, with its
        number."""
        with self._lock:
            return [
                (entry.number, _result(item, user_id, entry))
                for user_id, entry in item.entries.items()
            ]

    def column(self, item: LineItem) -> dict[str, dict[str, Any]]:
        """All scores in one column, by user id, with the number of submissions and the grade that a
        teacher entered."""
        with self._lock:
            return {
                user_id: {
                    **dict.fromkeys(_KEYS),
                    **{key: value for key, value in entry.score.items() if key != "userId"},
                    "submissions": entry.submissions,
                    **({} if entry.override is None else {"override": entry.override}),
                }
                for user_id, entry in item.entries.items()
            }

    def _entry(self, item: LineItem, user_id: str) -> Entry:
        return item.entries.setdefault(user_id, Entry(len(item.entries) + 1))


def _refused(name: str, item: LineItem, score: dict[str, Any], last: str = "") -> ApiError:
    words = {"last": last, "stamp": score["timestamp"], "user": score["userId"]}
    return refused(name, item.course.platform.product, url=item.id, sent=score, **words)


def _result(item: LineItem, user_id: str, entry: Entry) -> dict[str, Any]:
    base, _, query = item.id.partition("?")
    user = item.course.member(user_id)
    document: dict[str, Any] = {
        "id": f"{base}/results/{user_id}?{query}",
        "userId": user.wire_id if user else user_id,
    }
    points = _points(item, entry)
    if points == 0 and item.rules.omits_zero:
        return document
    document |= {"scoreOf": item.id, "resultMaximum": item.body["scoreMaximum"]}
    if points is not None:
        document["resultScore"] = points
    if "comment" in entry.score:
        document["comment"] = entry.score["comment"]
    if entry.changed is not None:
        document["timestamp"] = entry.score.get("timestamp") or entry.changed.isoformat()
    return document


def _points(item: LineItem, entry: Entry) -> float | None:
    """The user's points of the column's maximum; None if nothing is graded."""
    score = entry.score
    if entry.override is not None:
        points = entry.override
    elif "scoreGiven" in score and score["gradingProgress"] in item.rules.graded:
        share = score["scoreGiven"] / score["scoreMaximum"]
        points = round(share * item.body["scoreMaximum"], 6)
    else:
        return None
    return int(points) if points == int(points) else points
