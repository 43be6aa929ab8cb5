"""Every exception of the package, in one tree.

``LTIAASError`` catches them all. What LTIAAS itself answers is an ``ApiError``, which carries what
was asked and what came back, and never a secret: no header, no token, no body.
"""

from __future__ import annotations

from typing import ClassVar

from werkzeug.exceptions import Unauthorized

__all__ = [
    "AccessForbidden",
    "AnonymousLaunch",
    "ApiError",
    "ApiKeyRejected",
    "CredentialError",
    "CredentialScopeError",
    "IdTokenError",
    "InvalidRequest",
    "LTIAASError",
    "LaunchExpired",
    "LaunchRequired",
    "PlatformInactive",
    "RateLimited",
    "ServiceKeyStoreError",
    "ServiceKeyUnreadable",
    "ServiceUnavailableForContext",
    "SettingsError",
    "UpstreamError",
]


class LTIAASError(Exception):
    """Base of every exception that this package raises."""


class SettingsError(LTIAASError, ValueError):
    """A setting is missing or unusable; the message names it and says what to do."""


class CredentialError(LTIAASError, ValueError):
    """A value that no ``Authorization`` header may be built from (control characters, spaces)."""


class CredentialScopeError(LTIAASError):
    """A credential was asked to sign a request that is not for its own account.

    Either the address is on another origin, or the endpoint does not take this kind of credential
    (``wire.md``, "The three authorization schemes"). Nothing was sent.
    """


class IdTokenError(LTIAASError, ValueError):
    """What LTIAAS sent is no ID token, or it lacks what was asked of it (a user, a platform)."""


class InvalidRequest(LTIAASError, ValueError):
    """What was asked of LTIAAS breaks a rule that is known here (a score without its maximum, a
    date without a time zone). Nothing was sent."""


class ServiceKeyStoreError(LTIAASError):
    """The database of service keys cannot be used; the message says why, without its password."""


class ServiceKeyUnreadable(ServiceKeyStoreError):
    """A stored service key cannot be decrypted: its secret is gone from ``Settings.secret``, or
    the row was tampered with. The next launch of the activity stores it afresh."""


class LaunchRequired(Unauthorized, LTIAASError):
    """The view needs a launch and the request carries none (401).

    It is a Werkzeug ``Unauthorized``, so Flask and other Werkzeug frameworks answer 401 by
    themselves; the middleware does so wherever the app lets the exception through.
    """

    description = "This page needs an LTI launch. Open it again from your course."


class ApiError(LTIAASError):
    """LTIAAS answered with an error, or did not answer.

    Attributes:
        temporary: whether the same call may succeed later by itself. What is not temporary lasts
            until somebody changes something: the user, the LMS's administrator, or the tool's.
        status: HTTP status, or None where no usable answer came.
        code: LTIAAS's ``details.message`` or ``details.code`` (``wire.md``, "Errors"), or None.
        description: LTIAAS's ``details.description``, or a short account of what went wrong.
        method: of the request, such as ``"GET"``.
        path: of the request, without query.
        retry_after: seconds that LTIAAS asked us to wait, or None.
    """

    temporary: ClassVar[bool] = False

    def __init__(
        self,
        description: str,
        *,
        status: int | None = None,
        code: str | None = None,
        method: str = "GET",
        path: str = "",
        retry_after: float | None = None,
    ) -> None:
        super().__init__(description)
        self.description = description
        self.status = status
        self.code = code
        self.method = method
        self.path = path
        self.retry_after = retry_after

    def __str__(self) -> str:
        asked = f"{self.method} {self.path}".rstrip()
        answered = " ".join(str(part) for part in (self.status, self.code) if part is not None)
        return f"{asked}: {answered + ': ' if answered else ''}{self.description}"


class LaunchExpired(ApiError):
    """The launch is over or never existed (401, ``Invalid or expired ltik.``)."""


class ApiKeyRejected(ApiError):
    """The tool's own API key is wrong (401, ``Invalid API key``): no launch can work."""


class PlatformInactive(ApiError):
    """The LMS's registration with LTIAAS is unknown or inactive (400,
    ``UNREGISTERED_OR_INACTIVE_PLATFORM``), until somebody activates it."""


class AccessForbidden(ApiError):
    """LTIAAS forbids the call (403), with or without a reason."""


class AnonymousLaunch(ApiError):
    """The LMS does not say who launched (an ID token without ``user.id``), and the tool needs to
    know: ``Settings.allow_anonymous`` is off."""


class ServiceUnavailableForContext(ApiError):
    """The account or the LMS does not offer that service to this launch."""


class RateLimited(ApiError):
    """Too many calls (429); ``retry_after`` says how long LTIAAS asked us to wait."""

    temporary = True


class UpstreamError(ApiError):
    """LTIAAS could not be reached, was too slow, or returned an invalid response."""

    temporary = True
