"""One request to the API, as the endpoints see it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from werkzeug import Request

from .errors import invalid
from .world import Course, Platform, Seat

if TYPE_CHECKING:
    from .app import Sandbox


@dataclass(frozen=True)
class Launch:
    """A verified ltik."""

    seat: Seat
    platform: Platform
    """The seat's platform under the ids of its registration with the account."""
    issued_at: int
    """Seconds since the epoch."""
    id: str
    lms: str | None = None
    """The origin at which the LMS was opened; None for a launch that no browser began."""


@dataclass(frozen=True)
class Call:
    """A request with an accepted credential."""

    sandbox: Sandbox
    request: Request
    origin: str
    """The account's, as the caller knows it."""
    query: Mapping[str, str]
    path_id: str
    """The id in the path, percent-decoded; empty where the endpoint has none."""
    admitted: Launch | Course | None
    """What the credential stands for: a launch, a service key's course, or the account (None)."""

    @property
    def body(self) -> Any:
        return read_body(self.request)

    @property
    def launch(self) -> Launch:
        assert isinstance(self.admitted, Launch)
        return self.admitted

    @property
    def course(self) -> Course:
        if isinstance(self.admitted, Launch):
            return self.admitted.seat.course
        assert self.admitted is not None
        return self.admitted

    @property
    def raw(self) -> bool:
        return self.query.get("raw", "").lower() == "true"


def read_body(request: Request) -> Any:
    """The JSON body of a request, or None if it is empty. Raises `ApiError` for anything else."""
    data = request.get_data(cache=True)
    if not data:
        return None
    received = data.decode("utf-8", "replace")
    if request.mimetype != "application/json":
        raise invalid("The body must be sent as application/json.", bodyReceived=received)
    try:
        return json.loads(data, parse_constant=_no_constant)
    except ValueError:
        raise invalid("The body is not JSON.", bodyReceived=received) from None


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")
