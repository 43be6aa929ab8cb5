"""The calls that a launch or a service key may make (``wire.md``, "The three authorization
schemes").

Each method describes a call. ``ApiSession`` and ``AsyncApiSession`` have a method of the same name
that makes the call (``endpoint``). ``registrations`` has the account's own calls.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NoReturn

from ..credentials import Credential
from .addresses import launch_url
from .content_items import ContentItem, DeepLinkingMessage, deep_linking_body
from .endpoint import Endpoint, PagedEndpoint
from .exchange import Call, RetryPolicy, Steps
from .id_token import IdToken
from .line_items import LineItemEndpoints
from .paging import Pages
from .roster import Member
from .scores import ScoreEndpoints
from .services import DeepLinking
from .values import json_object, mapping, query


class Endpoints(LineItemEndpoints, ScoreEndpoints):
    """The calls of a launch or a service key.

    In addition to the documented exceptions, every call raises ``ApiError`` if LTIAAS or the LMS
    refuses or fails (a list, on any page), ``InvalidRequest`` if the request would be invalid, and
    ``CredentialScopeError`` if the call does not accept the session's credential."""

    def __init__(self, credential: Credential, retry_policy: RetryPolicy | None) -> None:
        self.credential = credential
        self.retry_policy = retry_policy or RetryPolicy()
        #: How many rows of lists could not be read, and were skipped.
        self.skipped = 0

    def __repr__(self) -> str:
        return f"<{type(self).__name__} with {self.credential!r}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"an {type(self).__name__} holds a credential and cannot be pickled")

    @Endpoint
    def request(
        self, method: str, path: str, *, query: Mapping[str, str] | None = None, json: Any = None
    ) -> Call[Any]:
        """Make a call that has no method of its own here, with the same retries and errors.

        Args:
            method: the HTTP method, such as ``"GET"``.
            path: the percent-encoded path under ``/api/``, or a URL on the account's own origin.
            query: the query parameters, not yet encoded.
            json: the body, or None for no body. The result is the decoded JSON of the response.
        """
        pairs = tuple((query or {}).items())
        return Call(method.upper(), path, lambda document: document, pairs, json)

    @Endpoint
    def id_token(self) -> Call[IdToken]:
        """Fetch the claims of the launch from LTIAAS again."""
        return Call("GET", "idtoken", IdToken.parse)

    @Endpoint
    def raw_id_token(self) -> Call[Mapping[str, Any]]:
        """The LMS's own claims, as the LMS signed them (``?raw=true``). For LTI 1.2, its form
        fields."""
        return Call("GET", "idtoken", json_object, query=(("raw", "true"),))

    @Endpoint
    def deep_linking_settings(self) -> Steps[DeepLinking]:
        """The content that the LMS accepts from a deep-linking launch.

        In production, the ID token says only that deep linking is available (wire.md, "The ID
        token"). The LMS's own claims have the details, so this call reads those first.
        """
        raw = Call("GET", "idtoken", DeepLinking.from_claims, query=(("raw", "true"),))
        found: DeepLinking | None = yield raw
        if found is None:
            found = (yield Call("GET", "idtoken", IdToken.parse)).services.deep_linking
        return found

    @Endpoint
    def deep_linking_form(
        self,
        items: Iterable[ContentItem | Mapping[str, Any]],
        *,
        message: str | None = None,
        log: str | None = None,
        error_message: str | None = None,
        error_log: str | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> Call[str]:
        """An HTML form that submits itself and sends the content to the LMS. Return it to the
        browser.

        Args:
            items: the items that the teacher picked, or no items if the teacher canceled. The
                ``url`` of an ``ltiResourceLink`` must be an LTIAAS URL (create it with
                ``launch_url``).
            message: a message that the LMS shows to the teacher.
            log: a message for the LMS's log.
            error_message: an error that the LMS shows to the teacher if the selection failed.
            error_log: an error for the LMS's log.
            extra: more keys of the message, besides the items, under their wire names. LTIAAS also
                signs these (``"https://canvas.instructure.com/lti/module_name"``).

        Raises:
            ServiceNotAvailable: the launch is not a deep-linking launch.
        """
        body = deep_linking_body(
            self.credential.origin, items, message, log, error_message, error_log, extra
        )
        return Call("POST", "deeplinking/form", _form, body=body)

    @Endpoint
    def deep_linking_message(
        self,
        items: Iterable[ContentItem | Mapping[str, Any]],
        *,
        message: str | None = None,
        log: str | None = None,
        error_message: str | None = None,
        error_log: str | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> Call[DeepLinkingMessage]:
        """The parts of ``deep_linking_form``, for a page that builds the form itself: a signed
        message to post to ``target`` as ``JWT``. The arguments and exceptions are the same."""
        body = deep_linking_body(
            self.credential.origin, items, message, log, error_message, error_log, extra
        )
        return Call("POST", "deeplinking", DeepLinkingMessage.parse, body=body)

    def launch_url(self, query: Mapping[str, str] | None = None, /, **parameters: str) -> str:
        """The URL of a launch of this account, for a content item's ``url``, such as
        ``launch_url(resource="123")``. The tool gets the query with every launch. This sends no
        request. Raises ``InvalidRequest`` if a value is not a string or a parameter is named
        ``ltik``."""
        return launch_url(self.credential.origin, {**(query or {}), **parameters})

    @PagedEndpoint
    def members(
        self,
        *,
        role: str | None = None,
        limit: int | None = None,
        resource_link_id: str | None = None,
    ) -> Pages[Member]:
        """The members of the course. Unreadable members (without ``userId``) are skipped, logged,
        and counted in ``skipped``.

        Args:
            role: return only members with this role, a full URI or a bare name such as
                ``"Learner"``.
            limit: the page size.
            resource_link_id: return only members who may open this activity.
        """
        filters = query(limit, role=role, resourceLinkId=resource_link_id)
        return Pages("memberships", filters, "members", Member.parse)


def _form(document: Any) -> str:
    form = mapping(document).get("form")
    if not isinstance(form, str):
        raise ValueError("the response has no form")
    return form
