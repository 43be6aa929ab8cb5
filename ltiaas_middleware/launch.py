"""The launch that a request belongs to, and where an app finds it."""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from datetime import datetime, timezone
from typing import TYPE_CHECKING, NamedTuple, NoReturn
from urllib.parse import quote

import requests

from ._crypto import handoffs
from ._crypto.handoffs import Handoffs
from ._verification.launches import CachedLaunch
from .api.addresses import launch_url
from .api.async_clients import AsyncClients
from .api.decoded import DecodedTokens
from .api.exchange import Limits
from .api.id_token import IdToken
from .api.session import ApiSession
from .credentials import LtikCredential, ServiceKeyCredential
from .errors import IdTokenError, LaunchRequired
from .settings import Settings

if TYPE_CHECKING:
    from .api.async_session import AsyncApiSession

__all__ = ["GlobalUserId", "Launch", "current_launch", "require_launch"]


class GlobalUserId(NamedTuple):
    """A user, unique across LMSes: ``user.id`` is unique only within its platform (wire.md)."""

    platform_id: str
    user_id: str


class Account(NamedTuple):
    """What a ``Launch`` needs of the middleware that made it."""

    settings: Settings
    handoffs: Handoffs
    decoded: DecodedTokens
    #: Connections to LTIAAS that all launches share; None opens some for each ``Launch.api``.
    session: requests.Session | None = None
    #: The same for ``Launch.async_api``.
    clients: AsyncClients | None = None


class Launch:
    """One LTI launch: who the user is, in which course and activity, and its credentials.

    Made by the middleware for each request. What an app does to it reaches no other request.
    """

    __slots__ = ("_account", "_entry", "_id_token", "path")

    #: The launch's own prefix, such as ``/lti/Yk3…``, for links that an app builds by hand; the
    #: mount point alone where the launch is served in place. Percent-encoded, no slash at its end.
    path: str

    def __init__(self, entry: CachedLaunch, account: Account, path: str = "") -> None:
        self._entry = entry
        self._account = account
        self._id_token: IdToken | None = None
        self.path = path

    @property
    def id(self) -> str:
        """The launch id: 22 characters, opaque, safe to log."""
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
        """Signs every call that belongs to this launch; ``auth=`` for requests and httpx."""
        settings = self._account.settings
        return LtikCredential(settings.url, settings.api_key, self._entry.ltik, self.expires_at)

    @property
    def api(self) -> ApiSession:
        """Calls to LTIAAS on behalf of this launch: roster, line items, scores, deep linking."""
        limits = Limits(ca_bundle=self._account.settings.ca_bundle)
        return ApiSession(self.credential, limits, session=self._account.session)

    @property
    def async_api(self) -> AsyncApiSession:
        """``api`` for ``async def`` views, on connections that all launches of the event loop
        share; nothing of it blocks the loop. Needs the extra ``[async]``."""
        from .api.async_session import AsyncApiSession

        limits = Limits(ca_bundle=self._account.settings.ca_bundle)
        return AsyncApiSession(self.credential, limits, client=self._account.clients)

    @property
    def service_credential(self) -> ServiceKeyCredential | None:
        """Signs roster and grade calls outside a launch; None where the launch grants none."""
        key = self.id_token.services.service_key
        if key is None:
            return None
        settings = self._account.settings
        return ServiceKeyCredential(settings.url, settings.api_key, key)

    @property
    def user_id(self) -> str:
        """The user's id in their LMS, as rosters and scores name them. It is unique within the
        platform only: key stored data with ``global_user_id``.

        Raises:
            IdTokenError: the launch is anonymous (``Settings.allow_anonymous``).
        """
        user_id = self.id_token.user.id
        if user_id is None:
            raise IdTokenError("the launch is anonymous: the ID token names no user (user.id)")
        return user_id

    @property
    def global_user_id(self) -> GlobalUserId:
        """(platform id, user id): the id to key a user's data with. Two LMSes may both have a user
        ``42``, and only the pair tells them apart.

        Raises:
            IdTokenError: the launch is anonymous, or the platform has no id.
        """
        platform_id = self.id_token.platform.id
        if platform_id is None:
            raise IdTokenError("the ID token names no platform (platform.id)")
        return GlobalUserId(platform_id, self.user_id)

    def has_role(self, role: str) -> bool:
        """Whether the user has a role in this course; see ``IdToken.has_role``."""
        return self.id_token.has_role(role)

    def url_for(self, endpoint: str, *segments: str) -> str:
        """The address of one of LTIAAS's endpoints.

        Args:
            endpoint: below ``/api/``, such as ``"memberships"``.
            segments: path segments to be percent-encoded, slashes too, such as a line item's id:
                ``url_for("lineitems", line_item_id, "scores")``.
        """
        rest = "".join(f"/{quote(segment, safe='')}" for segment in segments)
        return f"{self._account.settings.url}/api/{endpoint.strip('/')}{rest}"

    def launch_url(self, query: Mapping[str, str] | None = None, /, **parameters: str) -> str:
        """The address of a launch of this account, ``https://your.ltiaas.com/lti/launch?…``: what
        the ``url`` of a deep-linking content item has to be.

        Args:
            query: comes back to the tool with every launch; not yet encoded.
            parameters: more of it: ``launch_url(resource="123")``.

        Raises:
            InvalidRequest: a value is no text, or is called ``ltik``.
        """
        return launch_url(self._account.settings.url, {**(query or {}), **parameters})

    def handoff_url(self, path: str = "/") -> str:
        """An address that carries this launch out of its frame: it works once, for a minute, and
        gives the tab that opens it a cookie of its own.

        Args:
            path: below the tool's mount point, beginning with a slash, as the app's router knows
                it; it may have a query and a fragment.

        Returns:
            A path on the tool's own host, for a link with ``target="_blank"`` or a redirect.

        Raises:
            ValueError: ``path`` does not begin with a slash, or launch paths are switched off.
        """
        if self._account.settings.launch_path is None:
            raise ValueError("there are no handoffs without launch paths (launch_path is None)")
        if not path.startswith("/"):
            raise ValueError("path must begin with a slash")
        address, mark, fragment = path.partition("#")
        joint = "&" if "?" in address else "?"
        token = self._account.handoffs.make(self.id)
        return f"{self.path}{address}{joint}{handoffs.PARAMETER}={token}{mark}{fragment}"

    def __repr__(self) -> str:
        return f"<Launch {self.id}>"

    def __copy__(self) -> Launch:
        return self

    def __deepcopy__(self, memo: object) -> Launch:
        # Apps and servers copy the scope or environ that it is in (hypercorn's ProxyFix does).
        return self

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Launch holds its ltik and is not pickled; keep launch.id or the claims")


current: ContextVar[Launch | None] = ContextVar("ltiaas_middleware.launch", default=None)


def current_launch() -> Launch | None:
    """The launch of the request that is being answered, or None when it carries none."""
    return current.get()


def require_launch() -> Launch:
    """The launch of the request that is being answered.

    Raises:
        LaunchRequired: there is none; the middleware answers 401 where the app lets it through.
    """
    launch = current.get()
    if launch is None:
        raise LaunchRequired
    return launch
