"""The launch of a request, and the functions that return it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn
from urllib.parse import quote

from ._crypto import one_time_tokens
from ._crypto.one_time_tokens import OneTimeTokens
from .activity import ActivityKey
from .api.addresses import launch_url
from .credentials import LtikCredential, ServiceKeyCredential
from .errors import IdTokenError, LaunchRequired, MiddlewareMissing, RoleRequired
from .settings import Settings

if TYPE_CHECKING:
    import requests

    from ._verification.launches import CachedLaunch
    from .api.async_clients import AsyncClients
    from .api.async_session import AsyncApiSession
    from .api.decoded import DecodedTokens
    from .api.id_token import IdToken
    from .api.session import ApiSession

__all__ = ["GlobalUserId", "Launch", "current_launch", "require_launch"]


class GlobalUserId(NamedTuple):
    """A user's ID across all LMSes. ``user.id`` is unique only within its platform (wire.md)."""

    platform_id: str
    user_id: str


class Account(NamedTuple):
    """What a ``Launch`` needs from its middleware."""

    settings: Settings
    one_time_tokens: OneTimeTokens
    decoded: DecodedTokens
    #: Connections to LTIAAS that all launches share. If None, each ``Launch.api`` opens its own.
    session: requests.Session | None = None
    #: The same for ``Launch.async_api``.
    clients: AsyncClients | None = None
    #: Ends a launch, by its id.
    end: Callable[[str], None] | None = None


class Launch:
    """One LTI launch: who the user is, in which course and activity, and its credentials.

    The middleware creates one for each request. Changes to it do not affect other requests.
    """

    __slots__ = ("_account", "_api", "_async_api", "_entry", "_id_token", "ended", "origin", "path")

    #: The launch's URL prefix, such as ``/lti/Yk3…``, for links that an app builds by hand. If the
    #: launch is served in place, this is only the mount point. Percent-encoded, without a trailing
    #: slash.
    path: str

    #: The tool's own origin, such as ``https://tool.example``; "" unless ``outside_url`` needs it.
    origin: str

    #: Whether ``end`` was called during this request.
    ended: bool

    def __init__(self, entry: CachedLaunch, account: Account, path: str = "") -> None:
        self._entry = entry
        self._account = account
        self._id_token: IdToken | None = None
        self._api: ApiSession | None = None
        self._async_api: AsyncApiSession | None = None
        self.path = path
        self.origin = ""
        self.ended = False

    @property
    def id(self) -> str:
        """The launch ID: 22 opaque characters, safe to log."""
        return self._entry.id

    @property
    def id_token(self) -> IdToken:
        """The launch's claims."""
        if self._id_token is None:
            entry = self._entry
            self._id_token = self._account.decoded.get(entry.id, entry.claims)
        return self._id_token

    @property
    def expires_at(self) -> datetime:
        """When the launch ends (aware, UTC): 24 hours after it began (wire.md)."""
        return datetime.fromtimestamp(self._entry.ends_at, timezone.utc)

    @property
    def credential(self) -> LtikCredential:
        """A credential that signs every call of this launch. Use it as ``auth=`` in requests and
        httpx2."""
        settings = self._account.settings
        return LtikCredential(settings.url, settings.api_key, self._entry.ltik, self.expires_at)

    @property
    def api(self) -> ApiSession:
        """Makes calls to LTIAAS for this launch: roster, line items, scores and deep linking. There
        is one object for the whole request."""
        if self._api is None:
            # Imported here and below, because they import requests and httpx2.
            from .api.exchange import RetryPolicy
            from .api.session import ApiSession

            policy = RetryPolicy(ca_bundle=self._account.settings.ca_bundle)
            self._api = ApiSession(self.credential, policy, session=self._account.session)
        return self._api

    @property
    def async_api(self) -> AsyncApiSession:
        """``api`` for ``async def`` views. It never blocks the event loop, and uses connections
        that all launches in that loop share. Needs the extra ``[async]``."""
        if self._async_api is None:
            from .api.async_session import AsyncApiSession
            from .api.exchange import RetryPolicy

            policy = RetryPolicy(ca_bundle=self._account.settings.ca_bundle)
            clients = self._account.clients
            self._async_api = AsyncApiSession(self.credential, policy, client=clients)
        return self._async_api

    @property
    def service_credential(self) -> ServiceKeyCredential | None:
        """A credential that signs roster and grade calls outside a launch, or None if the launch
        has no service key."""
        key = self.id_token.services.service_key
        if key is None:
            return None
        settings = self._account.settings
        return ServiceKeyCredential(settings.url, settings.api_key, key)

    @property
    def user_id(self) -> str:
        """The user's ID in their LMS, which rosters and scores use. It is unique only within the
        platform, so key stored data by ``global_user_id``.

        Raises:
            IdTokenError: the launch is anonymous (``Settings.allow_anonymous``).
        """
        user_id = self.id_token.user.id
        if user_id is None:
            raise IdTokenError("the launch is anonymous: the ID token has no user.id")
        return user_id

    @property
    def global_user_id(self) -> GlobalUserId:
        """(platform ID, user ID). Key a user's data by this pair: two LMSes may both have a user
        ``42``, so only the pair is unique. A legacy (LTI 1.1) launch has no platform ID, so the
        pair has ``guid:`` and the LMS's own guid instead, as in ``activity_key``.

        Raises:
            IdTokenError: the launch is anonymous, or its platform has neither ID nor guid.
        """
        return GlobalUserId(self.activity_key.platform_id, self.user_id)

    @property
    def activity_key(self) -> ActivityKey:
        """Identifies the launched activity. The activity's service key is stored under it. It
        contains no secret and can be pickled, so you can pass it to a background job.

        Raises:
            IdTokenError: the platform has neither ID nor guid.
        """
        key = ActivityKey.of(self.id_token)
        if key is None:
            raise IdTokenError("the ID token has neither platform.id nor platform.guid")
        return key

    def has_role(self, *roles: str) -> bool:
        """Whether the user has one of ``roles`` in this course; see ``IdToken.has_role``."""
        return self.id_token.has_role(*roles)

    def require_role(self, *roles: str) -> None:
        """Refuse the request if the user has none of ``roles`` in this course.

        Raises:
            RoleRequired: 403.
        """
        if not self.has_role(*roles):
            raise RoleRequired

    def api_url(self, endpoint: str, *segments: str) -> str:
        """The URL of one of LTIAAS's endpoints.

        Args:
            endpoint: the path under ``/api/``, such as ``"memberships"``.
            segments: path segments to percent-encode (including slashes), such as a line item's ID:
                ``api_url("lineitems", line_item_id, "scores")``.
        """
        rest = "".join(f"/{quote(segment, safe='')}" for segment in segments)
        return f"{self._account.settings.url}/api/{endpoint.strip('/')}{rest}"

    def launch_url(self, query: Mapping[str, str] | None = None, /, **parameters: str) -> str:
        """The URL of a launch of this account, ``https://your.ltiaas.com/lti/launch?…``, for the
        ``url`` of a deep-linking content item.

        Args:
            query: parameters that the tool gets with every launch, not yet encoded.
            parameters: more parameters: ``launch_url(resource="123")``.

        Raises:
            InvalidRequest: a value is not a string, or a parameter is named ``ltik``.
        """
        return launch_url(self._account.settings.url, {**(query or {}), **parameters})

    def end(self) -> None:
        """End the launch, for a "Log out" link. No request can reopen it in any worker that shares
        the cache, and the response to this request deletes its cookie. Call this before the
        response begins. It may wait up to half a second for Redis, so in a coroutine, use
        ``asyncio.to_thread``."""
        self.ended = True
        if self._account.end is not None:
            self._account.end(self.id)

    def one_time_url(self, path: str = "/") -> str:
        """A one-time link that opens this launch outside its iframe. It works once, within a
        minute, and gives the new tab its own cookie.

        Args:
            path: the path that the app's router uses, without the mount point. It begins with a
                slash, and may have a query and a fragment.

        Returns:
            A path on the tool's own host. Use it in a link with ``target="_blank"`` or in a
            redirect.

        Raises:
            ValueError: ``path`` does not begin with a slash, or ``launch_path`` is None.
        """
        if self._account.settings.launch_path is None:
            raise ValueError("one_time_url needs launch paths, but launch_path is None")
        if not path.startswith("/"):
            raise ValueError("path must begin with a slash")
        address, mark, fragment = path.partition("#")
        joint = "&" if "?" in address else "?"
        token = self._account.one_time_tokens.make(self.id)
        return f"{self.path}{address}{joint}{one_time_tokens.PARAMETER}={token}{mark}{fragment}"

    def outside_url(self, path: str) -> str:
        """The URL of a callback outside any launch, such as
        ``https://tool.example/oauth/callback``. Use it as the ``redirect_uri`` in your OAuth
        library, and register it with the provider.

        Args:
            path: one of ``Settings.callbacks``.

        Raises:
            ValueError: ``path`` is not a callback, or this is not a request on a launch path
                (``launch_from``, ``launch_path=None``).
        """
        settings = self._account.settings
        callbacks = settings.callbacks
        # A launch from ``testing`` has an origin, whatever the settings are.
        if path not in callbacks and (callbacks or not self.origin):
            raise ValueError(f"outside_url needs {path!r} in the setting callbacks: add it")
        if not self.origin:
            raise ValueError("outside_url needs a request on a launch path, with a Host header")
        mount = self.path.removesuffix(f"{settings.launch_path}/{self.id}")
        return f"{self.origin}{mount}{quote(path)}"

    def __repr__(self) -> str:
        return f"<Launch {self.id}>"

    def __copy__(self) -> Launch:
        return self

    def __deepcopy__(self, memo: object) -> Launch:
        # Apps and servers copy the scope or environ that contains it (for example, Hypercorn's
        # ProxyFix).
        return self

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Launch holds its ltik and cannot be pickled; keep launch.id")


# Outside any request that a middleware handles.
_NOWHERE: Any = object()
current: ContextVar[Launch | None] = ContextVar("ltiaas_middleware.launch", default=_NOWHERE)


def current_launch() -> Launch | None:
    """The current request's launch, or None if it has none."""
    launch = current.get()
    if launch is None or launch is _NOWHERE:
        launch = None
        if (flask := sys.modules.get("flask")) and flask.has_request_context():
            # Flask-SocketIO calls handlers in its own threads, with the handshake's request.
            launch = flask.request.environ.get("ltiaas.launch")
    return launch


def require_launch() -> Launch:
    """The current request's launch.

    Raises:
        LaunchRequired: the request has none. The middleware returns 401 or redirects the request
            into its launch.
        MiddlewareMissing: the request does not go through the middleware, or the call is outside a
            request.
    """
    launch = current_launch()
    if launch is not None:
        return launch
    if current.get() is None:
        raise LaunchRequired
    raise MiddlewareMissing(
        "require_launch() was called outside LTIAASMiddleware: wrap the app in it. If your app "
        "starts a thread or a job, pass it the launch data that it needs."
    )
