"""All of the package's exceptions, in one hierarchy.

``LTIAASError`` catches all of them except ``LaunchRequired`` and ``RoleRequired``, to which the
middleware responds. An error response of LTIAAS is an ``ApiError``, which describes the request and
the response, but contains no secret: no header, no token, no body.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

# How many characters of an LMS's message a traceback may show.
_SHORT = 80


class LTIAASError(Exception):
    """Base class of the exceptions that this package raises."""


class SettingsError(LTIAASError, ValueError):
    """A setting is missing or invalid. The message names it and says what to do."""


class CredentialError(LTIAASError, ValueError):
    """A value contains characters that an ``Authorization`` header cannot have (control characters,
    spaces)."""


class CredentialScopeError(LTIAASError):
    """A credential cannot sign this request.

    Either the URL is on another origin, or the endpoint does not accept this kind of credential
    (``wire.md``, "The three authorization schemes"). The request was not sent.
    """


class IdTokenError(LTIAASError, ValueError):
    """LTIAAS's response is not an ID token, or it lacks a claim that the app needs (a user, a
    platform)."""


class InvalidRequest(LTIAASError, ValueError):
    """The request to LTIAAS would be invalid, such as a score without its maximum or a date without
    a time zone. It was not sent."""


class ServiceKeyStoreError(LTIAASError):
    """The service-key database failed. The message says why, without the database's password."""


class ServiceKeyUnreadable(ServiceKeyStoreError):
    """A stored service key cannot be decrypted, because its secret is no longer in
    ``Settings.secrets`` or someone tampered with the row. The next launch of the activity stores a
    new key."""


class MiddlewareMissing(LTIAASError, RuntimeError):
    """``require_launch()`` was called outside the middleware: the app is not wrapped, or the call
    is in a thread or job without the request's context."""


class RequestRefused(BaseException):
    """The app refuses the request, and the middleware sends a 401 or 403 response.

    Like ``asyncio.CancelledError``, it is not an ``Exception``, because frameworks turn an
    ``Exception`` into their own error page, log it, and report it to error trackers. This one
    reaches the middleware from any depth. ``except Exception`` and a framework's error handlers do
    not catch it. Catch it by name, or set ``Settings.on_error``.
    """

    #: ``ErrorInfo.code`` of the response.
    code: ClassVar[str]

    @classmethod
    def within(cls, error: BaseException) -> RequestRefused | None:
        """``error`` itself, or the refusal in a group (from ``asyncio.TaskGroup``) that otherwise
        contains only exceptions that the refusal caused, such as the one that Starlette's
        ``BaseHTTPMiddleware`` raises."""
        if not isinstance(error, BaseExceptionGroup):
            return error if isinstance(error, cls) else None
        refused: BaseException | None
        refused, others = error.split(cls)
        while isinstance(refused, BaseExceptionGroup):
            refused = refused.exceptions[0]
        # An ``ExceptionGroup`` cannot contain a ``KeyboardInterrupt``.
        is_all = others is None or isinstance(others, ExceptionGroup)
        return refused if is_all and isinstance(refused, cls) else None


def too_late(error: BaseException) -> BaseException:
    """What to raise instead of a refusal if the response has begun, because servers expect only an
    ``Exception``."""
    if RequestRefused.within(error) is None:
        return error
    return LTIAASError(
        "the app required a launch or a role after its response had begun: call require_launch() "
        "and require_role() before that"
    )


class LaunchRequired(RequestRefused):
    """The view needs a launch, and the request has none (401). If a launch's page sent the request
    outside its launch, the middleware redirects it into the launch."""

    code = "launch_required"


class RoleRequired(RequestRefused):
    """The user has none of the roles that the view needs (403)."""

    code = "role_required"


class ApiError(LTIAASError):
    """LTIAAS responded with an error, or did not respond.

    Attributes:
        temporary: whether the same call may succeed later. If False, it fails until someone changes
            something: the user, the LMS's administrator or the tool's administrator.
        status: HTTP status, or None if there was no usable response.
        code: LTIAAS's ``details.message`` or ``details.code`` (``wire.md``, "Errors"), or None.
        description: LTIAAS's ``details.description``, or a short description of the failure.
        lms_message: the LMS's own message if the LMS refused the call, or None. It may contain
            personal data: show it to the teacher, and keep it out of logs.
        details: LTIAAS's ``details``, without credentials and the request's data; empty if there
            are none. They may also contain personal data.
        method: the request's method, such as ``"GET"``.
        path: the request's path, without the query.
        retry_after: how many seconds LTIAAS or the LMS asked to wait, or None.
    """

    temporary: bool = False

    def __init__(
        self,
        description: str,
        *,
        status: int | None = None,
        code: str | None = None,
        method: str = "GET",
        path: str = "",
        retry_after: float | None = None,
        temporary: bool | None = None,
        lms_message: str | None = None,
        details: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(description)
        self.description = description
        self.status = status
        self.code = code
        self.method = method
        self.path = path
        self.retry_after = retry_after
        self.lms_message = lms_message
        self.details = details or {}
        if temporary is not None:
            self.temporary = temporary

    @property
    def summary(self) -> str:
        """The request, and the response's status and code. Safe to log, because it does not include
        LTIAAS's or the LMS's message."""
        asked = f"{self.method} {self.path}".rstrip()
        answered = " ".join(str(part) for part in (self.status, self.code) if part is not None)
        return f"{asked}: {answered or self.description}"

    def __str__(self) -> str:
        if self.status is None and self.code is None:
            return self.summary
        words = self.description
        if self.lms_message is not None:
            words = f"the LMS responded: {_shortened(self.lms_message)!r}"
        return f"{self.summary}: {words}"


def _shortened(text: str) -> str:
    return text if len(text) <= _SHORT else f"{text[: _SHORT - 1]}…"


class LaunchExpired(ApiError):
    """The launch is over or never existed (401, ``Invalid or expired ltik.``)."""


class ApiKeyRejected(ApiError):
    """The tool's own API key is wrong (401, ``Invalid API key``): no launch can work."""


class PlatformInactive(ApiError):
    """The LMS's registration with LTIAAS is unknown or inactive (400,
    ``UNREGISTERED_OR_INACTIVE_PLATFORM``)."""


class Forbidden(ApiError):
    """LTIAAS forbids the call (403)."""


class AnonymousLaunch(ApiError):
    """The LMS does not identify the user (the ID token has no ``user.id``), and
    ``Settings.allow_anonymous`` is off."""


class ServiceNotAvailable(ApiError):
    """The account or the LMS does not offer this service to this launch."""


class LmsError(ApiError):
    """The LMS, not LTIAAS, refused the call or failed. ``lms_message`` has the LMS's message, and
    ``status`` its status. ``temporary`` is True only for 408, 502, 503 and 504, because some LMSes
    use 500 for permanent refusals."""


class RateLimited(ApiError):
    """LTIAAS or the LMS rejected the call because there were too many (429, and Canvas's 403 "Rate
    Limit Exceeded"). ``retry_after`` says how long to wait."""

    temporary = True


class UpstreamError(ApiError):
    """LTIAAS could not be reached, was too slow, or returned an invalid response."""

    temporary = True


class InvalidResponse(UpstreamError):
    """LTIAAS reported success, but its response is unreadable, or its pages do not end.

    It is not ``temporary`` if the call may have changed something. Check the result before you
    repeat the call.
    """
