"""The content that deep linking has added to courses. Thread-safe."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from .claims import ACCEPT_TYPES
from .gradebook import Gradebook
from .world import Activity, Course


@dataclass(frozen=True)
class Added:
    """A content item as received. `link` is the activity that the LMS created from a resource
    link."""

    item: Mapping[str, Any]
    link: str | None

    @property
    def accepted(self) -> bool:
        return self.item.get("type") in ACCEPT_TYPES

    @property
    def through_ltiaas(self) -> bool:
        """Whether a resource link opens LTIAAS, as it must, and not the tool itself."""
        return self.link is None or _parts(self.item)[0] == "/lti/launch"


class Content:
    def __init__(self, gradebook: Gradebook) -> None:
        self._gradebook = gradebook
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._shelves: dict[str, list[Added]] = {}

    def of(self, course: Course) -> list[Added]:
        with self._lock:
            return list(self._shelves.get(course.id, ()))

    def add(self, course: Course, items: Sequence[Mapping[str, Any]]) -> list[Added]:
        """Add items to a course. A resource link becomes an activity with its own custom
        parameters and, if it has a line item, its own column."""
        added = [
            Added(item, self._link(course, item) if item["type"] == "ltiResourceLink" else None)
            for item in items
        ]
        with self._lock:
            self._shelves.setdefault(course.id, []).extend(added)
        return added

    def _link(self, course: Course, item: Mapping[str, Any]) -> str:
        column, submission = item.get("lineItem") or {}, item.get("submission") or {}
        activity = Activity(
            id=f"link-{next(self._numbers)}",
            title=item.get("title") or "Untitled",
            description=item.get("text") or "",
            score_maximum=column.get("scoreMaximum", 0),
            label=column.get("label"),
            resource_id=column.get("resourceId"),
            tag=column.get("tag"),
            # The end of the submission is the due date in Canvas (`wire.md`).
            line_item={
                "startDateTime": submission.get("startDateTime"),
                "endDateTime": submission.get("endDateTime"),
                "gradesReleased": column.get("gradesReleased"),
            },
            query=_parts(item)[1],
            # An LMS sends texts, whatever the tool gave it.
            custom={name: str(value) for name, value in (item.get("custom") or {}).items()},
        )
        course.activities.append(activity)
        self._gradebook.add(course, activity)
        return activity.id


def _parts(item: Mapping[str, Any]) -> tuple[str, str]:
    try:
        parts = urlsplit(str(item.get("url") or ""))
    except ValueError:
        return "", ""
    return parts.path, parts.query
