"""The ID token of a launch, as LTIAAS returns it and as the LMS sent it (`wire.md`, "The ID
token").

Every ID token contains a field that is not in `wire.md`, because LTIAAS adds fields over time, and
tools must be able to read such tokens.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

from .bodies import without_nulls
from .call import Call
from .variables import replaced
from .world import Course, Platform, Seat, User

CLAIM = "https://purl.imsglobal.org/spec/lti/claim/"
DEEP_LINKING = "https://purl.imsglobal.org/spec/lti-dl/claim/"
AGS = "https://purl.imsglobal.org/spec/lti-ags/"
ACCEPT_TYPES = ["link", "ltiResourceLink", "html", "file", "image"]
GRADE_SCOPES = [
    f"{AGS}scope/lineitem",
    f"{AGS}scope/lineitem.readonly",
    f"{AGS}scope/result.readonly",
    f"{AGS}scope/score",
]


class Claims:
    """Builds the ID token for the launch of one call."""

    def __init__(self, call: Call) -> None:
        self.launch, self.sandbox = call.launch, call.sandbox
        self.seat, self.platform = self.launch.seat, self.launch.platform
        self.origin = self.launch.lms or call.origin

    def id_token(self) -> dict[str, Any]:
        document: dict[str, Any] = {
            "user": _user(self.seat.user),
            "platform": _platform(self.platform),
            "launch": self._launch,
            "services": self.services(),
            "sandbox": {
                "launchedAt": self.launch.issued_at,
                "note": "an unknown field, which must survive",
            },
        }
        if self.platform.sparse:
            document["custom"] = self._custom
        else:
            document["ltiVersion"] = self.platform.lti_version
        given = self.seat.claims or {}
        return document | {name: value for name, value in given.items() if ":" not in name}

    def raw(self) -> dict[str, Any]:
        """The response to `GET /api/idtoken?raw=true`: the LMS's own claims, or its OAuth
        payload."""
        document = self._oauth() if self.platform.legacy else self._message()
        given = {**self._replaced(self.platform.claims), **(self.seat.claims or {})}
        return document | {
            name: value for name, value in given.items() if ":" in name or name == "locale"
        }

    def services(self) -> dict[str, Any]:
        """The `services` of an ID token: those that this launch may use, and its service key."""
        course, link, deep_linking = self.seat.course, self.seat.activity, self.seat.deep_linking
        roster, grades = offers_roster(course), offers_grades(course)
        document: dict[str, Any] = {
            "deepLinking": {"available": deep_linking},
            "namesAndRoles": {"available": roster},
            "assignmentAndGrades": {"available": grades},
        }
        if not self.platform.sparse:
            document["outcomes"] = {"available": False}
            if deep_linking:
                document["deepLinking"].update(
                    acceptTypes=ACCEPT_TYPES,
                    acceptPresentationDocumentTargets=["iframe", "window"],
                    acceptMultiple=True,
                )
        if grades:
            document["assignmentAndGrades"]["scopes"] = GRADE_SCOPES
            columns = self.sandbox.gradebook.items(course, resourceLinkId=link.id) if link else []
            if len(columns) == 1:
                document["assignmentAndGrades"]["lineItemId"] = columns[0].id
        if roster or grades:
            document["serviceKey"] = self.sandbox.mint.service_key(
                self.platform.id, course.id, link.id if link else ""
            )
        return document

    def _replaced(self, values: Mapping[str, Any]) -> dict[str, Any]:
        replacement: dict[str, Any] = replaced(values, self.seat, self.platform)
        return replacement

    @cached_property
    def _custom(self) -> dict[str, Any]:
        link = self.seat.activity
        own = self.platform.custom, self.seat.course.custom, link.custom if link else {}
        configured = {name: value for values in own for name, value in values.items()}
        return self._replaced(configured if self.seat.custom is None else self.seat.custom)

    @cached_property
    def _launch(self) -> dict[str, Any]:
        course, link, sparse = self.seat.course, self.seat.activity, self.platform.sparse
        launch: dict[str, Any] = {
            "type": message_type(self.seat),
            "target": self.sandbox.tool,
            "presentation": {
                "document_target" if sparse else "documentTarget": "iframe",
                "locale": "en-GB",
                "returnUrl": f"{self.origin}/lms/return",
                "width": 1024 if sparse else "1024",
                "height": 768 if sparse else "768",
            },
        }
        if not sparse:
            launch["custom"] = self._custom
        if has_context(self.seat):
            launch["context"] = {
                "id": course.id,
                "label": course.label,
                "title": course.title,
                "type": ["http://purl.imsglobal.org/vocab/lis/v2/course#CourseSection"],
            }
        if link:
            launch["resourceLink"] = {
                "id": link.id,
                "title": link.title,
                "description": link.description,
            }
        return launch

    def _message(self) -> dict[str, Any]:
        platform, user = self.platform, self.seat.user
        claims = {
            # Not a claim of the LMS: LTIAAS's official SDK refuses a raw ID token without it.
            "ltiVersion": platform.lti_version,
            "iss": platform.url,
            "aud": platform.client_id,
            "iat": self.launch.issued_at,
            "exp": self.launch.issued_at + 3600,
            "nonce": self.launch.id,
            f"{CLAIM}version": platform.lti_version,
            f"{CLAIM}message_type": self._launch["type"],
            f"{CLAIM}deployment_id": platform.deployment_id,
            f"{CLAIM}target_link_uri": self.sandbox.tool,
            f"{CLAIM}custom": self._custom,
            f"{CLAIM}tool_platform": {
                "guid": platform.guid,
                "name": platform.name,
                "product_family_code": platform.product,
                "version": platform.version,
            },
            f"{CLAIM}launch_presentation": {
                "document_target": "iframe",
                "locale": "en-GB",
                "return_url": f"{self.origin}/lms/return",
            },
            "sub": user.id,
            "name": user.name,
            "given_name": user.given_name,
            "family_name": user.family_name,
            "email": user.email_address,
            f"{CLAIM}roles": list(user.roles),
            f"{CLAIM}role_scope_mentor": list(user.mentor_of) or None,
            f"{CLAIM}context": self._launch.get("context"),
            f"{CLAIM}resource_link": self._launch.get("resourceLink"),
        }
        return without_nulls(claims) | self._service_claims()

    def _service_claims(self) -> dict[str, Any]:
        course, document = self.seat.course, dict[str, Any]()
        if offers_roster(course):
            document["https://purl.imsglobal.org/spec/lti-nrps/claim/namesroleservice"] = {
                "context_memberships_url": course.roster_url,
                "service_versions": ["2.0"],
            }
        if offers_grades(course):
            column = self.services()["assignmentAndGrades"].get("lineItemId")
            document[f"{AGS}claim/endpoint"] = without_nulls(
                {"scope": GRADE_SCOPES, "lineitems": course.line_items_url, "lineitem": column}
            )
        if self.seat.deep_linking:
            document[f"{DEEP_LINKING}deep_linking_settings"] = {
                "deep_link_return_url": f"{self.origin}/lms/deep-linking/return",
                "accept_types": ACCEPT_TYPES,
                "accept_presentation_document_targets": ["iframe", "window"],
                "accept_multiple": "true" if self.platform.sparse else True,
            }
        return document

    def _oauth(self) -> dict[str, Any]:
        seat, platform, user = self.seat, self.platform, self.seat.user
        activity = seat.activity or seat.course.activities[0]
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
            "lis_person_contact_email_primary": user.email_address,
            "context_id": seat.course.id,
            "context_label": seat.course.label,
            "context_title": seat.course.title,
            "context_type": "CourseSection",
            "resource_link_id": activity.id,
            "resource_link_title": activity.title,
            "resource_link_description": activity.description,
            **{f"custom_{name}": str(value) for name, value in self._custom.items()},
            "launch_presentation_locale": "en-GB",
            "launch_presentation_document_target": "iframe",
            "launch_presentation_return_url": f"{self.origin}/lms/return",
            "tool_consumer_info_product_family_code": platform.product,
            "tool_consumer_info_version": platform.version,
            "tool_consumer_instance_guid": platform.guid,
            "tool_consumer_instance_name": platform.name,
        }
        # A form has no nulls, and LTIAAS's Node SDK refuses them.
        return without_nulls(payload)


def message_type(seat: Seat) -> str:
    if seat.deep_linking:
        return "LtiDeepLinkingRequest"
    return "basic-lti-launch-request" if seat.platform.legacy else "LtiResourceLinkRequest"


def offers_roster(course: Course) -> bool:
    return course.platform.roster and not course.platform.legacy


def offers_grades(course: Course) -> bool:
    return course.platform.grades and course.grades and not course.platform.legacy


def has_context(seat: Seat) -> bool:
    """Whether a launch has a context. Some do not: here, the one from Lakeside's front page."""
    return not (seat.platform.sparse and seat.activity and seat.activity.id == "portfolio")


def member(user: User) -> dict[str, Any]:
    """One member of a roster."""
    document = _user(user)
    document["userId"] = document.pop("id")
    document.pop("roleScopeMentor", None)
    if user.status is not None:
        document["status"] = user.status
    document["lisPersonSourcedId"] = f"sis:{user.id}"
    return document


def _user(user: User) -> dict[str, Any]:
    document = {
        "id": user.wire_id,
        "roles": list(user.roles),
        "name": user.name,
        "givenName": user.given_name,
        "familyName": user.family_name,
        "email": user.email_address,
        "roleScopeMentor": list(user.mentor_of) or None,
    }
    return without_nulls(document)


def _platform(platform: Platform) -> dict[str, Any]:
    document: dict[str, Any] = {"name": platform.name}
    if not platform.legacy:
        document.update(
            id=platform.id,
            url=platform.url,
            clientId=platform.client_id,
            deploymentId=platform.deployment_id,
        )
    if not platform.sparse:
        document.update(
            guid=platform.guid, productFamilyCode=platform.product, version=platform.version
        )
        if not platform.legacy:
            document.update(
                description=f"{platform.name}'s learning platform",
                contactEmail=f"support@{platform.guid}",
                lis={"course_section_sourcedid": "sis:section-1"},
            )
    return document
