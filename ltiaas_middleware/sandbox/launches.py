"""Launches from the LMS's click to the ltik, and what an ltik or a service key stands for."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from . import errors, tokens
from .call import Launch
from .platforms import Platforms, Unregistered
from .tokens import InvalidToken, Mint
from .world import Course, Platform, Seat, World

_HANDSHAKE = 300
"""Seconds that a launch or a registration may take from the LMS's page to LTIAAS's redirect."""


class Launches:
    """Makes and reads the tokens of launches. Thread-safe."""

    def __init__(
        self, world: World, platforms: Platforms, mint: Mint, clock: Callable[[], float]
    ) -> None:
        self._world = world
        self._platforms = platforms
        self._mint = mint
        self._clock = clock
        self._lock = threading.Lock()
        self._ended: set[str] = set()
        self._service_keys: dict[str, dict[str, Course]] = {}

    def issue(self, seat: Seat, lms: str | None = None) -> str:
        """A new ltik. Raises `Unregistered` for an LMS that may not launch."""
        platform = self._platforms.active(seat.platform)
        claims = {"platformId": platform.id, "platformUrl": platform.url, "lms": lms}
        return self._token("launch", {**claims, **_claims_of(seat)}, tokens.LIFETIME)

    def end(self, ltik: str) -> None:
        """Put an ltik past its end. Raises `InvalidToken` for one that is not this sandbox's."""
        jti = self._mint.payload(ltik)["jti"]
        with self._lock:
            self._ended.add(jti)

    def verify(self, ltik: str) -> Launch:
        """The launch of an ltik.

        Raises `InvalidToken` if it is over or never was, and `ApiError` if the LMS's registration
        is gone or inactive.
        """
        payload = self._mint.read("launch", ltik, now=self._clock())
        with self._lock:
            if payload["jti"] in self._ended:
                raise InvalidToken("ended by hand")
        seat = self._seat(payload)
        try:
            platform = self._platforms.active(seat.platform, payload["platformId"])
        except Unregistered:
            raise errors.unregistered() from None
        return Launch(seat, platform, payload["iat"], payload["jti"], payload.get("lms"))

    def course_of(self, service_key: str) -> Course | None:
        """The course that a service key opens; None for one that was never given out.

        Raises `ApiError` if the LMS's registration is inactive.
        """
        for document in self._platforms.documents():
            course = self._keys(document["id"], document["url"]).get(service_key)
            if course is not None:
                if not document["active"]:
                    raise errors.unregistered()
                return course
        return None

    # What the LMS hands to LTIAAS, which stands in for OpenID Connect

    def handshake(self, seat: Seat, lms: str | None = None) -> str:
        """Who launches what from which LMS's page, signed, for five minutes."""
        return self._token("handshake", {"lms": lms, **_claims_of(seat)}, _HANDSHAKE)

    def of_handshake(self, token: str) -> tuple[Seat, str | None]:
        """Who launches what, and the LMS's origin. Raises `InvalidToken`."""
        payload = self._mint.read("handshake", token, now=self._clock())
        return self._seat(payload), payload.get("lms")

    def registration_token(self, platform: Platform) -> str:
        """What an LMS sends along to have the tool registered."""
        return self._token("registration", {"platformUrl": platform.url}, _HANDSHAKE)

    def of_registration(self, token: str) -> Platform:
        """The LMS that a registration token is of. Raises `InvalidToken`."""
        payload = self._mint.read("registration", token, now=self._clock())
        found = self._world.platform(payload["platformUrl"])
        if found is None:
            raise InvalidToken("of a world that is no more")
        return found

    def deep_linking_message(self, token: str) -> dict[str, Any]:
        """The payload of the JWT that a deep-linking form posts back. Raises `InvalidToken`."""
        payload = self._mint.payload(token)
        if "exp" not in payload or self._clock() >= payload["exp"] or "kind" in payload:
            raise InvalidToken("not a deep-linking message, or past its end")
        return payload

    def _token(self, kind: str, claims: dict[str, Any], lifetime: float) -> str:
        return self._mint.token(kind, claims, now=self._clock(), lifetime=lifetime)

    def _seat(self, payload: dict[str, Any]) -> Seat:
        try:
            return self._world.seat(
                payload["contextId"],
                payload.get("resourceLinkId"),
                payload["userId"],
                payload["deepLinking"],
            )
        except (KeyError, ValueError):
            raise InvalidToken("of a world that is no more") from None

    def _keys(self, platform_id: str, url: str) -> dict[str, Course]:
        """Every service key that a registration's launches may be given."""
        with self._lock:
            if platform_id not in self._service_keys:
                self._service_keys[platform_id] = {
                    self._mint.service_key(
                        platform_id, course.id, activity.id if activity else ""
                    ): course
                    for course, activity in self._world.contexts()
                    if course.platform.url == url
                }
            return self._service_keys[platform_id]


def _claims_of(seat: Seat) -> dict[str, Any]:
    return {
        "contextId": seat.course.id,
        "resourceLinkId": seat.activity.id if seat.activity else None,
        "userId": seat.user.id,
        "deepLinking": seat.deep_linking,
    }
