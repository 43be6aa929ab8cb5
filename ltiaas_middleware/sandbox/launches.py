"""Launches from the LMS's click to the ltik, and the meaning of an ltik or a service key."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

from . import errors, tokens
from .api_log import token_digest
from .call import Launch
from .pages import role_words
from .platforms import Platforms, Unregistered
from .tokens import InvalidToken, Mint
from .world import Course, Platform, Seat, World

_logger = logging.getLogger("ltiaas_middleware.sandbox")
_HANDSHAKE = 300
"""Seconds that a launch or a registration may take from the LMS's page to LTIAAS's redirect."""


class Launches:
    """Creates and reads the tokens of launches. Thread-safe."""

    def __init__(self, world: World, platforms: Platforms, mint: Mint) -> None:
        self._world = world
        self._platforms = platforms
        self._mint = mint
        self._ended: set[str] = set()

    def issue(self, seat: Seat, lms: str | None = None) -> str:
        """Create an ltik. Raises `Unregistered` if the LMS may not launch."""
        platform = self._platforms.active(seat.platform)
        claims = {"platformId": platform.id, "platformUrl": platform.url, "lms": lms}
        ltik = self._mint.token("launch", {**claims, **_claims_of(seat)}, tokens.LIFETIME)
        place = seat.activity.id if seat.activity else "deep linking"
        who = f"{seat.user.id} ({role_words(seat.user.roles)})"
        _logger.info("launch %s: %s, %s in %s", token_digest(ltik), who, place, seat.course.id)
        return ltik

    def seat_of(self, ltik: str) -> Seat:
        """Who launched with an ltik, even if it has expired. Raises `InvalidToken`."""
        return self._seat(self._mint.payload(ltik))

    def end(self, ltik: str) -> None:
        """Expire an ltik. Raises `InvalidToken` for an ltik from another sandbox."""
        self._ended.add(self._mint.payload(ltik)["jti"])

    def verify(self, ltik: str) -> Launch:
        """The launch of an ltik.

        Raises `InvalidToken` if the ltik has expired or was never issued, and `ApiError` if the
        LMS's registration was deleted or is inactive.
        """
        payload = self._mint.read("launch", ltik)
        if payload["jti"] in self._ended:
            raise InvalidToken("expired manually")
        seat = self._seat(payload)
        try:
            platform = self._platforms.active(seat.platform, payload["platformId"])
        except Unregistered:
            raise errors.unregistered() from None
        if platform.anonymous:
            seat = replace(seat, user=seat.user.without_name())
        return Launch(seat, platform, payload["iat"], payload["jti"], payload.get("lms"))

    def course_of(self, service_key: str) -> Course | None:
        """The course of a service key, or None if the key was never issued.

        Raises `ApiError` if the LMS's registration is inactive.
        """
        try:
            platform_id, course_id, _ = self._mint.read_service_key(service_key)
        except InvalidToken:
            return None
        document, course = self._platforms.get(platform_id), self._world.course(course_id)
        if document is None or course is None or course.platform.url != document["url"]:
            return None
        if not document["active"]:
            raise errors.unregistered()
        return course

    # What the LMS hands to LTIAAS, which stands in for OpenID Connect

    def handshake(self, seat: Seat, lms: str | None = None) -> str:
        """A signed token that says who launches what from which LMS's page. It is valid for five
        minutes."""
        return self._mint.token("handshake", {"lms": lms, **_claims_of(seat)}, _HANDSHAKE)

    def of_handshake(self, token: str) -> tuple[Seat, str | None]:
        """Read such a token: who launches what, and the LMS's origin. Raises `InvalidToken`."""
        payload = self._mint.read("handshake", token)
        return self._seat(payload), payload.get("lms")

    def registration_token(self, platform: Platform) -> str:
        """The token with which an LMS requests registration."""
        return self._mint.token("registration", {"platformUrl": platform.url}, _HANDSHAKE)

    def of_registration(self, token: str) -> Platform:
        """The LMS of a registration token. Raises `InvalidToken`."""
        payload = self._mint.read("registration", token)
        found = self._world.platform(payload["platformUrl"])
        if found is None:
            raise InvalidToken("from a world that no longer exists")
        return found

    def deep_linking_message(self, token: str) -> dict[str, Any]:
        """The payload of the JWT that a deep-linking form posts. Raises `InvalidToken`."""
        return self._mint.read(None, token)

    def _seat(self, payload: dict[str, Any]) -> Seat:
        try:
            seat = self._world.seat(
                payload["contextId"],
                payload.get("resourceLinkId"),
                payload["userId"],
                payload["deepLinking"],
            )
        except (KeyError, ValueError):
            raise InvalidToken("from a world that no longer exists") from None
        return seat.changed(**payload.get("changes", {}))


def _claims_of(seat: Seat) -> dict[str, Any]:
    changes = {"roles": seat.roles, "custom": seat.custom, "claims": seat.claims}
    return {
        "changes": {name: value for name, value in changes.items() if value is not None},
        "contextId": seat.course.id,
        "resourceLinkId": seat.activity.id if seat.activity else None,
        "userId": seat.user.id,
        "deepLinking": seat.deep_linking,
    }
