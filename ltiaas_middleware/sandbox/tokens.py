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
from collections.abc import Callable
from typing import Any

LIFETIME = 24 * 60 * 60
"""Seconds for which an ltik works (`wire.md`, "The launch redirect")."""

_SERVICE_KEY = "sk-"


class InvalidToken(Exception):
    """Not a token from this sandbox, or of another kind, or expired."""


class Mint:
    """Creates and reads the tokens of one account. `clock` returns seconds since the epoch."""

    def __init__(self, api_key: str, clock: Callable[[], float]) -> None:
        self._key = hashlib.sha256(b"ltiaas sandbox\0" + api_key.encode()).digest()
        self._clock = clock

    def token(self, kind: str, claims: dict[str, Any], lifetime: float) -> str:
        """A compact HS256 JWS with `claims`, its kind, a random `jti`, `iat` and `exp` (both in
        seconds)."""
        now = self._clock()
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
        return self._signed(f"{_HEADER}{_json(payload)}")

    def read(self, kind: str | None, token: str) -> dict[str, Any]:
        """The claims of a token from this mint. `kind` None is a JWS of claims alone. Raises
        `InvalidToken`."""
        payload = self.payload(token)
        if payload.get("kind") != kind:
            raise InvalidToken(f"not a token of kind {kind}")
        if self._clock() >= payload["exp"]:
            raise InvalidToken("expired")
        return payload

    def payload(self, token: str) -> dict[str, Any]:
        """The payload of any JWS signed by this mint. Raises `InvalidToken`."""
        payload: dict[str, Any] = self._content(_HEADER, token)
        return payload

    def service_key(self, *ids: str) -> str:
        """The key for (platform, context, resource link). It is always the same."""
        return self._signed(f"{_SERVICE_KEY}{_json(ids)}")

    def read_service_key(self, key: str) -> list[str]:
        """The ids of a service key from this mint. Raises `InvalidToken`."""
        ids: list[str] = self._content(_SERVICE_KEY, key)
        return ids

    def _signed(self, text: str) -> str:
        return f"{text}.{_base64(hmac.digest(self._key, text.encode(), 'sha256'))}"

    def _content(self, prefix: str, token: str) -> Any:
        signed = token.rpartition(".")[0]
        # The signature is compared as text: several texts decode to the same bytes, and only one is
        # ours.
        if not hmac.compare_digest(self._signed(signed).encode(), token.encode()):
            raise InvalidToken("not signed by this sandbox")
        if not signed.startswith(prefix):
            raise InvalidToken("a token of another form")
        content = signed.removeprefix(prefix)
        return json.loads(base64.urlsafe_b64decode(content + "=" * (-len(content) % 4)))


def _json(value: object) -> str:
    return _base64(json.dumps(value, separators=(",", ":")).encode())


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


_HEADER = _base64(b'{"alg":"HS256","typ":"JWT"}') + "."
