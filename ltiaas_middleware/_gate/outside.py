"""Requests that a launch's page makes outside its launch: ``fetch("/api/x")``, a hard-coded link to
``/accounts/login/``.

The gate redirects them into the launch. The redirect authenticates nothing: the launch path does.
"""

from __future__ import annotations

import logging
from urllib.parse import urlsplit

from ..responses import Response
from .launch_path import LaunchPath
from .once import Once
from .request import Request

__all__ = ["OutsideRequests"]

_log = logging.getLogger("ltiaas_middleware")

# What the app answers as somebody: a page, a frame, data. Images and scripts are the same for all.
# A service worker would answer every later launch of the browser; browsers refuse a redirected one.
_ANSWERED_AS_SOMEBODY = (
    "document",
    "iframe",
    "frame",
    "embed",
    "object",
    "empty",
    "serviceworker",
)


class OutsideRequests:
    """Finds the launch that a request has left.

    Args:
        launch_path: where launches have their addresses.
    """

    def __init__(self, launch_path: LaunchPath) -> None:
        self._launch_path = launch_path
        self._once = Once()

    def into_launch(self, request: Request, *, required: bool) -> Response | None:
        """The redirect into the launch of the request's own page, or None.

        Args:
            request: one outside of any launch path.
            required: whether it would be refused without a launch.
        """
        launch_id = self._launch_of(request, required=required)
        if launch_id is None:
            return None
        location = self._launch_path.location(request, launch_id, request.query)
        # 307 keeps method and body.
        return Response(307, (("Location", location),))

    def _launch_of(self, request: Request, *, required: bool) -> str | None:
        if request.site != "same-origin":
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
        if launch_id is not None and self._once.first_like(request.path):
            _log.warning(
                "a page of a launch requested %.200r outside the launch; the middleware "
                "redirected it into the launch. Build this URL with the framework, or prepend "
                "launch.path. If the path never needs a launch, add it to the setting exclude. "
                "(Logged once per path pattern.)",
                request.path,
            )
        return launch_id
