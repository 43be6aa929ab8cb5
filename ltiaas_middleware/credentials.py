"""The three ``Authorization`` headers that LTIAAS accepts, as immutable values.

A credential is bound to the account's origin. Used as ``auth=``, it refuses to sign requests for
other origins, so a copied URL or a ``next`` link cannot send the API key elsewhere. Its ``repr``
does not show the secret, and it cannot be pickled.
"""

from __future__ import annotations

import re
from datetime import datetime, timezone
from typing import Any, ClassVar, NoReturn, Protocol, SupportsIndex, TypeVar

from ._secret_patterns import HIDDEN, SHORTEST_SECRET
from .errors import CredentialError, CredentialScopeError
from .origins import origin_of

__all__ = ["ApiKeyCredential", "Credential", "LtikCredential", "ServiceKeyCredential"]

# RFC 9110 section 5.5: what a header's value may hold, minus white space.
_VISIBLE = re.compile(r"[!-~]+")


class HeaderValue(str):
    """A header value whose ``repr`` is hidden.

    HTTP clients keep the value in their stack frames until they send it, and error trackers record
    the ``repr`` of a frame's variables. In all other ways, it is a normal string: ``str(value)``
    and ``value.encode()`` return the value.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return "'[hidden]'"

    def __getitem__(self, key: SupportsIndex | slice) -> HeaderValue:
        # Some cut what they show before they take its repr.
        return HeaderValue(super().__getitem__(key))

    def __copy__(self) -> HeaderValue:
        return self

    def __deepcopy__(self, memo: object) -> HeaderValue:
        return self


class _Request(Protocol):
    """What ``requests.PreparedRequest`` and httpx2's and httpx's ``Request`` have in common."""

    @property
    def url(self) -> Any: ...
    @property
    def headers(self) -> Any: ...


_R = TypeVar("_R", bound=_Request)


class Credential:
    """Base class of the three credentials. Create one of the subclasses.

    Pass the account's origin, such as ``https://your.ltiaas.com``, and its API key.
    """

    __slots__ = ("_expires_at", "_origin", "_value")
    #: The authorization scheme (wire.md, "The three authorization schemes").
    scheme: ClassVar[str]

    _expires_at: datetime | None
    _origin: str
    _value: str

    def __init__(self, origin: str, value: str, expires_at: datetime | None = None) -> None:
        # A traceback with locals shows what is here, should it be refused.
        value = HeaderValue(value)
        if not _VISIBLE.fullmatch(value):
            raise CredentialError(
                f"a {self.scheme} credential cannot contain spaces, control characters or accented "
                "characters"
            )
        set_ = object.__setattr__
        set_(self, "_origin", origin)
        set_(self, "_value", value)
        set_(self, "_expires_at", expires_at)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"{type(self).__name__} cannot be changed")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"{type(self).__name__} cannot be changed")

    @property
    def origin(self) -> str:
        """The only origin for which this credential signs requests."""
        return self._origin

    @property
    def authorization(self) -> HeaderValue:
        """The header's value, a ``str`` with a hidden ``repr``. It is a secret: pass it only to the
        HTTP client."""
        return HeaderValue(f"{self.scheme} {self._value}")

    @property
    def headers(self) -> dict[str, str]:
        """A new ``{"Authorization": …}``. Prefer ``auth=credential``, which also checks the URL."""
        return {"Authorization": self.authorization}

    @property
    def expires_at(self) -> datetime | None:
        """When the credential expires (aware, UTC), or None if it does not expire."""
        return self._expires_at

    @property
    def expired(self) -> bool:
        """Whether ``expires_at`` is past, by this machine's clock."""
        return self._expires_at is not None and datetime.now(timezone.utc) >= self._expires_at

    def _hidden_in(self, content: bytes) -> bytes:
        """``content`` without this credential's secrets, which an error response may quote."""
        for secret in self._value.split(":", 1):
            if len(secret) >= SHORTEST_SECRET:
                content = content.replace(secret.encode(), HIDDEN.encode())
        return content

    def __call__(self, request: _R) -> _R:
        """Sign a request, for ``auth=credential`` in requests, httpx2 and httpx.

        Raises:
            CredentialScopeError: the request is for another origin, and was not signed.
        """
        target = origin_of(str(request.url))
        if target != self._origin:
            raise CredentialScopeError(
                f"this credential is for {self._origin}; it does not sign a request for "
                f"{target or 'an ambiguous URL'}"
            )
        request.headers["Authorization"] = self.authorization
        return request

    def __repr__(self) -> str:
        # Also of one that was refused in the making: a traceback with locals shows it.
        ends = getattr(self, "_expires_at", None)
        until = f", expires_at={ends.isoformat()}" if ends else ""
        return f"<{type(self).__name__} for {getattr(self, '_origin', 'nothing')}{until}>"

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return (self._origin, self._value) == (other._origin, other._value)

    def __hash__(self) -> int:
        return hash((type(self), self._origin, self._value))

    def __copy__(self) -> Credential:
        return self

    def __deepcopy__(self, memo: object) -> Credential:
        return self

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"a {type(self).__name__} holds the API key and cannot be pickled")


class LtikCredential(Credential):
    """``LTIK-AUTH-V2 <API_KEY>:<LTIK>``: all calls of one launch, for 24 hours."""

    __slots__ = ()
    scheme = "LTIK-AUTH-V2"

    def __init__(
        self, origin: str, api_key: str, ltik: str, expires_at: datetime | None = None
    ) -> None:
        value = HeaderValue(f"{api_key}:{ltik}")
        del api_key, ltik
        super().__init__(origin, value, expires_at)


class ServiceKeyCredential(Credential):
    """``SERVICE-AUTH-V1 <API_KEY>:<SERVICE_KEY>``: roster and grades outside a launch."""

    __slots__ = ()
    scheme = "SERVICE-AUTH-V1"

    def __init__(self, origin: str, api_key: str, service_key: str) -> None:
        value = HeaderValue(f"{api_key}:{service_key}")
        del api_key, service_key
        super().__init__(origin, value)


class ApiKeyCredential(Credential):
    """``Bearer <API_KEY>``: registrations and platforms only."""

    __slots__ = ()
    scheme = "Bearer"

    def __init__(self, origin: str, api_key: str) -> None:
        value = HeaderValue(api_key)
        del api_key
        super().__init__(origin, value)
