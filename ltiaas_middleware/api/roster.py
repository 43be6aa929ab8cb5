"""Who is in a course, as ``GET /api/memberships`` says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .roles import has_role
from .values import mapping, text, texts

__all__ = ["Member"]


@dataclass(frozen=True, slots=True)
class Member:
    """One member of a course. The LMS may withhold everything but ``user_id``.

    ``user_id`` is unique within its platform only (``wire.md``, "The ID token"). ``status`` is
    ``"Active"``, ``"Inactive"`` or ``"Deleted"``; where an LMS leaves it out, it means Active (LTI
    Names and Role Provisioning Services 2.0 section 2.3). ``raw`` is the mapping as it came.
    """

    user_id: str
    roles: tuple[str, ...] = ()
    status: str = "Active"
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
        get = fields.get

        def read(name: str, older: str) -> str | None:
            value = get(name)
            if value is None:
                # An older guide of LTIAAS's spells names with underscores.
                return text(get(older))
            return text(value) or text(get(older))

        user_id = read("userId", "user_id")
        if user_id is None:
            raise ValueError("a member of the roster has no userId")
        return cls(
            user_id=user_id,
            roles=texts(get("roles")),
            status=text(get("status")) or "Active",
            name=text(get("name")),
            given_name=read("givenName", "given_name"),
            family_name=read("familyName", "family_name"),
            middle_name=read("middleName", "middle_name"),
            email=text(get("email")),
            picture=text(get("picture")),
            lis_person_sourced_id=read("lisPersonSourcedId", "lis_person_sourcedid"),
            lti11_legacy_user_id=read("lti11LegacyUserId", "lti11_legacy_user_id"),
            raw=fields,
        )

    def has_role(self, role: str) -> bool:
        """Whether the member has a role in this course; see ``IdToken.has_role``."""
        return has_role(self.roles, role)
