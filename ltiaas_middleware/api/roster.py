"""Who is in a course, as ``GET /api/memberships`` says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .id_token import role_name
from .values import mapping, text, texts

__all__ = ["Member"]


@dataclass(frozen=True, slots=True)
class Member:
    """One member of a course. The LMS may withhold everything but ``user_id``.

    ``user_id`` is unique within its platform only (``wire.md``, "The ID token"). ``status`` is
    ``"Active"``, ``"Inactive"`` or, from some LMSes, missing. ``raw`` is the mapping as it came.
    """

    user_id: str
    roles: tuple[str, ...] = ()
    status: str | None = None
    name: str | None = field(default=None, repr=False)
    given_name: str | None = field(default=None, repr=False)
    family_name: str | None = field(default=None, repr=False)
    middle_name: str | None = field(default=None, repr=False)
    email: str | None = field(default=None, repr=False)
    picture: str | None = field(default=None, repr=False)
    lis_person_sourced_id: str | None = field(default=None, repr=False)
    lti11_legacy_user_id: str | None = field(default=None, repr=False)
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def parse(cls, raw: object) -> Member:
        """Read one of ``members``.

        Raises:
            ValueError: it is no object, or names no user.
        """
        fields = mapping(raw)
        user_id = text(fields.get("userId"))
        if user_id is None:
            raise ValueError("a member of the roster has no userId")
        return cls(
            user_id=user_id,
            roles=texts(fields.get("roles")),
            status=text(fields.get("status")),
            name=text(fields.get("name")),
            given_name=text(fields.get("givenName")),
            family_name=text(fields.get("familyName")),
            middle_name=text(fields.get("middleName")),
            email=text(fields.get("email")),
            picture=text(fields.get("picture")),
            lis_person_sourced_id=text(fields.get("lisPersonSourcedId")),
            lti11_legacy_user_id=text(fields.get("lti11LegacyUserId")),
            raw=fields,
        )

    def has_role(self, role: str) -> bool:
        """Whether the member has a role in this course; see ``IdToken.has_role``."""
        return role_name(role) in map(role_name, self.roles)
