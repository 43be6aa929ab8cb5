"""What has to be made anew in the child of a fork: there the parent's threads are missing, its
locks may be held by them, and its connections are still the parent's. Two processes that read from
one connection would get each other's users."""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable
from typing import Any, TypeVar

__all__ = ["in_child"]

_T = TypeVar("_T")

_owners: weakref.WeakKeyDictionary[Any, Callable[[Any], object]] = weakref.WeakKeyDictionary()


def in_child(owner: _T, renew: Callable[[_T], object]) -> None:
    """Call ``renew(owner)`` in each child of a fork, for as long as the owner exists.

    Args:
        owner: is not kept alive by this.
        renew: must not refer to the owner by itself, as a bound method does.
    """
    _owners[owner] = renew


def _after_fork() -> None:
    for owner, renew in list(_owners.items()):
        renew(owner)


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_after_fork)
