"""The ID token: the claims of one launch, as frozen typed objects (wire.md, "The ID token").

A claim that the LMS withholds, or sends with a wrong type, is None. Unknown claims are in ``.raw``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from ..credentials import HeaderValue
from ..errors import IdTokenError
from .documents import Document, Shared, read_fields, wire
from .roster import has_role
from .services import Services
from .values import FrozenDict, mapping, text

# Where the service key is, of LTI 1.3 and of a legacy launch.
_KEYS = ("serviceKey", "legacyServiceKey")
# What LTIAAS always sends some of; a JSON object with none of them is something else.
_PARTS = ("user", "platform", "launch", "services")
# In the LMS's own claims, and (inference) in what LTIAAS passes on.
_MIGRATION_CLAIM = ("https://purl.imsglobal.org/spec/lti/claim/lti1p1", "lti1p1")


@dataclass(frozen=True, slots=True)
class User(Document):
    """The user who launched. The LMS may withhold everything except ``roles``.

    Attributes:
        id: unique only within the platform, so key stored data by ``Launch.global_user_id``. None
            only in an anonymous launch, which reaches an app only with
            ``Settings.allow_anonymous``.
        roles: URIs or bare names, as the LMS sent them. To check them, use ``IdToken.has_role``.
        name: the full name.
        email: the email address.
        given_name: the first name.
        family_name: the last name.
        picture: the URL of a picture.
        role_scope_mentor: for a mentor, the IDs of the users whom they mentor.
    """

    id: str | None = None
    roles: tuple[str, ...] = ()
    name: str | None = field(default=None, repr=False)
    email: str | None = field(default=None, repr=False)
    given_name: str | None = field(default=None, repr=False)
    family_name: str | None = field(default=None, repr=False)
    picture: str | None = field(default=None, repr=False)
    role_scope_mentor: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Lis(Document):
    """IDs of the school's student information system (LTI 1.3 core, section 5.4.5).

    Attributes:
        person_sourcedid: the user's ID.
        course_offering_sourcedid: the course's ID.
        course_section_sourcedid: the section's ID.
    """

    person_sourcedid: str | None = wire("person_sourcedid", "personSourcedId", default=None)
    course_offering_sourcedid: str | None = wire(
        "course_offering_sourcedid", "courseOfferingSourcedId", default=None
    )
    course_section_sourcedid: str | None = wire(
        "course_section_sourcedid", "courseSectionSourcedId", default=None
    )


@dataclass(frozen=True, slots=True)
class Lti11Ids(Document):
    """The LMS's IDs from before it moved from LTI 1.1 to 1.3: 1EdTech's migration claim.

    Attributes:
        user_id: the user's former ID.
        context_id: the course's former ID.
        resource_link_id: the activity's former ID.
        tool_consumer_instance_guid: the LMS's former ID.
        oauth_consumer_key: the tool's former consumer key.
    """

    user_id: str | None = None
    context_id: str | None = None
    resource_link_id: str | None = None
    tool_consumer_instance_guid: str | None = None
    oauth_consumer_key: str | None = None


@dataclass(frozen=True, slots=True)
class Platform(Document):
    """The LMS registration.

    Attributes:
        id: unique across LMSes.
        url: the LMS's issuer, a URL.
        client_id: the LMS's ID for the tool.
        deployment_id: the LMS's ID for this deployment of the tool.
        name: the LMS's name.
        description: the LMS's description.
        guid: the LMS's own ID for itself.
        product_family_code: the product, such as ``"canvas"`` or ``"moodle"``.
        version: the product's version.
        contact_email: the email address of the LMS's administrator.
        consumer_key: the tool's consumer key in a legacy (LTI 1.1) launch.
        lis: IDs of the school's student information system.
    """

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
    lis: Lis = Lis()


@dataclass(frozen=True, slots=True)
class Context(Document):
    """The course.

    Attributes:
        id: the course's ID, which does not change.
        label: the short name, such as ``"BIO-101"``.
        title: the full name.
        type: URIs that say what it is, such as a course offering or a group.
    """

    id: str | None = None
    label: str | None = None
    title: str | None = None
    type: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ResourceLink(Document):
    """The launched activity in the course.

    Attributes:
        id: the activity's ID, unique within the platform.
        title: the title that the course shows.
        description: the teacher's description.
    """

    id: str | None = None
    title: str | None = None
    description: str | None = None


@dataclass(frozen=True, slots=True)
class Presentation(Document):
    """How the LMS shows the tool.

    Attributes:
        document_target: ``"iframe"``, ``"window"`` or ``"frame"``.
        locale: the language of the LMS's pages, such as ``"en-US"``.
        return_url: the LMS's page to which the tool may send the user back.
        width: the width of the iframe or window in pixels.
        height: the height in pixels.
    """

    document_target: str | None = None
    locale: str | None = None
    return_url: str | None = None
    width: int | None = None
    height: int | None = None


@dataclass(frozen=True, slots=True)
class LaunchClaims(Document):
    """What was launched, where and how.

    Attributes:
        type: ``"LtiResourceLinkRequest"`` for an activity, ``"LtiDeepLinkingRequest"`` if a teacher
            picks content, or ``"basic-lti-launch-request"`` in a legacy launch.
        target: the URL that was launched.
        context: the course, or None if the launch has none.
        resource_link: the activity, or None in a deep-linking launch.
        presentation: how the LMS shows the tool.
        custom: the custom parameters.
    """

    type: str | None = None
    target: str | None = None
    context: Context | None = None
    # Older tokens spell it "resource".
    resource_link: ResourceLink | None = wire("resourceLink", "resource", default=None)
    presentation: Presentation = Presentation()
    custom: Mapping[str, Any] = field(default_factory=FrozenDict)


@dataclass(frozen=True, slots=True)
class IdToken(Shared):
    """The claims of a launch (``GET /api/idtoken``). Everything except ``raw`` is immutable.

    Attributes:
        user: the user who launched.
        platform: the LMS registration.
        launch: the course, the activity and the custom parameters.
        services: what the LMS offers to this launch.
        lti_version: ``"1.3.0"``, or ``"1.2.0"`` in a legacy launch.
        lti11: the LMS's IDs from before it moved to LTI 1.3.
    """

    user: User = User()
    platform: Platform = Platform()
    launch: LaunchClaims = LaunchClaims()
    services: Services = field(default_factory=Services)
    lti_version: str | None = None
    lti11: Lti11Ids | None = wire(*_MIGRATION_CLAIM, default=None)

    @property
    def raw(self) -> Mapping[str, Any]:
        """LTIAAS's unchanged data, separate for each request. Its ``repr`` hides the service key,
        but not names and emails. JSON of it hides nothing."""
        kept = getattr(self, "_kept", {})
        if isinstance(kept, bytes):
            kept = _hiding_keys(json.loads(kept))
            object.__setattr__(self, "_kept", kept)
        return kept

    @property
    def lis(self) -> Lis:
        """IDs of the school's student information system; each may be None."""
        return self.platform.lis

    def with_raw(self, claims: bytes) -> IdToken:
        """A copy with its own ``raw``, decoded from ``claims`` at first use."""
        token = IdToken(
            self.user, self.platform, self.launch, self.services, self.lti_version, self.lti11
        )
        object.__setattr__(token, "_kept", claims)
        return token

    def to_dict(self) -> dict[str, Any]:
        """The claims as JSON-serializable values, without the service key and ``raw``."""
        return asdict(self)

    @classmethod
    def parse(cls, raw: object, claims: bytes | None = None) -> IdToken:
        """Read the decoded JSON of ``GET /api/idtoken``.

        Args:
            raw: the decoded JSON.
            claims: the JSON itself. If given, ``.raw`` is decoded from it at first use.

        Raises:
            IdTokenError: it is not an ID token: not an object, or incomplete.
        """
        if not isinstance(raw, Mapping):
            raise IdTokenError("the ID token is not a JSON object")
        if not any(isinstance(raw.get(part), Mapping) for part in _PARTS):
            raise IdTokenError(
                "the response is not an ID token: it has no user, platform or launch"
            )
        # Some tokens have the custom parameters at the top level (wire.md).
        custom = {"launch": {"custom": raw["custom"]}} if raw.get("custom") else {}
        documents = (raw, custom) if custom else (raw,)
        token = cls(**read_fields(cls, *documents))
        keys = mapping(raw.get("services"))
        key = next(filter(None, (text(keys.get(name)) for name in _KEYS)), None)
        if key is not None:
            object.__setattr__(token.services, "_kept", HeaderValue(key))
        object.__setattr__(token, "_kept", _hiding_keys(raw) if claims is None else claims)
        return token

    def has_role(self, *roles: str) -> bool:
        """Whether the user has one of ``roles`` in this course: full URIs, or bare names such as
        ``"Instructor"``, which match only the role in the course. An instructor of the institution
        (``…/institution/person#Instructor``) may be a learner in this course.

        A sub-role also counts as its principal role (LTI 1.3 core, appendix A.2.3.1): a
        ``…/membership/Instructor#TeachingAssistant`` has the roles ``TeachingAssistant`` and
        ``Instructor``. If assistants may do less in your tool, check for the sub-role first.
        """
        return has_role(self.user.roles, roles)


def _hiding_keys(raw: Mapping[str, Any]) -> Mapping[str, Any]:
    services = mapping(raw.get("services"))
    keys = {
        name: HeaderValue(services[name]) for name in _KEYS if isinstance(services.get(name), str)
    }
    return {**raw, "services": {**services, **keys}} if keys else raw
