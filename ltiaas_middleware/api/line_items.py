"""Line items, the columns of a gradebook: LTI Assignment and Grade Services 2.0, in LTIAAS's
format."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from ..errors import InvalidResponse
from .addresses import segment
from .documents import Sendable, read_fields, unread
from .endpoint import Endpoint, PagedEndpoint
from .exchange import Call, Steps
from .paging import Pages
from .values import mapping, nothing, query, text


@dataclass(frozen=True, slots=True, kw_only=True)
class NewLineItem(Sendable):
    """A gradebook column to create.

    Attributes:
        label: the name that teachers see.
        score_maximum: the maximum in points, greater than 0.
        resource_link_id: the LMS's ID of the activity that the column belongs to.
        resource_id: the tool's own ID for the activity.
        tag: the tool's own name for the column.
        start_date_time: when students may begin (aware).
        end_date_time: when students must have submitted (aware).
        grades_released: whether students may see their grades.
        extra: keys that have no field here, under their wire names.
    """

    label: str
    score_maximum: float
    resource_link_id: str | None = None
    resource_id: str | None = None
    tag: str | None = None
    start_date_time: datetime | None = None
    end_date_time: datetime | None = None
    grades_released: bool | None = None
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class LineItem(NewLineItem):
    """A gradebook column. It has the attributes of ``NewLineItem``, and an ID.

    An update sends ``extra`` back, so ``replace(item, label=…)`` loses nothing.

    Attributes:
        id: the LMS's own URL for the column, which becomes part of the path of calls.
    """

    id: str

    @classmethod
    def parse(cls, raw: object, defaults: Mapping[str, Any] | None = None) -> LineItem:
        """Read a line item; see ``Document.parse``."""
        own, defaults = mapping(raw), defaults or {}
        # An LMS may name no label, and the column is one all the same.
        unnamed = {} if text(own.get("label")) or text(defaults.get("label")) else {"label": " "}
        found = read_fields(cls, own, defaults, unnamed)
        if unnamed:
            found["label"] = ""
        return cls(**found, extra=unread(cls, {**defaults, **own}, found))

    def body(self) -> dict[str, Any]:
        """The body to send. The id is in the path."""
        body = NewLineItem.body(self)
        del body["id"]
        return body


class LineItemEndpoints:
    """The calls for columns. Lists fetch each page when the loop reaches it. ``limit`` is the
    number of rows (at least 1) per page, not in total."""

    @PagedEndpoint
    def line_items(
        self,
        *,
        resource_link_id: str | None = None,
        resource_id: str | None = None,
        tag: str | None = None,
        limit: int | None = None,
    ) -> Pages[LineItem]:
        """The columns of the course's gradebook.

        Args:
            resource_link_id: return only columns of the activity with this LMS id. In a launch,
                LTIAAS may always return the launch's own columns, whatever you request (wire.md).
            resource_id: return only columns with this id, which the tool has chosen.
            tag: return only columns with this tag.
            limit: the page size.
        """
        return _columns(limit, tag=tag, resourceId=resource_id, resourceLinkId=resource_link_id)

    @Endpoint
    def line_item(self, id: str) -> Call[LineItem]:
        """One column, by its id (the LMS's URL, exactly as you received it; the session encodes
        it)."""
        return Call("GET", line_item_path(id), lambda row: LineItem.parse(row, {"id": id}))

    @Endpoint
    def create_line_item(self, item: NewLineItem) -> Steps[LineItem]:
        """Create a column. The session does not retry this call: check whether the column exists
        before you repeat it.

        LTIAAS may return only the new ID; the result then has the other values that you sent. If
        LTIAAS returns nothing, the session looks for the column among the activity's columns.

        Raises:
            InvalidResponse: LTIAAS created the column, but the session cannot find it. Not
                ``temporary``.
        """
        return (yield from _create(item))

    @Endpoint
    def column(
        self,
        *,
        tag: str,
        label: str,
        score_maximum: float,
        resource_link_id: str | None = None,
        resource_id: str | None = None,
    ) -> Steps[LineItem]:
        """Get the column with this tag, or create it. An existing column keeps the label and
        maximum that it has in the LMS. Two processes that call this at the same time may both
        create a column, because LMSes offer no way to prevent that.

        Args:
            tag: the tool's own name for the column.
            label: the name that teachers see. If several columns have the tag, this selects the one
                with this label.
            score_maximum: the maximum in points.
            resource_link_id: look only for a column of this activity.
            resource_id: look only for a column with this id, which the tool has chosen.
        """
        item = NewLineItem(
            tag=tag, label=label, score_maximum=score_maximum,
            resource_link_id=resource_link_id, resource_id=resource_id,
        )  # fmt: skip
        item.body()
        # Some LMSes ignore filters that they do not know.
        found = [one for one in (yield from _like(item)) if one.tag == tag]
        if not found:
            return (yield from _create(item))
        return next((one for one in found if one.label == label), found[0])

    @Endpoint
    def update_line_item(self, item: LineItem) -> Call[LineItem]:
        """Update a column. To change a column that you have fetched, use
        ``dataclasses.replace``."""
        body = item.body()
        sent = {**body, "id": item.id}
        return Call(
            "PUT", line_item_path(item.id), lambda row: LineItem.parse(row, sent), body=body
        )

    @Endpoint
    def delete_line_item(self, id: str) -> Call[None]:
        """Delete a column and all its scores."""
        return Call("DELETE", line_item_path(id), nothing)


def _create(item: NewLineItem) -> Steps[LineItem]:
    body = item.body()

    def created(document: Any) -> LineItem | None:
        # Nothing, or nothing with an id: it was created all the same.
        return LineItem.parse(document, body) if text(mapping(document).get("id")) else None

    made: LineItem | None = yield Call("POST", "lineitems", created, body=body)
    if made is not None:
        return made
    same = [one for one in (yield from _like(item)) if one.label == item.label]
    if len(same) != 1:
        raise InvalidResponse(
            "LTIAAS created the line item without returning its id; look for it with line_items() "
            "before you create it again", method="POST", path="/api/lineitems", temporary=False,
        )  # fmt: skip
    return same[0]


def _like(item: NewLineItem) -> Steps[list[LineItem]]:
    found: list[LineItem] = []
    columns = _columns(
        tag=item.tag, resourceId=item.resource_id, resourceLinkId=item.resource_link_id
    )
    while columns.next is not None:
        found += yield columns.next
    return found


def _columns(limit: int | None = None, **filters: str | None) -> Pages[LineItem]:
    return Pages("lineitems", query(limit, **filters), "lineItems", LineItem.parse)


def line_item_path(id: str) -> str:
    """The path of a line item."""
    return f"lineitems/{segment(id, 'the id of a line item')}"
