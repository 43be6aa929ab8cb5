"""Stores service keys, with which a job can work for a course while nobody launches it."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..activity import ActivityKey as ActivityKey
    from .store import ServiceKeyStore as ServiceKeyStore
    from .stored import StoredServiceKey as StoredServiceKey

_FROM = {"ActivityKey": "..activity", "ServiceKeyStore": ".store", "StoredServiceKey": ".stored"}


def __getattr__(name: str) -> Any:
    # Only when asked for: these need packages of the extra [sql], and the middleware imports this
    # package without it.
    if name in _FROM:
        return getattr(import_module(_FROM[name], __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
