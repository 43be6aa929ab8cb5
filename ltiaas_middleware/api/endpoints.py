"""Every call that ``wire.md``'s table knows, described once for threads and for tasks.

Each function here says what to ask and how to read the answer; nothing is sent. ``ApiSession`` and
``AsyncApiSession`` carry them as methods of the same names. What comes in pages is followed by
``Page.next``: a page is fetched only when its first item is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from ..errors import InvalidRequest
from .content_items import ContentItem, DeepLinkingMessage
from .exchange import Call, segment
from .gradebook import LineItem, Result, Score
from .id_token import IdToken
from .registrations import PlatformRegistration, Registration
from .roster import Member
from .values import mapping, text

__all__ = ["Page"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Some of many. ``next`` asks for the page behind this one; None where this is the last."""

    items: tuple[T, ...]
    next: Call[Page[T]] | None


# The launch itself


def id_token() -> Call[IdToken]:
    """The claims of the launch, asked for afresh.

    Raises:
        ApiError: LTIAAS refused or failed; ``LaunchExpired`` where the launch is over.
    """
    return Call("GET", "idtoken", IdToken.parse)


def raw_id_token() -> Call[Mapping[str, Any]]:
    """The LMS's own claims, as it signed them (``?raw=true``); for LTI 1.2, its form fields.

    Raises:
        ApiError: LTIAAS refused or failed.
    """
    return Call("GET", "idtoken", _object, query=(("raw", "true"),))


def deep_linking_form(
    items: Iterable[ContentItem | Mapping[str, Any]],
    *,
    message: str | None = None,
    log: str | None = None,
    error_message: str | None = None,
    error_log: str | None = None,
) -> Call[str]:
    """An HTML form that submits itself and so hands content to the LMS: answer the browser with it.

    Args:
        items: what the teacher picked; none at all where the picking was given up.
        message: shown to the teacher by the LMS.
        log: for the LMS's log.
        error_message: shown instead where the picking failed.
        error_log: for the LMS's log, likewise.

    Raises:
        InvalidRequest: an item without a type, or both a message and an error.
        ApiError: LTIAAS refused (``ServiceUnavailableForContext`` outside a deep-linking launch) or
            failed.
    """
    body = _deep_linking(items, message, log, error_message, error_log)
    return Call("POST", "deeplinking/form", _form, body=body)


def deep_linking_message(
    items: Iterable[ContentItem | Mapping[str, Any]],
    *,
    message: str | None = None,
    log: str | None = None,
    error_message: str | None = None,
    error_log: str | None = None,
) -> Call[DeepLinkingMessage]:
    """The components of ``deep_linking_form``, for a page that builds the form itself: a signed
    message, to be posted to ``target`` as ``JWT``. Takes and raises the same."""
    body = _deep_linking(items, message, log, error_message, error_log)
    return Call("POST", "deeplinking", DeepLinkingMessage.parse, body=body)


# Roster


def members(
    *,
    role: str | None = None,
    limit: int | None = None,
    resource_link_id: str | None = None,
) -> Call[Page[Member]]:
    """Who is in the course, page by page as they are asked for.

    Args:
        role: only those with this role: a full URI, or a bare name such as ``"Learner"``.
        limit: how many the LMS should put on a page (from 1); not how many come in all.
        resource_link_id: only those who may open this activity.

    Raises:
        InvalidRequest: ``limit`` is no number from 1.
        ApiError: LTIAAS refused or failed, at any page.
    """
    query = _query(role=role, resourceLinkId=resource_link_id, limit=_limit(limit))
    return _pages("memberships", query, "members", Member.parse)


# Line items


def line_items(
    *,
    resource_link_id: str | None = None,
    resource_id: str | None = None,
    tag: str | None = None,
    limit: int | None = None,
) -> Call[Page[LineItem]]:
    """The columns of the course's gradebook, page by page as they are asked for.

    Args:
        resource_link_id: only those of this activity, by the LMS's id.
        resource_id: only those with this id of the tool's own.
        tag: only those with this tag.
        limit: how many the LMS should put on a page (from 1); not how many come in all.

    Raises:
        InvalidRequest: ``limit`` is no number from 1.
        ApiError: LTIAAS refused or failed, at any page.
    """
    query = _query(
        tag=tag, resourceId=resource_id, resourceLinkId=resource_link_id, limit=_limit(limit)
    )
    return _pages("lineitems", query, "lineItems", LineItem.parse)


def line_item(id: str) -> Call[LineItem]:
    """One column, by its id (the LMS's URL, as it came: it is encoded here).

    Raises:
        ApiError: LTIAAS refused (404: there is none) or failed.
    """
    return Call("GET", _line_item(id), LineItem.parse)


def create_line_item(item: LineItem) -> Call[LineItem]:
    """A new column; what is given back has its id. Sent once only: look before trying again.

    Raises:
        InvalidRequest: no label, no maximum above 0, or a naive date.
        ApiError: LTIAAS refused or failed.
    """
    return Call("POST", "lineitems", LineItem.parse, body=item.body())


def update_line_item(item: LineItem) -> Call[LineItem]:
    """Set what a column says of itself, whole: use ``dataclasses.replace`` on one that was read.

    Raises:
        InvalidRequest: no id, no label, no maximum above 0, or a naive date.
        ApiError: LTIAAS refused or failed.
    """
    if item.id is None:
        raise InvalidRequest("a line item without an id cannot be updated")
    return Call("PUT", _line_item(item.id), LineItem.parse, body=item.body())


def delete_line_item(id: str) -> Call[None]:
    """Remove a column, with all its scores.

    Raises:
        ApiError: LTIAAS refused or failed.
    """
    return Call("DELETE", _line_item(id), _nothing)


# Scores


def submit_score(line_item_id: str, score: Score) -> Call[None]:
    """Send a score. Sent once only: after an ``UpstreamError`` it may have arrived, and ``scores``
    tells (``examples/nightly_grade_sync.py`` shows how).

    Raises:
        ApiError: LTIAAS or the LMS refused, or failed.
    """
    return Call("POST", f"{_line_item(line_item_id)}/scores", _nothing, body=score.body())


def scores(
    line_item_id: str, *, user_id: str | None = None, limit: int | None = None
) -> Call[Page[Result]]:
    """What the LMS holds for each student, page by page as they are asked for.

    Args:
        line_item_id: the column.
        user_id: only this student's.
        limit: how many the LMS should put on a page (from 1); not how many come in all.

    Raises:
        InvalidRequest: ``limit`` is no number from 1.
        ApiError: LTIAAS refused or failed, at any page.
    """
    query = _query(userId=user_id, limit=_limit(limit))
    return _pages(f"{_line_item(line_item_id)}/scores", query, "scores", Result.parse)


# The account


def registration(id: str) -> Call[Registration]:
    """A dynamic registration that waits to be completed.

    Raises:
        ApiError: LTIAAS refused or failed.
    """
    return Call("GET", f"registrations/{segment(id)}", Registration.parse)


def raw_registration(id: str) -> Call[Mapping[str, Any]]:
    """The LMS's own openid-configuration of a dynamic registration (``?raw=true``).

    Raises:
        ApiError: LTIAAS refused or failed.
    """
    return Call("GET", f"registrations/{segment(id)}", _object, query=(("raw", "true"),))


def complete_registration(
    id: str, options: Mapping[str, Any] | None = None
) -> Call[Mapping[str, Any]]:
    """Complete a dynamic registration. ``options`` goes along as it is.

    Raises:
        ApiError: LTIAAS refused or failed.
    """
    return Call("POST", f"registrations/{segment(id)}/complete", mapping, body=dict(options or {}))


def platforms() -> Call[tuple[PlatformRegistration, ...]]:
    """Every LMS that is registered with the account.

    Raises:
        ApiError: LTIAAS refused or failed.
    """
    return Call("GET", "platforms", _platforms)


def platform(id: str) -> Call[PlatformRegistration]:
    """One registered LMS.

    Raises:
        ApiError: LTIAAS refused (404: there is none) or failed.
    """
    return Call("GET", _platform(id), PlatformRegistration.parse)


def create_platform(fields: Mapping[str, Any]) -> Call[PlatformRegistration]:
    """Register an LMS; ``fields`` under their wire names (``url``, ``name``, ``clientId``, …).

    Raises:
        ApiError: LTIAAS refused or failed.
    """
    return Call("POST", "platforms", PlatformRegistration.parse, body=dict(fields))


def update_platform(id: str, fields: Mapping[str, Any]) -> Call[PlatformRegistration]:
    """Change a registered LMS; ``fields`` under their wire names.

    Raises:
        ApiError: LTIAAS refused or failed.
    """
    return Call("PUT", _platform(id), PlatformRegistration.parse, body=dict(fields))


def delete_platform(id: str) -> Call[None]:
    """Remove an LMS: it cannot launch the tool any more.

    Raises:
        ApiError: LTIAAS refused or failed.
    """
    return Call("DELETE", _platform(id), _nothing)


def activate_platform(id: str) -> Call[None]:
    """Let an LMS launch the tool.

    Raises:
        ApiError: LTIAAS refused or failed.
    """
    return Call("POST", f"{_platform(id)}/activate", _nothing)


def deactivate_platform(id: str) -> Call[None]:
    """Let an LMS launch the tool no more; its registration stays.

    Raises:
        ApiError: LTIAAS refused or failed.
    """
    return Call("POST", f"{_platform(id)}/deactivate", _nothing)


# What they are made of


def _pages(
    path: str,
    query: tuple[tuple[str, str], ...],
    key: str,
    parse: Callable[[object], T],
    seen: frozenset[str] = frozenset(),
) -> Call[Page[T]]:
    def read(document: Any) -> Page[T]:
        rows = document.get(key) if isinstance(document, Mapping) else None
        if not isinstance(rows, list):
            raise ValueError(f"the answer has no {key}")
        items = tuple(parse(row) for row in rows)
        url = text(document.get("next"))
        if url is None:
            return Page(items, None)
        if url in seen:
            raise ValueError("the pages go round in a circle")
        # wire.md, "Paging": the LMS's URL goes through the same endpoint and stands by itself.
        return Page(items, _pages(path, (("url", url),), key, parse, seen | {url}))

    return Call("GET", path, read, query=query)


def _query(**values: str | None) -> tuple[tuple[str, str], ...]:
    return tuple((name, value) for name, value in values.items() if value is not None)


def _limit(limit: int | None) -> str | None:
    if limit is None:
        return None
    if isinstance(limit, bool) or not isinstance(limit, int) or limit < 1:
        raise InvalidRequest("limit must be a whole number from 1")
    return str(limit)


def _line_item(id: str) -> str:
    return f"lineitems/{segment(id, 'the id of a line item')}"


def _platform(id: str) -> str:
    return f"platforms/{segment(id, 'the id of a platform')}"


def _deep_linking(
    items: Iterable[ContentItem | Mapping[str, Any]],
    message: str | None,
    log: str | None,
    error_message: str | None,
    error_log: str | None,
) -> dict[str, Any]:
    if (message or log) and (error_message or error_log):
        raise InvalidRequest("a message and an error cannot go together")
    bodies = []
    for item in items:
        body = item.body() if isinstance(item, ContentItem) else dict(item)
        if not body.get("type"):
            raise InvalidRequest("a content item needs a type")
        bodies.append(body)
    options = _query(message=message, log=log, errMessage=error_message, errLog=error_log)
    return {"contentItems": bodies, "options": dict(options)}


def _form(document: Any) -> str:
    form = mapping(document).get("form")
    if not isinstance(form, str):
        raise ValueError("the answer has no form")
    return form


def _object(document: Any) -> Mapping[str, Any]:
    if not isinstance(document, Mapping):
        raise ValueError("the answer is no JSON object")
    return document


def _platforms(document: Any) -> tuple[PlatformRegistration, ...]:
    rows = document.get("platforms") if isinstance(document, Mapping) else document
    if not isinstance(rows, list):
        raise ValueError("the answer has no platforms")
    return tuple(map(PlatformRegistration.parse, rows))


def _nothing(document: Any) -> None:
    return None
