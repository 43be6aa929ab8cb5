"""Mappings that many requests share, and none can change."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn

__all__ = ["FrozenDict", "frozen"]


class FrozenDict(dict[str, Any]):
    """A ``dict`` that cannot be changed. It is one to ``json``, to templates and to ``==``;
    ``dict(it)`` is a copy that can be."""

    __slots__ = ()

    def _refuse(self, *args: object, **options: object) -> NoReturn:
        raise TypeError("the claims of a launch cannot be changed; dict(…) makes a copy")

    __setitem__ = __delitem__ = __ior__ = _refuse
    clear = pop = popitem = setdefault = update = _refuse

    def __copy__(self) -> FrozenDict:
        return self

    def __deepcopy__(self, memo: object) -> FrozenDict:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return FrozenDict, (dict(self),)


def frozen(value: Mapping[str, Any]) -> FrozenDict:
    """A copy that cannot be changed, nor what is in it; lists become tuples."""
    return FrozenDict((name, _frozen(item)) for name, item in value.items())


def _frozen(value: Any) -> Any:
    if isinstance(value, Mapping):
        return frozen(value)
    if isinstance(value, (list, tuple)):
        return tuple(map(_frozen, value))
    return value
