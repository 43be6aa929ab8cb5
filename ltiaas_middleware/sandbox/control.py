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
from typing import TYPE_CHECKING, Any

from werkzeug import Request, Response

from .call import read_body
from .errors import ApiError, invalid, json_response, not_found

if TYPE_CHECKING:
    from .app import Sandbox

_Types = type | tuple[type, ...]


def answer(sandbox: Sandbox, request: Request, path: str) -> Response:
    what = path.removeprefix("/sandbox/")
    route = _ROUTES.get((request.method, what))
    try:
        if route is None:
            raise not_found(f"The sandbox's control has no {request.method} {what}.")
        return route(sandbox, request)
    except ApiError as error:
        return error.response()
    except ValueError as error:
        return invalid(str(error)).response()


def columns(sandbox: Sandbox) -> list[dict[str, Any]]:
    """The whole gradebook: every line item with its course and its submitted scores."""
    return [
        {"course": course.id, "lineItem": item.document(), "scores": sandbox.gradebook.column(item)}
        for course in sandbox.world.courses
        for item in sandbox.gradebook.items(course)
    ]


def _launch(sandbox: Sandbox, request: Request) -> Response:
    fields: dict[str, _Types] = dict.fromkeys(("course", "activity", "user", "query"), str)
    fields |= {"deep_linking": bool, "roles": list, "custom": dict, "claims": dict}
    given = _read(request, fields)
    query = given.pop("query", None)
    ltik = sandbox.issue(**given)
    return json_response({"ltik": ltik, "launchUrl": sandbox.launch_url(ltik, query)})


def _api_log(sandbox: Sandbox, request: Request) -> Response:
    return json_response({"entries": [entry.document() for entry in sandbox.api_log]})


def _clear_api_log(sandbox: Sandbox, request: Request) -> Response:
    sandbox.api_log.clear()
    return Response(status=204)


def _faults(sandbox: Sandbox, request: Request) -> Response:
    status = 200
    if request.method == "POST":
        sandbox.faults.switch_on(_body(request))
        status = 201
    return json_response({"faults": [fault.document() for fault in sandbox.faults]}, status)


def _doing(name: str, **fields: _Types) -> Callable[[Sandbox, Request], Response]:
    """A route that calls a method of `Sandbox` with the fields of the body."""

    def route(sandbox: Sandbox, request: Request) -> Response:
        given = _read(request, fields) if fields else {}
        try:
            getattr(sandbox, name)(**given)
        except TypeError:
            raise invalid(f"{name} takes {_listed(fields)}") from None
        return Response(status=204)

    return route


def _read(request: Request, fields: Mapping[str, _Types]) -> dict[str, Any]:
    """The body's fields that are not null, checked."""
    given = {name: value for name, value in _body(request).items() if value is not None}
    for name, value in given.items():
        if not isinstance(value, fields.get(name, ())):
            raise invalid(f"{name}: the body takes {_listed(fields)}")
    return given


def _listed(fields: Mapping[str, _Types]) -> str:
    kinds = {
        name: "number" if isinstance(kind, tuple) else kind.__name__
        for name, kind in fields.items()
    }
    return ", ".join(f"{name} ({kind})" for name, kind in kinds.items())


def _body(request: Request) -> dict[str, Any]:
    body = read_body(request)
    if body is not None and not isinstance(body, dict):
        raise invalid("The body must be a JSON object.")
    return body or {}


_ROUTES: Mapping[tuple[str, str], Callable[[Sandbox, Request], Response]] = {
    ("GET", "api-log"): _api_log,
    ("DELETE", "api-log"): _clear_api_log,
    ("POST", "launches"): _launch,
    ("POST", "expire"): _doing("expire", ltik=str),
    ("GET", "faults"): _faults,
    ("POST", "faults"): _faults,
    ("DELETE", "faults"): _doing("clear_faults"),
    ("GET", "gradebook"): lambda sandbox, _: json_response({"columns": columns(sandbox)}),
    ("POST", "override"): _doing(
        "override", user=str, grade=(int, float), activity=str, line_item=str
    ),
    ("POST", "withdraw"): _doing("withdraw", user=str, course=str),
    ("POST", "conclude"): _doing("conclude", course=str),
}
