"""Scores (what a tool sends) and results (the grades that the LMS keeps): LTI Assignment and Grade
Services 2.0, in LTIAAS's format."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, get_args

from ..errors import ApiError, ApiKeyRejected, InvalidRequest, LaunchExpired
from .documents import Document, Sendable, wire
from .endpoint import Endpoint, PagedEndpoint
from .exchange import Call, Steps
from .line_items import line_item_path
from .paging import Pages
from .values import nothing, query

#: How far the student is (wire.md, "The three authorization schemes", below the table).
#: ``Initialized`` is AGS 2.0's word; one page of LTIAAS's reference says ``Initiated``.
ActivityProgress = Literal[
    "Initialized", "Initiated", "Started", "InProgress", "Submitted", "Completed"
]
#: How far the grading is (the same place).
GradingProgress = Literal["FullyGraded", "Pending", "PendingManual", "Failed", "NotReady"]


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


class ScoreEndpoints:
    """The calls for scores and results."""

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
        path = f"{line_item_path(line_item_id)}/scores"
        return Pages(path, query(limit, userId=user_id), "scores", Result.parse)


def _submission(line_item_id: str, score: Score) -> Call[None]:
    return Call("POST", f"{line_item_path(line_item_id)}/scores", nothing, body=score.body())
