"""The ID token of a launch, as LTIAAS returns it and as the LMS sent it (`wire.md`, "The ID
token").

Every ID token contains a field that is not in `wire.md`, because LTIAAS adds fields over time, and
tools must be able to read such tokens.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

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
        self.launch = call.launch
        self.sandbox = call.sandbox
        self.origin = call.launch.lms or call.origin

    def id_token(self) -> dict[str, Any]:
        platform = self.launch.platform
        document: dict[str, Any] = {
            "user": _user(self.launch.seat.user, platform.anonymous),
            "platform": _platform(platform),
            "launch": self._launch,
            "services": self.services(),
            "sandbox": {
                "launchedAt": self.launch.issued_at,
                "note": "an unknown field, which must survive",
            },
        }
        if platform.sparse:
            document["custom"] = self._custom
        else:
            document["ltiVersion"] = platform.lti_version
        return document | self._claims(of_lms=False)

    def services(self) -> dict[str, Any]:
        """The `services` of an ID token: those that this launch may use, and its service key."""
        seat, platform = self.launch.seat, self.launch.platform
        roster, grades = offers_roster(seat.course), offers_grades(seat.course)
        document: dict[str, Any] = {
            "deepLinking": {"available": seat.deep_linking},
            "namesAndRoles": {"available": roster},
            "assignmentAndGrades": {"available": grades},
        }
        if not platform.sparse:
            document["outcomes"] = {"available": False}
            if seat.deep_linking:
                document["deepLinking"].update(
                    acceptTypes=ACCEPT_TYPES,
                    acceptPresentationDocumentTargets=["iframe", "window"],
                    acceptMultiple=True,
                )
        if grades:
            document["assignmentAndGrades"]["scopes"] = GRADE_SCOPES
            column = seat.activity and self.sandbox.gradebook.only_column_of(
                seat.course, seat.activity.id
            )
            if column:
                document["assignmentAndGrades"]["lineItemId"] = column.id
        if roster or grades:
            document["serviceKey"] = self.sandbox.mint.service_key(
                platform.id, seat.course.id, seat.activity.id if seat.activity else ""
            )
        return document

    def raw(self) -> dict[str, Any]:
        """The response to `GET /api/idtoken?raw=true`: the LMS's own claims, or its OAuth
        payload."""
        if self.launch.platform.legacy:
            return self._oauth() | self._claims(of_lms=True)
        document = self._message() | self._person() | self._place() | self._service_claims()
        return document | self._claims(of_lms=True)

    def _claims(self, *, of_lms: bool) -> dict[str, Any]:
        """What the platform and this launch add: LTIAAS's own fields, or claims of the LMS."""
        seat, platform = self.launch.seat, self.launch.platform
        given = seat.changes.claims or {}
        if of_lms:
            given = {**replaced(platform.claims, seat, platform), **given}
            return {name: value for name, value in given.items() if ":" in name or name == "locale"}
        return {name: value for name, value in given.items() if ":" not in name}

    @cached_property
    def _custom(self) -> dict[str, Any]:
        seat, platform = self.launch.seat, self.launch.platform
        custom: dict[str, Any] = {**platform.custom, **seat.course.custom}
        if seat.activity is not None:
            custom.update(seat.activity.custom)
        if seat.changes.custom is not None:
            custom = dict(seat.changes.custom)
        replacement: dict[str, Any] = replaced(custom, seat, platform)
        return replacement

    @cached_property
    def _launch(self) -> dict[str, Any]:
        seat, sparse = self.launch.seat, self.launch.platform.sparse
        launch: dict[str, Any] = {
            "type": message_type(seat),
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

    def _message(self) -> dict[str, Any]:
        platform = self.launch.platform
        return {
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
        }

    def _person(self) -> dict[str, Any]:
        user = self.launch.seat.user
        document: dict[str, Any] = {"sub": user.id, f"{CLAIM}roles": list(user.roles)}
        if user.name is not None and not self.launch.platform.anonymous:
            document.update(
                name=user.name,
                given_name=user.given_name,
                family_name=user.family_name,
                email=user.email_address,
            )
        if user.mentor_of:
            document[f"{CLAIM}role_scope_mentor"] = list(user.mentor_of)
        return document

    def _place(self) -> dict[str, Any]:
        names = {"context": "context", "resourceLink": "resource_link"}
        return {
            f"{CLAIM}{claim}": self._launch[name]
            for name, claim in names.items()
            if name in self._launch
        }

    def _service_claims(self) -> dict[str, Any]:
        seat, document = self.launch.seat, dict[str, Any]()
        if offers_roster(seat.course):
            document["https://purl.imsglobal.org/spec/lti-nrps/claim/namesroleservice"] = {
                "context_memberships_url": seat.course.roster_url,
                "service_versions": ["2.0"],
            }
        if offers_grades(seat.course):
            endpoint = {"scope": GRADE_SCOPES, "lineitems": seat.course.line_items_url}
            column = self.services()["assignmentAndGrades"].get("lineItemId")
            document[f"{AGS}claim/endpoint"] = endpoint | ({"lineitem": column} if column else {})
        if seat.deep_linking:
            document[f"{DEEP_LINKING}deep_linking_settings"] = {
                "deep_link_return_url": f"{self.origin}/lms/deep-linking/return",
                "accept_types": ACCEPT_TYPES,
                "accept_presentation_document_targets": ["iframe", "window"],
                "accept_multiple": "true" if self.launch.platform.sparse else True,
            }
        return document

    def _oauth(self) -> dict[str, Any]:
        seat, platform = self.launch.seat, self.launch.platform
        activity, user = seat.activity or seat.course.activities[0], seat.user
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
        return {name: value for name, value in payload.items() if value is not None}


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


def member(user: User, withheld: bool = False) -> dict[str, Any]:
    """One member of a roster; `withheld` omits the name and the email address."""
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
            email=user.email_address,
        )
    if user.mentor_of:
        document["roleScopeMentor"] = list(user.mentor_of)
    return document


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
