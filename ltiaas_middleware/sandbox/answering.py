"""Responds to API calls: applies active faults, and writes the log."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from werkzeug import Request, Response
from werkzeug.exceptions import RequestEntityTooLarge

from . import api
from .api_log import ApiLogEntry, token_digest
from .call import read_body
from .credentials import read_authorization
from .errors import ApiError
from .faults import Fault
from .holding import Gone, Holding
from .spoiling import spoiled
from .urls import raw_path

if TYPE_CHECKING:
    from .app import Sandbox


class BoundedRequest(Request):
    """A request with a size limit."""

    max_content_length = 10_000_000


def answer(sandbox: Sandbox, request: Request, path: str, origin: str) -> Response:
    """The response to one call; `path` is as received, still percent-encoded. Raises `Gone` if a
    fault ends the connection."""
    credential = read_authorization(request.environ.get("HTTP_AUTHORIZATION"))
    now = sandbox.clock()
    met = sandbox.faults.draw(request.method, path, credential.scheme, now)
    oversized, body = _body(request)
    answered = sandbox.api_log.arrived(
        ApiLogEntry(
            at=now,
            method=request.method,
            path=raw_path(request.environ),
            query=request.environ["QUERY_STRING"],
            scheme=credential.scheme,
            well_formed=credential.well_formed,
            ltik_id=token_digest(credential.token) if credential.token else None,
            user_agent=request.headers.get("User-Agent"),
            body=body,
            fault="+".join(fault.name for fault in met) or None,
        )
    )
    status: int | None = 500
    try:
        if oversized:
            response = ApiError(413, "PAYLOAD_TOO_LARGE", "The body is too large.").response()
        else:
            carry_out = partial(api.answer, sandbox, request, path, credential, origin)
            response = _with_faults(request, met, carry_out)
        status = response.status_code
    except Gone:
        status = None
        raise
    finally:
        answered(status)
    return response


def _with_faults(request: Request, met: list[Fault], carry_out: Callable[[], Response]) -> Response:
    holding = Holding(request.environ.get("werkzeug.socket"))
    for fault in met:
        if fault.name == "delay":
            holding.wait(fault.options["seconds"], fault.ended)
    if met and met[-1].name != "delay":
        response = spoiled(met[-1], carry_out, holding)
        # A connection with a spoiled answer is of no more use.
        response.headers["Connection"] = "close"
        return response
    return carry_out()


def _body(request: Request) -> tuple[bool, Any]:
    try:
        return False, read_body(request)
    except ApiError:
        return False, request.get_data(as_text=True)
    except RequestEntityTooLarge:
        return True, None
