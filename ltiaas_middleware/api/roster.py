"""The members of a course and their roles: LTI 1.3 core, appendix A.2.3, and LTI 1.1's
spellings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from .documents import Document, wire

_PRINCIPAL = "http://purl.imsglobal.org/vocab/lis/v2/membership#"
_SUB_ROLE = "http://purl.imsglobal.org/vocab/lis/v2/membership/"
_LTI_11 = "urn:lti:role:ims/lis/"
# Documented by LTIAAS for a learner (wire.md, "The ID token"), and no role of LTI's own.
_ALSO = {"student": "learner"}
# Appendix A.2.3, in lower case, as all names are compared. Some sub-roles have the same names
# (Learner#Instructor), and must not pass for them.
_PRINCIPAL_ROLES = {
    "administrator", "contentdeveloper", "instructor", "learner", "mentor", "manager", "member",
    "officer",
}  # fmt: skip


def has_role(roles: Iterable[str], wanted: Iterable[str]) -> bool:
    """Whether one of ``roles`` is in ``wanted``. Both are full URIs, LTI 1.1 URNs or bare names."""
    return any(_has(roles, role) for role in wanted)


def _has(roles: Iterable[str], role: str) -> bool:
    wanted = _in_course(role)
    if wanted is None:
        return role in roles
    principal, sub_role = wanted
    for found in filter(None, map(_in_course, roles)):
        if not found[0]:
            continue
        if sub_role is not None:
            if found == wanted:
                return True
        elif principal == found[0] or (principal == found[1] and principal not in _PRINCIPAL_ROLES):
            return True
    return False


def _in_course(role: str) -> tuple[str, str | None] | None:
    """The principal role and the sub-role; None if it is no role in a course."""
    if role.startswith(_PRINCIPAL):
        principal, sub_role = role[len(_PRINCIPAL) :], ""
    elif role.startswith(_SUB_ROLE):
        principal, _, sub_role = role[len(_SUB_ROLE) :].partition("#")
    elif role.startswith(_LTI_11):
        principal, _, sub_role = role[len(_LTI_11) :].partition("/")
    elif ":" in role:
        return None
    else:
        principal, _, sub_role = role.replace("#", "/").partition("/")
    return _named(principal), _named(sub_role) or None


def _named(role: str) -> str:
    role = role.strip().lower()
    return _ALSO.get(role, role)


@dataclass(frozen=True, slots=True)
class Member(Document):
    """One member of a course. The LMS may withhold everything except ``user_id``.

    Attributes:
        user_id: unique only within the platform (``wire.md``, "The ID token"). Equals
            ``Launch.user_id`` of the same person, and is the ``user_id`` of a ``Score``.
        roles: URIs or bare names. To check them, use ``has_role``.
        status: ``"Active"``, ``"Inactive"`` or ``"Deleted"``. If an LMS omits it, it means Active
            (LTI Names and Role Provisioning Services 2.0 section 2.3).
        name: the full name.
        given_name: the first name.
        family_name: the last name.
        middle_name: the middle name.
        email: the email address.
        picture: the URL of a picture.
        lis_person_sourced_id: the ID in the school's student information system.
        lti11_legacy_user_id: the ID from before the LMS moved from LTI 1.1 to 1.3.
        raw: LTIAAS's unchanged data.
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
    lis_person_sourced_id: str | None = wire(
        "lisPersonSourcedId", "lis_person_sourcedid", default=None, repr=False
    )
    lti11_legacy_user_id: str | None = field(default=None, repr=False)
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    def has_role(self, *roles: str) -> bool:
        """Whether the member has one of ``roles`` in this course; see ``IdToken.has_role``."""
        return has_role(self.roles, roles)
