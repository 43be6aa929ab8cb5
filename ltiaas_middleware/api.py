"""HTTP to LTIAAS: one pooled session, bounded in time and in size.

Everything that can come back is either an answer of LTIAAS's or an ``ApiError``: a proxy's HTML, a
redirect, a body that never ends and a connection that is reset are all the same to a caller.
"""

from __future__ import annotations

import json
import logging
import random
import time
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from http.cookiejar import DefaultCookiePolicy
from typing import Any

import requests
from requests.adapters import HTTPAdapter

from ._version import __version__
from .credentials import Credential, LtikCredential
from .errors import (
    ApiError,
    ApiKeyRejected,
    IdTokenError,
    LaunchExpired,
    RateLimited,
    ServiceUnavailableForContext,
    UpstreamError,
)
from .id_token import IdToken
from .settings import Settings

__all__ = ["Api", "error_for", "new_session", "retry_after"]

_log = logging.getLogger("ltiaas_middleware")
# Where a repeat of a GET may find LTIAAS well again (RFC 9110 section 15.6).
_TRANSIENT = {502, 503, 504}
_UNAVAILABLE = {"INACTIVE_SERVICE", "SERVICE_NOT_AVAILABLE_FOR_CONTEXT"}


def new_session(pool_size: int) -> requests.Session:
    """A ``requests.Session`` that keeps connections and nothing else: no cookie of one launch's
    call may go out with another's."""
    session = requests.Session()
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    session.headers["User-Agent"] = f"ltiaas-middleware/{__version__} (Python)"
    session.headers["Accept"] = "application/json"
    # A compressed answer could be a thousand times its size; these are a few kilobytes anyway.
    session.headers["Accept-Encoding"] = "identity"
    adapter = HTTPAdapter(pool_connections=2, pool_maxsize=pool_size)
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    return session


class Api:
    """The calls that the middleware itself makes. Safe to use from many threads.

    Args:
        settings: account, timeouts and limits.
        session: for tests; a new one by default.
    """

    def __init__(
        self,
        settings: Settings,
        session: requests.Session | None = None,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._settings = settings
        self._session = session or new_session(settings.max_calls)
        self._monotonic = monotonic
        self._sleep = sleep

    def id_token(self, ltik: str) -> bytes:
        """The ID token of an ltik: JSON, checked to be one.

        Raises:
            LaunchExpired: LTIAAS refuses the ltik.
            ApiKeyRejected: LTIAAS refuses the API key.
            ApiError: anything else; ``UpstreamError`` where LTIAAS failed.
        """
        settings = self._settings
        credential = LtikCredential(settings.url, settings.api_key, ltik)
        body = self._get("/api/idtoken", credential)
        try:
            claims = json.loads(body)
            IdToken.parse(claims)
        except (ValueError, RecursionError) as error:
            # Not the ValueError itself: a JSON error quotes the document.
            why = str(error) if isinstance(error, IdTokenError) else "the answer is no JSON"
            raise UpstreamError(why, status=200, path="/api/idtoken") from None
        return json.dumps(claims, separators=(",", ":")).encode()

    def _get(self, path: str, credential: Credential) -> bytes:
        """GET, repeated while a repeat makes sense and the deadline allows it."""
        deadline = self._monotonic() + self._settings.deadline
        attempt = 0
        while True:
            attempt += 1
            try:
                return self._attempt(path, credential, deadline)
            except UpstreamError as error:
                # Full jitter: workers that failed together do not come back together.
                pause = random.uniform(0.05, 0.2 * 2**attempt)  # noqa: S311 - no secret
                again = error.status is None or error.status in _TRANSIENT
                if not again or attempt >= 3 or self._monotonic() + pause >= deadline:
                    raise
                if error.retry_after is not None and error.retry_after > pause:
                    raise
            self._sleep(pause)

    def _attempt(self, path: str, credential: Credential, deadline: float) -> bytes:
        settings = self._settings
        left = deadline - self._monotonic()
        if left <= 0:
            raise UpstreamError("no time left", path=path)
        try:
            response = self._session.get(
                settings.url + path,
                auth=credential,
                timeout=(min(settings.connect_timeout, left), min(settings.read_timeout, left)),
                allow_redirects=False,
                stream=True,
                verify=settings.ca_bundle or True,
            )
        except requests.RequestException as error:
            # Neither the message nor the chain: both hold the request, and that the header.
            raise UpstreamError(_kind(error), path=path) from None
        try:
            body = self._body(response, path, deadline)
        except UpstreamError:
            response.close()
            raise
        # Not closed: the connection goes back to the pool.
        response.raw.release_conn()
        if response.status_code == 200:
            return body
        raise error_for(
            response.status_code, body, response.headers.get("Retry-After"), "GET", path
        )

    def _body(self, response: requests.Response, path: str, deadline: float) -> bytes:
        if response.headers.get("Content-Encoding", "identity").lower() != "identity":
            raise UpstreamError("a compressed answer that was not asked for", path=path)
        parts: list[bytes] = []
        size = 0
        try:
            # read1 returns what one read of the socket brought, so that the deadline is looked at
            # however slowly the rest drips in.
            while part := response.raw.read1(65536):
                parts.append(part)
                size += len(part)
                if size > self._settings.max_response_size:
                    raise UpstreamError("an answer longer than max_response_size", path=path)
                if self._monotonic() >= deadline:
                    raise UpstreamError("the answer took longer than the deadline", path=path)
        except UpstreamError:
            raise
        except Exception as error:  # noqa: BLE001 - urllib3 and http.client raise what they like
            raise UpstreamError(
                f"the answer broke off ({type(error).__name__})", path=path
            ) from None
        expected = response.headers.get("Content-Length", "")
        if expected.isdigit() and size < int(expected):
            raise UpstreamError("the answer broke off", path=path)
        return b"".join(parts)


def error_for(status: int, body: bytes, wait: str | None, method: str, path: str) -> ApiError:
    """The exception for an answer of LTIAAS's that is no success (wire.md, "Errors").

    Args:
        status: HTTP status.
        body: of the answer.
        wait: its ``Retry-After``, or None.
        method: of the request.
        path: of the request, without query.
    """
    details: Any = None
    try:
        parsed = json.loads(body)
        details = parsed.get("details") if isinstance(parsed, dict) else None
    except (ValueError, RecursionError):
        pass
    details = details if isinstance(details, dict) else {}
    code = details.get("message")
    description = details.get("description")
    told = description if isinstance(description, str) else ""
    kind: type[ApiError]
    if status == 429:
        kind = RateLimited
    elif status == 401 and "api key" in told.lower():
        # The same code is sent for a bad ltik: the description alone tells whose fault it is.
        kind = ApiKeyRejected
    elif status == 401 and code == "INVALID_LTIK_AUTH_AUTHORIZATION_HEADER":
        kind = LaunchExpired
    elif code in _UNAVAILABLE:
        kind = ServiceUnavailableForContext
    elif status >= 500 or status < 400 or not details:
        kind = UpstreamError
    else:
        kind = ApiError
    return kind(
        told or f"LTIAAS answered {status}",
        status=status,
        code=code if isinstance(code, str) else None,
        method=method,
        path=path,
        retry_after=retry_after(wait),
    )


def retry_after(value: str | None) -> float | None:
    """Seconds from a ``Retry-After`` header (RFC 9110 section 10.2.3); None where it has none."""
    if not value:
        return None
    if value.strip().isdigit():
        return min(float(value), 86_400.0)
    try:
        return max(0.0, min(parsedate_to_datetime(value).timestamp() - time.time(), 86_400.0))
    except (TypeError, ValueError, OverflowError):
        return None


def _kind(error: requests.RequestException) -> str:
    if isinstance(error, requests.exceptions.SSLError):
        return "TLS: the certificate was not accepted"
    if isinstance(error, requests.Timeout):
        return "no answer in time"
    if isinstance(error, requests.ConnectionError):
        return "no connection"
    return f"the request failed ({type(error).__name__})"
