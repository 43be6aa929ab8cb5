"""LTIAAS's error responses (`wire.md`, "Errors"). `lms_errors` has the LMS's refusals."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any

from werkzeug import Response

# As Node and Rails name them: Python's own names differ between its versions.
_PHRASES = {413: "Payload Too Large", 422: "Unprocessable Entity"}
UNAUTHORIZED_LTIK = "INVALID_LTIK_AUTH_AUTHORIZATION_HEADER"
RELAYED = "EXTERNAL_REQUEST_FAILED"
"""The code of an answer that relays the LMS's refusal."""


def phrase(status: int) -> str:
    """The phrase of a status, or "Unknown" if it has none."""
    try:
        return _PHRASES.get(status) or HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"


class ApiError(Exception):
    """An error response.

    `message` is its code (None omits the details completely), and `details` has what `wire.md`
    allows in addition to code and description.
    """

    def __init__(
        self, status: int, message: str | None, description: str | None = None, **details: Any
    ) -> None:
        super().__init__(message)
        self.status = status
        told = {"message": message, "description": description, **details}
        self.details = {name: value for name, value in told.items() if value is not None}

    def response(self) -> Response:
        """The error as LTIAAS sends it."""
        document: dict[str, Any] = {"status": self.status, "error": phrase(self.status)}
        if self.details:
            document["details"] = self.details
        response = json_response(document, self.status)
        if self.status == HTTPStatus.UNAUTHORIZED:
            response.headers["WWW-Authenticate"] = "LTIK-AUTH-V2"
        return response


def json_response(document: object, status: int = 200) -> Response:
    """`document` as a JSON response with `no-store`."""
    return Response(
        json.dumps(document, ensure_ascii=False),
        status,
        {"Cache-Control": "no-store"},
        content_type="application/json; charset=utf-8",
    )


def expired_ltik() -> ApiError:
    return ApiError(401, UNAUTHORIZED_LTIK, "Invalid or expired ltik.")


def wrong_api_key() -> ApiError:
    """The tool is misconfigured, so no launch can work."""
    return ApiError(401, UNAUTHORIZED_LTIK, "Invalid API key")


def wrong_service_key() -> ApiError:
    """The service key was never issued, or no longer works."""
    return ApiError(401, "INVALID_SERVICE_AUTH_AUTHORIZATION_HEADER", "Invalid service key.")


def rate_limited(retry_after: float | str) -> Response:
    """Too many requests; `retry_after` is in seconds, or the header's own text."""
    response = ApiError(429, "RATE_LIMITED", "Too many requests.").response()
    text = retry_after if isinstance(retry_after, str) else f"{retry_after:g}"
    response.headers["Retry-After"] = text
    return response


def unregistered() -> ApiError:
    """The LMS's registration is unknown or inactive. Permanent until somebody activates it."""
    return ApiError(
        400, "UNREGISTERED_OR_INACTIVE_PLATFORM", "The platform is not registered or not active."
    )


def inactive(service: str) -> ApiError:
    return ApiError(403, "INACTIVE_SERVICE", f"{service} is not active for this platform.")


def unavailable(service: str) -> ApiError:
    return ApiError(
        403, "SERVICE_NOT_AVAILABLE_FOR_CONTEXT", f"{service} is not available to this launch."
    )


def not_found(what: str) -> ApiError:
    return ApiError(404, "NOT_FOUND", what)


def invalid(description: str, **details: Any) -> ApiError:
    return ApiError(400, "VALIDATION_ERROR", description, **details)


def invalid_body(errors: list[dict[str, str]], body: object) -> ApiError:
    """The body breaks documented rules; `errors` lists each as a field and a message."""
    return invalid("The request body is not valid.", bodyReceived=body, errors=errors)
