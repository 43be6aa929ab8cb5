"""The ID token: the claims of one launch, as frozen typed objects.

Tolerant where LTIAAS and the LMSes behind it vary (wire.md, "The ID token"): what an LMS withholds
is None, numbers are read as text where text is meant, a part of the wrong type is as good as
missing, and fields that are not known here survive in ``.raw``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from ..errors import IdTokenError
from .frozen import frozen
from .roles import has_role
from .values import flag, mapping, pixels, text, texts, true

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

# What LTIAAS always sends some of; a JSON object with none of them is something else.
_PARTS = ("user", "platform", "launch", "services")
# Of the LMS's own claims: LTI Deep Linking 2.0 section 4.4.1.
_DEEP_LINKING_CLAIM = "https://purl.imsglobal.org/spec/lti-dl/claim/deep_linking_settings"


@dataclass(frozen=True, slots=True)
class User:
    """Who launched. The LMS may withhold everything but ``roles``.

    ``id`` is unique within its platform only. It is None in an anonymous launch alone, which
    reaches an app only with ``Settings.allow_anonymous``; ``Launch.user_id`` is never None.
    """

    id: str | None = None
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
    """Whether content can be handed back to the LMS, and what it takes.

    In production LTIAAS leaves out of the ID token what the LMS takes (wire.md):
    ``launch.api.deep_linking_settings()`` tells. What an LMS does not say is allowed (LTI Deep
    Linking 2.0 section 4.4.1): an empty tuple and None restrict nothing.
    """

    available: bool = False
    accept_types: tuple[str, ...] = ()
    accept_multiple: bool | None = None
    accept_presentation_document_targets: tuple[str, ...] = ()
    accept_media_types: tuple[str, ...] = ()
    title: str | None = None
    text: str | None = None

    @classmethod
    def from_claims(cls, claims: object) -> DeepLinking | None:
        """Read the LMS's own claims (``GET /api/idtoken?raw=true``); None where they do not speak
        of deep linking."""
        fields = mapping(claims)
        settings = mapping(fields.get(_DEEP_LINKING_CLAIM))
        if fields.get("lti_message_type") == "ContentItemSelectionRequest":
            settings = fields  # LTI 1.1 and 1.2
        if not settings:
            return None
        return cls(
            available=True,
            accept_types=texts(settings.get("accept_types")),
            accept_multiple=flag(settings.get("accept_multiple")),
            accept_presentation_document_targets=texts(
                settings.get("accept_presentation_document_targets")
            ),
            accept_media_types=texts(settings.get("accept_media_types")),
            title=text(settings.get("title")),
            text=text(settings.get("text")),
        )


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


class _Raw:
    """The mapping that a token was read from, or the JSON of it."""

    __slots__ = ("_source",)

    def __init__(self, source: Mapping[str, Any] | bytes) -> None:
        self._source = source

    def document(self) -> Mapping[str, Any]:
        if isinstance(self._source, bytes):
            self._source = cast("Mapping[str, Any]", json.loads(self._source))
        return self._source


@dataclass(frozen=True, slots=True)
class IdToken:
    """The claims of a launch (``GET /api/idtoken``). Nothing in it can be changed but ``raw``."""

    user: User
    platform: Platform
    launch: LaunchClaims
    services: Services
    lti_version: str | None
    _raw: _Raw = field(repr=False, compare=False)

    @property
    def raw(self) -> Mapping[str, Any]:
        """The mapping as LTIAAS sent it, each request's own. It is not shown by ``repr``: it holds
        names, addresses and the service key."""
        return self._raw.document()

    def with_raw(self, claims: bytes) -> IdToken:
        """The same with a ``raw`` of its own, decoded when it is asked for.

        Args:
            claims: JSON that this was read from.
        """
        return IdToken(
            self.user, self.platform, self.launch, self.services, self.lti_version, _Raw(claims)
        )

    @classmethod
    def parse(cls, raw: object) -> IdToken:
        """Read the decoded JSON of ``GET /api/idtoken``.

        Raises:
            IdTokenError: it is no ID token: no object, or without all of its parts.
        """
        if not isinstance(raw, Mapping):
            raise IdTokenError("the ID token is no JSON object")
        if not any(isinstance(raw.get(part), Mapping) for part in _PARTS):
            raise IdTokenError("the answer is no ID token: it has no user, platform or launch")
        user = mapping(raw.get("user"))
        platform = mapping(raw.get("platform"))
        return cls(
            user=User(
                id=text(user.get("id")),
                roles=texts(user.get("roles")),
                name=text(user.get("name")),
                email=text(user.get("email")),
                # Older tokens spell names with underscores.
                given_name=text(user.get("givenName")) or text(user.get("given_name")),
                family_name=text(user.get("familyName")) or text(user.get("family_name")),
                role_scope_mentor=texts(user.get("roleScopeMentor")),
            ),
            platform=Platform(
                id=text(platform.get("id")),
                url=text(platform.get("url")),
                client_id=text(platform.get("clientId")),
                deployment_id=text(platform.get("deploymentId")),
                name=text(platform.get("name")),
                description=text(platform.get("description")),
                guid=text(platform.get("guid")),
                product_family_code=text(platform.get("productFamilyCode")),
                version=text(platform.get("version")),
                contact_email=text(platform.get("contactEmail")),
                consumer_key=text(platform.get("consumerKey")),
                lis=frozen(mapping(platform.get("lis"))) or None,
            ),
            launch=_launch(mapping(raw.get("launch")), mapping(raw.get("custom"))),
            services=_services(mapping(raw.get("services"))),
            lti_version=text(raw.get("ltiVersion")),
            _raw=_Raw(raw),
        )

    def has_role(self, role: str) -> bool:
        """Whether the user has ``role`` in this course.

        Args:
            role: a bare name such as ``"Instructor"`` or ``"TeachingAssistant"``, which stands for
                the role in the course and nothing else: an instructor of the institution
                (``…/institution/person#Instructor``) may well be a learner here. Or a full URI.

        A sub-role counts as its principal role too (LTI 1.3 core, appendix A.2.3.1): who is a
        ``…/membership/Instructor#TeachingAssistant`` has the roles ``TeachingAssistant`` and
        ``Instructor``. A tool in which assistants may do less asks for the sub-role first.
        """
        return has_role(self.user.roles, role)


def _launch(launch: Mapping[str, Any], top_level_custom: Mapping[str, Any]) -> LaunchClaims:
    context = mapping(launch.get("context"))
    # Older tokens spell it "resource".
    link = {
        **mapping(launch.get("resource")),
        **{k: v for k, v in mapping(launch.get("resourceLink")).items() if v not in (None, "")},
    }
    shown = mapping(launch.get("presentation"))
    return LaunchClaims(
        type=text(launch.get("type")),
        target=text(launch.get("target")),
        context=Context(
            id=text(context.get("id")),
            label=text(context.get("label")),
            title=text(context.get("title")),
            type=texts(context.get("type")),
        )
        if context
        else None,
        resource_link=ResourceLink(
            id=text(link.get("id")),
            title=text(link.get("title")),
            description=text(link.get("description")),
        )
        if link
        else None,
        presentation=Presentation(
            # One page of LTIAAS's documentation spells it with an underscore.
            document_target=text(shown.get("documentTarget")) or text(shown.get("document_target")),
            locale=text(shown.get("locale")),
            return_url=text(shown.get("returnUrl")),
            width=pixels(shown.get("width")),
            height=pixels(shown.get("height")),
        ),
        custom=frozen(mapping(launch.get("custom")) or top_level_custom),
    )


def _services(services: Mapping[str, Any]) -> Services:
    deep_linking = mapping(services.get("deepLinking"))
    grades = mapping(services.get("assignmentAndGrades"))
    return Services(
        deep_linking=DeepLinking(
            available=true(deep_linking.get("available")),
            accept_types=texts(deep_linking.get("acceptTypes")),
            accept_multiple=flag(deep_linking.get("acceptMultiple")),
            accept_presentation_document_targets=texts(
                deep_linking.get("acceptPresentationDocumentTargets")
            ),
            accept_media_types=texts(deep_linking.get("acceptMediaTypes")),
            title=text(deep_linking.get("title")),
            text=text(deep_linking.get("text")),
        ),
        assignment_and_grades=AssignmentAndGrades(
            available=true(grades.get("available")),
            line_item_id=text(grades.get("lineItemId")),
            scopes=texts(grades.get("scopes")),
        ),
        names_and_roles_available=true(mapping(services.get("namesAndRoles")).get("available")),
        outcomes_available=true(mapping(services.get("outcomes")).get("available")),
        service_key=text(services.get("serviceKey")) or text(services.get("legacyServiceKey")),
    )
