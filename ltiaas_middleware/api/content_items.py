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
    """The gradebook column that the LMS creates for a content item.

    Attributes:
        score_maximum: the maximum in points, greater than 0.
        label: the name that teachers see; by default, the item's title.
        resource_id: the tool's own ID for the activity.
        tag: the tool's own name for the column.
        grades_released: whether students may see their grades.
    """

    score_maximum: float
    label: str | None = None
    resource_id: str | None = None
    tag: str | None = None
    grades_released: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Period(Sendable):
    """A period of time.

    Attributes:
        start: when it starts (aware), or None.
        end: when it ends (aware), or None.
    """

    start: datetime | None = wire("startDateTime", default=None)
    end: datetime | None = wire("endDateTime", default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sized(Sendable):
    width: int | None = None
    height: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Image(_Sized):
    """An icon or a thumbnail.

    Attributes:
        url: the image's URL.
        width: the width in pixels.
        height: the height in pixels.
    """

    url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Window(_Sized):
    """The browser window that an item opens in.

    Attributes:
        target_name: the window's name, for items that share a window.
        window_features: the third argument of JavaScript's ``window.open``.
        width: the width in pixels.
        height: the height in pixels.
    """

    target_name: str | None = None
    window_features: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Iframe(_Sized):
    """The iframe that shows an item.

    Attributes:
        src: the URL, only for a ``"link"``.
        width: the width in pixels.
        height: the height in pixels.
    """

    src: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ContentItem(Sendable):
    """One item that a teacher picked.

    Attributes:
        type: ``"ltiResourceLink"`` (a launch of this tool, the default), ``"link"``, ``"html"``,
            ``"file"`` or ``"image"`` (LTI Deep Linking 2.0 section 3).
        url: the URL of a link. For a launch, it is an LTIAAS URL, whose query the tool gets with
            every launch; create it with ``launch.launch_url(resource="123")``.
        title: the title that the LMS shows.
        text: the description that the LMS shows.
        html: the HTML of an item of type ``"html"``.
        custom: the custom parameters of the item's launches.
        line_item: the column to create for the item.
        available: when students may open the item.
        submission: when students may submit. In Canvas, its end is the due date.
        expires_at: when a file's or image's URL expires (aware).
        icon: a small image for the item.
        thumbnail: a larger image for the item.
        window: the window to open the item in.
        iframe: the iframe to show the item in.
        extra: keys that have no field here, under their wire names.
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

    Attributes:
        message: a signed JWT.
        target: the LMS's URL to post it to.
        raw: LTIAAS's unchanged data.
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
