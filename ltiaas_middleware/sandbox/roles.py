"""The roles of LTI 1.3 (Core, appendix A.2), and how platforms write them."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable
from importlib.resources import files

VOCABULARY = "http://purl.imsglobal.org/vocab/lis/v2/"
MEMBERSHIP = f"{VOCABULARY}membership#"

_VOCABULARY = tomllib.loads(files(__package__).joinpath("roles.toml").read_text("utf-8"))

ROLES: tuple[str, ...] = (
    *(f"{MEMBERSHIP}{role}" for role in _VOCABULARY["context"]),
    *(
        f"{VOCABULARY}membership/{role}#{sub_role}"
        for role, sub_roles in _VOCABULARY["context"].items()
        for sub_role in sub_roles
    ),
    *(
        f"{VOCABULARY}{kind}/person#{role}"
        for kind, roles in _VOCABULARY["persons"].items()
        for role in roles
    ),
    "http://purl.imsglobal.org/vocab/lti/system/person#TestUser",
)
"""Every role of the vocabulary: context roles, their sub-roles, system and institution roles."""

_CONTEXT_ROLE = re.compile(
    rf"(?:{re.escape(VOCABULARY)}membership[#/]|urn:lti:role:ims/lis/)?([\w-]+)(?:[#/][\w-]+)?"
)


def full_role(role: str) -> str:
    """The URI of a role.

    `Instructor` is the short form of a context role, `Instructor#TeachingAssistant` of a sub-role,
    and `institution/person#Student` of a role in that vocabulary.
    """
    if ":" in role:
        return role
    if "#" not in role:
        return f"{MEMBERSHIP}{role}"
    if "/" in role or role.startswith("membership#"):
        return f"{VOCABULARY}{role}"
    return f"{VOCABULARY}membership/{role}"


def has_role(roles: Iterable[str], name: str) -> bool:
    """Whether one of `roles` is the context role `name` or one of its sub-roles, in any form that
    `wire.md` lists. `Student` is another form of `Learner`."""
    found = {match[1] for role in roles if (match := _CONTEXT_ROLE.fullmatch(role))}
    return name in found or (name == "Learner" and "Student" in found)
