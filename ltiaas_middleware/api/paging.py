"""Lists that come in pages, and what becomes of a row that cannot be read."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from .exchange import Call

__all__ = ["Page", "pages", "rows"]

T = TypeVar("T")

_log = logging.getLogger("ltiaas_middleware")


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Some of many.

    ``next`` asks for the page after this one; None where this is the last. ``left_out`` is how many
    rows of this page could not be read.
    """

    items: tuple[T, ...]
    next: Call[Page[T]] | None
    left_out: int = 0


@dataclass(frozen=True, slots=True)
class _SoFar:
    """What the pages before brought."""

    read: int = 0
    left_out: int = 0
    urls: frozenset[str] = frozenset()


def pages(
    path: str,
    query: tuple[tuple[str, str], ...],
    key: str,
    parse: Callable[[object], T],
    so_far: _SoFar = _SoFar(),
) -> Call[Page[T]]:
    """The first page of a list. ``Page.next`` leads on.

    Args:
        path: of the endpoint.
        query: of the first page alone: with ``url`` every other parameter is ignored (wire.md).
        key: where the list stands in the answer.
        parse: reads a row; ``ValueError`` where it cannot be read.
        so_far: what the pages before brought.
    """

    def read(document: Any) -> Page[T]:
        items, left_out = rows(path, document, key, parse)
        url = document.get("next") if isinstance(document, Mapping) else None
        seen = _SoFar(so_far.read + len(items), so_far.left_out + left_out, so_far.urls)
        if not isinstance(url, str) or not url:
            if seen.left_out and not seen.read:
                raise ValueError(f"none of the {key} could be read")
            return Page(items, None, left_out)
        if url in seen.urls:
            raise ValueError("the pages go round in a circle")
        seen = _SoFar(seen.read, seen.left_out, seen.urls | {url})
        # wire.md, "Paging": the LMS's URL goes through the same endpoint and stands alone.
        return Page(items, pages(path, (("url", url),), key, parse, seen), left_out)

    return Call("GET", path, read, query=query)


def rows(
    path: str, document: Any, key: str, parse: Callable[[object], T]
) -> tuple[tuple[T, ...], int]:
    """The rows of an answer that can be read, and how many cannot.

    An odd row is left out, so that one member without an id does not lose everybody else.

    Raises:
        ValueError: there is no list.
    """
    # Older samples have a bare array (wire.md, "The three authorization schemes").
    found = document.get(key) if isinstance(document, Mapping) else document
    if not isinstance(found, list):
        raise ValueError(f"the answer has no {key}")
    items = []
    why = ""
    for row in found:
        try:
            items.append(parse(row))
        except ValueError as error:
            why = str(error)
    left_out = len(found) - len(items)
    if left_out:
        _log.warning(
            "/api/%s: %d of %d %s left out (%s)", path.partition("/")[0], left_out, len(found), key,
            why,
        )  # fmt: skip
    return tuple(items), left_out
