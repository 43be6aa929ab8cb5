"""Where an ASGI app is mounted, and the path under the mount point.

Servers and frameworks disagree about both. According to the specification, ``path`` begins with
``root_path``. Hypercorn and Daphne omit it, and Daphne takes it from one of the client's headers.
Litestar strips it wherever it occurs; Quart, a2wsgi and Django strip it even in the middle of a
word. FastAPI and Django replace it with their own, and serve each path with and without it.
"""

from __future__ import annotations

import importlib
from typing import Any

from ._path_styles import parts_of


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
        kinds = {f"{kind.__module__}.{kind.__name__}" for kind in type(one).__mro__}
        if "fastapi.applications.FastAPI" in kinds:
            return str(one.root_path)
        if "django.core.handlers.asgi.ASGIHandler" in kinds:
            settings = importlib.import_module("django.conf").settings
            return settings.FORCE_SCRIPT_NAME or ""
    return ""
