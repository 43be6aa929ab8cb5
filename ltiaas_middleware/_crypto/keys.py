"""Keys derived from ``Settings.secrets``, one for each purpose, and launch ids.

A launch id is an HMAC of the ltik: all workers compute the same id without sharing anything, and
nobody without the secret can guess or check one. The first secret creates ids, and all verify them,
so you can rotate a secret without ending launches.
"""

from __future__ import annotations

import hmac
import math
from base64 import urlsafe_b64encode
from collections import Counter
from collections.abc import Sequence

__all__ = ["LAUNCH_ID_LENGTH", "MAX_LTIK_LENGTH", "LaunchIds", "derive", "looks_made_up"]

#: Characters of the longest ltik: it still fits into a cookie (4,096 bytes with its name, RFC 6265
#: section 6.1).
MAX_LTIK_LENGTH = 4000
#: 128 bits as base64url without padding.
LAUNCH_ID_LENGTH = 22
# By the frequency of its characters: sixteen of base64url have about 62, twenty about 80.
_ENOUGH_BITS = 72


def derive(secret: str, purpose: str) -> bytes:
    """A 256-bit key for one purpose (the expand step of HKDF, RFC 5869 section 2.3)."""
    return hmac.digest(secret.encode(), f"ltiaas-middleware/{purpose}".encode() + b"\x01", "sha256")


class LaunchIds:
    """Derives launch ids from ltiks.

    Args:
        secrets: the first creates ids, and all verify.
    """

    __slots__ = ("_keys",)

    def __init__(self, secrets: Sequence[str]) -> None:
        self._keys = tuple(derive(secret, "launch-id") for secret in secrets)

    def of(self, ltik: str) -> str:
        """The launch id of an ltik: 22 characters of base64url."""
        return _id(self._keys[0], ltik)

    def match(self, ltik: str, launch_id: str) -> bool:
        """Whether ``launch_id`` belongs to ``ltik`` under any of the secrets."""
        return any(hmac.compare_digest(_id(key, ltik), launch_id) for key in self._keys)


def _id(key: bytes, ltik: str) -> str:
    digest = hmac.digest(key, ltik.encode(), "sha256")
    return urlsafe_b64encode(digest[:16])[:LAUNCH_ID_LENGTH].decode()


def looks_made_up(secret: str) -> bool:
    """Whether a secret looks guessable, as if a person had chosen it.

    An attacker who has one ltik and its launch id can brute-force the secret offline, as fast as a
    machine computes HMACs. This is an estimate: repeated characters, words and white space count
    for little. The output of ``secrets.token_urlsafe()``, ``uuidgen`` and ``openssl rand -hex 16``
    passes.
    """
    counts = Counter(secret)
    bits = -sum(n * math.log2(n / len(secret)) for n in counts.values())
    has_digit = any(char.isdigit() for char in secret)
    is_mixed = secret.lower() != secret and secret.upper() != secret
    return bits < _ENOUGH_BITS or any(map(str.isspace, secret)) or not (has_digit or is_mixed)
