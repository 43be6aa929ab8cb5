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
    """How to verify an LMS's signatures. ``key`` is the URL of a key set, or a key.

    A value from LTIAAS may have a ``method`` that ``AuthMethod`` does not list.
    """

    method: str
    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PlatformDetails(Sendable):
    """The account's data about an LMS. ``url`` is its issuer, ``client_id`` is the LMS's ID for the
    tool, and ``name`` is the account's name for the LMS. Only an ``active`` LMS may launch the
    tool. ``extra`` has the keys that have no field here, under their wire names."""

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
    """An LMS that is registered with the account. ``id`` is the ID token's ``platform.id``.
    ``public_key`` is LTIAAS's signing key for this LMS. ``raw`` is LTIAAS's unchanged data."""

    id: str
    public_key: str | None = field(default=None, repr=False)
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class SupportedMessage(Sendable):
    """A kind of launch (``LtiResourceLinkRequest``, ``LtiDeepLinkingRequest``), and the placements
    in the LMS where it appears. By default, the placements in LTIAAS's portal."""

    type: str
    placements: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Registration(Document):
    """The registration that an LMS offers. ``family_code`` is the product (``"canvas"``). ``raw``
    is LTIAAS's unchanged data."""

    url: str | None = None
    family_code: str | None = None
    version: str | None = None
    supported_scopes: tuple[str, ...] = ()
    supported_messages: tuple[SupportedMessage, ...] = ()
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class CompletedRegistration(Document):
    """An LMS that was approved.

    Put ``html``, unescaped, into the page in the LMS's registration frame, so that the LMS closes
    the frame. (It is empty if LTIAAS sent none. The registration is still complete, but the user
    has to close the frame.) ``platform_id`` is the argument of ``activate_platform``, and the ID
    token's ``platform.id``. ``raw`` is LTIAAS's unchanged data.
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
