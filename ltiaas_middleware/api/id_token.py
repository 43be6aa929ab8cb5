"""The ID token: the claims of one launch, as frozen typed objects (wire.md, "The ID token").

A claim that the LMS withholds, or sends with a wrong type, is None. Unknown claims are in ``.raw``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from ..credentials import HeaderValue
from ..errors import IdTokenError
from .documents import Document, read_fields, wire
from .roster import has_role
from .values import FrozenDict, mapping, text

# Where the service key is, of LTI 1.3 and of a legacy launch.
_KEYS = ("serviceKey", "legacyServiceKey")
# What LTIAAS always sends some of; a JSON object with none of them is something else.
_PARTS = ("user", "platform", "launch", "services")
# In the LMS's own claims, and (inference) in what LTIAAS passes on.
_MIGRATION_CLAIM = ("https://purl.imsglobal.org/spec/lti/claim/lti1p1", "lti1p1")
# Of the LMS's own claims: LTI Deep Linking 2.0 section 4.4.1.
_DEEP_LINKING_CLAIM = "https://purl.imsglobal.org/spec/lti-dl/claim/deep_linking_settings"


@dataclass(frozen=True, slots=True)
class User(Document):
    """The user who launched. The LMS may withhold everything except ``roles``.

    ``id`` is unique only within its platform. It is None only in an anonymous launch, which reaches
    an app only with ``Settings.allow_anonymous``. ``Launch.user_id`` is never None.
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
    """IDs of the school's student information system (LTI 1.3 core, section 5.4.5)."""

    person_sourcedid: str | None = wire("person_sourcedid", "personSourcedId", default=None)
    course_offering_sourcedid: str | None = wire(
        "course_offering_sourcedid", "courseOfferingSourcedId", default=None
    )
    course_section_sourcedid: str | None = wire(
        "course_section_sourcedid", "courseSectionSourcedId", default=None
    )


@dataclass(frozen=True, slots=True)
class Lti11Ids(Document):
    """The LMS's IDs from before it moved from LTI 1.1 to 1.3: 1EdTech's migration claim."""

    user_id: str | None = None
    context_id: str | None = None
    resource_link_id: str | None = None
    tool_consumer_instance_guid: str | None = None
    oauth_consumer_key: str | None = None


@dataclass(frozen=True, slots=True)
class Platform(Document):
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
    lis: Lis = Lis()


@dataclass(frozen=True, slots=True)
class Context(Document):
    """The course."""

    id: str | None = None
    label: str | None = None
    title: str | None = None
    type: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ResourceLink(Document):
    """The launched activity in the course."""

    id: str | None = None
    title: str | None = None
    description: str | None = None


@dataclass(frozen=True, slots=True)
class Presentation(Document):
    """How the LMS shows the tool. ``width`` and ``height`` are pixels."""

    document_target: str | None = None
    locale: str | None = None
    return_url: str | None = None
    width: int | None = None
    height: int | None = None


@dataclass(frozen=True, slots=True)
class LaunchClaims(Document):
    """What was launched, where and how. ``context`` and ``resource_link`` may be missing."""

    type: str | None = None
    target: str | None = None
    context: Context | None = None
    # Older tokens spell it "resource".
    resource_link: ResourceLink | None = wire("resourceLink", "resource", default=None)
    presentation: Presentation = Presentation()
    custom: Mapping[str, Any] = field(default_factory=FrozenDict)


@dataclass(frozen=True, slots=True)
class DeepLinking(Document):
    """Whether the tool can return content to the LMS, and which content the LMS accepts.

    In production, the ID token does not say what the LMS accepts (wire.md): call
    ``launch.api.deep_linking_settings()``. If an LMS sets no restriction, everything is allowed
    (LTI Deep Linking 2.0 section 4.4.1): an empty tuple and None restrict nothing.
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
        """Read the LMS's own claims (``GET /api/idtoken?raw=true``). None if they have no
        deep-linking settings."""
        fields = mapping(claims)
        settings = mapping(fields.get(_DEEP_LINKING_CLAIM))
        if fields.get("lti_message_type") == "ContentItemSelectionRequest":
            settings = fields  # LTI 1.1 and 1.2
        return replace(cls.parse(settings), available=True) if settings else None


@dataclass(frozen=True, slots=True)
class AssignmentAndGrades(Document):
    """Whether the tool can send grades, and the activity's own line item."""

    available: bool = False
    line_item_id: str | None = None
    scopes: tuple[str, ...] = ()


class _Shared:
    """Keeps what is no JSON out of the dataclass's fields: whoever makes JSON of a token
    (``asdict``, Flask's ``jsonify``, FastAPI) goes by those. Nobody can change it: no copies."""

    __slots__ = ("_kept",)

    _kept: Any

    def __deepcopy__(self, memo: object) -> Any:
        return self


@dataclass(frozen=True, slots=True)
class Services(_Shared, Document):
    """The services that the LMS offers to this launch."""

    deep_linking: DeepLinking = DeepLinking()
    assignment_and_grades: AssignmentAndGrades = AssignmentAndGrades()
    names_and_roles_available: bool = wire("namesAndRoles.available", default=False)
    outcomes_available: bool = wire("outcomes.available", default=False)

    @property
    def service_key(self) -> str | None:
        """A secret key for calls outside the activity's launches (``Launch.service_credential``),
        or None if the LMS offers neither roster nor grades."""
        return getattr(self, "_kept", None)


_NO_SERVICES = Services()


@dataclass(frozen=True, slots=True)
class IdToken(_Shared):
    """The claims of a launch (``GET /api/idtoken``). Everything except ``raw`` is immutable."""

    user: User = User()
    platform: Platform = Platform()
    launch: LaunchClaims = LaunchClaims()
    services: Services = _NO_SERVICES
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
    def parse(cls, raw: object) -> IdToken:
        """Read the decoded JSON of ``GET /api/idtoken``.

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
            # The default is everybody's.
            services = Services() if token.services is _NO_SERVICES else token.services
            object.__setattr__(services, "_kept", HeaderValue(key))
            object.__setattr__(token, "services", services)
        object.__setattr__(token, "_kept", _hiding_keys(raw))
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
