"""The ID token: the claims of one launch, as frozen typed objects.

Tolerant where LTIAAS and the LMSes behind it vary (wire.md, "The ID token"): what an LMS withholds
is None, numbers are read as text where text is meant, a part of the wrong type is as good as
missing, and fields that are not known here survive in ``.raw``. Strict in one point: a token that
names no user is no ID token.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .errors import IdTokenError

__all__ = [
    "AssignmentAndGrades",
    "Context",
    "DeepLinking",
    "IdToken",
    "LaunchClaims",
    "Platform",
    "Presentation",
    "ResourceLink",
    "Services",
    "User",
]

# A bare name is a role in the course (LTI 1.3 core, appendix A.2.3); these spell the same.
_CONTEXT_ROLE_PREFIXES = (
    "http://purl.imsglobal.org/vocab/lis/v2/membership#",
    "urn:lti:role:ims/lis/",
)


@dataclass(frozen=True, slots=True)
class User:
    """Who launched. Everything but ``id`` and ``roles`` may be withheld by the LMS."""

    id: str
    roles: tuple[str, ...] = ()
    name: str | None = field(default=None, repr=False)
    email: str | None = field(default=None, repr=False)
    given_name: str | None = field(default=None, repr=False)
    family_name: str | None = field(default=None, repr=False)
    role_scope_mentor: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Platform:
    """The LMS registration. ``id`` is unique across LMSes; ``User.id`` only within it."""

    id: str | None = None
    url: str | None = None
    client_id: str | None = None
    deployment_id: str | None = None
    name: str | None = None
    description: str | None = None
    guid: str | None = None
    product_family_code: str | None = None
    version: str | None = None
    contact_email: str | None = None
    consumer_key: str | None = None
    lis: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Context:
    """The course."""

    id: str | None = None
    label: str | None = None
    title: str | None = None
    type: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ResourceLink:
    """The activity in the course that was opened."""

    id: str | None = None
    title: str | None = None
    description: str | None = None


@dataclass(frozen=True, slots=True)
class Presentation:
    """How the LMS shows the tool. ``width`` and ``height`` are pixels."""

    document_target: str | None = None
    locale: str | None = None
    return_url: str | None = None
    width: int | None = None
    height: int | None = None


@dataclass(frozen=True, slots=True)
class LaunchClaims:
    """What was opened, where and how. ``context`` and ``resource_link`` may be missing."""

    type: str | None = None
    target: str | None = None
    context: Context | None = None
    resource_link: ResourceLink | None = None
    presentation: Presentation = Presentation()
    custom: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DeepLinking:
    """Whether content can be handed back to the LMS, and what it takes."""

    available: bool = False
    accept_types: tuple[str, ...] = ()
    accept_multiple: bool | None = None


@dataclass(frozen=True, slots=True)
class AssignmentAndGrades:
    """Whether grades can be sent, and the activity's own line item."""

    available: bool = False
    line_item_id: str | None = None
    scopes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Services:
    """What the LMS offers to this launch."""

    deep_linking: DeepLinking = DeepLinking()
    assignment_and_grades: AssignmentAndGrades = AssignmentAndGrades()
    names_and_roles_available: bool = False
    outcomes_available: bool = False
    service_key: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class IdToken:
    """The claims of a launch (``GET /api/idtoken``).

    ``raw`` is the mapping as LTIAAS sent it. It is not shown by ``repr``: it holds names, addresses
    and the service key.
    """

    user: User
    platform: Platform
    launch: LaunchClaims
    services: Services
    lti_version: str | None
    raw: Mapping[str, Any] = field(repr=False)

    @classmethod
    def parse(cls, raw: object) -> IdToken:
        """Read the decoded JSON of ``GET /api/idtoken``.

        Raises:
            IdTokenError: it is no object, or names no user.
        """
        if not isinstance(raw, Mapping):
            raise IdTokenError("the ID token is not a JSON object")
        user = _mapping(raw.get("user"))
        user_id = _text(user.get("id"))
        if user_id is None:
            raise IdTokenError("the ID token names no user (user.id)")
        platform = _mapping(raw.get("platform"))
        return cls(
            user=User(
                id=user_id,
                roles=_texts(user.get("roles")),
                name=_text(user.get("name")),
                email=_text(user.get("email")),
                given_name=_text(user.get("givenName")),
                family_name=_text(user.get("familyName")),
                role_scope_mentor=_texts(user.get("roleScopeMentor")),
            ),
            platform=Platform(
                id=_text(platform.get("id")),
                url=_text(platform.get("url")),
                client_id=_text(platform.get("clientId")),
                deployment_id=_text(platform.get("deploymentId")),
                name=_text(platform.get("name")),
                description=_text(platform.get("description")),
                guid=_text(platform.get("guid")),
                product_family_code=_text(platform.get("productFamilyCode")),
                version=_text(platform.get("version")),
                contact_email=_text(platform.get("contactEmail")),
                consumer_key=_text(platform.get("consumerKey")),
                lis=_mapping(platform.get("lis")) or None,
            ),
            launch=_launch(_mapping(raw.get("launch")), _mapping(raw.get("custom"))),
            services=_services(_mapping(raw.get("services"))),
            lti_version=_text(raw.get("ltiVersion")),
            raw=raw,
        )

    def has_role(self, role: str) -> bool:
        """Whether the user has ``role`` in this course.

        Args:
            role: a full URI, compared whole, or a bare name such as ``"Instructor"``, which stands
                for the role in the course and nothing else: who is an instructor of the institution
                (``…/institution/person#Instructor``) may well be a learner here.
        """
        return _role_name(role) in map(_role_name, self.user.roles)


def _launch(launch: Mapping[str, Any], top_level_custom: Mapping[str, Any]) -> LaunchClaims:
    context = _mapping(launch.get("context"))
    link = _mapping(launch.get("resourceLink"))
    shown = _mapping(launch.get("presentation"))
    return LaunchClaims(
        type=_text(launch.get("type")),
        target=_text(launch.get("target")),
        context=Context(
            id=_text(context.get("id")),
            label=_text(context.get("label")),
            title=_text(context.get("title")),
            type=_texts(context.get("type")),
        )
        if context
        else None,
        resource_link=ResourceLink(
            id=_text(link.get("id")),
            title=_text(link.get("title")),
            description=_text(link.get("description")),
        )
        if link
        else None,
        presentation=Presentation(
            # One page of LTIAAS's documentation spells it with an underscore.
            document_target=_text(shown.get("documentTarget"))
            or _text(shown.get("document_target")),
            locale=_text(shown.get("locale")),
            return_url=_text(shown.get("returnUrl")),
            width=_pixels(shown.get("width")),
            height=_pixels(shown.get("height")),
        ),
        custom=_mapping(launch.get("custom")) or top_level_custom,
    )


def _services(services: Mapping[str, Any]) -> Services:
    deep_linking = _mapping(services.get("deepLinking"))
    grades = _mapping(services.get("assignmentAndGrades"))
    accept_multiple = deep_linking.get("acceptMultiple")
    return Services(
        deep_linking=DeepLinking(
            available=_true(deep_linking.get("available")),
            accept_types=_texts(deep_linking.get("acceptTypes")),
            accept_multiple=None if accept_multiple is None else _true(accept_multiple),
        ),
        assignment_and_grades=AssignmentAndGrades(
            available=_true(grades.get("available")),
            line_item_id=_text(grades.get("lineItemId")),
            scopes=_texts(grades.get("scopes")),
        ),
        names_and_roles_available=_true(_mapping(services.get("namesAndRoles")).get("available")),
        outcomes_available=_true(_mapping(services.get("outcomes")).get("available")),
        service_key=_text(services.get("serviceKey")) or _text(services.get("legacyServiceKey")),
    )


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _text(value: object) -> str | None:
    """Text, or a number as text (wire.md: "ids may come as numbers"); None for all else."""
    if isinstance(value, str):
        return value or None
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return str(value)
    return None


def _texts(value: object) -> tuple[str, ...]:
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    if isinstance(value, (list, tuple)):
        return tuple(text for text in map(_text, value) if text is not None)
    return ()


def _pixels(value: object) -> int | None:
    try:
        return int(float(value))  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return None


def _true(value: object) -> bool:
    return value is True or (isinstance(value, str) and value.lower() == "true")


def _role_name(role: str) -> str:
    for prefix in _CONTEXT_ROLE_PREFIXES:
        if role.startswith(prefix):
            return role[len(prefix) :]
    return role
