"""Documents against lists of their fields."""

from __future__ import annotations

from datetime import datetime
from typing import Any

TEXT, NUMBER, FLAG = (str,), (int, float), (bool,)


class OneOf(frozenset[str]):
    """Text out of a list."""


class Moment:
    """A date and a time with an offset, as text."""


def check(document: Any, shape: Any, where: str, *, further: bool = False) -> None:
    """Hold a document to its shape: a key that ends in "!" is always there, a list holds the shape
    of its items, None is anything. ``further`` lets other keys be.
    """
    if shape is None:
        return
    if isinstance(shape, OneOf):
        assert document in shape, f"{where}: {document!r}"
    elif shape is Moment:
        assert isinstance(document, str), f"{where}: {document!r}"
        moment = datetime.fromisoformat(document.replace("Z", "+00:00"))
        assert moment.utcoffset() is not None, f"{where}: {document!r}"
    elif isinstance(shape, tuple):
        assert isinstance(document, shape), f"{where}: {document!r}"
        assert shape == FLAG or not isinstance(document, bool), f"{where}: {document!r}"
    elif isinstance(shape, list):
        assert isinstance(document, list), where
        for number, item in enumerate(document):
            check(item, shape[0], f"{where}[{number}]", further=further)
    else:
        assert isinstance(document, dict), where
        known = {name.rstrip("!"): part for name, part in shape.items()}
        undocumented = set(document) - set(known)
        assert further or not undocumented, f"{where}: {undocumented} is not documented"
        missing = {name[:-1] for name in shape if name.endswith("!")} - set(document)
        assert not missing, f"{where}: {missing} is missing"
        for name in known.keys() & document.keys():
            check(document[name], known[name], f"{where}.{name}", further=further)
