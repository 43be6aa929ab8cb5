"""Sends what ``exchange`` asks for with requests, bounded in time and in size."""

from __future__ import annotations

import time
from collections.abc import Callable
from http.cookiejar import DefaultCookiePolicy
from typing import Any, cast
from urllib.parse import urlsplit

import requests

from .._forking import in_child
from .._version import __version__
from ..credentials import Credential
from .deadlines import DeadlineAdapter, DeadlinePassed, TooLarge, deadline, read_bounded
from .error_answers import DIGITS
from .exchange import Answer, Failure, Limits, Send

__all__ = ["Transport", "new_session", "open_connection"]

# Seconds for which the environment is not looked at again.
_ENVIRONMENT_KEPT = 60.0


def new_session(pool_size: int) -> requests.Session:
    """A ``requests.Session`` that keeps connections and nothing else: no cookie of one launch's
    call may go out with another's."""
    session = _Session()
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    session.headers["User-Agent"] = f"ltiaas-middleware/{__version__} (Python)"
    session.headers["Accept"] = "application/json"
    # A compressed answer could be a thousand times its size; these are a few kilobytes anyway.
    session.headers["Accept-Encoding"] = "identity"
    _connect_anew(session, pool_size)
    in_child(session, lambda session: _connect_anew(session, pool_size))
    return session


class _Session(requests.Session):
    """Reads proxies and certificate authorities from the environment once in a while: that takes a
    fifth of the time of a call, and they hardly ever change."""

    def __init__(self) -> None:
        super().__init__()
        self._environments: dict[Any, tuple[float, Any]] = {}

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


class _Adapter(DeadlineAdapter):
    """Plain http is for this machine only (``Settings.url``): no proxy gets to see it."""

    def send(self, request: Any, *args: Any, **options: Any) -> requests.Response:
        if request.url.startswith("http:"):
            options["proxies"] = None
        return super().send(request, *args, **options)


def open_connection(session: requests.Session, url: str, limits: Limits) -> None:
    """Open a connection for calls to come, unless one is open. Nothing is sent over it.

    Args:
        session: as ``new_session`` makes it.
        url: of the account.
        limits: timeouts, and whom to trust.

    Raises:
        Exception: what requests, urllib3 and the socket raise.
    """
    verify = limits.ca_bundle or True
    found = session.merge_environment_settings(url, {}, True, verify, None)
    cast(_Adapter, session.get_adapter(url)).open_connection(
        url,
        timeout=limits.connect_timeout,
        verify=found["verify"],
        # As for a call: see ``_Adapter``.
        proxies=found["proxies"] if url.startswith("https:") else {},
    )


def _connect_anew(session: requests.Session, pool_size: int) -> None:
    adapter = _Adapter(pool_connections=2, pool_maxsize=pool_size)
    session.mount("https://", adapter)
    session.mount("http://", adapter)


class Transport:
    """Safe to use from many threads.

    Args:
        session: as ``new_session`` makes it: it keeps no cookies and follows nothing by itself.
        limits: timeouts and sizes.
    """

    def __init__(
        self,
        session: requests.Session,
        limits: Limits,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._session = session
        self._limits = limits
        self._monotonic = monotonic

    def send(self, step: Send, credential: Credential) -> Answer | Failure:
        """Send it once. Whatever goes wrong on the way is a ``Failure``."""
        if step.left <= 0:
            return Failure("no time left", passing=False)
        with deadline(step.until, self._monotonic):
            return self._send(step, credential)

    def _send(self, step: Send, credential: Credential) -> Answer | Failure:
        limits = self._limits
        try:
            # As ``Session.request``, less what a session without cookies has no use for.
            request = requests.PreparedRequest()
            headers = dict(self._session.headers)
            if step.content:
                headers["Content-Type"] = "application/json"
            request.prepare(
                step.method,
                step.url,
                headers,
                data=step.content,
                auth=credential,
                hooks=self._session.hooks,
            )
            environment = self._session.merge_environment_settings(
                step.url, {}, True, limits.ca_bundle or True, None
            )
            response = self._session.send(
                request,
                timeout=(
                    min(limits.connect_timeout, step.left),
                    min(limits.read_timeout, step.left),
                ),
                # A redirect would carry the call, and with it the header, somewhere else.
                allow_redirects=False,
                **environment,
            )
        except requests.RequestException as error:
            # Neither the message nor the chain: both hold the request, and that the header.
            failure = _failure(error)
        except (ValueError, OSError) as error:
            # requests lets some exceptions of urllib3 and of the socket through.
            failure = Failure(f"the request failed ({type(error).__name__})")
        else:
            outcome = self._answer(response, step)
            if isinstance(outcome, Failure):
                response.close()
            else:
                # Not closed: the connection goes back to the pool.
                response.raw.release_conn()
            return outcome
        return failure

    def _answer(self, response: requests.Response, step: Send) -> Answer | Failure:
        if response.headers.get("Content-Encoding", "identity").lower() != "identity":
            return Failure("a compressed answer that was not asked for", passing=False)
        limit = self._limits.max_response_size
        try:
            content = read_bounded(
                response, limit=limit, until=step.until, monotonic=self._monotonic
            )
        except TooLarge:
            return Failure("an answer longer than max_response_size", passing=False)
        except DeadlinePassed:
            return Failure("the answer took longer than the deadline", passing=False)
        except Exception as error:  # noqa: BLE001 - urllib3 and http.client raise what they like
            return Failure(f"the answer broke off ({type(error).__name__})")
        expected = response.headers.get("Content-Length", "")
        cut = DIGITS.fullmatch(expected) and len(content) < int(expected)
        if cut and step.method != "HEAD":
            return Failure("the answer broke off")
        return Answer(response.status_code, content, response.headers.get("Retry-After"))


def _failure(error: requests.RequestException) -> Failure:
    if isinstance(error, requests.exceptions.SSLError):
        return Failure("TLS: the certificate was not accepted", passing=False)
    if isinstance(error, requests.Timeout):
        return Failure("no answer in time")
    if isinstance(error, requests.ConnectionError):
        return Failure("no connection")
    return Failure(f"the request failed ({type(error).__name__})", passing=False)
