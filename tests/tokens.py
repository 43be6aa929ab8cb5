"""Ltiks of the right shape, made here: what they say about themselves is all that matters."""

from __future__ import annotations

import json
import secrets
from base64 import urlsafe_b64encode
from typing import Any


def part(value: Any) -> str:
    return urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def ltik(name: str = "", **payload: Any) -> str:
    """A compact JWS with this payload; different each time unless it is named."""
    return f"{part({'alg': 'HS256'})}.{part(payload)}.{name or secrets.token_urlsafe(32)}"
