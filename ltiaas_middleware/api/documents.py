"""Reads and writes LTIAAS's JSON documents, each of which is a dataclass.

A field's annotation says how to read and write its value. Its wire name is its name in camelCase
or, in older documents, its name itself; ``wire`` defines other names. A value that cannot be read
counts as missing.
"""

from __future__ import annotations

import functools
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from dataclasses import field as dataclass_field
from datetime import datetime
from typing import Any, TypeVar

from ..errors import InvalidRequest
from .values import (
    flag,
    frozen,
    json_object,
    mapping,
    moment,
    number,
    pixels,
    text,
    texts,
    wire_moment,
    wire_number,
)  # fmt: skip

D = TypeVar("D", bound="Document")

# No fields on the wire: what came, and what has no field.
_BESIDE = {"raw", "extra"}


def _object(value: object) -> Mapping[str, Any] | None:
    return frozen(mapping(value)) or None


_READERS: dict[Any, Callable[[object], Any]] = {
    tuple[str, ...]: texts, bool: flag, float: number, int: pixels, datetime: moment,
    Mapping[str, Any]: _object, Mapping[str, str]: _object,
}  # fmt: skip


def wire(*names: str, **options: Any) -> Any:
    """A dataclass field with other wire names. Reading tries all names until one works; writing
    uses the first. A dot refers to a field of a nested object (``"outcomes.available"``)."""
    return dataclass_field(metadata={"wire": names}, **options)


class Document:
    """A document that LTIAAS returns."""

    __slots__ = ()

    @classmethod
    def parse(cls: type[D], raw: object, defaults: Mapping[str, Any] | None = None) -> D:
        """Read decoded JSON. ``defaults`` has values, by wire name, for fields that are missing or
        cannot be read.

        Raises:
            ValueError: a required field is missing.
        """
        own = mapping(raw) if defaults else json_object(raw)
        found = read_fields(cls, own, defaults or {})
        if "raw" in cls.__dataclass_fields__:  # type: ignore[attr-defined]
            found["raw"] = own
        return cls(**found)


class Shared:
    """Keeps what is no JSON out of the dataclass's fields: whoever makes JSON of a token
    (``asdict``, Flask's ``jsonify``, FastAPI) goes by those. Nobody can change it: no copies."""

    __slots__ = ("_kept",)

    _kept: Any

    def __deepcopy__(self, memo: object) -> Any:
        return self


class Sendable(Document):
    """A document that the session sends to LTIAAS."""

    __slots__ = ()

    def body(self) -> dict[str, Any]:
        """The body to send.

        Raises:
            InvalidRequest: a value breaks a known rule.
        """
        kind: Any = type(self)
        values = {
            field.names[0]: _written(field, getattr(self, field.name)) for field in _plan(kind)
        }
        return write_fields(getattr(self, "extra", None), values)


@dataclass(frozen=True, slots=True, eq=False)
class _Field:
    name: str
    names: tuple[str, ...]
    kind: Any
    read: Callable[[object], Any]
    required: bool
    #: Whether the value is a document, and whether that document has required fields.
    nested: bool
    whole: bool


@functools.cache
def _plan(cls: Any, /) -> tuple[_Field, ...]:
    kinds = typing.get_type_hints(cls)
    found = []
    for field in fields(cls):
        if field.name in _BESIDE:
            continue
        kind = kinds[field.name]
        if isinstance(kind, types.UnionType):
            kind = typing.get_args(kind)[0]
        names = field.metadata.get("wire") or tuple({_camel(field.name): 1, field.name: 1})
        required = field.default is MISSING and field.default_factory is MISSING
        nested = is_dataclass(kind)
        whole = nested and any(inner.required for inner in _plan(kind))
        read = _READERS.get(kind, text)
        if typing.get_origin(kind) is tuple and kind not in _READERS:
            read = functools.partial(_rows, typing.get_args(kind)[0])
        found.append(_Field(field.name, names, kind, read, required, nested, whole))
    return tuple(found)


@functools.cache
def _index(
    cls: Any, /
) -> tuple[dict[str, tuple[str, Callable[[object], Any]]], dict[str, _Field], list[_Field]]:
    """By wire name, how to read the plain fields, and the nested ones, each field's best name last;
    and the required fields."""
    readers: dict[str, tuple[str, Callable[[object], Any]]] = {}
    nested: dict[str, _Field] = {}
    plan = _plan(cls)
    for field in plan:
        for name in reversed(field.names):
            outer, dot, inner = name.partition(".")
            assert outer not in readers, f"{cls.__name__} reads {outer} into two fields"
            if field.nested:
                nested[name] = field
            else:
                read = functools.partial(_inner, inner, field.read) if dot else field.read
                readers[outer] = field.name, read
    return readers, nested, [field for field in plan if field.required]


def _inner(name: str, read: Callable[[object], Any], value: object) -> Any:
    found = mapping(value).get(name)
    return None if found is None else read(found)


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(map(str.capitalize, rest))


def read_fields(cls: type, *documents: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of ``cls``, each from the first of ``documents`` that has a readable value.

    Raises:
        ValueError: a field without a default is in none of them.
    """
    readers, nested, required = _index(cls)
    found: dict[str, Any] = {}
    parts: dict[_Field, list[Mapping[str, Any]]] = {}
    # The best one last. Most of what a document may have, most documents lack.
    for document in reversed(documents):
        for name in filter(document.__contains__, readers):
            field, read = readers[name]
            raw = document[name]
            if raw is not None and (value := read(raw)) is not None:
                found[field] = value
        for name in filter(document.__contains__, nested):
            if part := mapping(document[name]):
                parts.setdefault(nested[name], []).insert(0, part)
    for inner, several in parts.items():
        value = _part(inner, several)
        if value is not None:
            found[inner.name] = value
    for inner in required:
        if inner.name not in found:
            raise ValueError(f"a {cls.__name__} has no {inner.names[0]}")
    return found


def _part(field: _Field, several: list[Mapping[str, Any]]) -> Any:
    if field.whole:
        # Its fields belong together: a key is nothing without its own method.
        return next(iter(_rows(field.kind, several)), None)
    return field.kind(**read_fields(field.kind, *several))


def _rows(cls: Any, value: object) -> tuple[Any, ...]:
    found = []
    for row in value if isinstance(value, (list, tuple)) else ():
        try:
            found.append(cls.parse(row))
        except ValueError:
            continue
    return tuple(found)


def unread(cls: type, document: Mapping[str, Any], found: Mapping[str, Any]) -> dict[str, Any]:
    """The data in none of the ``found`` fields: unknown keys, and known ones whose values cannot be
    read, so that an update sends back everything that it received."""
    rest = dict(document)
    for field in _plan(cls):
        for name in field.names:
            if field.name in found or rest.get(name) is None:
                rest.pop(name, None)
    return rest


def write_fields(extra: Mapping[str, Any] | None, values: Mapping[str, Any]) -> dict[str, Any]:
    """The ``values`` that are set, by wire name or field name, plus ``extra``. Raises
    ``InvalidRequest`` if ``extra`` has one of these names.

    Empty lists are not sent, because they would request nothing at all (wire.md, "Dynamic
    registration").
    """
    body: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Sendable):
            value = value.body()
        elif isinstance(value, (list, tuple)):
            value = [one.body() if isinstance(one, Sendable) else one for one in value] or None
        if value is not None:
            outer, dot, inner = _camel(name).partition(".")
            body = {**body, outer: {**body.get(outer, {}), inner: value} if dot else value}
    for name in extra or ():
        if name in body:
            raise InvalidRequest(f"extra cannot contain {name}: use the field of that name")
    return {**body, **(extra or {})}


def _written(field: _Field, value: Any) -> Any:
    if field.required and field.kind is str and not (isinstance(value, str) and value):
        raise InvalidRequest(f"{field.name} must be a string")
    if value is None and not field.required:
        return None
    if field.kind is datetime:
        return wire_moment(value, field.name)
    if field.kind in (float, int):
        return wire_number(value, field.name, positive=field.name == "score_maximum")
    return dict(value) if isinstance(value, Mapping) else value
