"""Lists that come in pages, and rows that cannot be read."""

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
    """The pages of one list, read one after the other.

    ``next`` requests the rows of the next page; it is None after the last page. ``skipped`` is how
    many rows could not be read, because ``parse`` raised ``ValueError``. ``query`` is only for the
    first page: with ``url``, LTIAAS ignores all other parameters (wire.md). ``key`` is the name of
    the list in a response.
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
    """The readable rows, and how many are unreadable. One member without an id must not make all
    others unavailable.

    Raises:
        ValueError: the response contains no list.
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
