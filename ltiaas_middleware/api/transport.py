"""Sends the requests of ``exchange`` with the requests library, with limits on time and size."""

from __future__ import annotations

import time
from collections.abc import Callable
from http.cookiejar import DefaultCookiePolicy
from typing import Any
from urllib.parse import urlsplit

import requests

from .._forking import in_child
from ..credentials import Credential
from .exchange import HEADERS, Answer, Failure, RetryPolicy, Send

# Seconds for which the environment is not looked at again.
_ENVIRONMENT_KEPT = 60.0


def new_session(pool_size: int) -> requests.Session:
    """A ``requests.Session`` that keeps connections but nothing else, so that cookies from one
    launch's call are never sent with another's."""
    session = _Session()
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    session.headers.update(HEADERS)
    session.connect_anew(pool_size)
    in_child(session, lambda session: session.connect_anew(pool_size))
    return session


class _Session(requests.Session):
    """Reads proxies and certificate authorities from the environment once in a while: that takes a
    fifth of the time of a call, and they hardly ever change."""

    def __init__(self) -> None:
        super().__init__()
        self._environments: dict[Any, tuple[float, Any]] = {}

    def connect_anew(self, pool_size: int) -> None:
        adapter = _Adapter(pool_connections=2, pool_maxsize=pool_size)
        self.mount("https://", adapter)
        self.mount("http://", adapter)

    def merge_environment_settings(
        self, url: Any, proxies: Any, stream: Any, verify: Any, cert: Any
    ) -> Any:
        if proxies:
            return super().merge_environment_settings(url, proxies, stream, verify, cert)
        key = urlsplit(url)[:2], stream, verify, cert
        now = time.monotonic()
        until, found = self._environments.get(key, (0.0, None))
        if now >= until:
            found = super().merge_environment_settings(url, {}, stream, verify, cert)
            self._environments[key] = now + _ENVIRONMENT_KEPT, found
        return dict(found)


class _Adapter(requests.adapters.HTTPAdapter):
    """Plain http is for this machine only (``Settings.url``): no proxy gets to see it."""

    def send(self, request: Any, *args: Any, **options: Any) -> requests.Response:
        if request.url.startswith("http:"):
            options["proxies"] = None
        return super().send(request, *args, **options)


def send(
    session: requests.Session, policy: RetryPolicy, step: Send, credential: Credential
) -> Answer | Failure:
    """Send a request once, with a session from ``new_session``. Any error becomes a ``Failure``."""
    try:
        response = _response(session, policy, step, credential)
    except (requests.RequestException, ValueError, OSError) as error:
        # Neither the message nor the chain: both hold the request, and that the header.
        return _failure(error)
    outcome = read_answer(response.raw, policy.max_response_size, step, time.monotonic)
    if isinstance(outcome, Failure):
        response.close()
    else:
        # Not closed: the connection goes back to the pool.
        response.raw.release_conn()
    return outcome


def _response(
    session: requests.Session, policy: RetryPolicy, step: Send, credential: Credential
) -> requests.Response:
    # As ``Session.request``, less what a session without cookies has no use for.
    request = requests.PreparedRequest()
    headers = {**session.headers, **({"Content-Type": "application/json"} if step.content else {})}
    request.prepare(
        step.method, step.url, headers, data=step.content, auth=credential, hooks=session.hooks
    )
    verify = policy.ca_bundle or True
    environment = session.merge_environment_settings(step.url, {}, True, verify, None)
    timeout = min(policy.connect_timeout, step.left), min(policy.read_timeout, step.left)
    # A redirect would carry the call, and with it the header, somewhere else.
    return session.send(request, timeout=timeout, allow_redirects=False, **environment)


def read_answer(
    response: Any, most: int, step: Send, monotonic: Callable[[], float]
) -> Answer | Failure:
    """Read a urllib3 response, within the limits on time and size."""
    headers = response.headers
    if headers.get("Content-Encoding", "identity").lower() != "identity":
        return Failure("a compressed response that was not requested", passing=False)
    late = Failure("the response did not finish in time", passing=False)
    content = bytearray()
    # read1 returns what one read of the socket brought, so that both limits are checked however
    # slowly or fast the rest comes. It raises if the connection ends before Content-Length.
    try:
        while part := response.read1(65_536):
            content += part
            if len(content) > most:
                return Failure("a response longer than max_response_size", passing=False)
            if monotonic() >= step.until:
                return late
            if response.length_remaining == 0:
                break
    except Exception as error:  # noqa: BLE001 - urllib3 and http.client raise what they like
        why = f"connection closed mid-response ({type(error).__name__})"
        return late if monotonic() >= step.until else Failure(why)
    return Answer(response.status, bytes(content), headers.get("Retry-After"))


def _failure(error: Exception) -> Failure:
    if isinstance(error, requests.exceptions.SSLError):
        return Failure("TLS: the certificate was rejected", passing=False)
    if isinstance(error, requests.Timeout):
        return Failure("no response in time")
    if isinstance(error, requests.ConnectionError):
        return Failure("no connection")
    # requests lets some exceptions of urllib3 and of the socket through.
    passing = not isinstance(error, requests.RequestException)
    return Failure(f"the request failed ({type(error).__name__})", passing=passing)
