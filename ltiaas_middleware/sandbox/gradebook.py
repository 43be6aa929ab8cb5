"""The LMS's gradebook: line items and what was submitted to them. Thread-safe."""

from __future__ import annotations

import itertools
import threading
from dataclasses import dataclass, field
from typing import Any

from .world import Course, World

COLUMN_KEYS = (
    "scoreGiven",
    "scoreMaximum",
    "activityProgress",
    "gradingProgress",
    "comment",
    "timestamp",
)


@dataclass
class Entry:
    """The last score of one user in one line item. `number` orders them by first submission, for
    paging.
    """

    number: int
    score: dict[str, Any]
    submissions: int = 1


@dataclass
class LineItem:
    """One column. `body` is what the tool (or the LMS) set, without the id."""

    number: int
    id: str
    course: Course
    body: dict[str, Any]
    entries: dict[str, Entry] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """The line item as it goes over the wire."""
        return {"id": self.id, **self.body}


class Gradebook:
    """Every course's line items. Starts with one for each activity of a course that has grades."""

    def __init__(self, world: World) -> None:
        self._lock = threading.RLock()
        self._numbers = itertools.count(1)
        self._items: dict[str, LineItem] = {}
        for course in world.courses:
            if not (course.platform.grades and course.grades):
                continue
            for activity in course.activities:
                self.create(
                    course,
                    {
                        "label": activity.title,
                        "scoreMaximum": activity.score_maximum,
                        "resourceLinkId": activity.id,
                        "resourceId": f"resource-{activity.id}",
                        "tag": "graded",
                    },
                )

    def create(self, course: Course, body: dict[str, Any]) -> LineItem:
        """A new column at the end of `course`."""
        with self._lock:
            number = next(self._numbers)
            item = LineItem(number, course.line_item_url(number), course, body)
            self._items[item.id] = item
            return item

    def items(self, course: Course) -> list[LineItem]:
        """The columns of `course`, oldest first."""
        with self._lock:
            return [item for item in self._items.values() if item.course is course]

    def item(self, course: Course, item_id: str) -> LineItem | None:
        """The column with that id, if it is in `course`."""
        with self._lock:
            item = self._items.get(item_id)
            return item if item is not None and item.course is course else None

    def column_of(self, activity_id: str) -> LineItem | None:
        """The first column of an activity."""
        with self._lock:
            return next(
                (
                    item
                    for item in self._items.values()
                    if item.body.get("resourceLinkId") == activity_id
                ),
                None,
            )

    def replace(self, item: LineItem, body: dict[str, Any]) -> None:
        """Set what a column says of itself; its id and its scores stay."""
        with self._lock:
            item.body = body

    def delete(self, item: LineItem) -> None:
        """Remove a column with all its scores."""
        with self._lock:
            self._items.pop(item.id, None)

    def submit(self, item: LineItem, user_id: str, score: dict[str, Any]) -> None:
        """Record a score; the last one submitted stands."""
        with self._lock:
            entry = item.entries.get(user_id)
            if entry is None:
                item.entries[user_id] = Entry(next(self._numbers), score)
            else:
                entry.score = score
                entry.submissions += 1

    def results(self, item: LineItem) -> list[tuple[int, dict[str, Any]]]:
        """What the LMS gives back: each user's result, scaled to the column's maximum, with its
        number.
        """
        with self._lock:
            return [
                (entry.number, _result(item, user_id, entry.score))
                for user_id, entry in item.entries.items()
            ]

    def column(self, item: LineItem) -> dict[str, dict[str, Any]]:
        """Everything submitted to one column, by user id, with the number of submissions."""
        with self._lock:
            return {
                user_id: {
                    **dict.fromkeys(COLUMN_KEYS),
                    **{key: value for key, value in entry.score.items() if key != "userId"},
                    "submissions": entry.submissions,
                }
                for user_id, entry in item.entries.items()
            }


def _result(item: LineItem, user_id: str, score: dict[str, Any]) -> dict[str, Any]:
    base, _, query = item.id.partition("?")
    user = item.course.member(user_id)
    document: dict[str, Any] = {
        "id": f"{base}/results/{user_id}?{query}",
        "userId": user.wire_id if user else user_id,
        "scoreOf": item.id,
        "resultMaximum": item.body["scoreMaximum"],
        "timestamp": score["timestamp"],
    }
    if "scoreGiven" in score:
        share = score["scoreGiven"] / score["scoreMaximum"]
        scaled = round(share * item.body["scoreMaximum"], 6)
        document["resultScore"] = int(scaled) if scaled == int(scaled) else scaled
    if "comment" in score:
        document["comment"] = score["comment"]
    return document
