"""What a launch and a service key may call (``wire.md``, "The three authorization schemes").

Each method describes a call, once for ``ApiSession`` and ``AsyncApiSession``, which have a method
of the same name that makes it (``endpoint``). ``account_endpoints`` has the account's own calls.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ..credentials import Credential
from ..errors import InvalidRequest
from .addresses import launch_url, segment
from .content_items import ContentItem, DeepLinkingMessage, deep_linking_body
from .endpoint import Endpoint, PagedEndpoint
from .exchange import Call
from .gradebook import LineItem, NewLineItem, Result, Score
from .id_token import DeepLinking, IdToken
from .paging import Page, pages
from .roster import Member
from .values import json_object, mapping, nothing, query

__all__ = ["Endpoints"]


class Endpoints:
    """The calls of a launch and of a service key."""

    credential: Credential

    # The launch itself

    @Endpoint
    def id_token(self) -> Call[IdToken]:
        """The claims of the launch, asked for afresh.

        Raises:
            ApiError: LTIAAS refused or failed; ``LaunchExpired`` where the launch is over.
        """
        return Call("GET", "idtoken", IdToken.parse)

    @Endpoint
    def raw_id_token(self) -> Call[Mapping[str, Any]]:
        """The LMS's own claims, as it signed them (``?raw=true``); for LTI 1.2, its form fields.

        Raises:
            ApiError: LTIAAS refused or failed.
        """
        return Call("GET", "idtoken", json_object, query=(("raw", "true"),))

    @Endpoint
    def deep_linking_settings(self) -> Call[DeepLinking]:
        """What the LMS takes from a deep-linking launch.

        In production the ID token says only that deep linking is available (wire.md, "The ID
        token"). The LMS's own claims say the rest, and are looked at first.

        Raises:
            ApiError: LTIAAS refused or failed.
        """

        def claims(document: Any) -> DeepLinking | Call[DeepLinking]:
            found = DeepLinking.from_claims(document)
            if found is not None:
                return found
            return Call("GET", "idtoken", lambda token: IdToken.parse(token).services.deep_linking)

        return Call("GET", "idtoken", claims, query=(("raw", "true"),))

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
        """An HTML form that submits itself and so hands content to the LMS: answer the browser with
        it.

        Args:
            items: what the teacher picked; none at all where the picking was given up.
            message: shown to the teacher by the LMS.
            log: for the LMS's log.
            error_message: shown instead where the picking failed.
            error_log: for the LMS's log, likewise.
            extra: further keys of the message, beside the items, under their wire names. LTIAAS
                signs them, too (``"https://canvas.instructure.com/lti/module_name"``).

        Raises:
            InvalidRequest: an item without a type, an ``ltiResourceLink`` whose ``url`` is not an
                address of LTIAAS (``launch_url`` makes one), or both a message and an error.
            ApiError: LTIAAS refused (``ServiceUnavailableForContext`` outside a deep-linking
                launch) or failed.
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
        message, to be posted to ``target`` as ``JWT``. Takes and raises the same."""
        body = deep_linking_body(
            self.credential.origin, items, message, log, error_message, error_log, extra
        )
        return Call("POST", "deeplinking", DeepLinkingMessage.parse, body=body)

    def launch_url(self, query: Mapping[str, str] | None = None, /, **parameters: str) -> str:
        """The address of a launch of this account, for a content item's ``url``. Nothing is sent.

        Args:
            query: comes back to the tool with every launch; not yet encoded.
            parameters: more of it: ``launch_url(resource="123")``.

        Raises:
            InvalidRequest: a value is no text, or is called ``ltik``.
        """
        return launch_url(self.credential.origin, {**(query or {}), **parameters})

    # Roster

    @PagedEndpoint
    def members(
        self,
        *,
        role: str | None = None,
        limit: int | None = None,
        resource_link_id: str | None = None,
    ) -> Call[Page[Member]]:
        """Who is in the course. A page is fetched when it is reached.

        A member who cannot be read (no ``userId``) is left out and logged; ``left_out`` counts.

        Args:
            role: only those with this role: a full URI, or a bare name such as ``"Learner"``.
            limit: how many the LMS should put on a page (from 1); not how many come in all.
            resource_link_id: only those who may open this activity.

        Raises:
            InvalidRequest: ``limit`` is no number from 1.
            ApiError: LTIAAS refused or failed, at any page.
        """
        asked = query(role=role, resourceLinkId=resource_link_id, limit=_limit(limit))
        return pages("memberships", asked, "members", Member.parse)

    # Line items

    @PagedEndpoint
    def line_items(
        self,
        *,
        resource_link_id: str | None = None,
        resource_id: str | None = None,
        tag: str | None = None,
        limit: int | None = None,
    ) -> Call[Page[LineItem]]:
        """The columns of the course's gradebook. A page is fetched when it is reached.

        Args:
            resource_link_id: only those of this activity, by the LMS's id. In a launch, LTIAAS may
                give the launch's own items whatever is asked (wire.md).
            resource_id: only those with this id of the tool's own.
            tag: only those with this tag.
            limit: how many the LMS should put on a page (from 1); not how many come in all.

        Raises:
            InvalidRequest: ``limit`` is no number from 1.
            ApiError: LTIAAS refused or failed, at any page.
        """
        asked = query(
            tag=tag, resourceId=resource_id, resourceLinkId=resource_link_id, limit=_limit(limit)
        )
        return pages("lineitems", asked, "lineItems", LineItem.parse)

    @Endpoint
    def line_item(self, id: str) -> Call[LineItem]:
        """One column, by its id (the LMS's URL, as it came: it is encoded here).

        Raises:
            ApiError: LTIAAS refused (404: there is none) or failed.
        """
        return Call("GET", _line_item(id), lambda row: LineItem.parse(row, {"id": id}))

    @Endpoint
    def create_line_item(self, item: NewLineItem) -> Call[LineItem]:
        """A new column. Sent once only: look before trying again.

        LTIAAS may answer with nothing but the new id; what was sent fills in the rest.

        Raises:
            InvalidRequest: no label, no maximum above 0, or a naive date.
            ApiError: LTIAAS refused or failed.
        """
        body = item.body()
        return Call("POST", "lineitems", lambda row: LineItem.parse(row, body), body=body)

    @Endpoint
    def update_line_item(self, item: LineItem) -> Call[LineItem]:
        """Replace what a column says of itself: use ``dataclasses.replace`` on one that was read.

        Raises:
            InvalidRequest: no label, no maximum above 0, or a naive date.
            ApiError: LTIAAS refused or failed.
        """
        body = item.body()
        known = {**body, "id": item.id}
        return Call("PUT", _line_item(item.id), lambda row: LineItem.parse(row, known), body=body)

    @Endpoint
    def delete_line_item(self, id: str) -> Call[None]:
        """Remove a column, with all its scores.

        Raises:
            ApiError: LTIAAS refused or failed.
        """
        return Call("DELETE", _line_item(id), nothing)

    # Scores

    @Endpoint
    def submit_score(self, line_item_id: str, score: Score) -> Call[None]:
        """Send a score. Sent once only: after an ``UpstreamError`` it may have arrived, and
        ``scores`` tells (``examples/nightly_grade_sync.py`` shows how).

        Raises:
            ApiError: LTIAAS or the LMS refused, or failed.
        """
        return Call("POST", f"{_line_item(line_item_id)}/scores", nothing, body=score.body())

    @PagedEndpoint
    def scores(
        self, line_item_id: str, *, user_id: str | None = None, limit: int | None = None
    ) -> Call[Page[Result]]:
        """What the LMS holds for each student. A page is fetched when it is reached.

        Args:
            line_item_id: the column.
            user_id: only this student's.
            limit: how many the LMS should put on a page (from 1); not how many come in all.

        Raises:
            InvalidRequest: ``limit`` is no number from 1.
            ApiError: LTIAAS refused or failed, at any page.
        """
        asked = query(userId=user_id, limit=_limit(limit))
        return pages(f"{_line_item(line_item_id)}/scores", asked, "scores", Result.parse)


def _limit(limit: int | None) -> str | None:
    if limit is None:
        return None
    if isinstance(limit, bool) or not isinstance(limit, int) or limit < 1:
        raise InvalidRequest("limit must be a whole number from 1")
    return str(limit)


def _line_item(id: str) -> str:
    return f"lineitems/{segment(id, 'the id of a line item')}"


def _form(document: Any) -> str:
    form = mapping(document).get("form")
    if not isinstance(form, str):
        raise ValueError("the answer has no form")
    return form
