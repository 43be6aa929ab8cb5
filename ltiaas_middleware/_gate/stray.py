"""Requests of a launch's page that have lost the launch's path on the way: ``fetch("/api/x")``, a
hard-coded redirect to ``/accounts/login/``.

They are led back. That proves nothing: the proof is asked for where it leads.
"""

from __future__ import annotations

import logging
from urllib.parse import urlsplit

from .launch_path import LaunchPath
from .once import Once
from .request import Request

__all__ = ["Strays"]

_log = logging.getLogger("ltiaas_middleware")

# What the app answers as somebody: a page, a frame, data. Images and scripts are the same for all.
_ANSWERED_AS_SOMEBODY = ("document", "iframe", "frame", "empty")


class Strays:
    """Finds the launch that a request has left.

    Args:
        launch_path: where launches have their addresses.
    """

    def __init__(self, launch_path: LaunchPath) -> None:
        self._launch_path = launch_path
        self._once = Once()

    def launch_of(self, request: Request, *, required: bool) -> str | None:
        """The launch whose page made the request, where it is to be led back; else None.

        Args:
            request: one outside of any launch path.
            required: whether it would be refused without a launch.
        """
        if request.get("HTTP_SEC_FETCH_SITE") != "same-origin":
            return None
        # A websocket cannot be redirected.
        if request.is_websocket:
            return None
        if not required and request.get("HTTP_SEC_FETCH_DEST") not in _ANSWERED_AS_SOMEBODY:
            return None
        referer: str = request.get("HTTP_REFERER") or ""
        try:
            path = urlsplit(referer).path
        except ValueError:
            return None
        launch_id = self._launch_path.launch_id_in(path, request.mount)
        if launch_id is not None and self._once.first(request.path):
            _log.warning(
                "a page of a launch asked for %.200r outside of its launch, and was led back. "
                "Build this address with the framework's own URL building, or put launch.path "
                "before it; if it is never part of a launch, name it in the setting 'outside'. "
                "(Told once for each path.)",
                request.path,
            )
        return launch_id
