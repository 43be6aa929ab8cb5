"""What the account's API key may call: registrations and platforms."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from .addresses import segment
from .endpoint import Endpoint
from .exchange import Call
from .paging import rows
from .registrations import (
    AuthConfig,
    CompletedRegistration,
    PlatformRegistration,
    Registration,
    SupportedMessage,
    completion_body,
    platform_body,
)
from .values import json_object, nothing, query

__all__ = ["AccountEndpoints"]


class AccountEndpoints:
    """The calls of the account (``wire.md``, "Dynamic registration")."""

    @Endpoint
    def registration(self, id: str) -> Call[Registration]:
        """What an LMS that registers itself offers, before it is approved.

        Args:
            id: the ``registrationId`` that the pre-approval page was opened with.

        Raises:
            ApiError: LTIAAS refused (404: unknown, or completed already) or failed.
        """
        return Call("GET", f"registrations/{segment(id)}", Registration.parse)

    @Endpoint
    def raw_registration(self, id: str) -> Call[Mapping[str, Any]]:
        """The LMS's own openid-configuration and registration token (``?raw=true``).

        Raises:
            ApiError: LTIAAS refused or failed.
        """
        return Call("GET", f"registrations/{segment(id)}", json_object, query=(("raw", "true"),))

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
        """The pre-approval step of dynamic registration: approve an LMS. The id is dead afterwards.

        Put ``html`` of what is given back into the page, as it is: it tells the LMS to close its
        registration frame (``examples/registration.py``).

        Args:
            id: the ``registrationId`` that the pre-approval page was opened with.
            platform_name: what the account calls the LMS.
            auto_activate: let the LMS launch at once. Without it, somebody has to activate the
                platform (``activate_platform``, or LTIAAS's portal).
            messages: the launches to register, with their placements; LTIAAS's choice by default.
            extra: further keys, under their wire names.

        Raises:
            ApiError: LTIAAS refused or failed.
        """
        return Call(
            "POST",
            f"registrations/{segment(id)}/complete",
            CompletedRegistration.parse,
            body=completion_body(platform_name, auto_activate, messages, extra),
        )

    @Endpoint
    def platforms(
        self, *, id: str | None = None, url: str | None = None, client_id: str | None = None
    ) -> Call[tuple[PlatformRegistration, ...]]:
        """The LMSes that are registered with the account.

        Args:
            id: only the one with this id.
            url: only those of this LMS (its issuer).
            client_id: only those with this client id.

        Raises:
            ApiError: LTIAAS refused or failed.
        """
        asked = query(id=id, url=url, clientId=client_id)
        return Call("GET", "platforms", _platforms, query=asked)

    @Endpoint
    def platform(self, id: str) -> Call[PlatformRegistration]:
        """One registered LMS.

        Raises:
            ApiError: LTIAAS refused (404: there is none) or failed.
        """
        return Call("GET", _platform(id), lambda row: PlatformRegistration.parse(row, {"id": id}))

    @Endpoint
    def create_platform(
        self,
        *,
        url: str,
        client_id: str,
        name: str | None = None,
        authentication_endpoint: str | None = None,
        accesstoken_endpoint: str | None = None,
        auth_config: AuthConfig | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> Call[PlatformRegistration]:
        """Register an LMS by hand. Sent once only.

        Args:
            url: the LMS's issuer.
            client_id: the tool's, as the LMS calls it.
            name: what the account calls the LMS.
            authentication_endpoint: the LMS's address for logins (OpenID Connect).
            accesstoken_endpoint: the LMS's address for access tokens.
            auth_config: how the LMS's signatures are verified.
            extra: further fields, under their wire names.

        Raises:
            InvalidRequest: ``extra`` has a field that has an argument of its own.
            ApiError: LTIAAS refused or failed.
        """
        body = platform_body(
            url, client_id, name, authentication_endpoint, accesstoken_endpoint, auth_config, extra
        )
        return Call(
            "POST", "platforms", lambda row: PlatformRegistration.parse(row, body), body=body
        )

    @Endpoint
    def update_platform(
        self,
        id: str,
        *,
        url: str | None = None,
        client_id: str | None = None,
        name: str | None = None,
        authentication_endpoint: str | None = None,
        accesstoken_endpoint: str | None = None,
        auth_config: AuthConfig | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> Call[PlatformRegistration]:
        """Change a registered LMS; takes what ``create_platform`` takes.

        Raises:
            InvalidRequest: ``extra`` has a field that has an argument of its own.
            ApiError: LTIAAS refused or failed.
        """
        body = platform_body(
            url, client_id, name, authentication_endpoint, accesstoken_endpoint, auth_config, extra
        )
        known = {**body, "id": id}
        return Call(
            "PUT", _platform(id), lambda row: PlatformRegistration.parse(row, known), body=body
        )

    @Endpoint
    def delete_platform(self, id: str) -> Call[None]:
        """Remove an LMS: it can no longer launch the tool.

        Raises:
            ApiError: LTIAAS refused or failed.
        """
        return Call("DELETE", _platform(id), nothing)

    @Endpoint
    def activate_platform(self, id: str) -> Call[None]:
        """Let an LMS launch the tool.

        Raises:
            ApiError: LTIAAS refused or failed.
        """
        return Call("POST", f"{_platform(id)}/activate", nothing)

    @Endpoint
    def deactivate_platform(self, id: str) -> Call[None]:
        """Stop an LMS from launching the tool; its registration stays.

        Raises:
            ApiError: LTIAAS refused or failed.
        """
        return Call("POST", f"{_platform(id)}/deactivate", nothing)


def _platform(id: str) -> str:
    return f"platforms/{segment(id, 'the id of a platform')}"


def _platforms(document: Any) -> tuple[PlatformRegistration, ...]:
    items, left_out = rows("platforms", document, "platforms", PlatformRegistration.parse)
    if left_out and not items:
        raise ValueError("none of the platforms could be read")
    return items
