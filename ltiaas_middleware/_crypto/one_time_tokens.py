"""One-time links: a signed URL that opens a launch outside its iframe, once, within a minute.

When a link in the iframe opens in a new tab, the tab does not have the iframe's partitioned
cookies, and a sign-in page elsewhere may refuse to be framed. The token proves that the tool itself
sent the browser to the new tab.
"""

from __future__ import annotations

import hmac
import os
import struct
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Sequence

from .keys import derive

__all__ = ["PARAMETER", "VALID_FOR", "OneTimeTokens"]

#: The query parameter that carries one.
PARAMETER = "ltiaas_one_time"
#: Seconds.
VALID_FOR = 60

_HEAD = struct.Struct(">Q8s")  # until when, in milliseconds; random
_MAC_SIZE = 16


class OneTimeTokens:
    """Creates and checks one-time tokens.

    Args:
        secrets: the first creates tokens, and all verify.
        clock: returns seconds since the epoch.
    """

    def __init__(self, secrets: Sequence[str], clock: Callable[[], float]) -> None:
        self._keys = tuple(derive(secret, "one-time-link") for secret in secrets)
        self._clock = clock

    def make(self, launch_id: str) -> str:
        """A token for one launch: 43 characters of base64url."""
        head = _HEAD.pack(int((self._clock() + VALID_FOR) * 1000), os.urandom(8))
        return urlsafe_b64encode(head + _mac(self._keys[0], head, launch_id)).decode().rstrip("=")

    def check(self, token: str, launch_id: str) -> float | None:
        """The latest time at which ``token`` may have been created (seconds since the epoch; tokens
        have millisecond precision), if it is for this launch and its minute is not over. Otherwise
        None. The caller must make sure that it is used only once."""
        try:
            raw = urlsafe_b64decode(token + "=" * (-len(token) % 4))
            head, mac = raw[: _HEAD.size], raw[_HEAD.size :]
            until: float = _HEAD.unpack(head)[0] / 1000
        except (ValueError, struct.error):
            return None
        # One token, one spelling: what is used up is its text.
        if urlsafe_b64encode(raw).decode().rstrip("=") != token:
            return None
        if not self._clock() < until <= self._clock() + VALID_FOR + 1:
            return None
        if not any(hmac.compare_digest(_mac(key, head, launch_id), mac) for key in self._keys):
            return None
        return until - VALID_FOR + 0.001


def _mac(key: bytes, head: bytes, launch_id: str) -> bytes:
    return hmac.digest(key, head + launch_id.encode(), "sha256")[:_MAC_SIZE]
