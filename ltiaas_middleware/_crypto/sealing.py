"""Ciphertext for what is stored elsewhere: AES-256-GCM, its key derived from ``Settings.secret``.

What is sealed is bound to its place: the same bytes under another row's name do not open, so that
whoever can write to the database still cannot make one course's key stand for another's.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from .keys import derive

__all__ = ["Opened", "Sealer"]

_VERSION = b"\x01"
# NIST SP 800-38D section 8.3: with random 96-bit nonces, one key is good for 2**32 messages; at
# a million launches a day that is eleven years.
_NONCE = 12


class Opened(NamedTuple):
    """What was sealed. ``current``: under the first secret, so that nothing needs sealing again."""

    content: bytes
    current: bool


class Sealer:
    """Seals under the first secret, opens under all of them.

    Args:
        secrets: as ``Settings.secrets``.
        purpose: what the keys are for; another purpose's sealed values do not open.
    """

    __slots__ = ("_keys",)

    def __init__(self, secrets: Sequence[str], purpose: str) -> None:
        self._keys = tuple(AESGCM(derive(secret, purpose)) for secret in secrets)

    def seal(self, content: bytes, place: bytes) -> bytes:
        """Ciphertext that opens at ``place`` only. 29 bytes longer than ``content``."""
        nonce = os.urandom(_NONCE)
        return _VERSION + nonce + self._keys[0].encrypt(nonce, content, _VERSION + place)

    def open(self, sealed: bytes, place: bytes) -> Opened | None:
        """What was sealed at ``place``; None for anything else."""
        version, nonce = sealed[:1], sealed[1 : 1 + _NONCE]
        if version != _VERSION or len(nonce) != _NONCE:
            return None
        for number, key in enumerate(self._keys):
            try:
                content = key.decrypt(nonce, sealed[1 + _NONCE :], version + place)
            except InvalidTag:
                continue
            return Opened(content, number == 0)
        return None

    def __repr__(self) -> str:
        return "<Sealer>"
