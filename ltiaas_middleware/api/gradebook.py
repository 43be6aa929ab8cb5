"""Line items (the columns of a gradebook), scores (what a tool sends) and results (the grades
that the LMS keeps): LTI Assignment and Grade Services 2.0, in LTIAAS's format."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, get_args

from ..errors import ApiError, ApiKeyRejected, InvalidRequest, InvalidResponse, LaunchExpired
from .addresses import segment
from .documents import Document, Sendable, read_fields, unread, wire
from .endpoint import Endpoint, PagedEndpoint
from .exchange import Call, Steps
from .paging import Pages
from .values import mapping, nothing, query, text

#: How far the student is (wire.md, "The three authorization schemes", below the table).
#: ``Initialized`` is AGS 2.0's word; one page of LTIAAS's reference says ``Initiated``.
ActivityProgress = Literal[
    "Initialized", "Initiated", "Started", "InProgress", "Submitted", "Completed"
]
#: How far the grading is (the same place).
GradingProgress = Literal["FullyGraded", "Pending", "PendingManual", "Failed", "NotReady"]


@dataclass(frozen=True, slots=True, kw_only=True)
class NewLineItem(Sendable):
    """A gradebook column to create.

    Attributes:
        label: the name that teachers see.
        score_maximum: the maximum in points, greater than 0.
        resource_link_id: the LMS's ID of the activity that the column belongs to.
        resource_id: the tool's own ID for the activity.
        tag: the tool's own name for the column.
        start_date_time: when students may begin (aware).
        end_date_time: when students must have submitted (aware).
        grades_released: whether students may see their grades.
        extra: keys that have no field here, under their wire names.
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


@dataclass(frozen=True, slots=True, kw_only=True)
class LineItem(NewLineItem):
    """A gradebook column. It has the attributes of ``NewLineItem``, and an ID.

    An update sends ``extra`` back, so ``replace(item, label=…)`` loses nothing.

    Attributes:
        id: the LMS's own URL for the column, which becomes part of the path of calls.
    """

    id: str

    @classmethod
    def parse(cls, raw: object, defaults: Mapping[str, Any] | None = None) -> LineItem:
        """Read a line item; see ``Document.parse``."""
        own, defaults = mapping(raw), defaults or {}
        # An LMS may name no label, and the column is one all the same.
        unnamed = {} if text(own.get("label")) or text(defaults.get("label")) else {"label": " "}
        found = read_fields(cls, own, defaults, unnamed)
        if unnamed:
            found["label"] = ""
        return cls(**found, extra=unread(cls, {**defaults, **own}, found))

    def body(self) -> dict[str, Any]:
        """The body to send. The id is in the path."""
        body = NewLineItem.body(self)
        del body["id"]
        return body


@dataclass(frozen=True, slots=True, kw_only=True)
class Score(Sendable):
    """A score for one student's work.

    To report progress without a grade, omit ``score_given`` and set ``grading_progress``:
    ``Score(user_id=…, activity_progress="Submitted", grading_progress="PendingManual")``.

    Attributes:
        user_id: the student's ID in their LMS: ``Launch.user_id``, or ``Member.user_id`` of the
            roster.
        score_given: points out of ``score_maximum``, or None for no grade. The LMS scales it to the
            line item's own maximum.
        score_maximum: the maximum in points, greater than 0. Required with ``score_given``.
        activity_progress: how far the student is: ``"Initialized"`` (or ``"Initiated"``),
            ``"Started"``, ``"InProgress"``, ``"Submitted"`` or ``"Completed"``.
        grading_progress: how far the grading is: ``"FullyGraded"``, ``"Pending"`` (a grade
            follows), ``"PendingManual"`` (a person has to grade), ``"Failed"`` or ``"NotReady"``
            (nothing to grade yet). An LMS may ignore a score unless it is ``"FullyGraded"``.
        timestamp: when the work was graded (aware). An LMS may drop a score that is older than the
            one it has (AGS 2.0 section 3.4.7).
        started_at: when the student started (aware).
        submitted_at: when the student submitted (aware), not before ``started_at``. Without it, a
            score that you send late looks like late work.
        comment: a comment for the student.
        extra: more keys, sent unchanged, for LMS extensions such as
            ``"https://canvas.instructure.com/lti/submission": {…}``.

    Raises:
        InvalidRequest: a value is not one of those above, or a datetime is naive.
    """

    user_id: str
    score_given: float | None = None
    score_maximum: float | None = None
    activity_progress: ActivityProgress = "Completed"
    grading_progress: GradingProgress = "FullyGraded"
    timestamp: datetime | None = None
    started_at: datetime | None = wire("submission.startedAt", default=None)
    submitted_at: datetime | None = wire("submission.submittedAt", default=None)
    comment: str | None = field(default=None, repr=False)
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        self.body()

    def body(self) -> dict[str, Any]:
        """The score as it is sent."""
        progress = ("activity_progress", ActivityProgress), ("grading_progress", GradingProgress)
        for name, kind in progress:
            if getattr(self, name) not in get_args(kind):
                raise InvalidRequest(f"{name} must be one of {', '.join(get_args(kind))}")
        if self.score_given is not None and self.score_maximum is None:
            raise InvalidRequest("score_given requires score_maximum")
        body = Sendable.body(self)
        if self.started_at and self.submitted_at and self.submitted_at < self.started_at:
            raise InvalidRequest("submitted_at cannot be before started_at")
        return body


@dataclass(frozen=True, slots=True)
class ScoreOutcome:
    """The outcome of one score of ``submit_scores``.

    Attributes:
        score: the score that you passed.
        error: why it was not saved, or None if the LMS accepted it.
    """

    score: Score
    error: ApiError | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Result(Document):
    """The LMS's result for one student in one line item.

    Attributes:
        user_id: the student's ID in their LMS.
        id: the LMS's URL for the result.
        score: points out of ``maximum``, or None if nothing is graded yet.
        maximum: the line item's maximum.
        line_item_id: the column's ID.
        comment: the comment for the student.
        timestamp: when the result last changed (aware).
        raw: LTIAAS's unchanged data.
    """

    user_id: str
    id: str | None = None
    score: float | None = wire("resultScore", default=None)
    maximum: float | None = wire("resultMaximum", default=None)
    line_item_id: str | None = wire("scoreOf", default=None)
    comment: str | None = field(default=None, repr=False)
    timestamp: datetime | None = None
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @property
    def share(self) -> float | None:
        """``score`` divided by ``maximum``: from 0 to 1 (or more, with extra credit), or None
        without a score. A missing maximum is 1 (AGS 2.0 section 3.5.3)."""
        if self.score is None:
            return None
        return self.score / (self.maximum or 1)


class GradebookEndpoints:
    """The calls for grades. Lists fetch each page when the loop reaches it. ``limit`` is the number
    of rows (at least 1) per page, not in total."""

    @PagedEndpoint
    def line_items(
        self,
        *,
        resource_link_id: str | None = None,
        resource_id: str | None = None,
        tag: str | None = None,
        limit: int | None = None,
    ) -> Pages[LineItem]:
        """The columns of the course's gradebook.

        Args:
            resource_link_id: return only columns of the activity with this LMS id. In a launch,
                LTIAAS may always return the launch's own columns, whatever you request (wire.md).
            resource_id: return only columns with this id, which the tool has chosen.
            tag: return only columns with this tag.
            limit: the page size.
        """
        return _columns(limit, tag=tag, resourceId=resource_id, resourceLinkId=resource_link_id)

    @Endpoint
    def line_item(self, id: str) -> Call[LineItem]:
        """One column, by its id (the LMS's URL, exactly as you received it; the session encodes
        it)."""
        return Call("GET", _line_item(id), lambda row: LineItem.parse(row, {"id": id}))

    @Endpoint
    def create_line_item(self, item: NewLineItem) -> Steps[LineItem]:
        """Create a column. The session does not retry this call: check whether the column exists
        before you repeat it.

        LTIAAS may return only the new ID; the result then has the other values that you sent. If
        LTIAAS returns nothing, the session looks for the column among the activity's columns.

        Raises:
            InvalidResponse: LTIAAS created the column, but the session cannot find it. Not
                ``temporary``.
        """
        return (yield from _create(item))

    @Endpoint
    def column(
        self,
        *,
        tag: str,
        label: str,
        score_maximum: float,
        resource_link_id: str | None = None,
        resource_id: str | None = None,
    ) -> Steps[LineItem]:
        """Get the column with this tag, or create it. An existing column keeps the label and
        maximum that it has in the LMS. Two processes that call this at the same time may both
        create a column, because LMSes offer no way to prevent that.

        Args:
            tag: the tool's own name for the column.
            label: the name that teachers see. If several columns have the tag, this selects the one
                with this label.
            score_maximum: the maximum in points.
            resource_link_id: look only for a column of this activity.
            resource_id: look only for a column with this id, which the tool has chosen.
        """
        item = NewLineItem(
            tag=tag, label=label, score_maximum=score_maximum,
            resource_link_id=resource_link_id, resource_id=resource_id,
        )  # fmt: skip
        item.body()
        # Some LMSes ignore filters that they do not know.
        found = [one for one in (yield from _like(item)) if one.tag == tag]
        if not found:
            return (yield from _create(item))
        return next((one for one in found if one.label == label), found[0])

    @Endpoint
    def update_line_item(self, item: LineItem) -> Call[LineItem]:
        """Update a column. To change a column that you have fetched, use
        ``dataclasses.replace``."""
        body = item.body()
        sent = {**body, "id": item.id}
        return Call("PUT", _line_item(item.id), lambda row: LineItem.parse(row, sent), body=body)

    @Endpoint
    def delete_line_item(self, id: str) -> Call[None]:
        """Delete a column and all its scores."""
        return Call("DELETE", _line_item(id), nothing)

    @Endpoint
    def submit_score(self, line_item_id: str, score: Score) -> Call[None]:
        """Send a score. The session retries only if the score was not accepted (``RateLimited``).
        After an ``UpstreamError``, the score may have arrived; check with ``scores`` (see
        ``examples/nightly_grade_sync.py``)."""
        return _submission(line_item_id, score)

    @Endpoint
    def submit_scores(
        self, line_item_id: str, scores: Iterable[Score]
    ) -> Steps[tuple[ScoreOutcome, ...]]:
        """Send many scores, each as ``submit_score`` does. A failed score does not stop the others.

        Returns:
            An outcome for each score, in order. After an error that affects all scores
            (``LaunchExpired``, ``ApiKeyRejected``), the remaining scores are not sent and get the
            same error.
        """
        outcomes: list[ScoreOutcome] = []
        error: ApiError | None = None
        for score in scores:
            if not isinstance(error, (LaunchExpired, ApiKeyRejected)):
                error = None
                try:
                    yield _submission(line_item_id, score)
                except ApiError as raised:
                    error = raised
            outcomes.append(ScoreOutcome(score, error))
        return tuple(outcomes)

    @PagedEndpoint
    def scores(
        self, line_item_id: str, *, user_id: str | None = None, limit: int | None = None
    ) -> Pages[Result]:
        """The LMS's results for all students or for one. ``limit`` is the page size."""
        path = f"{_line_item(line_item_id)}/scores"
        return Pages(path, query(limit, userId=user_id), "scores", Result.parse)


def _create(item: NewLineItem) -> Steps[LineItem]:
    body = item.body()

    def created(document: Any) -> LineItem | None:
        # Nothing, or nothing with an id: it was created all the same.
        return LineItem.parse(document, body) if text(mapping(document).get("id")) else None

    made: LineItem | None = yield Call("POST", "lineitems", created, body=body)
    if made is not None:
        return made
    same = [one for one in (yield from _like(item)) if one.label == item.label]
    if len(same) != 1:
        raise InvalidResponse(
            "LTIAAS created the line item without returning its id; look for it with line_items() "
            "before you create it again", method="POST", path="/api/lineitems", temporary=False,
        )  # fmt: skip
    return same[0]


def _like(item: NewLineItem) -> Steps[list[LineItem]]:
    found: list[LineItem] = []
    columns = _columns(
        tag=item.tag, resourceId=item.resource_id, resourceLinkId=item.resource_link_id
    )
    while columns.next is not None:
        found += yield columns.next
    return found


def _columns(limit: int | None = None, **filters: str | None) -> Pages[LineItem]:
    return Pages("lineitems", query(limit, **filters), "lineItems", LineItem.parse)


def _line_item(id: str) -> str:
    return f"lineitems/{segment(id, 'the id of a line item')}"


def _submission(line_item_id: str, score: Score) -> Call[None]:
    return Call("POST", f"{_line_item(line_item_id)}/scores", nothing, body=score.body())
