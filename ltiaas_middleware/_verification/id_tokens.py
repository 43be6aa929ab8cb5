"""ID tokens over HTTP, by one pooled session, bounded in time and in size.

What comes back is either an ID token or an ``ApiError``: a proxy's HTML, a redirect, a body that
never ends and a connection that is reset are all the same to a caller.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from functools import partial
from typing import Protocol

import requests

from ..api.exchange import Limits
from ..api.session import ApiSession
from ..api.transport import new_session, open_connection
from ..credentials import LtikCredential
from ..errors import AnonymousLaunch
from ..settings import Settings
from .warm import Warm

__all__ = ["Api", "IdTokenSource"]


class IdTokenSource(Protocol):
    """Where ID tokens come from: LTIAAS, by ``Api``, or what stands before it."""

    def id_token(self, ltik: str) -> bytes:
        """The ID token of an ltik, as JSON. Called in threads; raises ``ApiError``."""


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
        self._limits = Limits(
            connect_timeout=settings.connect_timeout,
            read_timeout=settings.read_timeout,
            deadline=settings.deadline,
            attempts=3,
            # A browser is waiting: a launch that is told to come back later is told so at once.
            repeat_on=frozenset({502, 503, 504}),
            patience=0,
            max_response_size=settings.max_response_size,
            ca_bundle=settings.ca_bundle,
        )
        self._session = session or new_session(settings.max_calls)
        self._warm = Warm(partial(open_connection, self._session, settings.url, self._limits))
        self._monotonic = monotonic
        self._sleep = sleep

    def close(self, *, wait: bool = True) -> None:
        """Close the connections. A call that follows opens new ones."""
        self._warm.close(wait=wait)
        self._session.close()

    def warm_up(self) -> None:
        """Open a connection in the background, for launches to come. Nothing is sent over it, and
        further calls do nothing."""
        self._warm.begin()

    def id_token(self, ltik: str) -> bytes:
        """The ID token of an ltik: JSON, checked to be one.

        Raises:
            LaunchExpired: LTIAAS refuses the ltik.
            ApiKeyRejected: LTIAAS refuses the API key.
            AnonymousLaunch: it names no user, and ``Settings.allow_anonymous`` is off.
            ApiError: anything else; ``UpstreamError`` where LTIAAS failed.
        """
        settings = self._settings
        credential = LtikCredential(settings.url, settings.api_key, ltik)
        session = ApiSession(
            credential,
            self._limits,
            session=self._session,
            monotonic=self._monotonic,
            sleep=self._sleep,
        )
        token = session.id_token()
        self._warm.used()
        if token.user.id is None and not settings.allow_anonymous:
            raise AnonymousLaunch("the ID token names no user (user.id)", path="/api/idtoken")
        return json.dumps(token.raw, separators=(",", ":")).encode()
