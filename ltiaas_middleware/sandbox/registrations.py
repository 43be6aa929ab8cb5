"""Dynamic registrations in progress (`wire.md`, "Dynamic registration"). Thread-safe."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Any

from .claims import GRADE_SCOPES
from .platforms import Document, Platforms
from .world import Platform

PENDING = "5d0f6a1e7c9b4b0e"
"""The id of a registration that waits to be completed, there from the start."""

CLOSE = (
    "<script>(window.opener || window.parent)"
    ".postMessage({subject:'org.imsglobal.lti.close'}, '*');</script>"
)
"""Tells the LMS to close the registration frame (LTI Dynamic Registration 1.0)."""

ROSTER_SCOPE = "https://purl.imsglobal.org/spec/lti-nrps/scope/contextmembership.readonly"


@dataclass(frozen=True)
class Registration:
    """An LMS that requests registration. If `anonymous`, it withholds names."""

    platform: Platform
    token: str
    anonymous: bool = False

    def document(self) -> dict[str, Any]:
        return {
            "url": self.platform.url,
            "familyCode": self.platform.product,
            "version": "9.1",
            "supportedScopes": self._scopes(),
            "supportedMessages": self._messages(),
        }

    def raw(self) -> dict[str, Any]:
        url = self.platform.url
        return {
            "openIdConfiguration": {
                "issuer": url,
                "authorization_endpoint": f"{url}/lti/auth",
                "token_endpoint": f"{url}/lti/token",
                "token_endpoint_auth_methods_supported": ["private_key_jwt"],
                "token_endpoint_auth_signing_alg_values_supported": ["RS256"],
                "jwks_uri": f"{url}/lti/jwks",
                "registration_endpoint": f"{url}/lti/register",
                "scopes_supported": ["openid", *self._scopes()],
                "response_types_supported": ["id_token"],
                "subject_types_supported": ["public", "pairwise"],
                "id_token_signing_alg_values_supported": ["RS256"],
                "claims_supported": ["sub", "iss", "name", "given_name", "family_name", "email"],
                "https://purl.imsglobal.org/spec/lti-platform-configuration": {
                    "product_family_code": self.platform.product,
                    "version": "9.1",
                    "messages_supported": self._messages(),
                    "variables": ["CourseSection.title", "Person.name.full"],
                },
            },
            "registrationToken": self.token,
        }

    def _scopes(self) -> list[str]:
        grades = GRADE_SCOPES if self.platform.grades else []
        return [*grades, *([ROSTER_SCOPE] if self.platform.roster else [])]

    def _messages(self) -> list[dict[str, Any]]:
        messages: list[dict[str, Any]] = [{"type": "LtiResourceLinkRequest"}]
        if self.platform.deep_linking:
            messages.append({"type": "LtiDeepLinkingRequest", "placements": ["ContentArea"]})
        return messages


class Registrations:
    """All registrations in progress. A completed one becomes a platform, and its id becomes
    invalid."""

    def __init__(self, platforms: Platforms) -> None:
        self._platforms = platforms
        riverside = Platform(
            "", "Riverside Institute", "https://canvas.riverside.example", "canvas",
            roster=True, grades=True, deep_linking=True,
        )  # fmt: skip
        self._pending = {PENDING: Registration(riverside, secrets.token_urlsafe(24))}

    def start(self, platform: Platform, token: str, *, anonymous: bool = False) -> str:
        """Record that an LMS requests registration. Returns the registration's id."""
        id = secrets.token_hex(8)
        self._pending[id] = Registration(platform, token, anonymous)
        return id

    def get(self, id: str) -> Registration | None:
        return self._pending.get(id)

    def complete(
        self, id: str, *, name: str | None = None, active: bool = False
    ) -> Document | None:
        """Turn it into a platform. None if there is no such registration, or it is already
        complete."""
        found = self._pending.pop(id, None)
        if found is None:
            return None
        platform = found.platform
        return self._platforms.register(platform, name or platform.name, active, found.anonymous)
