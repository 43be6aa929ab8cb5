"""ltiks, service keys and other signed values, all created with one key derived from the API key.

The sandbox stores no tokens: a token contains its own data, so a restarted sandbox still accepts
earlier launches. This module implements HS256 with the standard library, because the middleware
must not share an implementation with the sandbox that tests it.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
from typing import Any

LIFETIME = 24 * 60 * 60
"""Seconds for which an ltik works (`wire.md`, "The launch redirect")."""


class InvalidToken(Exception):
    """Not a token from this sandbox, or of another kind, or expired."""


class Mint:
    """Creates and reads the tokens of one account."""

    def __init__(self, api_key: str) -> None:
        self._key = hashlib.sha256(b"ltiaas sandbox\0" + api_key.encode()).digest()

    def token(self, kind: str, claims: dict[str, Any], *, now: float, lifetime: float) -> str:
        """A compact HS256 JWS with `claims`, its kind, a random `jti`, `iat` and `exp` (both in
        seconds)."""
        payload = {
            "iss": "ltiaas-sandbox",
            "kind": kind,
            "jti": secrets.token_hex(16),
            "iat": int(now),
            "exp": int(now + lifetime),
            **claims,
        }
        return self.jws(payload)

    def jws(self, payload: dict[str, Any]) -> str:
        signed = f"{_HEADER}.{_encode(_json(payload))}"
        return f"{signed}.{self._signature(signed)}"

    def read(self, kind: str, token: str, *, now: float) -> dict[str, Any]:
        """The claims of a token from this mint. Raises `InvalidToken`."""
        payload = self.payload(token)
        if payload.get("kind") != kind:
            raise InvalidToken(f"not a token of kind {kind}")
        if now >= payload["exp"]:
            raise InvalidToken("expired")
        return payload

    def payload(self, token: str) -> dict[str, Any]:
        """The payload of any JWS signed by this mint. Raises `InvalidToken`."""
        signed, _, signature = token.rpartition(".")
        expected = self._signature(signed)
        # The signature is compared as text: several texts decode to the same bytes, and only one is
        # ours.
        if not hmac.compare_digest(expected.encode(), signature.encode()):
            raise InvalidToken("not signed by this sandbox")
        payload: dict[str, Any] = json.loads(_decode(signed.split(".")[1]))
        return payload

    def service_key(self, *ids: str) -> str:
        """The key for (platform, context, resource link). It is always the same."""
        body = f"sk-{_encode(_json(ids))}"
        return body + self._signature(body)

    def read_service_key(self, key: str) -> list[str]:
        """The ids of a service key from this mint. Raises `InvalidToken`."""
        body, signature = key[:-_SIGNATURE], key[-_SIGNATURE:]
        if not hmac.compare_digest(self._signature(body).encode(), signature.encode()):
            raise InvalidToken("not a service key from this sandbox")
        ids: list[str] = json.loads(_decode(body.removeprefix("sk-")))
        return ids

    def _signature(self, signed: str) -> str:
        return _encode(hmac.new(self._key, signed.encode(), hashlib.sha256).digest())


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


_SIGNATURE = 43
"""Characters of a signature: base64url of 32 bytes."""

_HEADER = _encode(b'{"alg":"HS256","typ":"JWT"}')
