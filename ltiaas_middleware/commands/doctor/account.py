"""Checks LTIAAS itself: whether it responds, accepts the API key, and has an LMS that can launch.

For an invalid ltik, LTIAAS says whether the key or the ltik is wrong (wire.md, "Errors"). doctor
sends the key only after the URL has responded like LTIAAS.
"""

from __future__ import annotations

import json
import secrets
import time
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from typing import Any

from ...credentials import ApiKeyCredential, Credential, LtikCredential
from ...origins import origin_of
from ...settings import Settings
from ..browser import Reply, fetch
from ..printing import printable
from .finding import Finding, find

# Seconds between two clocks that deserve a warning.
_SKEW = 60


def account(settings: Settings) -> Iterator[Finding]:
    """Findings, up to the first failed check. May raise ``NoReply``."""

    def ask(path: str, auth: Credential | None = None) -> Reply:
        headers = {"Accept": "application/json"}
        return fetch(f"{settings.url}{path}", headers, auth, ca_bundle=settings.ca_bundle)

    url, key = settings.url, settings.api_key
    reply = ask("/api/idtoken")
    yield (finding := _answer(settings, reply))
    if finding.level != "failed":
        yield (finding := _api_key(ask("/api/idtoken", LtikCredential(url, key, invalid_ltik()))))
    if finding.level == "failed":
        return
    yield _registrations(ask("/api/platforms", ApiKeyCredential(url, key)))
    try:
        skew = round(time.time() - parsedate_to_datetime(reply.headers.get("Date", "")).timestamp())
    except (TypeError, ValueError):
        return
    if abs(skew) > _SKEW:
        yield find("clock", seconds=abs(skew), way="ahead of" if skew > 0 else "behind")


def _answer(settings: Settings, reply: Reply) -> Finding:
    if reply.location:
        target = origin_of(reply.location) or reply.location
        return find("ltiaas-redirects", url=settings.url, target=target)
    if reply.status < 429 and _details(reply).get("message"):
        return find("ltiaas", url=settings.url)
    return _unexpected(reply)


def _unexpected(reply: Reply) -> Finding:
    kind = f"{reply.status} with {reply.headers.get('Content-Type') or 'no content type'}"
    return find("ltiaas-fails" if reply.status >= 429 else "not-ltiaas", kind=kind)


def _api_key(reply: Reply) -> Finding:
    description = str(_details(reply).get("description", "")).lower()
    if reply.status == 401 and "api key" in description:
        return find("api-key-rejected")
    if reply.status == 401 and "ltik" in description:
        return find("api-key")
    return _unexpected(reply)


def _registrations(reply: Reply) -> Finding:
    """Whether anybody can launch: a registration is inactive until somebody activates it."""
    document = reply.document()
    rows = document.get("platforms") if isinstance(document, dict) else document
    if reply.status != 200 or not isinstance(rows, list):
        return find("registrations-unknown", status=reply.status)
    off = [row for row in rows if isinstance(row, dict) and row.get("active") is False]
    if not rows or not off:
        return find("registrations" if rows else "registrations-none", count=len(rows))
    names = ", ".join(printable(str(row.get("name") or row.get("url"))[:80]) for row in off)
    return find("registrations-inactive", inactive=len(off), count=len(rows), names=names)


def _details(reply: Reply) -> dict[str, Any]:
    document = reply.document()
    details = document.get("details") if isinstance(document, dict) else None
    return details if isinstance(details, dict) else {}


def invalid_ltik() -> str:
    """A well-formed ltik with a random signature, which LTIAAS never issued."""
    parts = ({"alg": "HS256", "typ": "JWT"}, {"iat": int(time.time()), "note": "doctor"})
    encoded = (urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts)
    return ".".join([*encoded, secrets.token_urlsafe(32)])
