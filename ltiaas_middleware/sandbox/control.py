"""`Sandbox`'s Python methods over HTTP, for tests in other processes and for curl.

- `GET /sandbox/api-log`: `{"entries": [...]}`; `DELETE` empties it.
- `POST /sandbox/launches` {course, activity, user, deep_linking, query, roles, custom, claims}:
  `{"ltik", "launchUrl"}`.
- `POST /sandbox/expire` {ltik}: 204.
- `GET /sandbox/faults`: `{"faults": [...]}`; `POST` {name, endpoint, times and the fault's own
  options} turns one on (201); `DELETE` turns all off.
- `GET /sandbox/gradebook`: `{"columns": [...]}`.
- `POST /sandbox/override` {user, grade, activity, line_item}, `/sandbox/withdraw` {user, course}
  and `/sandbox/conclude` {course}: 204.

Arguments with a default in Python are optional. Bodies are JSON. Errors have the API's error
format.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from werkzeug import Request, Response

from .bodies import without_nulls
from .call import read_body
from .errors import ApiError, invalid, json_response, not_found

if TYPE_CHECKING:
    from .app import Sandbox

_Fields = Mapping[str, type | tuple[type, ...]]


def answer(sandbox: Sandbox, request: Request, path: str) -> Response:
    call = request.method, path.removeprefix("/sandbox/")
    try:
        if call not in _ROUTES:
            raise not_found(f"The sandbox's control has no {' '.join(call)}.")
        fields, route = _ROUTES[call]
        given = {} if fields == {} else _read(request, fields)
        try:
            document = route(sandbox, **given)
        except TypeError:
            raise invalid(f"{call[1]} takes {_listed(fields or {})}") from None
    except ApiError as error:
        return error.response()
    except ValueError as error:
        return invalid(str(error)).response()
    if document is None:
        return Response(status=204)
    return json_response(document, 201 if route is _add_fault else 200)


def _read(request: Request, fields: _Fields | None) -> dict[str, Any]:
    """The body's fields that are not null, checked; with None, the body as it is."""
    body = read_body(request)
    body = {} if body is None else body
    if not isinstance(body, dict):
        raise invalid("The body must be a JSON object.")
    if fields is None:
        return body
    given = without_nulls(body)
    for name, value in given.items():
        if not isinstance(value, fields.get(name, ())):
            raise invalid(f"{name}: the body takes {_listed(fields)}")
    return given


def _listed(fields: _Fields) -> str:
    kinds = {
        name: "number" if isinstance(kind, tuple) else kind.__name__
        for name, kind in fields.items()
    }
    return ", ".join(f"{name} ({kind})" for name, kind in kinds.items())


def _launch(sandbox: Sandbox, query: str | None = None, **where: Any) -> dict[str, str]:
    ltik = sandbox.issue(**where)
    return {"ltik": ltik, "launchUrl": sandbox.launch_url(ltik, query)}


def _faults(sandbox: Sandbox) -> dict[str, Any]:
    return {"faults": [fault.document() for fault in sandbox.faults]}


def _add_fault(sandbox: Sandbox, /, **settings: Any) -> dict[str, Any]:
    sandbox.faults.switch_on(settings)
    return _faults(sandbox)


def _columns(sandbox: Sandbox) -> dict[str, Any]:
    """The whole gradebook: every line item with its course and its submitted scores."""
    rows = [
        {"course": course.id, "lineItem": item.document(), "scores": sandbox.gradebook.column(item)}
        for course in sandbox.world.courses
        for item in sandbox.gradebook.items(course)
    ]
    return {"columns": rows}


_LAUNCH: _Fields = {
    **dict.fromkeys(("course", "activity", "user", "query"), str),
    **{"deep_linking": bool, "roles": list, "custom": dict, "claims": dict},
}
_OVERRIDE: _Fields = {"user": str, "grade": (int, float), "activity": str, "line_item": str}
_ROUTES: Mapping[tuple[str, str], tuple[_Fields | None, Callable[..., dict[str, Any] | None]]] = {
    ("GET", "api-log"): ({}, lambda sandbox: {"entries": list(map(asdict, sandbox.api_log))}),
    ("DELETE", "api-log"): ({}, lambda sandbox: sandbox.api_log.clear()),
    ("POST", "launches"): (_LAUNCH, _launch),
    ("POST", "expire"): ({"ltik": str}, lambda sandbox, **given: sandbox.expire(**given)),
    ("GET", "faults"): ({}, _faults),
    ("POST", "faults"): (None, _add_fault),
    ("DELETE", "faults"): ({}, lambda sandbox: sandbox.clear_faults()),
    ("GET", "gradebook"): ({}, _columns),
    ("POST", "override"): (_OVERRIDE, lambda sandbox, **given: sandbox.override(**given)),
    ("POST", "withdraw"): (
        {"user": str, "course": str},
        lambda sandbox, **given: sandbox.withdraw(**given),
    ),
    ("POST", "conclude"): ({"course": str}, lambda sandbox, **given: sandbox.conclude(**given)),
}
