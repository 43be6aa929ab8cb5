"""Ciphertext for what is stored elsewhere: AES-256-GCM, its key derived from ``Settings.secrets``.

A ciphertext is bound to its place: the same bytes under another row's name cannot be decrypted, so
whoever can write to the database still cannot make one course's key stand for another's.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from .keys import derive

__all__ = ["Decrypted", "Encryptor"]

_VERSION = b"\x01"
# NIST SP 800-38D section 8.3: with random 96-bit nonces, one key is good for 2**32 messages; at
# a million launches a day that is eleven years.
_NONCE = 12


class Decrypted(NamedTuple):
    """Plaintext. ``current``: encrypted under the first secret; no need to encrypt it again."""

    content: bytes
    current: bool


class Encryptor:
    """Encrypts under the first secret, decrypts under all of them.

    Args:
        secrets: as ``Settings.secrets``.
        purpose: what the keys are for; it cannot decrypt another purpose's.
    """

    __slots__ = ("_keys",)

    def __init__(self, secrets: Sequence[str], purpose: str) -> None:
        self._keys = tuple(AESGCM(derive(secret, purpose)) for secret in secrets)

    def encrypt(self, content: bytes, place: bytes) -> bytes:
        """Ciphertext for ``place`` only, 29 bytes longer than ``content``."""
        nonce = os.urandom(_NONCE)
        return _VERSION + nonce + self._keys[0].encrypt(nonce, content, _VERSION + place)

    def decrypt(self, ciphertext: bytes, place: bytes) -> Decrypted | None:
        """What was encrypted for ``place``; None for anything else."""
        version, nonce = ciphertext[:1], ciphertext[1 : 1 + _NONCE]
        if version != _VERSION or len(nonce) != _NONCE:
            return None
        for number, key in enumerate(self._keys):
            try:
                content = key.decrypt(nonce, ciphertext[1 + _NONCE :], version + place)
            except InvalidTag:
                continue
            return Decrypted(content, number == 0)
        return None

    def __repr__(self) -> str:
        return "<Encryptor>"
