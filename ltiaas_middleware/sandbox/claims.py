"""The ID token of a launch, as LTIAAS gives it and as the LMS sent it (`wire.md`, "The ID token").

Every ID token holds a field that `wire.md` does not know: LTIAAS adds fields over time, and they
must survive a tool's reading.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from .call import Launch
from .gradebook import Gradebook
from .tokens import Mint
from .world import Course, Platform, Seat, User

CLAIM = "https://purl.imsglobal.org/spec/lti/claim/"
AGS_SCOPE = "https://purl.imsglobal.org/spec/lti-ags/scope/"
ACCEPT_TYPES = ["link", "ltiResourceLink", "html", "file", "image"]
GRADE_SCOPES = [
    f"{AGS_SCOPE}lineitem",
    f"{AGS_SCOPE}lineitem.readonly",
    f"{AGS_SCOPE}result.readonly",
    f"{AGS_SCOPE}score",
]


@dataclass(frozen=True)
class Claims:
    """Builds the ID token of one launch. `origin` is where the LMS's pages can be reached."""

    launch: Launch
    mint: Mint
    gradebook: Gradebook
    origin: str
    tool: str

    def id_token(self) -> dict[str, Any]:
        """The answer of `GET /api/idtoken`."""
        seat, platform = self.launch.seat, self.launch.platform
        document: dict[str, Any] = {
            "user": _user(seat.user, platform.anonymous),
            "platform": _platform(platform),
            "launch": self._launch(),
            "services": self.services(),
            "sandbox": {
                "launchedAt": self.launch.issued_at,
                "note": "an unknown field, which must survive",
            },
        }
        if platform.sparse:
            document["custom"] = self._custom()
        else:
            document["ltiVersion"] = platform.lti_version
        return document

    def services(self) -> dict[str, Any]:
        """The `services` of an ID token: what this launch may use, and its service key."""
        seat, platform = self.launch.seat, self.launch.platform
        roster, grades = offers_roster(seat.course), offers_grades(seat.course)
        document: dict[str, Any] = {
            "deepLinking": {"available": seat.deep_linking},
            "namesAndRoles": {"available": roster},
            "assignmentAndGrades": {"available": grades},
        }
        if not platform.sparse:
            document["outcomes"] = {"available": platform.legacy}
            if seat.deep_linking:
                document["deepLinking"].update(
                    acceptTypes=ACCEPT_TYPES,
                    acceptPresentationDocumentTargets=["iframe", "window"],
                    acceptMultiple=True,
                )
        if grades:
            document["assignmentAndGrades"]["scopes"] = GRADE_SCOPES
            column = seat.activity and self.gradebook.column_of(seat.activity.id)
            if column:
                document["assignmentAndGrades"]["lineItemId"] = column.id
        if roster or grades:
            name = "legacyServiceKey" if platform.legacy else "serviceKey"
            document[name] = self.mint.service_key(
                platform.id, seat.course.id, seat.activity.id if seat.activity else ""
            )
        return document

    def raw(self) -> dict[str, Any]:
        """The answer of `GET /api/idtoken?raw=true`: the LMS's own claims, or its OAuth payload."""
        return self._oauth() if self.launch.platform.legacy else self._lti13()

    def _launch(self) -> dict[str, Any]:
        seat, sparse = self.launch.seat, self.launch.platform.sparse
        launch: dict[str, Any] = {
            "type": message_type(seat),
            "target": self.tool,
            "presentation": {
                "document_target" if sparse else "documentTarget": "iframe",
                "locale": "en-GB",
                "returnUrl": f"{self.origin}/lms/return",
                "width": 1024 if sparse else "1024",
                "height": 768 if sparse else "768",
            },
        }
        if not sparse:
            launch["custom"] = self._custom()
        if has_context(seat):
            launch["context"] = {
                "id": seat.course.id,
                "label": seat.course.label,
                "title": seat.course.title,
                "type": ["http://purl.imsglobal.org/vocab/lis/v2/course#CourseSection"],
            }
        if seat.activity:
            launch["resourceLink"] = {
                "id": seat.activity.id,
                "title": seat.activity.title,
                "description": seat.activity.description,
            }
        return launch

    def _custom(self) -> dict[str, Any]:
        activity = self.launch.seat.activity
        place = activity.id if activity else "deep-linking"
        return {"resource": f"resource-{place}", "attempt_limit": 3}

    def _lti13(self) -> dict[str, Any]:
        seat, platform = self.launch.seat, self.launch.platform
        launch, user = self._launch(), seat.user
        presentation = launch["presentation"]
        document: dict[str, Any] = {
            # Not a claim of the LMS: LTIAAS's official SDK refuses a raw ID token without it.
            "ltiVersion": platform.lti_version,
            "iss": platform.url,
            "sub": user.id,
            "aud": platform.client_id,
            "iat": self.launch.issued_at,
            "exp": self.launch.issued_at + 3600,
            "nonce": self.launch.id,
            f"{CLAIM}version": platform.lti_version,
            f"{CLAIM}message_type": launch["type"],
            f"{CLAIM}deployment_id": platform.deployment_id,
            f"{CLAIM}target_link_uri": launch["target"],
            f"{CLAIM}roles": list(user.roles),
            f"{CLAIM}custom": self._custom(),
            f"{CLAIM}tool_platform": {
                "guid": urlsplit(platform.url).hostname,
                "name": platform.name,
                "product_family_code": platform.product,
            },
            f"{CLAIM}launch_presentation": {
                "document_target": "iframe",
                "locale": presentation["locale"],
                "return_url": presentation["returnUrl"],
            },
        }
        if user.name is not None and not platform.anonymous:
            document.update(
                name=user.name,
                given_name=user.given_name,
                family_name=user.family_name,
                email=_email(user),
            )
        if user.mentor_of:
            document[f"{CLAIM}role_scope_mentor"] = list(user.mentor_of)
        if "context" in launch:
            document[f"{CLAIM}context"] = launch["context"]
        if seat.activity:
            document[f"{CLAIM}resource_link"] = launch["resourceLink"]
        if offers_roster(seat.course):
            document["https://purl.imsglobal.org/spec/lti-nrps/claim/namesroleservice"] = {
                "context_memberships_url": seat.course.roster_url,
                "service_versions": ["2.0"],
            }
        if offers_grades(seat.course):
            endpoint = {"scope": GRADE_SCOPES, "lineitems": seat.course.line_items_url}
            column = self.services()["assignmentAndGrades"].get("lineItemId")
            if column:
                endpoint["lineitem"] = column
            document["https://purl.imsglobal.org/spec/lti-ags/claim/endpoint"] = endpoint
        if seat.deep_linking:
            document["https://purl.imsglobal.org/spec/lti-dl/claim/deep_linking_settings"] = {
                "deep_link_return_url": f"{self.origin}/lms/deep-linking/return",
                "accept_types": ACCEPT_TYPES,
                "accept_presentation_document_targets": ["iframe", "window"],
                "accept_multiple": "true" if platform.sparse else True,
            }
        return document

    def _oauth(self) -> dict[str, Any]:
        seat, platform = self.launch.seat, self.launch.platform
        activity, user = seat.activity or seat.course.activities[0], seat.user
        column = self.gradebook.column_of(activity.id)
        payload = {
            "ltiVersion": platform.lti_version,
            "lti_version": "LTI-1p0",
            "lti_message_type": message_type(seat),
            "oauth_consumer_key": platform.consumer_key,
            "oauth_version": "1.0",
            "oauth_signature_method": "HMAC-SHA1",
            "oauth_timestamp": str(self.launch.issued_at),
            "oauth_nonce": self.launch.id,
            "oauth_callback": "about:blank",
            "user_id": user.id,
            "roles": ",".join(user.roles),
            "lis_person_name_given": user.given_name,
            "lis_person_name_family": user.family_name,
            "lis_person_name_full": user.name,
            "lis_person_contact_email_primary": _email(user),
            "context_id": seat.course.id,
            "context_label": seat.course.label,
            "context_title": seat.course.title,
            "context_type": "CourseSection",
            "resource_link_id": activity.id,
            "resource_link_title": activity.title,
            "resource_link_description": activity.description,
            "lis_result_sourcedid": f"{seat.course.id}:{activity.id}:{user.id}",
            "lis_outcome_service_url": f"{platform.url}/lti/outcomes",
            "custom_gradebookservices_scope": ",".join(GRADE_SCOPES),
            "custom_lineitems_url": seat.course.line_items_url,
            "custom_lineitem_url": column.id if column else None,
            "launch_presentation_locale": "en-GB",
            "launch_presentation_document_target": "iframe",
            "launch_presentation_return_url": f"{self.origin}/lms/return",
            "tool_consumer_info_product_family_code": platform.product,
            "tool_consumer_info_version": "9.1",
            "tool_consumer_instance_guid": urlsplit(platform.url).hostname,
            "tool_consumer_instance_name": platform.name,
        }
        # A form has no nulls, and LTIAAS's Node SDK refuses them.
        return {name: value for name, value in payload.items() if value is not None}


def message_type(seat: Seat) -> str:
    """The launch's type."""
    if seat.deep_linking:
        return "LtiDeepLinkingRequest"
    return "basic-lti-launch-request" if seat.platform.legacy else "LtiResourceLinkRequest"


def offers_roster(course: Course) -> bool:
    """Whether launches from `course` may read its roster."""
    return course.platform.roster


def offers_grades(course: Course) -> bool:
    """Whether launches from `course` may use its gradebook."""
    return course.platform.grades and course.grades


def has_context(seat: Seat) -> bool:
    """Some launches have no context: here, the one from Lakeside's front page."""
    return not (seat.platform.sparse and seat.activity and seat.activity.id == "portfolio")


def member(user: User, withheld: bool = False) -> dict[str, Any]:
    """One member of a roster; `withheld` leaves out the name and the e-mail address."""
    document = _user(user, withheld)
    document["userId"] = document.pop("id")
    document.pop("roleScopeMentor", None)
    if user.status is not None:
        document["status"] = user.status
    document["lisPersonSourcedId"] = f"sis:{user.id}"
    return document


def _user(user: User, withheld: bool) -> dict[str, Any]:
    document: dict[str, Any] = {"id": user.wire_id, "roles": list(user.roles)}
    if user.name is not None and not withheld:
        document.update(
            name=user.name,
            givenName=user.given_name,
            familyName=user.family_name,
            email=_email(user),
        )
    if user.mentor_of:
        document["roleScopeMentor"] = list(user.mentor_of)
    return document


def _email(user: User) -> str | None:
    return None if user.name is None else f"{user.id}@students.example"


def _platform(platform: Platform) -> dict[str, Any]:
    document: dict[str, Any] = {"id": platform.id, "url": platform.url, "name": platform.name}
    if platform.legacy:
        document["consumerKey"] = platform.consumer_key
    else:
        document["clientId"] = platform.client_id
        document["deploymentId"] = platform.deployment_id
    if not platform.sparse:
        document.update(
            description=f"{platform.name}'s learning platform",
            guid=urlsplit(platform.url).hostname,
            productFamilyCode=platform.product,
            version="9.1",
            contactEmail=f"support@{urlsplit(platform.url).hostname}",
            lis={"course_section_sourcedid": "sis:section-1"},
        )
    return document
