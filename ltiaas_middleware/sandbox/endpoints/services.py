"""Endpoints for launches and service keys: roster, line items and scores."""

from __future__ import annotations

from datetime import datetime, timezone

from werkzeug import Response

from .. import claims, errors, paging
from ..bodies import moment, read_line_item, read_score
from ..call import Call
from ..errors import json_response
from ..gradebook import LineItem
from ..lms_errors import refused
from ..roles import full_role
from ..world import Course


def memberships(call: Call) -> Response:
    course = call.course
    if not claims.offers_roster(course):
        raise errors.inactive("Names and roles")
    query = _page_query(call, course, course.roster_url)
    filters = _filters(query, "role", "resourceLinkId")
    link = filters.get("resourceLinkId")
    if link is not None and course.activity(link) is None:
        raise errors.not_found("There is no such resource link in this course.")
    withheld = call.sandbox.platforms.withholds(course.platform)
    role = full_role(filters.get("role", ""))
    rows = [
        (number, claims.member(user.without_name() if withheld else user))
        for number, user in enumerate(course.members, 1)
        if "role" not in filters or role in map(full_role, user.roles)
    ]
    members, links = paging.page(rows, course.roster_url, filters, query)
    context = {"id": course.id, "label": course.label, "title": course.title}
    return json_response({"id": course.roster_url, "context": context, "members": members, **links})


def line_items(call: Call) -> Response:
    course = _graded(call)
    query = _page_query(call, course, course.line_items_url)
    filters = _filters(query, "resourceLinkId", "resourceId", "tag")
    items = call.sandbox.gradebook.items(course, **filters)
    rows = [(item.number, item.document()) for item in items]
    shown, links = paging.page(rows, course.line_items_url, filters, query)
    return json_response({"lineItems": shown, **links})


def create_line_item(call: Call) -> Response:
    course = _graded(call)
    item = call.sandbox.gradebook.create(course, read_line_item(call.body, course))
    return json_response(item.document(), 201)


def line_item(call: Call) -> Response:
    return json_response(_item(call).document())


def update_line_item(call: Call) -> Response:
    item = _item(call)
    item.body = read_line_item(call.body, item.course)
    return json_response(item.document(), 201)


def delete_line_item(call: Call) -> Response:
    call.sandbox.gradebook.delete(_item(call))
    return Response(status=204)


def scores(call: Call) -> Response:
    item = _item(call)
    base, _, own_query = item.id.partition("?")
    url = f"{base}/results?{own_query}"
    query = _page_query(call, item.course, url)
    filters = _filters(query, "userId")
    rows = [
        (number, result)
        for number, result in call.sandbox.gradebook.results(item)
        if filters.get("userId") in (None, str(result["userId"]))
    ]
    scores, links = paging.page(rows, url, filters, query)
    return json_response({"scores": scores, **links})


def submit_score(call: Call) -> Response:
    item = _item(call)
    score = read_score(call.body)
    now = datetime.fromtimestamp(call.sandbox.clock(), timezone.utc)
    score.setdefault("timestamp", now.isoformat(timespec="milliseconds"))
    call.sandbox.gradebook.submit(item, score, moment(score["timestamp"]) or now)
    return Response(status=204)


def _item(call: Call) -> LineItem:
    course = _graded(call)
    item = call.sandbox.gradebook.find(call.path_id)
    if item is None or item.course is not course:
        raise refused("column_gone", course.platform.product, url=call.path_id)
    return item


def _graded(call: Call) -> Course:
    course = call.course
    if course.platform.legacy or not course.platform.grades:
        raise errors.inactive("Assignment and grades")
    if not course.grades:
        raise errors.unavailable("Assignment and grades")
    if course.concluded:
        raise refused("course_concluded", course.platform.product, url=course.line_items_url)
    return course


def _filters(query: dict[str, str], *names: str) -> dict[str, str]:
    return {name: query[name] for name in names if name in query}


def _page_query(call: Call, course: Course, collection: str) -> dict[str, str]:
    """The page asked for: with `url`, every other parameter is ignored."""
    if "url" in call.query:
        return paging.query_of(call.query["url"], collection, course.platform.product)
    return {name: value for name, value in call.query.items() if name != "after"}
