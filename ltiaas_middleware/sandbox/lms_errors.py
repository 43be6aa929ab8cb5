"""An LMS's refusals, with its own messages, and how LTIAAS passes them on (`wire.md`, "Errors").

Canvas's messages and statuses come from its documentation ("Assignment and Grade Services, Common
Error Codes") and source, and Moodle's from its source (mod/lti/service/gradebookservices). The
messages of other LMSes are unknown, so they respond with Canvas's messages as plain text.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .errors import RELAYED, ApiError, phrase

SHAPES = ("bodyReceived", "externalError", "errors", "none")
"""Where the LMS's words are in the error: three fields of `details`, or no `details` at all."""


@dataclass(frozen=True)
class Refusal:
    """A refusal: its status and message in Canvas, and in other products that have their own."""

    status: int
    words: str
    others: Mapping[str, tuple[int, str]]


_MOODLE_SCORE = (400, "Incorrect score received{sent}")

REFUSALS: Mapping[str, Refusal] = {
    "not_a_student": Refusal(
        422, "User not found in course or is not a student", {"moodle": _MOODLE_SCORE}
    ),
    "attempts_used_up": Refusal(
        422, "The maximum number of allowed attempts has been reached for this submission", {}
    ),
    "column_gone": Refusal(
        404,
        "The specified resource does not exist.",
        {"moodle": (404, "Not Found: Grade item 7 doesn't exist.")},
    ),
    "course_concluded": Refusal(
        422,
        "This course has concluded. AGS requests will no longer be accepted for this course.",
        {"moodle": (404, "Not Found: Course 7 doesn't exist.")},
    ),
    "older_score": Refusal(
        400,
        "Provided timestamp of {stamp} before last updated timestamp of {last}",
        {"moodle": (409, "Refusing score with an earlier timestamp for item 7 and user {user}")},
    ),
    "no_such_page": Refusal(400, "The url is not that of a page of this collection.", {}),
    "access_refused": Refusal(401, "Invalid Developer Key", {}),
    "lms_down": Refusal(500, "An error occurred.", {}),
    "throttled": Refusal(403, "403 Forbidden (Rate Limit Exceeded)\n", {}),
}


def refused(
    name: str,
    product: str,
    *,
    url: str,
    shape: str = "bodyReceived",
    sent: Any = None,
    **values: object,
) -> ApiError:
    """The error for `REFUSALS[name]` in the LMS `product`.

    `url` is the LMS's URL that LTIAAS called, and `sent` the body that it sent there. `values` fill
    in the message. `shape` is one of `SHAPES`.
    """
    refusal = REFUSALS[name]
    status, words = refusal.others.get(product, (refusal.status, refusal.words))
    words = words.format(sent=sent, **values)
    told: dict[str, dict[str, Any]] = {
        # The official SDKs read `externalError` as true or false.
        "bodyReceived": {"bodyReceived": _body(product, status, words), "externalError": True},
        "externalError": {"externalError": words},
        "errors": {"errors": [{"message": words}], "externalError": True},
    }
    if shape == "none":
        return ApiError(status, None)
    return ApiError(status, RELAYED, **told[shape], bodySent=sent, externalUrl=url)


def _body(product: str, status: int, words: str) -> Any:
    if product == "moodle":
        return {"status": status, "reason": words}
    if product != "canvas" or status == 403:
        return words
    if status == 404:
        return {"errors": [{"message": words}]}
    kind = phrase(status).lower().replace(" ", "_")
    return {"errors": {"type": kind, "message": words}}
