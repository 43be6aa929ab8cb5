"""Reads values out of decoded JSON, tolerant of what LMSes vary, and writes them into it."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

from ..errors import InvalidRequest

__all__ = [
    "flag",
    "json_object",
    "mapping",
    "merged",
    "moment",
    "nothing",
    "number",
    "pixels",
    "query",
    "text",
    "texts",
    "true",
    "unknown",
    "wire_moment",
    "wire_number",
]

# ISO 8601 as LMSes send it. datetime.fromisoformat takes neither a "Z" nor any number of digits
# behind the seconds before Python 3.11.
_MOMENT = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d)(:\d\d)?(?:[.,](\d+))?\s*([Zz]|[+-]\d\d(?::?\d\d)?)?"
)


def mapping(value: object) -> Mapping[str, Any]:
    # JSON makes dicts, and asking for an abstract class takes ten times as long.
    return value if isinstance(value, (dict, Mapping)) else {}


def text(value: object) -> str | None:
    """Text, or a number as text (wire.md: "ids may come as numbers"); None for all else."""
    if isinstance(value, str):
        return value or None
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return str(value)
    return None


def texts(value: object) -> tuple[str, ...]:
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    if isinstance(value, (list, tuple)):
        return tuple(one for one in map(text, value) if one is not None)
    return ()


def true(value: object) -> bool:
    return flag(value) is True


def flag(value: object) -> bool | None:
    """A truth value, also one that came as text; None for all else."""
    if isinstance(value, bool):
        return value
    return {"true": True, "false": False}.get(value.lower()) if isinstance(value, str) else None


def pixels(value: object) -> int | None:
    read = number(value)
    return None if read is None else int(read)


def json_object(document: object) -> Mapping[str, Any]:
    """A JSON object, as it is.

    Raises:
        ValueError: it is none.
    """
    if not isinstance(document, Mapping):
        raise ValueError("the answer is no JSON object")
    return document


def nothing(document: object) -> None:
    """Reads an answer that says nothing."""


def moment(value: object) -> datetime | None:
    """An aware datetime from ISO 8601; one without an offset is read as UTC. None for all else."""
    found = _MOMENT.fullmatch(value.strip()) if isinstance(value, str) else None
    if found is None:
        return None
    day, minutes, seconds, fraction, offset = found.groups()
    digits = ((fraction or "") + "000000")[:6]
    if offset is None or offset in "Zz":
        offset = "+00:00"
    sign, hour, minute = offset[0], offset[1:3], offset[3:].lstrip(":") or "00"
    try:
        return datetime.fromisoformat(
            f"{day}T{minutes}{seconds or ':00'}.{digits}{sign}{hour}:{minute}"
        )
    except ValueError:
        return None


def number(value: object) -> float | None:
    """A finite number, also one that came as text; None for all else."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        read = float(value)
    except (ValueError, OverflowError):
        return None
    if not math.isfinite(read):
        return None
    return value if isinstance(value, int) else read


def unknown(raw: Mapping[str, Any], known: Mapping[str, object]) -> dict[str, Any]:
    """What of ``raw`` no field holds: keys that are not known, and known ones whose value could
    not be read, so that an update sends back what it was given."""
    return {
        name: value
        for name, value in raw.items()
        if name not in known or (known[name] is None and value is not None)
    }


def query(**values: str | None) -> tuple[tuple[str, str], ...]:
    """The parameters that are set."""
    return tuple((name, value) for name, value in values.items() if value is not None)


def merged(fields: Mapping[str, Any], extra: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that are set, and what goes along with them.

    Raises:
        InvalidRequest: ``extra`` has one of them.
    """
    body = {name: value for name, value in fields.items() if value is not None}
    for name in extra:
        if name in body:
            raise InvalidRequest(f"extra cannot hold {name}, which has a field of its own")
    return {**body, **extra}


def wire_moment(value: datetime, name: str) -> str:
    """ISO 8601 in UTC with milliseconds (AGS 2.0 section 3.4.7 asks for sub-second precision).

    Raises:
        InvalidRequest: the datetime is naive: whose clock it was read from is anybody's guess.
    """
    if not isinstance(value, datetime) or value.utcoffset() is None:
        raise InvalidRequest(f"{name} must be a datetime with a time zone")
    try:
        value = value.astimezone(timezone.utc)
    except OverflowError:
        raise InvalidRequest(f"{name} is beyond what a calendar holds") from None
    return value.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def wire_number(value: float, name: str, *, positive: bool) -> float:
    """``value``, if it is a finite number from 0 (``positive``: above 0).

    Raises:
        InvalidRequest: it is not.
    """
    if (
        isinstance(value, bool)
        or not isinstance(value, (int, float))
        or not math.isfinite(value)
        or value < 0
        or (positive and value == 0)
    ):
        raise InvalidRequest(f"{name} must be a number {'above' if positive else 'from'} 0")
    return value
