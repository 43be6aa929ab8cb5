"""LMS registrations and platforms of the account (``Bearer <API_KEY>``).

``wire.md`` does not describe their documents: what is certain has a field, the rest is in ``raw``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .values import mapping, text

__all__ = ["PlatformRegistration", "Registration"]


@dataclass(frozen=True, slots=True)
class PlatformRegistration:
    """An LMS that may launch this account's tool. ``id`` is what the ID token calls
    ``platform.id``. ``raw`` is the mapping as it came."""

    id: str
    url: str | None = None
    name: str | None = None
    client_id: str | None = None
    active: bool | None = None
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def parse(cls, raw: object) -> PlatformRegistration:
        """Read one platform.

        Raises:
            ValueError: it is no object, or has no id.
        """
        fields = mapping(raw)
        id = text(fields.get("id"))
        if id is None:
            raise ValueError("a platform has no id")
        active = fields.get("active")
        return cls(
            id=id,
            url=text(fields.get("url")),
            name=text(fields.get("name")),
            client_id=text(fields.get("clientId")),
            active=active if isinstance(active, bool) else None,
            raw=fields,
        )


@dataclass(frozen=True, slots=True)
class Registration:
    """A dynamic registration. ``raw`` is the mapping as it came."""

    id: str | None = None
    status: str | None = None
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def parse(cls, raw: object) -> Registration:
        """Read a registration.

        Raises:
            ValueError: it is no object.
        """
        if not isinstance(raw, Mapping):
            raise ValueError("the registration is no JSON object")
        return cls(text(raw.get("id")), text(raw.get("status")), raw)
