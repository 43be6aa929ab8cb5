"""Signing in with OAuth: a provider accepts only one fixed redirect URL, which cannot identify a
launch.

So the launch id travels in ``state``, which every provider returns unchanged (RFC 6749 section
4.1.2). The middleware encrypts it, so that the provider's pages and logs do not show a launch path,
which alone opens a launch that is not cookie-bound. Anyone who sends the ``state`` to the callback
gets that path, however, so it is worth as much. When the provider redirects back, the middleware
restores the app's own ``state``. The ``state`` authenticates nothing: the redirect goes to the
launch path, which requires authentication as always.
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from functools import cached_property
from typing import TYPE_CHECKING
from urllib.parse import unquote, unquote_plus

from .._crypto.keys import LAUNCH_ID_LENGTH
from ..responses import Response
from ..settings import Settings
from .launch_path import LaunchPath
from .paths import Paths
from .redirects import start_of_path
from .request import Request

if TYPE_CHECKING:
    from .._crypto.encryption import Encryptor

__all__ = ["Callbacks"]

_STATE = re.compile(r"(?<![^&])state=([^&]*)")
_REDIRECT_URI = re.compile(r"(?<![^&])redirect_uri=([^&]*)")


class Callbacks:
    """Carries launches to a provider and back.

    Attributes:
        paths: the callbacks, decoded, under the mount point.
    """

    def __init__(self, settings: Settings, launch_path: LaunchPath, excluded: Paths) -> None:
        callbacks = settings.callbacks if settings.launch_path else ()
        self.paths = frozenset(path for path in callbacks if not excluded.any(path))
        self._secrets = settings.signing_secrets
        self._launch_path = launch_path

    @cached_property
    def _encryptor(self) -> Encryptor:
        # Imported here, because cryptography is slow to import and most tools have no callbacks.
        from .._crypto.encryption import Encryptor

        return Encryptor(self._secrets, "oauth-state")

    def outward(self, location: str, launch_id: str, mount: str, host: str) -> str | None:
        """A ``Location`` header with an encrypted ``state``. None unless it points to another
        origin that will redirect to one of the callbacks.

        Args:
            location: as sent by the app.
            launch_id: the launch from which the app redirects.
            mount: the mount point, percent-encoded, without a trailing slash.
            host: the request's ``Host``.
        """
        is_absolute = location[:8].lower().startswith(("https://", "http://"))
        if not self.paths or not is_absolute or start_of_path(location, host) is not None:
            return None
        address, mark, fragment = location.partition("#")
        address, _, query = address.partition("?")
        states, redirect_uris = _STATE.findall(query), _REDIRECT_URI.findall(query)
        if not len(states) == len(redirect_uris) == 1:
            return None
        if not self._is_callback(unquote_plus(redirect_uris[0]), mount, host):
            return None
        ciphertext = self._encryptor.encrypt(f"{launch_id}{states[0]}".encode(), b"")
        ours = urlsafe_b64encode(ciphertext).decode().rstrip("=")
        return f"{address}?{_STATE.sub(f'state={ours}', query)}{mark}{fragment}"

    def into_launch(self, request: Request) -> Response | None:
        """The redirect that sends a provider's response into its launch, or None."""
        if request.path not in self.paths or request.get("REQUEST_METHOD") != "GET":
            return None
        states = _STATE.findall(request.query)
        ours = unquote(states[0]) if len(states) == 1 else ""
        try:
            ciphertext = urlsafe_b64decode(ours + "=" * (-len(ours) % 4))
        except ValueError:
            return None
        found = self._encryptor.decrypt(ciphertext, b"")
        if found is None:
            return None
        text = found.content.decode()
        launch_id, state = text[:LAUNCH_ID_LENGTH], text[LAUNCH_ID_LENGTH:]
        query = _STATE.sub(lambda _: f"state={state}", request.query)
        return Response(303, (("Location", self._launch_path.location(request, launch_id, query)),))

    def _is_callback(self, url: str, mount: str, host: str) -> bool:
        start = start_of_path(url, host)
        if start is None or not url.startswith(f"{mount}/", start):
            return False
        path = url[start + len(mount) :].partition("#")[0].partition("?")[0]
        return unquote(path) in self.paths
