"""Where an ASGI app is mounted, and which path is left below that.

Servers and frameworks disagree about both. By the specification ``path`` begins with ``root_path``;
Hypercorn and Daphne leave it out, and Daphne takes it from a header of the client's. Litestar cuts
it off wherever it finds it, Quart, a2wsgi and Django in the middle of a word. FastAPI and Django
replace it by one of their own, and serve each path with and without it.
"""

from __future__ import annotations

import importlib
from typing import Any

from ._path_styles import parts_of

__all__ = ["below", "is_ambiguous", "root_of"]


def below(path: str, root: str) -> str:
    """The path below the mount point ``root``, by whole segments; all of it if it is not there."""
    for start in (root, root.rstrip("/")):
        if start and path.startswith(start) and path[len(start) : len(start) + 1] in ("", "/"):
            return path[len(start) :]
    return path


def is_ambiguous(path: str, root: str) -> bool:
    """Whether a framework may see another path below the mount point than ``below`` does."""
    mount = root.rstrip("/")
    return mount != "" and mount in path and below(path, root) == path


def root_of(app: Any) -> str:
    """The mount point that the app has of its own: FastAPI's ``root_path``, and Django's
    ``FORCE_SCRIPT_NAME``; or ""."""
    for one in parts_of(app):
        kinds = {f"{kind.__module__}.{kind.__name__}" for kind in type(one).__mro__}
        if "fastapi.applications.FastAPI" in kinds:
            return str(one.root_path)
        if "django.core.handlers.asgi.ASGIHandler" in kinds:
            settings = importlib.import_module("django.conf").settings
            return settings.FORCE_SCRIPT_NAME or ""
    return ""
