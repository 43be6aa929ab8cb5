"""The ID token's ``services``: what the LMS offers to a launch (wire.md, "The ID token")."""

from __future__ import annotations

from dataclasses import dataclass, replace

from .documents import Document, Shared, wire
from .values import mapping

# Of the LMS's own claims: LTI Deep Linking 2.0 section 4.4.1.
_DEEP_LINKING_CLAIM = "https://purl.imsglobal.org/spec/lti-dl/claim/deep_linking_settings"


@dataclass(frozen=True, slots=True)
class DeepLinking(Document):
    """Whether the tool can return content to the LMS, and which content the LMS accepts.

    In production, the ID token does not say what the LMS accepts (wire.md): call
    ``launch.api.deep_linking_settings()``. If an LMS sets no restriction, everything is allowed
    (LTI Deep Linking 2.0 section 4.4.1): an empty tuple and None restrict nothing.

    Attributes:
        available: whether the tool can return content.
        accept_types: the types of content items, such as ``"ltiResourceLink"``.
        accept_multiple: whether the tool may return several items.
        accept_presentation_document_targets: where items may open: ``"iframe"``, ``"window"``,
            ``"embed"``.
        accept_media_types: the media types of files.
        title: a default title for the item.
        text: a default description for the item.
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
    """Whether the tool can send grades.

    Attributes:
        available: whether the LMS offers grades to this launch.
        line_item_id: the ID of the activity's column, if the activity has exactly one.
        scopes: the LTI scopes that the LMS granted.
    """

    available: bool = False
    line_item_id: str | None = None
    scopes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Services(Shared, Document):
    """The services that the LMS offers to this launch.

    Attributes:
        deep_linking: for returning content to the LMS.
        assignment_and_grades: for sending grades.
        names_and_roles_available: whether the LMS offers the roster.
        outcomes_available: whether the LMS offers LTI 1.1's grades, which this package does not
            send.
    """

    deep_linking: DeepLinking = DeepLinking()
    assignment_and_grades: AssignmentAndGrades = AssignmentAndGrades()
    names_and_roles_available: bool = wire("namesAndRoles.available", default=False)
    outcomes_available: bool = wire("outcomes.available", default=False)

    @property
    def service_key(self) -> str | None:
        """A secret key for calls outside the activity's launches (``Launch.service_credential``),
        or None if the LMS offers neither roster nor grades."""
        return getattr(self, "_kept", None)
