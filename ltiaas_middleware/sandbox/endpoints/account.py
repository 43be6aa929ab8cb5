"""Endpoints for the account only: dynamic registrations and platforms."""

from __future__ import annotations

from typing import Any, TypeVar

from werkzeug import Response

from .. import errors
from ..bodies import Rules, checked, optional
from ..call import Call
from ..errors import json_response
from ..platforms import Document
from ..registrations import CLOSE

_Row = TypeVar("_Row")
_METHODS = ("JWK_SET", "JWK_KEY", "RSA_KEY")


def registration(call: Call) -> Response:
    found = _found(call.sandbox.registrations.get(call.path_id), "registration")
    return json_response(found.raw() if call.raw else found.document())


def complete_registration(call: Call) -> Response:
    body = call.body
    options = checked({} if body is None else body, _COMPLETION)
    made = call.sandbox.registrations.complete(
        call.path_id, name=options.get("platformName"), active=bool(options.get("autoActivate"))
    )
    return json_response({"html": CLOSE, "platformId": _found(made, "registration")["id"]})


def platforms(call: Call) -> Response:
    filters = {name: call.query[name] for name in ("id", "url", "clientId") if name in call.query}
    rows = [
        document
        for document in call.sandbox.platforms.documents()
        if all(document.get(name) == value for name, value in filters.items())
    ]
    return json_response({"platforms": rows})


def create_platform(call: Call) -> Response:
    """`POST /api/platforms`. LTIAAS's documentation requires all fields except two."""
    fields = _known(checked(call.body, _PLATFORM))
    return json_response(call.sandbox.platforms.add({"active": True, **fields}))


def platform(call: Call) -> Response:
    return json_response(_found(call.sandbox.platforms.get(call.path_id)))


def update_platform(call: Call) -> Response:
    platform(call)
    body = call.body
    given = body if isinstance(body, dict) else {}
    rules = {name: rule for name, rule in _PLATFORM.items() if given.get(name) is not None}
    return _changed(call, _known(checked(body, rules)))


def delete_platform(call: Call) -> Response:
    _found(call.sandbox.platforms.remove(call.path_id))
    return Response(status=204)


def activate_platform(call: Call) -> Response:
    return _changed(call, {"active": True})


def deactivate_platform(call: Call) -> Response:
    return _changed(call, {"active": False})


def _changed(call: Call, fields: Document) -> Response:
    return json_response(_found(call.sandbox.platforms.change(call.path_id, fields)))


def _found(row: _Row | None, what: str = "platform") -> _Row:
    if row is None:
        raise errors.not_found(f"There is no such {what}.")
    return row


def _known(fields: Document) -> Document:
    return {name: fields[name] for name in _PLATFORM if name in fields}


def _config(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and value.get("method") in _METHODS
        and isinstance(value.get("key"), str)
    )


def _messages(value: Any) -> bool:
    return value is None or (
        isinstance(value, list)
        and all(
            isinstance(message, dict)
            and isinstance(message.get("type"), str)
            and isinstance(message.get("placements", []), list)
            for message in value
        )
    )


_COMPLETION: Rules = {
    "platformName": (optional(str), "must be text"),
    "autoActivate": (optional(bool), "must be true or false"),
    "messages": (_messages, "must be a list of {type, placements}"),
}
_TEXTS = ("url", "clientId", "name", "authenticationEndpoint", "accesstokenEndpoint")
_PLATFORM: Rules = {
    **dict.fromkeys(_TEXTS, (lambda value: isinstance(value, str), "is required: text")),
    "authConfig": (_config, f"is required: a key, and a method of {', '.join(_METHODS)}"),
    "active": (optional(bool), "must be true or false"),
    "authorizationServer": (optional(str), "must be text"),
}
