"""Recently decoded ID tokens, which the requests of a launch share.

Decoding a token takes as long as everything else that the middleware does for a cached request.
Shared tokens are immutable. ``IdToken.raw`` is not, so each request that uses it decodes its own.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import NamedTuple

from .id_token import IdToken

# How many launches' tokens are kept, twice over, and for how long (seconds) after the last request:
# a token is ten times the size of its JSON, and holds a person's name.
_SIZE, _KEPT = 500, 300.0


class Decoded(NamedTuple):
    """A launch's claims, as JSON and as an ID token."""

    claims: bytes
    token: IdToken


class DecodedTokens:
    """The tokens of the launches in use. Thread-safe.

    There are two generations, so that neither a lock nor an order of use is necessary. Each access
    moves a token to the young generation, which becomes the old one when it has ``size`` tokens or
    is ``kept`` seconds old.
    """

    def __init__(
        self,
        size: int = _SIZE,
        kept: float = _KEPT,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._size, self._kept, self._monotonic = size, kept, monotonic
        self._young: dict[str, Decoded] = {}
        self._old: dict[str, Decoded] = {}
        self._until = monotonic() + kept

    def get(self, launch_id: str, claims: bytes) -> IdToken:
        """The token of a launch whose JSON is ``claims``, with a separate ``raw`` for the
        caller."""
        if self._monotonic() >= self._until:
            self._turn()
        found = self._young.get(launch_id)
        if found is None or found[0] != claims:
            found = self._old.get(launch_id)
            if found is None or found[0] != claims:
                found = Decoded(claims, IdToken.parse(json.loads(claims), claims))
            self.keep(launch_id, found)
        return found.token.with_raw(found.claims)

    def keep(self, launch_id: str, decoded: Decoded) -> None:
        """Store a token that is already decoded."""
        if len(self._young) >= self._size:
            self._turn()
        self._young[launch_id] = decoded

    def _turn(self) -> None:
        self._until = self._monotonic() + self._kept
        # A request that is adding to the young one in this moment adds to the old one.
        self._old, self._young = self._young, {}
