"""What a launch and a service key may ask: roster, line items and scores."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timezone

from werkzeug import Response

from .. import claims, errors, paging
from ..call import Call
from ..errors import ApiError, json_response
from ..gradebook import Gradebook, LineItem
from ..scores import read_line_item, read_score
from ..world import Course, same_role


class ServiceEndpoints:
    """The endpoints of a course. `withheld` says whether a course's LMS keeps names to itself."""

    def __init__(
        self,
        gradebook: Gradebook,
        clock: Callable[[], float],
        withheld: Callable[[Course], bool],
    ) -> None:
        self._gradebook = gradebook
        self._clock = clock
        self._withheld = withheld

    def memberships(self, call: Call) -> Response:
        """`GET /api/memberships`."""
        course = call.course
        if not course.platform.roster:
            raise errors.inactive("Names and roles")
        query = _page_query(call, course.roster_url)
        filters = _filters(query, "role", "resourceLinkId")
        link = filters.get("resourceLinkId")
        if link is not None and course.activity(link) is None:
            raise errors.not_found("There is no such resource link in this course.")
        withheld = self._withheld(course)
        rows = [
            (number, claims.member(user, withheld))
            for number, user in enumerate(course.members, 1)
            if "role" not in filters or any(same_role(filters["role"], role) for role in user.roles)
        ]
        members, links = paging.page(rows, course.roster_url, filters, query)
        context = {"id": course.id, "label": course.label, "title": course.title}
        return json_response(
            {"id": course.roster_url, "context": context, "members": members, **links}
        )

    def line_items(self, call: Call) -> Response:
        """`GET /api/lineitems`."""
        course = _graded(call)
        query = _page_query(call, course.line_items_url)
        filters = _filters(query, "resourceLinkId", "resourceId", "tag")
        rows = [
            (item.number, item.document())
            for item in self._gradebook.items(course)
            if all(item.body.get(name) == value for name, value in filters.items())
        ]
        items, links = paging.page(rows, course.line_items_url, filters, query)
        return json_response({"lineItems": items, **links})

    def create_line_item(self, call: Call) -> Response:
        """`POST /api/lineitems`."""
        course = _graded(call)
        item = self._gradebook.create(course, read_line_item(call.body, course))
        return json_response(item.document(), 201)

    def line_item(self, call: Call) -> Response:
        """`GET /api/lineitems/<id>`."""
        return json_response(self._item(call).document())

    def update_line_item(self, call: Call) -> Response:
        """`PUT /api/lineitems/<id>`."""
        item = self._item(call)
        self._gradebook.replace(item, read_line_item(call.body, item.course))
        return json_response(item.document(), 201)

    def delete_line_item(self, call: Call) -> Response:
        """`DELETE /api/lineitems/<id>`."""
        self._gradebook.delete(self._item(call))
        return Response(status=204)

    def scores(self, call: Call) -> Response:
        """`GET /api/lineitems/<id>/scores`."""
        item = self._item(call)
        base, _, own_query = item.id.partition("?")
        url = f"{base}/results?{own_query}"
        query = _page_query(call, url)
        filters = _filters(query, "userId")
        rows = [
            (number, result)
            for number, result in self._gradebook.results(item)
            if filters.get("userId") in (None, str(result["userId"]))
        ]
        scores, links = paging.page(rows, url, filters, query)
        return json_response({"scores": scores, **links})

    def submit_score(self, call: Call) -> Response:
        """`POST /api/lineitems/<id>/scores`."""
        item = self._item(call)
        body = call.body
        score = read_score(body)
        if item.course.member(score["userId"]) is None:
            raise ApiError(
                400,
                "EXTERNAL_SERVICE_ERROR",
                "The LMS has no such user in this course.",
                bodyReceived=body,
                externalError=True,
                externalUrl=item.id,
            )
        now = datetime.fromtimestamp(self._clock(), timezone.utc)
        score.setdefault("timestamp", now.isoformat(timespec="milliseconds"))
        self._gradebook.submit(item, score["userId"], score)
        return Response(status=204)

    def _item(self, call: Call) -> LineItem:
        item = self._gradebook.item(_graded(call), call.path_id)
        if item is None:
            raise errors.not_found("There is no such line item.")
        return item


def _graded(call: Call) -> Course:
    course = call.course
    if not course.platform.grades:
        raise errors.inactive("Assignment and grades")
    if not course.grades:
        raise errors.unavailable("Assignment and grades")
    return course


def _filters(query: dict[str, str], *names: str) -> dict[str, str]:
    return {name: query[name] for name in names if name in query}


def _page_query(call: Call, collection: str) -> dict[str, str]:
    """The page asked for: with `url`, every other parameter is ignored."""
    if "url" in call.query:
        return paging.query_of(call.query["url"], collection)
    return {name: value for name, value in call.query.items() if name != "after"}
