"""The LMSes that are registered with the account. Thread-safe.

Whether an LMS is registered and active is LTIAAS's data; `world` has the LMS's own data.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterable
from dataclasses import replace
from importlib.resources import files
from typing import Any

from .world import Platform

Document = dict[str, Any]

PUBLIC_KEY = files(__package__).joinpath("public_key.pem").read_text("utf-8")
"""The key that LTIAAS signs with for a platform. Whoever made this one kept no private key."""


class Unregistered(ValueError):
    """The LMS is not registered with the account, or its registration is not active."""


class Platforms:
    """The account's registrations. `known` are registered and active from the start.

    Documents are replaced and never changed, so callers can safely read them."""

    def __init__(self, known: Iterable[Platform]) -> None:
        self._lock = threading.Lock()
        self._documents: dict[str, Document] = {
            platform.id: {"id": platform.id, **describe(platform), "active": True}
            for platform in known
        }
        self._anonymous: set[str] = set()
        # By the LMS's URL: the client id under which it knows the tool, where it was given another
        # one than the world's by dynamic registration.
        self._client_ids: dict[str, str] = {}

    def documents(self) -> list[Document]:
        """All registrations, oldest first."""
        return list(self._documents.values())

    def get(self, id: str) -> Document | None:
        return self._documents.get(id)

    def add(self, fields: Document) -> Document:
        """Add a registration."""
        document = {"id": secrets.token_hex(16), "publicKey": PUBLIC_KEY, **fields}
        self._documents[document["id"]] = document
        return document

    def register(self, platform: Platform, name: str, active: bool, anonymous: bool) -> Document:
        """Add the result of a dynamic registration: the LMS gives the tool a new client id, and
        withholds names if it is `anonymous`."""
        client_id = secrets.token_urlsafe(11)
        fields = describe(replace(platform, name=name, client_id=client_id))
        document = self.add({**fields, "active": active})
        if anonymous:
            self._anonymous.add(document["id"])
        self._client_ids[platform.url] = client_id
        return document

    def change(self, id: str, fields: Document) -> Document | None:
        with self._lock:
            if id not in self._documents:
                return None
            self._documents[id] = {**self._documents[id], **fields}
            return self._documents[id]

    def remove(self, id: str) -> Document | None:
        with self._lock:
            return self._documents.pop(id, None)

    def registration_of(self, platform: Platform) -> Document | None:
        """The registration of an LMS's launches, active or not."""
        own = platform.url, self._client_ids.get(platform.url, _client_id(platform))
        found = (row for row in self.documents() if (row["url"], row.get("clientId")) == own)
        return next(found, None)

    def withholds(self, platform: Platform) -> bool:
        found = self.registration_of(platform)
        return found is not None and self._withheld(platform, found)

    def active(self, platform: Platform, id: str | None = None) -> Platform:
        """An LMS with the ids of its registration, or of the registration with this id.

        Raises `Unregistered` if there is none, or if it is not active.
        """
        found = self.registration_of(platform) if id is None else self.get(id)
        if found is None or not found["active"]:
            raise Unregistered(f"{platform.name} is not registered with this account, or inactive")
        return replace(
            platform,
            id=found["id"],
            client_id=found.get("clientId"),
            anonymous=self._withheld(platform, found),
        )

    def _withheld(self, platform: Platform, document: Document) -> bool:
        return platform.anonymous or document["id"] in self._anonymous


def describe(platform: Platform) -> Document:
    """An LMS as in a registration, without the data that LTIAAS adds.

    A legacy LMS also has all fields, because no other format of a platform is documented, and a
    missing field prevents LTIAAS's Node SDK from reading the whole list.
    """
    return {
        "url": platform.url,
        "clientId": _client_id(platform),
        "name": platform.name,
        "authenticationEndpoint": f"{platform.url}/lti/auth",
        "accesstokenEndpoint": f"{platform.url}/lti/token",
        "authConfig": {"method": "JWK_SET", "key": f"{platform.url}/lti/jwks"},
        "publicKey": PUBLIC_KEY,
    }


def _client_id(platform: Platform) -> str | None:
    return platform.consumer_key if platform.legacy else platform.client_id
