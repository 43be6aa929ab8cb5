"""Line items (the columns of a gradebook), scores (what a tool sends) and results (what the LMS
made of them): LTI Assignment and Grade Services 2.0, as LTIAAS spells it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, get_args

from ..errors import InvalidRequest
from .values import flag, mapping, merged, moment, number, text, unknown, wire_moment, wire_number

__all__ = ["ActivityProgress", "GradingProgress", "LineItem", "NewLineItem", "Result", "Score"]

#: How far the student is (wire.md, "The three authorization schemes", below the table).
#: ``Initialized`` is AGS 2.0's word; one page of LTIAAS's reference says ``Initiated``.
ActivityProgress = Literal[
    "Initialized", "Initiated", "Started", "InProgress", "Submitted", "Completed"
]
#: How far the grading is (the same place).
GradingProgress = Literal["FullyGraded", "Pending", "PendingManual", "Failed", "NotReady"]


@dataclass(frozen=True, slots=True, kw_only=True)
class NewLineItem:
    """A column of the gradebook that is yet to be created.

    ``score_maximum`` is in points. Dates are aware. ``extra`` holds what has no field here, under
    its wire name.
    """

    label: str
    score_maximum: float
    resource_link_id: str | None = None
    resource_id: str | None = None
    tag: str | None = None
    start_date_time: datetime | None = None
    end_date_time: datetime | None = None
    grades_released: bool | None = None
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def body(self) -> dict[str, Any]:
        """The line item as it is sent.

        Raises:
            InvalidRequest: it has no label, its maximum is not above 0, or a date is naive.
        """
        if not isinstance(self.label, str) or not self.label:
            raise InvalidRequest("a line item needs a label")
        fields: dict[str, Any] = {
            "label": self.label,
            "scoreMaximum": wire_number(self.score_maximum, "score_maximum", positive=True),
            "resourceLinkId": self.resource_link_id,
            "resourceId": self.resource_id,
            "tag": self.tag,
            "startDateTime": _wire_moment(self.start_date_time, "start_date_time"),
            "endDateTime": _wire_moment(self.end_date_time, "end_date_time"),
            "gradesReleased": self.grades_released,
        }
        return merged(fields, self.extra)


@dataclass(frozen=True, slots=True, kw_only=True)
class LineItem(NewLineItem):
    """A column of the gradebook.

    ``id`` is the LMS's own URL of it, and stands in the path of what is sent. ``extra`` is sent
    back in an update, so that ``replace(item, label=…)`` loses nothing.
    """

    id: str

    @classmethod
    def parse(cls, raw: object, known: Mapping[str, Any] | None = None) -> LineItem:
        """Read a line item.

        Args:
            raw: decoded JSON.
            known: what fills in fields that are missing from it or cannot be read, under their
                wire names.

        Raises:
            ValueError: it has no id or no maximum.
        """
        own, other = _line_item_fields(mapping(raw)), _line_item_fields(known or {})
        read = {name: other[name] if value is None else value for name, value in own.items()}
        id, maximum = read["id"], read["scoreMaximum"]
        if id is None or maximum is None:
            raise ValueError("a line item has no id or no scoreMaximum")
        return cls(
            id=id,
            label=read["label"] or "",
            score_maximum=maximum,
            resource_link_id=read["resourceLinkId"],
            resource_id=read["resourceId"],
            tag=read["tag"],
            start_date_time=read["startDateTime"],
            end_date_time=read["endDateTime"],
            grades_released=read["gradesReleased"],
            extra=unknown({**(known or {}), **mapping(raw)}, read),
        )


def _line_item_fields(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Its known fields, None where they are missing or cannot be read."""
    readers: dict[str, Callable[[object], Any]] = {
        "id": text,
        "label": text,
        "scoreMaximum": number,
        "resourceLinkId": text,
        "resourceId": text,
        "tag": text,
        "startDateTime": moment,
        "endDateTime": moment,
        "gradesReleased": flag,
    }
    return {name: read(fields.get(name)) for name, read in readers.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """What a tool reports of one student's work.

    ``score_given`` is in points out of ``score_maximum``, which it cannot do without (``wire.md``);
    the LMS scales it to the line item's own maximum. ``timestamp`` is when the work was graded: an
    LMS may drop a score that is older than the one it has (AGS 2.0 section 3.4.7). ``extra`` goes
    along untouched: LMS extensions such as
    ``"https://canvas.instructure.com/lti/submission": {…}``.

    Raises:
        InvalidRequest: a rule above is broken.
    """

    user_id: str
    score_given: float | None = None
    score_maximum: float | None = None
    activity_progress: ActivityProgress = "Completed"
    grading_progress: GradingProgress = "FullyGraded"
    timestamp: datetime | None = None
    comment: str | None = field(default=None, repr=False)
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        self.body()

    def body(self) -> dict[str, Any]:
        """The score as it is sent."""
        if not isinstance(self.user_id, str) or not self.user_id:
            raise InvalidRequest("a score needs a user_id: text")
        for name, value, allowed in (
            ("activity_progress", self.activity_progress, get_args(ActivityProgress)),
            ("grading_progress", self.grading_progress, get_args(GradingProgress)),
        ):
            if value not in allowed:
                raise InvalidRequest(f"{name} must be one of {', '.join(allowed)}")
        if self.score_given is not None and self.score_maximum is None:
            raise InvalidRequest("score_maximum is required where there is a score_given")
        given, maximum = self.score_given, self.score_maximum
        fields: dict[str, Any] = {
            "userId": self.user_id,
            "activityProgress": self.activity_progress,
            "gradingProgress": self.grading_progress,
            "scoreGiven": given
            if given is None
            else wire_number(given, "score_given", positive=False),
            "scoreMaximum": maximum
            if maximum is None
            else wire_number(maximum, "score_maximum", positive=True),
            "comment": self.comment,
            "timestamp": _wire_moment(self.timestamp, "timestamp"),
        }
        return merged(fields, self.extra)


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What the LMS holds for one student in one line item.

    ``score`` is in points out of ``maximum`` (the line item's), None where nothing is graded yet.
    ``timestamp`` (aware) is when it was last changed. ``raw`` is the mapping as it came.
    """

    user_id: str
    id: str | None = None
    score: float | None = None
    maximum: float | None = None
    line_item_id: str | None = None
    comment: str | None = field(default=None, repr=False)
    timestamp: datetime | None = None
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def parse(cls, raw: object) -> Result:
        """Read one of ``scores``.

        Raises:
            ValueError: it is no object, or names no user.
        """
        fields = mapping(raw)
        user_id = text(fields.get("userId")) or text(fields.get("user_id"))
        if user_id is None:
            raise ValueError("a result has no userId")
        return cls(
            user_id=user_id,
            id=text(fields.get("id")),
            score=number(fields.get("resultScore")),
            maximum=number(fields.get("resultMaximum")),
            line_item_id=text(fields.get("scoreOf")),
            comment=text(fields.get("comment")),
            timestamp=moment(fields.get("timestamp")),
            raw=fields,
        )

    @property
    def share(self) -> float | None:
        """``score`` as a part of ``maximum``, from 0 to 1 (or above, with extra credit); None where
        there is no score. A missing maximum is 1 (AGS 2.0 section 3.5.3)."""
        if self.score is None:
            return None
        return self.score / (self.maximum or 1)


def _wire_moment(value: datetime | None, name: str) -> str | None:
    return None if value is None else wire_moment(value, name)
