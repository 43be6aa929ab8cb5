"""Passes the service key of each launch to the store when a worker fetches its claims from LTIAAS,
but not for requests that find them in a cache."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Protocol

from ..api.decoded import Decoded
from ..api.id_token import IdToken

_log = logging.getLogger("ltiaas_middleware")


class ServiceKeyRecorder(Protocol):
    """Receives each verified launch; ``ServiceKeyStore`` is the only implementation."""

    def record(self, id_token: IdToken, launched_at: datetime) -> None:
        """Record a launch. Must neither raise nor block. ``launched_at`` is aware."""


class _Source(Protocol):
    def id_token(self, ltik: str) -> Decoded: ...


class Recording:
    """A source of ID tokens that passes each one to ``recorder``.

    ``launched_at`` returns when the launch of an ltik began according to its ``iat``, in seconds
    since the epoch, or None if that is unknown.
    """

    def __init__(
        self,
        source: _Source,
        recorder: ServiceKeyRecorder,
        launched_at: Callable[[str, float], float | None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._source, self._recorder, self._clock = source, recorder, clock
        self._launched_at = launched_at

    def id_token(self, ltik: str) -> Decoded:
        """The ID token of an ltik, from the source. Raises the source's errors."""
        found = self._source.id_token(ltik)
        try:
            now = self._clock()
            began = self._launched_at(ltik, now)
            moment = datetime.fromtimestamp(now if began is None else began, timezone.utc)
            self._recorder.record(found.token, moment)
        except Exception as error:  # noqa: BLE001 - a recorder of the user's own may do anything
            _log.error("a service key was not recorded (%s)", type(error).__name__)
        return found
