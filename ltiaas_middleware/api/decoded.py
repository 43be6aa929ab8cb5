"""ID tokens that were decoded a moment ago, shared by the requests of their launches.

Decoding a token takes as long as all else that the middleware does for a request of a known launch.
What is shared cannot be changed; ``IdToken.raw``, which can, is decoded for each request that asks
for it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable

from .id_token import IdToken

__all__ = ["DecodedTokens"]

# How many launches' tokens are kept, twice over, and for how long (seconds) after the last request:
# a token is ten times the size of its JSON, and holds a person's name.
_SIZE = 500
_KEPT = 300.0


class DecodedTokens:
    """The tokens of the launches in use. Safe to use from many threads.

    They are kept in two generations, so that neither a lock nor an order of use is needed: what is
    asked for moves to the young one, which becomes the old one when it is full or its time is over.

    Args:
        size: of a generation.
        kept: seconds of a generation.
        monotonic: seconds of a clock that nobody sets.
    """

    def __init__(
        self,
        size: int = _SIZE,
        kept: float = _KEPT,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._size = size
        self._kept = kept
        self._monotonic = monotonic
        self._young: dict[str, tuple[bytes, IdToken]] = {}
        self._old: dict[str, tuple[bytes, IdToken]] = {}
        self._until = monotonic() + kept

    def get(self, launch_id: str, claims: bytes) -> IdToken:
        """The token of a launch, with a ``raw`` of the caller's own.

        Args:
            launch_id: of the launch.
            claims: its JSON; what was decoded of other claims is not returned.
        """
        if self._monotonic() >= self._until:
            self._turn()
        found = self._young.get(launch_id)
        if found is None or found[0] != claims:
            found = self._old.get(launch_id)
            if found is None or found[0] != claims:
                found = claims, IdToken.parse(json.loads(claims))
            if len(self._young) >= self._size:
                self._turn()
            self._young[launch_id] = found
        return found[1].with_raw(found[0])

    def _turn(self) -> None:
        self._until = self._monotonic() + self._kept
        # A request that is adding to the young one in this moment adds to the old one.
        self._old, self._young = self._young, {}
