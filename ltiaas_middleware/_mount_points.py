"""Where an ASGI app is mounted, and the path under the mount point.

Servers and frameworks disagree about both. According to the specification, ``path`` begins with
``root_path``. Hypercorn and Daphne omit it, and Daphne takes it from one of the client's headers.
Litestar strips it wherever it occurs; Quart, a2wsgi and Django strip it even in the middle of a
word. FastAPI and Django replace it with their own, and serve each path with and without it.
"""

from __future__ import annotations

import importlib
import types
from collections.abc import Iterator
from typing import Any

from ._path_styles import attributes_of, kinds_of, parts_of, wrapped_by

_DJANGO = ("django.core.handlers.asgi", "ASGIHandler")
_FASTAPI = ("fastapi.applications", "FastAPI")
# FastAPI's is a Starlette, too.
_APPS = {("starlette.applications", "Starlette"), _DJANGO}


def below(path: str, root: str) -> str:
    """The path under the mount point ``root``, by whole segments, or the whole path if it is not
    under ``root``."""
    for start in (root, root.rstrip("/")):
        if start and path.startswith(start) and path[len(start) : len(start) + 1] in ("", "/"):
            return path[len(start) :]
    return path


def is_ambiguous(path: str, root: str) -> bool:
    """Whether a framework may see a different path under the mount point than ``below``."""
    mount = root.rstrip("/")
    return mount != "" and mount in path and below(path, root) == path


def root_of(app: Any) -> str:
    """The app's own mount point: FastAPI's ``root_path``, Django's ``FORCE_SCRIPT_NAME``, or ""."""
    for one in parts_of(app):
        root = _own_root(one)
        if root is not None:
            return root
    # If the apps disagree, something outside them chooses one by the whole path.
    found = parts_of(app, _anything_in)
    roots = {_own_root(one) or "" for one in found if not _APPS.isdisjoint(kinds_of(one))}
    return roots.pop() if len(roots) == 1 else ""


def _own_root(one: Any) -> str | None:
    kinds = kinds_of(one)
    if _FASTAPI in kinds:
        return str(one.root_path)
    if _DJANGO in kinds:
        return importlib.import_module("django.conf").settings.FORCE_SCRIPT_NAME or ""
    return None


def _anything_in(one: Any) -> Iterator[Any]:
    """What an app may wrap under any name: attributes, slots, global variables of its function.
    Frameworks' apps wrap nothing here: what they mount is not the whole app."""
    if not _APPS.isdisjoint(kinds_of(one)):
        return
    yield from wrapped_by(one)
    held = [*attributes_of(one).values()]
    function = getattr(type(one), "__call__", None)  # noqa: B004
    if isinstance(one, types.FunctionType | types.MethodType):
        function = getattr(one, "__func__", one)
    # An ASGI app's three arguments, and a method's ``self``.
    if isinstance(function, types.FunctionType) and function.__code__.co_argcount in (3, 4):
        held += map(function.__globals__.get, function.__code__.co_names)
    yield from (each for each in held if callable(each) and not isinstance(each, type))
