"""Roles in a course: LTI 1.3 core, appendix A.2.3, and the spellings of LTI 1.1."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["has_role"]

_PRINCIPAL = "http://purl.imsglobal.org/vocab/lis/v2/membership#"
_SUB_ROLE = "http://purl.imsglobal.org/vocab/lis/v2/membership/"
_LTI_11 = "urn:lti:role:ims/lis/"

# Appendix A.2.3. Some sub-roles have the same names (Learner#Instructor), and must not pass for
# them.
_PRINCIPAL_ROLES = {
    "Administrator", "ContentDeveloper", "Instructor", "Learner", "Mentor", "Manager", "Member",
    "Officer",
}  # fmt: skip


def has_role(roles: Iterable[str], asked: str) -> bool:
    """Whether one of ``roles`` is the role that is asked for.

    Args:
        roles: full URIs, URNs of LTI 1.1, or bare names.
        asked: the same.
    """
    wanted = _in_course(asked)
    if wanted is None:
        return asked in roles
    principal, sub_role = wanted
    for role in roles:
        found = _in_course(role)
        if found is None:
            continue
        if sub_role is not None:
            if found == wanted:
                return True
        elif principal == found[0] or (principal == found[1] and principal not in _PRINCIPAL_ROLES):
            return True
    return False


def _in_course(role: str) -> tuple[str, str | None] | None:
    """The principal role and the sub-role; None where it is no role in a course."""
    if role.startswith(_PRINCIPAL):
        return role[len(_PRINCIPAL) :], None
    if role.startswith(_SUB_ROLE):
        principal, _, sub_role = role[len(_SUB_ROLE) :].partition("#")
    elif role.startswith(_LTI_11):
        principal, _, sub_role = role[len(_LTI_11) :].partition("/")
    elif ":" in role:
        return None
    else:
        principal, _, sub_role = role.replace("#", "/").partition("/")
    return principal, sub_role or None
