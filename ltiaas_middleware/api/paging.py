"""Lists that come in pages, and what becomes of a row that cannot be read."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar

from .exchange import Call

T = TypeVar("T")

_log = logging.getLogger("ltiaas_middleware")

# LMSes filter a page after they have cut it, so that some come out empty; but not for ever.
_MOST_EMPTY = 10
# Of ten rows, which is the least that LMSes put on a page by themselves: beyond any course.
_MOST_PAGES = 5_000


class Pages(Generic[T]):
    """The pages of one list, to be read one after the other.

    ``next`` asks for the next page's rows; it is None after the last. ``skipped`` is how many rows
    could not be read: ``parse`` raised ``ValueError``. ``query`` is the first page's alone: with
    ``url`` every other parameter is ignored (wire.md). ``key`` is where the list is in a response.
    """

    def __init__(
        self, path: str, query: tuple[tuple[str, str], ...], key: str, parse: Callable[[Any], T]
    ) -> None:
        self.next: Call[tuple[T, ...]] | None = Call("GET", path, self._read, query)
        self.skipped = 0
        self._path, self._key, self._parse = path, key, parse
        self._any = False
        self._empty = 0
        self._urls: set[str] = set()

    def _read(self, document: Any) -> tuple[T, ...]:
        items, skipped = rows(self._path, document, self._key, self._parse)
        self.skipped += skipped
        self._any = self._any or bool(items)
        self._empty = 0 if items else self._empty + 1
        url = document.get("next") if isinstance(document, Mapping) else None
        if not isinstance(url, str) or not url:
            if self.skipped and not self._any:
                raise ValueError(f"none of the {self._key} could be read")
            self.next = None
            return items
        if url in self._urls:
            raise ValueError("the page links form a loop")
        if self._empty >= _MOST_EMPTY or len(self._urls) >= _MOST_PAGES:
            raise ValueError(f"the pages of {self._key} do not end")
        self._urls.add(url)
        # wire.md, "Paging": the LMS's URL goes through the same endpoint, alone.
        self.next = Call("GET", self._path, self._read, (("url", url),))
        return items


def rows(
    path: str, document: Any, key: str, parse: Callable[[Any], T]
) -> tuple[tuple[T, ...], int]:
    """The rows that can be read, and how many cannot: one member without an id does not lose
    everybody else.

    Raises:
        ValueError: there is no list.
    """
    # Older samples have a bare array (wire.md, "The three authorization schemes").
    found = document.get(key) if isinstance(document, Mapping) else document
    if not isinstance(found, list):
        raise ValueError(f"the response has no {key}")
    items, why = [], ""
    for row in found:
        try:
            items.append(parse(row))
        except ValueError as error:
            why = str(error)
    skipped = len(found) - len(items)
    if skipped:
        endpoint = path.partition("/")[0]
        _log.warning("/api/%s: skipped %d of %d %s (%s)", endpoint, skipped, len(found), key, why)
    return tuple(items), skipped
