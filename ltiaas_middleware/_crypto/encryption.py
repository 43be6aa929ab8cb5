"""Encryption of stored data: AES-256-GCM, with a key derived from ``Settings.secrets``.

A ciphertext is bound to its place: the same bytes in another row cannot be decrypted, so an
attacker who can write to the database cannot substitute one course's key for another's.
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
    """Decrypted content. ``current`` is True if it was encrypted under the first secret and does
    not need re-encryption."""

    content: bytes
    current: bool


class Encryptor:
    """Encrypts under the first secret, decrypts under all of them.

    Args:
        secrets: the same as ``Settings.secrets``.
        purpose: the purpose of the keys; ciphertext for another purpose cannot be decrypted.
    """

    __slots__ = ("_keys",)

    def __init__(self, secrets: Sequence[str], purpose: str) -> None:
        self._keys = tuple(AESGCM(derive(secret, purpose)) for secret in secrets)

    def encrypt(self, content: bytes, place: bytes) -> bytes:
        """Ciphertext for ``place`` only, 29 bytes longer than ``content``."""
        nonce = os.urandom(_NONCE)
        return _VERSION + nonce + self._keys[0].encrypt(nonce, content, _VERSION + place)

    def decrypt(self, ciphertext: bytes, place: bytes) -> Decrypted | None:
        """The content that was encrypted for ``place``, or None for anything else."""
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
