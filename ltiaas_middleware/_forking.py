"""Recreates objects in the child of a fork. The child does not have the parent's threads, these may
hold its locks, and the connections still belong to the parent. Two processes that read from one
connection would get each other's users."""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable
from typing import Any, TypeVar

_T = TypeVar("_T")

_owners: weakref.WeakKeyDictionary[Any, Callable[[Any], object]] = weakref.WeakKeyDictionary()


def in_child(owner: _T, renew: Callable[[_T], object]) -> None:
    """Call ``renew(owner)`` in each child of a fork, for as long as the owner exists.

    Args:
        owner: the object; this does not keep it alive.
        renew: must not itself reference the owner, as a bound method would.
    """
    _owners[owner] = renew


def _after_fork() -> None:
    for owner, renew in list(_owners.items()):
        renew(owner)


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_after_fork)
