"""Pages of an LMS collection, with the links that `wire.md` ("Paging") describes.

Rows have permanent numbers, and a page starts after a number. So if rows are added or deleted
between two pages, no other row is repeated or lost.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl, urlencode

from .errors import invalid
from .lms_errors import refused

DEFAULT_LIMIT = 20
"""Rows on a page where the tool names no limit: few enough that a tool which never asks for the
next one shows it."""

MAXIMUM_LIMIT = 100


def page(
    rows: Sequence[tuple[int, Any]], url: str, filters: Mapping[str, str], cursor: Mapping[str, str]
) -> tuple[list[Any], dict[str, str]]:
    """The rows that `cursor` (`limit`, `after`) requests, and the links to the other pages.

    `url` is the collection's URL; links repeat `filters`, so that they are complete.
    """
    limit = min(positive(cursor.get("limit", str(DEFAULT_LIMIT)), "limit"), MAXIMUM_LIMIT)
    after = positive(cursor.get("after", "0"), "after", minimum=0)
    numbers = [number for number, _ in rows]
    start = sum(1 for number in numbers if number <= after)

    def link(index: int) -> str:
        query = {**filters, "limit": str(limit)}
        if index > 0:
            query["after"] = str(numbers[index - 1])
        return f"{url}{'&' if '?' in url else '?'}{urlencode(query)}"

    links: dict[str, str] = {}
    if len(rows) > limit:
        links = {"first": link(0), "last": link((len(rows) - 1) // limit * limit)}
        if start + limit < len(rows):
            links["next"] = link(start + limit)
        if start > 0:
            links["prev"] = link(max(0, start - limit))
    return [row for _, row in rows[start : start + limit]], links


def query_of(page_url: str, collection: str, product: str) -> dict[str, str]:
    """The query of a page's URL, if it is a page of `collection`. Otherwise, raises the refusal of
    the LMS `product`.

    `url` must be encoded once (`wire.md`, "Paging"). If it is encoded twice, it is not a URL.
    """
    base, _, query = page_url.partition("?")
    own_base, _, own_query = collection.partition("?")
    own = dict(parse_qsl(own_query))
    given = dict(parse_qsl(query, keep_blank_values=True))
    if base != own_base or any(given.pop(name, None) != value for name, value in own.items()):
        raise refused("no_such_page", product, url=page_url)
    return given


def positive(text: str, name: str, minimum: int = 1) -> int:
    """A positive integer from the query, or a 400."""
    if not text.isascii() or not text.isdigit() or int(text) < minimum:
        raise invalid(f"{name} is not a whole number from {minimum}.")
    return int(text)
