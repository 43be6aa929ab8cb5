"""LTIAAS's error answers (`wire.md`, "Errors")."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any

from werkzeug import Response

UNAUTHORIZED_LTIK = "INVALID_LTIK_AUTH_AUTHORIZATION_HEADER"


class ApiError(Exception):
    """An answer other than success. `details` holds what `wire.md` allows next to message and
    description.
    """

    def __init__(self, status: int, message: str, description: str, **details: Any) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.description = description
        self.details = details

    def response(self) -> Response:
        """The error as LTIAAS sends it."""
        details = {"message": self.message, "description": self.description, **self.details}
        response = json_response(
            {
                "status": self.status,
                "error": HTTPStatus(self.status).phrase,
                "details": details,
            },
            self.status,
        )
        if self.status == HTTPStatus.UNAUTHORIZED:
            response.headers["WWW-Authenticate"] = "LTIK-AUTH-V2"
        return response


def json_response(document: object, status: int = 200) -> Response:
    """`document` as a JSON answer that nobody may cache."""
    return Response(
        json.dumps(document, ensure_ascii=False),
        status,
        {"Cache-Control": "no-store"},
        content_type="application/json; charset=utf-8",
    )


def expired_ltik() -> ApiError:
    """This launch is over or never was."""
    return ApiError(401, UNAUTHORIZED_LTIK, "Invalid or expired ltik.")


def wrong_api_key() -> ApiError:
    """The tool is misconfigured: nobody's launch can work."""
    return ApiError(401, UNAUTHORIZED_LTIK, "Invalid API key")


def unregistered() -> ApiError:
    """The LMS's registration is unknown or inactive: permanent until somebody activates it."""
    return ApiError(
        400, "UNREGISTERED_OR_INACTIVE_PLATFORM", "The platform is not registered or not active."
    )


def inactive(service: str) -> ApiError:
    """The account does not offer a service to this platform."""
    return ApiError(403, "INACTIVE_SERVICE", f"{service} is not active for this platform.")


def unavailable(service: str) -> ApiError:
    """The LMS does not offer a service to this launch."""
    return ApiError(
        403, "SERVICE_NOT_AVAILABLE_FOR_CONTEXT", f"{service} is not available to this launch."
    )


def not_found(what: str) -> ApiError:
    """There is nothing at that address."""
    return ApiError(404, "NOT_FOUND", what)


def invalid_body(errors: list[dict[str, str]], body: object) -> ApiError:
    """The body breaks a documented rule; `errors` names each one as a field and a message."""
    return ApiError(
        400, "VALIDATION_ERROR", "The request body is not valid.", bodyReceived=body, errors=errors
    )
