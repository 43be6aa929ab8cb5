"""Fetches ID tokens over HTTP, over pooled connections, with limits on time and size.

The result is either an ID token or an ``ApiError``: for the caller, a proxy's HTML, a redirect, an
endless body and a reset connection are all the same.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any, Protocol

from ..api.decoded import Decoded
from ..api.exchange import Answer, Call, Failure, RetryPolicy, Send, exchange, run
from ..api.id_token import IdToken
from ..credentials import LtikCredential
from ..errors import AnonymousLaunch, ApiError, UpstreamError
from ..settings import Settings
from .connections import Connections
from .launches import launch_start

__all__ = ["Api", "IdTokenSource", "Recording"]

_log = logging.getLogger("ltiaas_middleware")

# The connect timeout in seconds, and the maximum size of an ID token in bytes.
_CONNECT = 3.05
_LONGEST = 1_048_576


class IdTokenSource(Protocol):
    """Where ID tokens come from: LTIAAS, through ``Api``, or a substitute."""

    def id_token(self, ltik: str) -> Decoded:
        """The ID token of an ltik. Called in threads; raises ``ApiError``."""


class Recording:
    """A source that passes each ID token to a store of service keys: once for each fetch, and not
    for requests that find their launch in a cache. The store must not block."""

    def __init__(
        self, source: IdTokenSource, recorder: Any, clock: Callable[[], float] = time.time
    ) -> None:
        self._source, self._recorder, self._clock = source, recorder, clock

    def id_token(self, ltik: str) -> Decoded:
        """See ``IdTokenSource``."""
        found = self._source.id_token(ltik)
        try:
            began = datetime.fromtimestamp(launch_start(ltik, self._clock()), timezone.utc)
            self._recorder.record(found.token, began)
        except Exception as error:  # noqa: BLE001 - a recorder of the user's own may do anything
            _log.error("a service key was not recorded (%s)", type(error).__name__)
        return found


class Api:
    """The calls that the middleware itself makes. Thread-safe."""

    def __init__(
        self,
        settings: Settings,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._settings = settings
        self._policy = RetryPolicy(
            connect_timeout=_CONNECT,
            # LTIAAS may take the whole time: it calls the LMS, and an LMS can be slow.
            read_timeout=settings.timeout,
            timeout=settings.timeout,
            attempts=2,
            # A browser is waiting: if LTIAAS asks to come back later, tell the browser immediately.
            repeat_on=frozenset(range(500, 600)),
            max_retry_after=0,
            max_response_size=_LONGEST,
            ca_bundle=settings.ca_bundle,
        )
        self._connections = Connections(
            settings.url, settings.max_concurrent_calls, self._policy, monotonic
        )
        self._monotonic = monotonic
        self._sleep = sleep
        # Large ID tokens are read one after the other. If many threads read them at once, each
        # decodes its own while the event loop waits behind all of them.
        self._turn = threading.Lock()

    def close(self) -> None:
        """Close the connections. A later call opens new ones."""
        self._connections.close()

    def id_token(self, ltik: str) -> Decoded:
        """The ID token of an ltik.

        Raises:
            LaunchExpired: LTIAAS rejects the ltik.
            ApiKeyRejected: LTIAAS rejects the API key.
            AnonymousLaunch: the ID token has no user, and ``Settings.allow_anonymous`` is off.
            ApiError: any other error; ``UpstreamError`` if LTIAAS failed.
        """
        settings = self._settings
        credential = LtikCredential(settings.url, settings.api_key, ltik)
        content = b""

        def send(step: Send) -> Answer | Failure:
            nonlocal content
            outcome = self._connections.send(step, credential.authorization)
            content = outcome.content if isinstance(outcome, Answer) else b""
            return outcome

        # A request's changes to ``raw`` do not affect other requests.
        call = Call("GET", "idtoken", lambda document: IdToken.parse(document, content))
        flow = exchange(call, credential, self._policy, monotonic=self._monotonic)
        try:
            token = run(flow, send, self._sleep, self._turn)
        except ApiError as error:
            raise _judged(error) from None
        if token.user.id is None and not settings.allow_anonymous:
            raise AnonymousLaunch("the ID token has no user.id", path="/api/idtoken")
        return Decoded(content, token)


def _judged(error: ApiError) -> ApiError:
    """The error to raise for a launch."""
    if isinstance(error, UpstreamError) and "a response longer than" in error.description:
        # It will be just as long the next time.
        error.temporary = False
    elif type(error) is ApiError and not (error.code and error.details):
        # LTIAAS's errors look different (wire.md, "Errors"), so something in front of LTIAAS
        # refused.
        return UpstreamError(
            error.description, status=error.status, method=error.method, path=error.path
        )
    return error
