"""What a score and a line item must look like (`wire.md`, "The three authorization schemes", below
the table).
"""

from __future__ import annotations

from typing import Any

from .errors import invalid_body
from .world import Course

ACTIVITY_PROGRESS = (
    "Initialized",
    # One page of the API reference spells it so (`wire.md`).
    "Initiated",
    "Started",
    "InProgress",
    "Submitted",
    "Completed",
)
GRADING_PROGRESS = ("FullyGraded", "Pending", "PendingManual", "Failed", "NotReady")


def read_score(body: object) -> dict[str, Any]:
    """A score without its nulls and with `userId` as text; unknown keys stay. Raises `ApiError`."""
    score = _object(body)
    errors = []
    user_id = score.get("userId")
    if isinstance(user_id, bool) or not isinstance(user_id, (str, int)) or user_id == "":
        errors.append(_error("userId", "is required: text or a whole number"))
    for name, allowed in (
        ("activityProgress", ACTIVITY_PROGRESS),
        ("gradingProgress", GRADING_PROGRESS),
    ):
        if score.get(name) not in allowed:
            errors.append(_error(name, f"must be one of {', '.join(allowed)}"))
    if "scoreGiven" in score:
        if not _number(score["scoreGiven"]) or score["scoreGiven"] < 0:
            errors.append(_error("scoreGiven", "must be a number from 0"))
        if "scoreMaximum" not in score:
            errors.append(_error("scoreMaximum", "is required with scoreGiven"))
    if "scoreMaximum" in score and (
        not _number(score["scoreMaximum"]) or score["scoreMaximum"] <= 0
    ):
        errors.append(_error("scoreMaximum", "must be a number above 0"))
    for name in ("comment", "timestamp"):
        if not isinstance(score.get(name, ""), str):
            errors.append(_error(name, "must be text"))
    if errors:
        raise invalid_body(errors, body)
    score["userId"] = str(user_id)
    return score


def read_line_item(body: object, course: Course) -> dict[str, Any]:
    """A line item without its id and its nulls; unknown keys stay. Raises `ApiError`."""
    item = _object(body)
    item.pop("id", None)
    errors = []
    if not isinstance(item.get("label"), str) or not item["label"]:
        errors.append(_error("label", "is required: text"))
    if not _number(item.get("scoreMaximum")) or item["scoreMaximum"] <= 0:
        errors.append(_error("scoreMaximum", "is required: a number above 0"))
    for name in ("resourceLinkId", "resourceId", "tag"):
        if not isinstance(item.get(name, ""), str):
            errors.append(_error(name, "must be text"))
    link = item.get("resourceLinkId")
    if isinstance(link, str) and course.activity(link) is None:
        errors.append(_error("resourceLinkId", "is no resource link of this course"))
    if errors:
        raise invalid_body(errors, body)
    return item


def _object(body: object) -> dict[str, Any]:
    if not isinstance(body, dict):
        raise invalid_body([_error("", "must be a JSON object")], body)
    # LTIAAS's official SDK sends null for what was left out.
    return {name: value for name, value in body.items() if value is not None}


def _number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _error(field: str, message: str) -> dict[str, str]:
    return {"field": field, "message": message}
