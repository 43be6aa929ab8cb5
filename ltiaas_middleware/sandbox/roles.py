"""The roles of LTI 1.3 (Core, appendix A.2), and how platforms write them."""

from __future__ import annotations

import re
from collections.abc import Iterable

VOCABULARY = "http://purl.imsglobal.org/vocab/lis/v2/"
MEMBERSHIP = f"{VOCABULARY}membership#"

_PERSONS = {
    "system": "AccountAdmin Administrator Creator None SysAdmin SysSupport User",
    "institution": "Administrator Alumni Faculty Guest Instructor Learner Member Mentor None "
    "Observer Other ProspectiveStudent Staff Student",
}
_SUB_ROLES = {
    "Administrator": "Administrator Developer ExternalDeveloper ExternalSupport "
    "ExternalSystemAdministrator Support SystemAdministrator",
    "ContentDeveloper": "ContentDeveloper ContentExpert ExternalContentExpert Librarian",
    "Instructor": "ExternalInstructor Grader GuestInstructor Lecturer PrimaryInstructor "
    "SecondaryInstructor TeachingAssistant TeachingAssistantGroup TeachingAssistantOffering "
    "TeachingAssistantSection TeachingAssistantSectionAssociation TeachingAssistantTemplate",
    "Learner": "ExternalLearner GuestLearner Instructor Learner NonCreditLearner",
    "Manager": "AreaManager CourseCoordinator ExternalObserver Manager Observer",
    "Member": "Member",
    "Mentor": "Advisor Auditor ExternalAdvisor ExternalAuditor ExternalLearningFacilitator "
    "ExternalMentor ExternalReviewer ExternalTutor LearningFacilitator Mentor Reviewer Tutor",
    "Officer": "Chair Communications Secretary Treasurer Vice-Chair",
}

ROLES: tuple[str, ...] = (
    *(f"{MEMBERSHIP}{role}" for role in _SUB_ROLES),
    *(
        f"{VOCABULARY}membership/{role}#{sub_role}"
        for role, sub_roles in _SUB_ROLES.items()
        for sub_role in sub_roles.split()
    ),
    *(
        f"{VOCABULARY}{kind}/person#{role}"
        for kind, roles in _PERSONS.items()
        for role in roles.split()
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
