"""Django's ``request.path`` in a launch; see ``_path_styles``."""

from __future__ import annotations

import functools
import sys
from typing import Any

from .launch import current_launch

__all__ = ["show_django_its_paths"]

_REQUESTS = (
    ("django.core.handlers.asgi", "ASGIRequest"),
    ("django.core.handlers.wsgi", "WSGIRequest"),
)
_CHANGED: set[Any] = set()


def show_django_its_paths() -> None:
    """Make Django's ``request.path`` omit the launch prefix. ``reverse()`` uses the script name, so
    it keeps the prefix.

    This changes Django's own classes, so it does not depend on finding the handler in whatever
    wraps it. Requests without a launch stay as they are.
    """
    for module, name in _REQUESTS:
        kind: Any = getattr(sys.modules.get(module), name, None)
        if kind is not None and kind not in _CHANGED:
            _CHANGED.add(kind)
            kind.__init__ = _showing_its_path(kind.__init__)


def _showing_its_path(init: Any) -> Any:
    @functools.wraps(init)
    def changed(self: Any, source: Any, *arguments: Any) -> None:
        init(self, source, *arguments)
        # Adapters from ASGI to WSGI do not hand it over.
        launch = source.get("ltiaas.launch") or current_launch()
        if launch is not None:
            prefix = f"{launch._account.settings.launch_path}/{launch.id}"
            if f"{prefix}/" in f"{self.META['SCRIPT_NAME']}/":
                self.path = self.path.replace(prefix, "", 1)

    return changed
