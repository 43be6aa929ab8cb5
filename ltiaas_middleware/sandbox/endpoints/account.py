"""What only the account itself may ask: dynamic registrations and platforms."""

from __future__ import annotations

from typing import Any

from werkzeug import Response

from .. import errors
from ..call import Call
from ..errors import json_response
from ..platforms import Document, Platforms
from ..registrations import Registration, Registrations

_TEXTS = ("url", "clientId", "name", "authenticationEndpoint", "accesstokenEndpoint")
_METHODS = ("JWK_SET", "JWK_KEY", "RSA_KEY")


class AccountEndpoints:
    """The endpoints that take the API key alone."""

    def __init__(self, platforms: Platforms, registrations: Registrations) -> None:
        self._platforms = platforms
        self._registrations = registrations

    def registration(self, call: Call) -> Response:
        """`GET /api/registrations/<id>`."""
        found = self._pending(call)
        return json_response(found.raw() if call.raw else found.document())

    def complete_registration(self, call: Call) -> Response:
        """`POST /api/registrations/<id>/complete`."""
        self._pending(call)
        body = call.body
        options = body if isinstance(body, dict) else {}
        problems = [] if body is None or isinstance(body, dict) else [_error("", "is no object")]
        for name, kind, words in (
            ("platformName", str, "text"),
            ("autoActivate", bool, "true or false"),
        ):
            if not isinstance(options.get(name), (kind, type(None))):
                problems.append(_error(name, f"must be {words}"))
        if not _messages(options.get("messages")):
            problems.append(_error("messages", "must be a list of {type, placements}"))
        if problems:
            raise errors.invalid_body(problems, body)
        completed = self._registrations.complete(
            call.path_id,
            name=options.get("platformName"),
            active=bool(options.get("autoActivate")),
        )
        if completed is None:
            raise errors.not_found("There is no such registration.")
        html, platform = completed
        return json_response({"html": html, "platformId": platform["id"]})

    def platforms(self, call: Call) -> Response:
        """`GET /api/platforms`."""
        filters = {
            name: call.query[name] for name in ("id", "url", "clientId") if name in call.query
        }
        rows = [
            document
            for document in self._platforms.documents()
            if all(document.get(name) == value for name, value in filters.items())
        ]
        return json_response({"platforms": rows})

    def create_platform(self, call: Call) -> Response:
        """`POST /api/platforms`."""
        body = call.body
        return json_response(self._platforms.add({**_fields(body, required=True), "active": True}))

    def platform(self, call: Call) -> Response:
        """`GET /api/platforms/<id>`."""
        return json_response(_found(self._platforms.get(call.path_id)))

    def update_platform(self, call: Call) -> Response:
        """`PUT /api/platforms/<id>`."""
        _found(self._platforms.get(call.path_id))
        fields = _fields(call.body, required=False)
        return json_response(_found(self._platforms.change(call.path_id, fields)))

    def delete_platform(self, call: Call) -> Response:
        """`DELETE /api/platforms/<id>`."""
        _found(self._platforms.remove(call.path_id))
        return Response(status=204)

    def activate_platform(self, call: Call) -> Response:
        """`POST /api/platforms/<id>/activate`."""
        return json_response(_found(self._platforms.change(call.path_id, {"active": True})))

    def deactivate_platform(self, call: Call) -> Response:
        """`POST /api/platforms/<id>/deactivate`."""
        return json_response(_found(self._platforms.change(call.path_id, {"active": False})))

    def _pending(self, call: Call) -> Registration:
        found = self._registrations.get(call.path_id)
        if found is None:
            raise errors.not_found("There is no such registration.")
        return found


def _found(document: Document | None) -> Document:
    if document is None:
        raise errors.not_found("There is no such platform.")
    return document


def _fields(body: Any, *, required: bool) -> dict[str, Any]:
    """The fields that a caller may set, checked. LTIAAS's documentation requires all of them."""
    if not isinstance(body, dict):
        raise errors.invalid_body([_error("", "must be an object")], body)
    given = {name: value for name, value in body.items() if value is not None}
    problems = [
        _error(name, "is required: text")
        for name in _TEXTS
        if not isinstance(given.get(name, None if required else ""), str)
    ]
    config = given.get("authConfig", None if required else {"method": "JWK_SET", "key": ""})
    if (
        not isinstance(config, dict)
        or config.get("method") not in _METHODS
        or not isinstance(config.get("key"), str)
    ):
        allowed = ", ".join(_METHODS)
        problems.append(_error("authConfig", f"is required: a key, and a method of {allowed}"))
    if problems:
        raise errors.invalid_body(problems, body)
    return {name: given[name] for name in (*_TEXTS, "authConfig") if name in given}


def _messages(messages: Any) -> bool:
    if messages is None:
        return True
    return isinstance(messages, list) and all(
        isinstance(message, dict)
        and isinstance(message.get("type"), str)
        and isinstance(message.get("placements", []), list)
        for message in messages
    )


def _error(field: str, message: str) -> dict[str, str]:
    return {"field": field, "message": message}
