"""The content that a deep-linking launch returns to the LMS: LTI Deep Linking 2.0, in LTIAAS's
format."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from ..errors import InvalidRequest
from ..origins import origin_of
from .documents import Document, Sendable, wire, write_fields
from .values import query


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemColumn(Sendable):
    """The gradebook column that the LMS creates for a content item. ``resource_id`` and ``tag`` are
    the tool's own names for it."""

    score_maximum: float
    label: str | None = None
    resource_id: str | None = None
    tag: str | None = None
    grades_released: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Period(Sendable):
    """A period of time (aware datetimes)."""

    start: datetime | None = wire("startDateTime", default=None)
    end: datetime | None = wire("endDateTime", default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sized(Sendable):
    width: int | None = None
    height: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Image(_Sized):
    """An icon or a thumbnail; ``width`` and ``height`` are pixels."""

    url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Window(_Sized):
    """The browser window that an item opens in; ``width`` and ``height`` are pixels."""

    target_name: str | None = None
    window_features: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Iframe(_Sized):
    """The iframe that shows an item; ``width`` and ``height`` are pixels. ``src`` is only for a
    ``"link"``."""

    src: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ContentItem(Sendable):
    """One item that a teacher picked.

    ``type`` is ``"ltiResourceLink"`` (a launch of this tool, the default), ``"link"``, ``"html"``,
    ``"file"`` or ``"image"`` (LTI Deep Linking 2.0 section 3). ``url`` is the URL of a link. For a
    launch, it is an LTIAAS URL, whose query the tool gets with every launch; create it with
    ``launch.launch_url(resource="123")``. ``custom`` has the custom parameters of the launches.
    ``line_item`` creates a column for the item. ``available`` is when students may open it, and
    ``submission`` when they may submit (its end is Canvas's due date). ``extra`` has the keys that
    have no field here, under their wire names.
    """

    type: str = "ltiResourceLink"
    url: str | None = None
    title: str | None = None
    text: str | None = None
    html: str | None = None
    custom: Mapping[str, str] | None = None
    line_item: ItemColumn | None = None
    available: Period | None = None
    submission: Period | None = None
    expires_at: datetime | None = None
    icon: Image | None = None
    thumbnail: Image | None = None
    window: Window | None = None
    iframe: Iframe | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DeepLinkingMessage(Document):
    """The message that a tool posts to the LMS as the field ``JWT`` if it builds the form itself.

    ``message`` is a signed JWT, and ``target`` the LMS's URL. ``raw`` is LTIAAS's unchanged data.
    """

    message: str = field(repr=False)
    target: str
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


def deep_linking_body(
    origin: str,
    items: Iterable[ContentItem | Mapping[str, Any]],
    message: str | None,
    log: str | None,
    error_message: str | None,
    error_log: str | None,
    extra: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """The body of both deep-linking calls; see ``Endpoints.deep_linking_form``."""
    if (message or log) and (error_message or error_log):
        raise InvalidRequest("pass either a message or an error, not both")
    options = query(message=message, log=log, errMessage=error_message, errLog=error_log)
    if "contentItems" in (extra or {}):
        raise InvalidRequest("extra cannot contain contentItems: pass the items as items")
    bodies = [_item_body(item, origin) for item in items]
    # An empty list of items is sent: the picking was given up.
    return {"contentItems": bodies, **write_fields(extra, {"options": dict(options)})}


def _item_body(item: ContentItem | Mapping[str, Any], origin: str) -> dict[str, Any]:
    body = item.body() if isinstance(item, ContentItem) else dict(item)
    if not body.get("type"):
        raise InvalidRequest("a content item needs a type")
    url = body.get("url")
    # wire.md, "The three authorization schemes": at any other URL the LMS's launch never reaches
    # LTIAAS.
    if body["type"] == "ltiResourceLink" and url is not None and origin_of(str(url)) != origin:
        raise InvalidRequest(
            f"the url of an ltiResourceLink must be an LTIAAS URL, {origin}/lti/launch?… (create "
            "it with launch_url), not the tool's own URL: LTIAAS receives the LMS's launch and "
            "redirects the browser to the tool"
        )
    return body
