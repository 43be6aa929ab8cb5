"""What `Sandbox` offers to Python, over HTTP: for tests in other processes, and for curl.

- `GET /sandbox/journal`: `{"entries": [...]}`; `DELETE` empties it.
- `POST /sandbox/launches` {course, activity, user, deep_linking, query}: `{"ltik", "launchUrl"}`.
- `POST /sandbox/expire` {ltik}: 204.
- `GET /sandbox/faults`: `{"faults": [...]}`; `POST` {name, endpoint, times and the fault's own
  options} switches one on (201); `DELETE` switches all off.
- `GET /sandbox/gradebook`: `{"columns": [...]}`.

Everything in a body may be left out, as in Python. Bodies are JSON. What is wrong with a request is
said in the API's error shape.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from werkzeug import Request, Response

from .call import read_body
from .errors import ApiError, json_response, not_found

if TYPE_CHECKING:
    from .app import Sandbox

_LAUNCH_FIELDS: dict[str, type] = {
    "course": str,
    "activity": str,
    "user": str,
    "deep_linking": bool,
    "query": str,
}


def answer(sandbox: Sandbox, request: Request, path: str) -> Response:
    """The answer to one request below `/sandbox/`."""
    try:
        return _answer(sandbox, request, path.removeprefix("/sandbox/"))
    except ApiError as error:
        return error.response()


def _answer(sandbox: Sandbox, request: Request, what: str) -> Response:
    method = request.method
    if what == "journal" and method == "GET":
        return json_response({"entries": [entry.document() for entry in sandbox.journal]})
    if what == "journal" and method == "DELETE":
        sandbox.journal.clear()
        return Response(status=204)
    if what == "launches" and method == "POST":
        return _launch(sandbox, _fields(request))
    if what == "expire" and method == "POST":
        try:
            sandbox.expire(str(_fields(request).get("ltik", "")))
        except ValueError as error:
            raise _invalid(error) from None
        return Response(status=204)
    if what == "faults" and method == "GET":
        return _faults(sandbox, 200)
    if what == "faults" and method == "POST":
        try:
            sandbox.faults.switch_on(_fields(request))
        except ValueError as error:
            raise _invalid(error) from None
        return _faults(sandbox, 201)
    if what == "faults" and method == "DELETE":
        sandbox.behave()
        return Response(status=204)
    if what == "gradebook" and method == "GET":
        return json_response({"columns": columns(sandbox)})
    raise not_found(f"The control pages have no {method} {what}.")


def columns(sandbox: Sandbox) -> list[dict[str, Any]]:
    """The whole gradebook: every line item with its course and what was submitted to it."""
    return [
        {
            "course": course.id,
            "lineItem": item.document(),
            "scores": sandbox.gradebook.column(item),
        }
        for course in sandbox.world.courses
        for item in sandbox.gradebook.items(course)
    ]


def _launch(sandbox: Sandbox, fields: dict[str, Any]) -> Response:
    given = {name: value for name, value in fields.items() if value is not None}
    for name, value in given.items():
        if not isinstance(value, _LAUNCH_FIELDS.get(name, ())):
            known = ", ".join(
                f"{field} ({kind.__name__})" for field, kind in _LAUNCH_FIELDS.items()
            )
            raise _invalid(ValueError(f"{name}: a launch takes {known}"))
    query = given.pop("query", "")
    try:
        ltik = sandbox.issue(**given)
    except ValueError as error:
        raise _invalid(error) from None
    return json_response({"ltik": ltik, "launchUrl": sandbox.launch_url(ltik, query)})


def _faults(sandbox: Sandbox, status: int) -> Response:
    return json_response({"faults": [fault.document() for fault in sandbox.faults]}, status)


def _fields(request: Request) -> dict[str, Any]:
    body = read_body(request)
    if body is not None and not isinstance(body, dict):
        raise _invalid(ValueError("The body must be a JSON object."))
    return body or {}


def _invalid(error: ValueError) -> ApiError:
    return ApiError(400, "VALIDATION_ERROR", str(error))
