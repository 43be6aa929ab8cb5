"""An LMS's refusals, with its own messages, and how LTIAAS passes them on (`wire.md`, "Errors").

`refusals.toml` has the messages. Those of other LMSes than Canvas and Moodle are unknown, so they
respond with Canvas's messages as plain text.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from .errors import RELAYED, ApiError, phrase

SHAPES = ("bodyReceived", "externalError", "errors", "none")
"""Where the LMS's words are in the error: three fields of `details`, or no `details` at all."""


REFUSALS: Mapping[str, Mapping[str, tuple[int, str]]] = tomllib.loads(
    files(__package__).joinpath("refusals.toml").read_text("utf-8")
)


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
    status, words = REFUSALS[name].get(product, REFUSALS[name]["canvas"])
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
