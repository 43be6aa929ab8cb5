"""Registrations and platforms of the account (``wire.md``, "Dynamic registration")."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from ..errors import InvalidRequest
from .addresses import segment
from .documents import Document, Sendable, write_fields
from .endpoint import Endpoint
from .exchange import Call
from .paging import rows
from .values import json_object, nothing, query

#: How an LMS publishes the key that verifies its signatures.
AuthMethod = Literal["JWK_SET", "JWK_KEY", "RSA_KEY"]


@dataclass(frozen=True, slots=True)
class AuthConfig(Sendable):
    """How to verify an LMS's signatures.

    Attributes:
        method: one of ``AuthMethod``. A value from LTIAAS may have another method.
        key: the URL of a key set, or a key.
    """

    method: str
    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PlatformDetails(Sendable):
    """The account's data about an LMS.

    Attributes:
        url: the LMS's issuer.
        client_id: the LMS's ID for the tool.
        name: the account's name for the LMS.
        authentication_endpoint: the URL where an LTI launch continues.
        accesstoken_endpoint: the URL where LTIAAS gets access tokens.
        authorization_server: the audience of these tokens, if it is not the endpoint's URL.
        auth_config: how to verify the LMS's signatures.
        active: whether the LMS may launch the tool.
        extra: keys that have no field here, under their wire names.
    """

    url: str | None = None
    client_id: str | None = None
    name: str | None = None
    authentication_endpoint: str | None = None
    accesstoken_endpoint: str | None = None
    authorization_server: str | None = None
    auth_config: AuthConfig | None = None
    active: bool | None = None
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlatformRegistration(PlatformDetails):
    """An LMS that is registered with the account. It also has the attributes of
    ``PlatformDetails``.

    Attributes:
        id: the ID token's ``platform.id``.
        public_key: LTIAAS's signing key for this LMS.
        raw: LTIAAS's unchanged data.
    """

    id: str
    public_key: str | None = field(default=None, repr=False)
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class SupportedMessage(Sendable):
    """A kind of launch, and where in the LMS it appears.

    Attributes:
        type: ``"LtiResourceLinkRequest"`` or ``"LtiDeepLinkingRequest"``.
        placements: the placements in the LMS. By default, those in LTIAAS's portal.
    """

    type: str
    placements: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Registration(Document):
    """The registration that an LMS offers.

    Attributes:
        url: the LMS's issuer.
        family_code: the product, such as ``"canvas"``.
        version: the product's version.
        supported_scopes: the LTI scopes that the LMS may grant.
        supported_messages: the kinds of launches, with their placements.
        raw: LTIAAS's unchanged data.
    """

    url: str | None = None
    family_code: str | None = None
    version: str | None = None
    supported_scopes: tuple[str, ...] = ()
    supported_messages: tuple[SupportedMessage, ...] = ()
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class CompletedRegistration(Document):
    """An LMS that was approved.

    Attributes:
        html: put this, unescaped, into the page in the LMS's registration frame, so that the LMS
            closes the frame. If it is empty, the registration is still complete, but the user has
            to close the frame.
        platform_id: the argument of ``activate_platform``, and the ID token's ``platform.id``.
        raw: LTIAAS's unchanged data.
    """

    html: str = field(default="", repr=False)
    platform_id: str | None = None
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


class AccountEndpoints:
    """The calls of the account (``wire.md``, "Dynamic registration"). In addition to the documented
    exceptions, every call raises ``ApiError`` if LTIAAS refuses or fails, with status 404 if the ID
    is unknown."""

    @Endpoint
    def registration(self, id: str) -> Call[Registration]:
        """The registration that an LMS offers, before you approve it. ``id`` is the
        ``registrationId`` with which LTIAAS opened the pre-approval page."""
        return Call("GET", f"registrations/{segment(id)}", Registration.parse)

    @Endpoint
    def raw_registration(self, id: str) -> Call[Mapping[str, Any]]:
        """The LMS's own openid-configuration and registration token (``?raw=true``)."""
        return Call("GET", f"registrations/{segment(id)}", json_object, (("raw", "true"),))

    @Endpoint
    def complete_registration(
        self,
        id: str,
        *,
        platform_name: str | None = None,
        auto_activate: bool | None = None,
        messages: Iterable[SupportedMessage] | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> Call[CompletedRegistration]:
        """Approve an LMS, in the pre-approval step of dynamic registration. You cannot use the ID
        again.

        Put the result's ``html`` into the page, unescaped, so that the LMS closes its registration
        frame (``examples/registration.py``).

        Args:
            id: the ID, as for ``registration``.
            platform_name: the account's name for the LMS.
            auto_activate: let the LMS launch immediately. Otherwise, activate the platform later
                (with ``activate_platform`` or in LTIAAS's portal).
            messages: the launches to register, with their placements. By default, LTIAAS chooses.
            extra: more keys, under their wire names.
        """
        values = {"platform_name": platform_name, "auto_activate": auto_activate}
        body = write_fields(extra, {**values, "messages": list(messages or ())})
        path = f"registrations/{segment(id)}/complete"
        return Call("POST", path, CompletedRegistration.parse, body=body)

    @Endpoint
    def platforms(
        self, *, id: str | None = None, url: str | None = None, client_id: str | None = None
    ) -> Call[tuple[PlatformRegistration, ...]]:
        """The LMSes that are registered with the account: all, or those with this ID, issuer
        (``url``) or client ID."""
        return Call("GET", "platforms", _platforms, query(id=id, url=url, clientId=client_id))

    @Endpoint
    def platform(self, id: str) -> Call[PlatformRegistration]:
        """One registered LMS."""
        return _platform("GET", id, {"id": id})

    @Endpoint
    def create_platform(self, details: PlatformDetails) -> Call[PlatformRegistration]:
        """Register an LMS manually. Its ``url`` and ``client_id`` are required. The session does
        not retry this call."""
        if not details.url or not details.client_id:
            raise InvalidRequest("a platform needs a url and a client_id")
        body = details.body()
        return _platform("POST", None, body, body)

    @Endpoint
    def update_platform(self, id: str, details: PlatformDetails) -> Call[PlatformRegistration]:
        """Update a registered LMS with the values in ``details``."""
        body = details.body()
        return _platform("PUT", id, {**body, "id": id}, body)

    @Endpoint
    def delete_platform(self, id: str) -> Call[None]:
        """Delete an LMS. It can no longer launch the tool."""
        return Call("DELETE", _path(id), nothing)

    @Endpoint
    def activate_platform(self, id: str) -> Call[None]:
        """Let an LMS launch the tool."""
        return Call("POST", f"{_path(id)}/activate", nothing)

    @Endpoint
    def deactivate_platform(self, id: str) -> Call[None]:
        """Stop an LMS from launching the tool, but keep its registration."""
        return Call("POST", f"{_path(id)}/deactivate", nothing)


def _path(id: str) -> str:
    return f"platforms/{segment(id, 'the id of a platform')}"


def _platform(
    method: str, id: str | None, defaults: Mapping[str, Any], body: Any = None
) -> Call[PlatformRegistration]:
    path = "platforms" if id is None else _path(id)
    return Call(method, path, lambda row: PlatformRegistration.parse(row, defaults), body=body)


def _platforms(document: Any) -> tuple[PlatformRegistration, ...]:
    items, skipped = rows("platforms", document, "platforms", PlatformRegistration.parse)
    if skipped and not items:
        raise ValueError("none of the platforms could be read")
    return items
