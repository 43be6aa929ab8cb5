"""Requests that a page in a launch sends outside its launch: ``fetch("/api/x")``, or a hard-coded
link to ``/accounts/login/``.

The gate redirects them into the launch. The redirect authenticates nothing: the target still
requires authentication.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from .._rare_log import RareLog, pattern_of
from ..responses import Response
from .launch_path import LaunchPath
from .request import Request

__all__ = ["OutsideRequests"]

# Responses that depend on the user: pages, frames, data. Images and scripts are the same for
# everyone. A service worker would answer the requests of every later launch in the browser, and
# browsers refuse one whose script is redirected.
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
    """Finds the launch that a request has left."""

    def __init__(self, launch_path: LaunchPath) -> None:
        self._launch_path = launch_path
        self._rare_log = RareLog()

    def into_launch(self, request: Request, *, required: bool) -> Response | None:
        """The redirect into the launch of the page that sent the request, or None.

        Args:
            request: a request outside any launch path.
            required: whether the middleware would refuse it without a launch.
        """
        launch_id = self._launch_of(request, required=required)
        if launch_id is None:
            return None
        location = self._launch_path.location(request, launch_id, request.query)
        # 307 keeps method and body.
        return Response(307, (("Location", location),))

    def _launch_of(self, request: Request, *, required: bool) -> str | None:
        if request.is_websocket:
            # It cannot be redirected, and browsers send no Referer that would name the launch.
            if required:
                self._notice(request)
            return None
        if request.site != "same-origin":
            return None
        if not required and request.get("HTTP_SEC_FETCH_DEST") not in _ANSWERED_AS_SOMEBODY:
            return None
        referer: str = request.get("HTTP_REFERER") or ""
        try:
            path = urlsplit(referer).path
        except ValueError:
            return None
        launch_id = self._launch_path.launch_id_in(path, request.mount)
        if launch_id is not None:
            self._rare_log.warning(
                pattern_of(request.path),
                "a page in a launch requested %.200r outside the launch; the middleware "
                "redirected it into the launch. Build this URL with the framework, or prepend "
                "launch.path. If the path never needs a launch, add it to the setting exclude. "
                "(Logged once an hour per path pattern.)",
                request.path,
            )
        return launch_id

    def _notice(self, request: Request) -> None:
        """Warn of a websocket of the tool's own page that is refused because it has no launch."""
        own = (request.get("HTTP_ORIGIN") or "").partition("://")[2]
        if own == request.get("HTTP_HOST"):
            self._rare_log.warning(
                f"ws:{pattern_of(request.path)}",
                "refused a websocket to %.200r: it needs a launch, and the tool's own page opened "
                "it outside any launch. The script ltiaas-launch.js keeps websockets inside: see "
                "the setting insert_script. Or prepend launch.path to this URL. (Logged once an "
                "hour per path pattern.)",
                request.path,
            )
