"""Reads values from decoded JSON, with tolerance for differences between LMSes, and writes them."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping
from datetime import datetime, timezone
from decimal import Decimal
from numbers import Integral, Real
from typing import Any, NoReturn

from ..errors import InvalidRequest


class FrozenDict(dict[str, Any]):
    """An immutable ``dict``, because many requests share it. For ``json``, templates and ``==``, it
    is a normal dict; ``dict(it)`` is a mutable copy."""

    __slots__ = ()

    def _refuse(self, *args: object, **options: object) -> NoReturn:
        raise TypeError("the claims of a launch are read-only; copy them with dict(…)")

    __setitem__ = __delitem__ = __ior__ = _refuse
    clear = pop = popitem = setdefault = update = _refuse

    def __copy__(self) -> FrozenDict:
        return self

    def __deepcopy__(self, memo: object) -> FrozenDict:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return FrozenDict, (dict(self),)


def frozen(value: Any) -> Any:
    """A deeply immutable copy of decoded JSON; lists become tuples."""
    if isinstance(value, str):
        # Most values are strings, and asking for an abstract class takes ten times as long.
        return value
    if isinstance(value, Mapping):
        return FrozenDict({name: frozen(item) for name, item in value.items()})
    return tuple(map(frozen, value)) if isinstance(value, (list, tuple)) else value


def mapping(value: object) -> Mapping[str, Any]:
    # JSON makes dicts, and asking for an abstract class takes ten times as long.
    return value if isinstance(value, (dict, Mapping)) else {}


def text(value: object) -> str | None:
    """A string, or a number as a string (wire.md: "ids may come as numbers"); None for anything
    else."""
    if isinstance(value, str):
        return value or None
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return str(value)
    return None


def texts(value: object) -> tuple[str, ...]:
    if isinstance(value, str):
        value = [part.strip() for part in value.split(",")]
    return tuple(filter(None, map(text, value))) if isinstance(value, (list, tuple)) else ()


def flag(value: object) -> bool | None:
    """A bool, also from a string; None for anything else."""
    if isinstance(value, bool):
        return value
    return {"true": True, "false": False}.get(value.lower()) if isinstance(value, str) else None


def number(value: object) -> float | None:
    """A finite number, also from a string; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        read = float(value)
    except (ValueError, OverflowError):
        return None
    if not math.isfinite(read):
        return None
    return value if isinstance(value, int) else read


def pixels(value: object) -> int | None:
    read = number(value)
    return None if read is None else int(read)


def moment(value: object) -> datetime | None:
    """An aware datetime from ISO 8601, in UTC if it has no offset; None for anything else."""
    found = value.strip().upper() if isinstance(value, str) else ""
    # A date alone is no moment.
    with contextlib.suppress(ValueError):
        if len(found) > len("2026-03-01"):
            read = datetime.fromisoformat(found)
            return read if read.tzinfo else read.replace(tzinfo=timezone.utc)
    return None


def json_object(document: object) -> Mapping[str, Any]:
    """A JSON object, unchanged; ``ValueError`` for anything else."""
    if not isinstance(document, Mapping):
        raise ValueError("the response is not a JSON object")
    return document


def nothing(document: object) -> None:
    """Reads a response without content."""


def query(limit: int | None = None, **values: str | None) -> tuple[tuple[str, str], ...]:
    """The parameters that are set. Raises ``InvalidRequest`` unless ``limit``, the page size, is an
    integer of at least 1."""
    if limit is not None:
        if isinstance(limit, bool) or not isinstance(limit, int) or limit < 1:
            raise InvalidRequest("limit must be a whole number of at least 1")
        values["limit"] = str(limit)
    return tuple((name, value) for name, value in values.items() if value is not None)


def wire_moment(value: datetime, name: str) -> str:
    """ISO 8601 in UTC with milliseconds (AGS 2.0 section 3.4.7 requires sub-second precision).
    Raises ``InvalidRequest`` if it is naive, because its time zone is unknown."""
    if not isinstance(value, datetime) or value.utcoffset() is None:
        raise InvalidRequest(f"{name} must be a datetime with a time zone")
    try:
        value = value.astimezone(timezone.utc)
    except OverflowError:
        raise InvalidRequest(f"{name} is out of range") from None
    return value.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def wire_number(value: object, name: str, *, positive: bool) -> float:
    """A number for JSON, from any numeric type (``Decimal``, ``Fraction``, numpy's). Raises
    ``InvalidRequest`` unless it is finite and at least 0 (with ``positive``, greater than 0)."""
    number = math.nan
    if isinstance(value, (Real, Decimal)) and not isinstance(value, bool):
        with contextlib.suppress(ValueError, OverflowError):
            number = int(value) if isinstance(value, Integral) else float(value)
    if not math.isfinite(number) or number < 0 or (positive and number == 0):
        raise InvalidRequest(f"{name} must be a number {'above' if positive else 'from'} 0")
    return number
