"""Endpoints for launches only: the ID token and deep linking."""

from __future__ import annotations

from typing import Any

from werkzeug import Response

from .. import claims, errors
from ..bodies import Problem, Rules, checked, optional, positive, problem
from ..call import Call
from ..errors import json_response
from ..pages import rendered

_OPTIONS = {"message": "msg", "log": "log", "errMessage": "errormsg", "errLog": "errorlog"}


def id_token(call: Call) -> Response:
    built = claims.Claims(call)
    return json_response(built.raw() if call.raw else built.id_token())


def deep_linking_message(call: Call) -> Response:
    message, target = _deep_linking(call)
    return json_response({"message": message, "target": target})


def deep_linking_form(call: Call) -> Response:
    message, target = _deep_linking(call)
    form = rendered("deep_linking_form", message=message, target=target)
    return json_response({"form": form})


def _deep_linking(call: Call) -> tuple[str, str]:
    seat = call.launch.seat
    if not seat.platform.deep_linking:
        raise errors.inactive("Deep linking")
    if not seat.deep_linking:
        raise errors.unavailable("Deep linking")
    message = call.sandbox.mint.jws(_message(call))
    return message, f"{call.launch.lms or call.origin}/lms/deep-linking/return"


def _message(call: Call) -> dict[str, Any]:
    launch = call.launch
    document = checked(call.body, _BODY, _item_problems)
    items, options = document["contentItems"], document.get("options", {})
    now = int(call.sandbox.clock())
    return {
        # Before the message's own claims, which nothing that a tool sends replaces.
        **{name: document[name] for name in document.keys() - {"contentItems", "options"}},
        "iss": launch.platform.client_id,
        "aud": launch.platform.url,
        "iat": now,
        "exp": now + 600,
        f"{claims.CLAIM}message_type": "LtiDeepLinkingResponse",
        f"{claims.CLAIM}version": launch.platform.lti_version,
        f"{claims.CLAIM}deployment_id": launch.platform.deployment_id,
        f"{claims.DEEP_LINKING}content_items": items,
        f"{claims.DEEP_LINKING}data": launch.seat.course.id,
        **{
            f"{claims.DEEP_LINKING}{claim}": options[name]
            for name, claim in _OPTIONS.items()
            if options.get(name)
        },
    }


def _items(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(item, dict) and isinstance(item.get("type"), str) for item in value
    )


def _texts(value: Any) -> bool:
    return value is None or (
        isinstance(value, dict) and all(isinstance(value.get(name) or "", str) for name in _OPTIONS)
    )


def _item_problems(document: dict[str, Any]) -> list[Problem]:
    items: Any = document.get("contentItems")
    problems = []
    for number, item in enumerate(items if _items(items) else []):
        column, where = item.get("lineItem"), f"contentItems[{number}]"
        maximum = column.get("scoreMaximum") if isinstance(column, dict) else None
        if column is not None and not positive(maximum):
            problems.append(problem(f"{where}.lineItem", "needs a scoreMaximum above 0"))
        problems += [
            problem(f"{where}.{name}", "must be an object")
            for name in ("custom", "submission")
            if not optional(dict)(item.get(name))
        ]
    return problems


_BODY: Rules = {
    "contentItems": (_items, "is required: a list of objects with a type"),
    "options": (_texts, "must be an object of texts"),
}
