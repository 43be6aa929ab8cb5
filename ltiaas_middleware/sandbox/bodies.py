"""Checks the bodies of calls (`wire.md`, "The three authorization schemes", below the table)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from .errors import invalid_body
from .world import Course

Problem = dict[str, str]
Rule = tuple[Callable[[Any], bool], str]
Rules = Mapping[str, Rule]
"""For each field a test of its value (None if it is missing), and what it must be."""

# One page of the API reference spells `Initialized` as `Initiated` (`wire.md`).
ACTIVITY_PROGRESS = ("Initialized", "Initiated", "Started", "InProgress", "Submitted", "Completed")
GRADING_PROGRESS = ("FullyGraded", "Pending", "PendingManual", "Failed", "NotReady")


def checked(
    body: object, rules: Rules, further: Callable[[dict[str, Any]], list[Problem]] = lambda _: []
) -> dict[str, Any]:
    """A body without nulls (the official SDK sends null for missing values); unknown keys stay.
    Raises `ApiError` if the body breaks a rule or has `further` problems."""
    if not isinstance(body, dict):
        raise invalid_body([problem("", "must be a JSON object")], body)
    given = without_nulls(body)
    problems = [
        problem(name, what) for name, (fits, what) in rules.items() if not fits(given.get(name))
    ]
    problems += further(given)
    if problems:
        raise invalid_body(problems, body)
    return given


def read_score(body: object) -> dict[str, Any]:
    """A score with `userId` as a string. Raises `ApiError`."""
    score = checked(body, _SCORE, _without_maximum)
    score["userId"] = str(score["userId"])
    return score


def read_line_item(body: object, course: Course) -> dict[str, Any]:
    """A line item without its id. Raises `ApiError`."""

    def elsewhere(item: dict[str, Any]) -> list[Problem]:
        link = item.get("resourceLinkId")
        if not isinstance(link, str) or course.activity(link) is not None:
            return []
        return [problem("resourceLinkId", "is no resource link of this course")]

    item = checked(body, _LINE_ITEM, elsewhere)
    item.pop("id", None)
    return item


def without_nulls(document: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in document.items() if value is not None}


def moment(timestamp: object) -> datetime | None:
    """The time of an ISO 8601 string with an offset, or None for anything else."""
    try:
        found = datetime.fromisoformat(str(timestamp))
    except ValueError:
        return None
    return found if found.tzinfo is not None else None


def problem(field: str, message: str) -> Problem:
    return {"field": field, "message": message}


def optional(*kinds: type) -> Callable[[Any], bool]:
    return lambda value: value is None or isinstance(value, kinds)


def positive(value: Any) -> bool:
    return _number(value) and value > 0


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _user_id(value: Any) -> bool:
    return isinstance(value, (str, int)) and not isinstance(value, bool) and value != ""


def _without_maximum(score: dict[str, Any]) -> list[Problem]:
    if "scoreGiven" in score and "scoreMaximum" not in score:
        return [problem("scoreMaximum", "is required with scoreGiven")]
    return []


def _one_of(words: Sequence[str]) -> Rule:
    return lambda value: value in words, f"must be one of {', '.join(words)}"


_TEXT = (optional(str), "must be text")
_SCORE: Rules = {
    "userId": (_user_id, "is required: text or a whole number"),
    "activityProgress": _one_of(ACTIVITY_PROGRESS),
    "gradingProgress": _one_of(GRADING_PROGRESS),
    "scoreGiven": (
        lambda value: value is None or (_number(value) and value >= 0),
        "must be a number from 0",
    ),
    "scoreMaximum": (lambda value: value is None or positive(value), "must be a number above 0"),
    "comment": _TEXT,
    "timestamp": (
        lambda value: value is None or moment(value) is not None,
        "must be an ISO 8601 time with its offset from UTC",
    ),
}
_LINE_ITEM: Rules = {
    "label": (lambda value: isinstance(value, str) and value != "", "is required: text"),
    "scoreMaximum": (positive, "is required: a number above 0"),
    **dict.fromkeys(("resourceLinkId", "resourceId", "tag"), _TEXT),
}
