"""Hands the service key of each launch to the store, at the moment LTIAAS has told of it.

It stands between the authenticator and LTIAAS, so that a launch is recorded once for each time that
its claims are fetched, by the worker that fetched them, and never for a request that finds them in
memory or in the shared store.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Protocol

from ..api.id_token import IdToken

__all__ = ["Recording", "ServiceKeyRecorder"]

_log = logging.getLogger("ltiaas_middleware")


class ServiceKeyRecorder(Protocol):
    """Where the middleware hands each verified launch; ``ServiceKeyStore`` is the one there is."""

    def record(self, id_token: IdToken, launched_at: datetime) -> None:
        """Must neither raise nor wait. ``launched_at`` is aware."""


class _Source(Protocol):
    def id_token(self, ltik: str) -> bytes: ...


class Recording:
    """A source of ID tokens that records what comes through.

    Args:
        source: where they come from.
        recorder: what they are handed to.
        launched_at: when the launch of an ltik began, by its own account (``iat``), in seconds
            since the epoch; None where it does not say.
        clock: seconds since the epoch.
    """

    def __init__(
        self,
        source: _Source,
        recorder: ServiceKeyRecorder,
        launched_at: Callable[[str, float], float | None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._source = source
        self._recorder = recorder
        self._launched_at = launched_at
        self._clock = clock

    def id_token(self, ltik: str) -> bytes:
        """The ID token of an ltik, as the source gives it. Raises what the source raises."""
        claims = self._source.id_token(ltik)
        try:
            now = self._clock()
            began = self._launched_at(ltik, now)
            moment = datetime.fromtimestamp(now if began is None else began, timezone.utc)
            self._recorder.record(IdToken.parse(json.loads(claims)), moment)
        except Exception as error:  # noqa: BLE001 - a recorder of the user's own may do anything
            _log.error("a service key was not recorded (%s)", type(error).__name__)
        return claims
