"""Registrations and platforms of the account (``wire.md``, "Dynamic registration")."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from .values import flag, json_object, mapping, merged, text, texts

__all__ = [
    "AuthConfig",
    "AuthMethod",
    "CompletedRegistration",
    "PlatformRegistration",
    "Registration",
    "SupportedMessage",
    "completion_body",
    "platform_body",
]

#: How an LMS publishes the key that its signatures are verified with.
AuthMethod = Literal["JWK_SET", "JWK_KEY", "RSA_KEY"]


@dataclass(frozen=True, slots=True)
class AuthConfig:
    """How an LMS's signatures are verified: ``key`` is the address of a key set, or a key.

    What is read may have a ``method`` that is not known here.
    """

    method: AuthMethod | str
    key: str

    def body(self) -> dict[str, str]:
        """As it is sent."""
        return {"method": self.method, "key": self.key}


@dataclass(frozen=True, slots=True)
class PlatformRegistration:
    """An LMS that may launch this account's tool, if it is ``active``.

    ``id`` is what the ID token calls ``platform.id``; ``url`` is the LMS's issuer. ``public_key``
    is the one that LTIAAS signs with, for the LMS. ``raw`` is the mapping as it came.
    """

    id: str
    url: str | None = None
    name: str | None = None
    client_id: str | None = None
    authentication_endpoint: str | None = None
    accesstoken_endpoint: str | None = None
    auth_config: AuthConfig | None = None
    public_key: str | None = field(default=None, repr=False)
    active: bool | None = None
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def parse(cls, raw: object, known: Mapping[str, Any] | None = None) -> PlatformRegistration:
        """Read one platform.

        Args:
            raw: decoded JSON.
            known: what fills in fields that are missing from it, under their wire names.

        Raises:
            ValueError: it has no id.
        """
        own, known = mapping(raw), known or {}
        config = _auth_config(own.get("authConfig")) or _auth_config(known.get("authConfig"))

        def read(name: str) -> str | None:
            return text(own.get(name)) or text(known.get(name))

        id = read("id")
        if id is None:
            raise ValueError("a platform has no id")
        active = flag(own.get("active"))
        return cls(
            id=id,
            url=read("url"),
            name=read("name"),
            client_id=read("clientId"),
            authentication_endpoint=read("authenticationEndpoint"),
            accesstoken_endpoint=read("accesstokenEndpoint"),
            auth_config=config,
            public_key=read("publicKey"),
            active=flag(known.get("active")) if active is None else active,
            raw=own,
        )


@dataclass(frozen=True, slots=True)
class SupportedMessage:
    """A kind of launch (``LtiResourceLinkRequest``, ``LtiDeepLinkingRequest``), and where in the
    LMS it may be offered."""

    type: str
    placements: tuple[str, ...] = ()

    def body(self) -> dict[str, Any]:
        """As it is sent."""
        return {"type": self.type, "placements": list(self.placements)}


@dataclass(frozen=True, slots=True)
class Registration:
    """What an LMS that registers itself offers. ``family_code`` names the product (``"canvas"``).
    ``raw`` is the mapping as it came."""

    url: str | None = None
    family_code: str | None = None
    version: str | None = None
    supported_scopes: tuple[str, ...] = ()
    supported_messages: tuple[SupportedMessage, ...] = ()
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def parse(cls, raw: object) -> Registration:
        """Read a registration.

        Raises:
            ValueError: it is no object.
        """
        if not isinstance(raw, Mapping):
            raise ValueError("the registration is no JSON object")
        messages = raw.get("supportedMessages")
        found = []
        for one in messages if isinstance(messages, list) else ():
            type_ = text(mapping(one).get("type"))
            if type_ is not None:
                found.append(SupportedMessage(type_, texts(mapping(one).get("placements"))))
        return cls(
            url=text(raw.get("url")),
            family_code=text(raw.get("familyCode")),
            version=text(raw.get("version")),
            supported_scopes=texts(raw.get("supportedScopes")),
            supported_messages=tuple(found),
            raw=raw,
        )


@dataclass(frozen=True, slots=True)
class CompletedRegistration:
    """An LMS that was approved.

    ``html`` has to be put into the page in the LMS's registration frame, unescaped: it tells the
    LMS to close it. (Empty where LTIAAS sent none: the frame is then closed by hand.)
    ``platform_id`` is what ``activate_platform`` takes, and what the ID token will call
    ``platform.id``. ``raw`` is the mapping as it came.
    """

    html: str = field(repr=False)
    platform_id: str | None = None
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def parse(cls, raw: object) -> CompletedRegistration:
        """Read the answer of ``complete_registration``.

        Raises:
            ValueError: it is no object. One without ``html`` is read: the registration is complete
                all the same, and its id dead.
        """
        fields = json_object(raw)
        html = fields.get("html")
        return cls(html if isinstance(html, str) else "", text(fields.get("platformId")), fields)


def completion_body(
    platform_name: str | None,
    auto_activate: bool | None,
    messages: Iterable[SupportedMessage] | None,
    extra: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """What ``complete_registration`` sends.

    Raises:
        InvalidRequest: ``extra`` has a field that has an argument of its own.
    """
    fields = {
        "platformName": platform_name,
        "autoActivate": auto_activate,
        "messages": None if messages is None else [one.body() for one in messages],
    }
    return merged(fields, extra or {})


def platform_body(
    url: str | None,
    client_id: str | None,
    name: str | None,
    authentication_endpoint: str | None,
    accesstoken_endpoint: str | None,
    auth_config: AuthConfig | None,
    extra: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """What ``create_platform`` and ``update_platform`` send.

    Raises:
        InvalidRequest: ``extra`` has a field that has an argument of its own.
    """
    fields = {
        "url": url,
        "clientId": client_id,
        "name": name,
        "authenticationEndpoint": authentication_endpoint,
        "accesstokenEndpoint": accesstoken_endpoint,
        "authConfig": None if auth_config is None else auth_config.body(),
    }
    return merged(fields, extra or {})


def _auth_config(value: object) -> AuthConfig | None:
    fields = mapping(value)
    method, key = text(fields.get("method")), fields.get("key")
    if method is None or not isinstance(key, str):
        return None
    return AuthConfig(method, key)
