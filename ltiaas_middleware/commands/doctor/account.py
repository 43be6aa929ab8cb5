"""LTIAAS itself: does it answer, does it take the API key, can anybody launch?

The API key is tested without a launch: LTIAAS is asked about an ltik that never existed, and says
whether key or ltik is wrong (wire.md, "Errors"). The key is sent only once the address has answered
as LTIAAS does.
"""

from __future__ import annotations

import json
import secrets
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator, Mapping
from email.utils import parsedate_to_datetime
from typing import Any

from ...api.error_answers import error_for
from ...credentials import ApiKeyCredential, Credential, LtikCredential
from ...errors import ApiKeyRejected, LaunchExpired, RateLimited, UpstreamError
from ...origins import origin_of
from ...settings import Settings
from .asking import Asker, NoReply, Reply
from .finding import FAILED, OK, WARNING, Finding

__all__ = ["SANDBOX_KEY", "Account", "bogus_ltik"]

#: The sandbox's well-known API key (``sandbox.DEFAULT_API_KEY``), without loading the sandbox.
SANDBOX_KEY = "5a4d0b0c-1111-4000-8000-a11ce5a4db0c"
# Seconds between two clocks that deserve a warning: the 24 hours of a launch are counted by ours.
_SKEW = 60


class Account:
    """One account, asked step by step.

    Args:
        settings: its address and API key.
        asker: what asks.
        clock: this machine's, in seconds since the epoch.
    """

    def __init__(self, settings: Settings, asker: Asker, clock: Callable[[], float]) -> None:
        self._settings = settings
        self._asker = asker
        self._clock = clock
        self._date = ""

    def findings(self) -> Iterator[Finding]:
        """Up to the first that failed, and then the clock."""
        for step in (self._answer, self._api_key, self._service):
            finding = step()
            yield finding
            if not finding.ok:
                break
        if self._date:
            yield self._time(self._date)

    def _api(self, path: str, auth: Credential | None = None) -> Reply:
        reply = self._asker.ask(f"{self._settings.url}{path}", {"Accept": "application/json"}, auth)
        self._date = reply.headers.get("Date", "") or self._date
        return reply

    def _answer(self) -> Finding:
        step = "LTIAAS"
        try:
            reply = self._api("/api/idtoken")
        except NoReply as error:
            return Finding(
                step, FAILED, f"{error}.", "Try again in a moment; if it stays, ask LTIAAS."
            )
        location = reply.headers.get("Location")
        if 300 <= reply.status < 400 and location:
            target = origin_of(location) or self._settings.url
            return Finding(
                step,
                FAILED,
                f"{self._settings.url} redirects to {target}.",
                f"If that is your account, set LTIAAS_URL to {target}; the API key is not sent "
                "after a redirect.",
            )
        failing = _failing(step, reply)
        if failing is not None:
            return failing
        document = reply.document()
        details = document.get("details") if isinstance(document, dict) else None
        if not isinstance(details, dict) or not isinstance(details.get("message"), str):
            return Finding(
                step,
                FAILED,
                f"what answers is not LTIAAS: {reply.status} with {reply.kind()}.",
                "Check LTIAAS_URL: it is your account's own address, not your tool's and not a "
                "page of the portal. A proxy or a sign-in page of the network may answer, too.",
            )
        return Finding(step, OK, f"answers as LTIAAS does ({reply.status} without a credential).")

    def _api_key(self) -> Finding:
        step = "API key"
        settings = self._settings
        try:
            ltik = bogus_ltik(self._clock())
            credential = LtikCredential(settings.url, settings.api_key, ltik)
            reply = self._api("/api/idtoken", credential)
        except NoReply as error:
            return Finding(step, FAILED, f"{error}.", "Try again in a moment.")
        told = error_for(
            reply.status, reply.body, reply.headers.get("Retry-After"), "GET", "/api/idtoken"
        )
        if isinstance(told, ApiKeyRejected):
            return self._key_rejected(step)
        if isinstance(told, LaunchExpired) and "ltik" in told.description.lower():
            return Finding(step, OK, "accepted.")
        failing = _failing(step, reply)
        if failing is not None:
            return failing
        what = f"{reply.status} {told.code or ''}".strip()
        if isinstance(told, (UpstreamError, RateLimited)):
            what = f"{reply.status} with {reply.kind()}"
        return Finding(
            step,
            FAILED,
            f"unknown: LTIAAS answers {what} about a launch that never existed.",
            "Try again in a moment; if it stays, show this line to LTIAAS's support.",
        )

    def _key_rejected(self, step: str) -> Finding:
        fix = "Copy it again from LTIAAS's portal, and check that it belongs to this account."
        if self._settings.api_key == SANDBOX_KEY:
            fix = f"This is the sandbox's well-known key. {fix}"
        return Finding(step, FAILED, "LTIAAS does not accept it.", fix)

    def _service(self) -> Finding:
        """The one call that needs nothing but the API key."""
        step = "service"
        settings = self._settings
        try:
            reply = self._api("/api/platforms", ApiKeyCredential(settings.url, settings.api_key))
        except NoReply as error:
            return Finding(step, FAILED, f"{error}.", "Try again in a moment.")
        failing = _failing(step, reply)
        if failing is not None:
            return failing
        if reply.status == 401:
            return self._key_rejected(step)
        if reply.status != 200:
            return Finding(
                step, OK, f"works; it keeps its list of LMSes to itself ({reply.status})."
            )
        document = reply.document()
        rows = document.get("platforms") if isinstance(document, dict) else document
        if not isinstance(rows, list):
            return Finding(step, OK, "works; its list of LMSes has a shape not known here.")
        if not rows:
            return Finding(
                step,
                WARNING,
                "works, but no LMS is registered with this account, so that nobody can launch.",
                "Register your LMS in LTIAAS's portal.",
            )
        return _registrations(step, rows)

    def _time(self, date: str) -> Finding:
        step = "clock"
        try:
            skew = round(self._clock() - parsedate_to_datetime(date).timestamp())
        except (TypeError, ValueError, OverflowError):
            return Finding(step, OK, "not compared: LTIAAS sends no readable Date.")
        if abs(skew) <= _SKEW:
            return Finding(step, OK, "this machine's clock agrees with LTIAAS's.")
        way = "ahead of" if skew > 0 else "behind"
        return Finding(
            step,
            WARNING,
            f"this machine's clock is {abs(skew)} s {way} LTIAAS's.",
            "Have it set by NTP: the 24 hours of a launch are counted by it.",
        )


def _registrations(step: str, rows: list[Any]) -> Finding:
    """Whether anybody can launch: a registration stays inactive until somebody activates it
    (wire.md, "Errors": ``UNREGISTERED_OR_INACTIVE_PLATFORM``)."""
    inactive = [row for row in rows if isinstance(row, dict) and row.get("active") is False]
    if not inactive:
        return Finding(step, OK, f"works, with {len(rows)} LMS registration(s).")
    names = ", ".join(_name(row) for row in inactive[:5])
    how = (
        "Activate it in LTIAAS's portal, or with "
        "ApiSession(ApiKeyCredential(url, api_key)).activate_platform(id)."
    )
    sees = (
        "A teacher who opens the tool there sees a page of raw JSON in the LMS's frame, with "
        "UNREGISTERED_OR_INACTIVE_PLATFORM; the tool is never reached."
    )
    if len(inactive) == len(rows):
        which = "the only LMS registration" if len(rows) == 1 else f"each of {len(rows)} LMSes"
        return Finding(step, WARNING, f"works, but {which} is inactive: {names}. {sees}", how)
    return Finding(
        step,
        WARNING,
        f"works, with {len(rows)} LMS registrations, of which {len(inactive)} cannot launch: "
        f"{names}. {sees}",
        f"{how} Ignore this for those that are meant to be off.",
    )


def _name(row: Mapping[str, Any]) -> str:
    for field in ("name", "url", "id"):
        value = row.get(field)
        if isinstance(value, str) and value:
            return "".join(
                char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in value
            )[:80]
    return "one without a name"


def _failing(step: str, reply: Reply) -> Finding | None:
    """The finding for an LTIAAS that limits calls or fails; None where it does neither."""
    if reply.status == 429:
        wait = reply.headers.get("Retry-After", "")
        when = f"in {wait} s" if wait.isdigit() else "in a minute"
        return Finding(
            step, FAILED, "LTIAAS limits the rate of calls just now (429).", f"Try again {when}."
        )
    if reply.status >= 500:
        return Finding(
            step,
            FAILED,
            f"answers {reply.status} with {reply.kind()}: it fails, or a proxy before it does.",
            "Try again in a moment; if it stays, ask LTIAAS.",
        )
    return None


def bogus_ltik(now: float) -> str:
    """An ltik of the right shape that LTIAAS never made: its signature is random."""

    def part(document: Mapping[str, Any]) -> str:
        return urlsafe_b64encode(json.dumps(document).encode()).decode().rstrip("=")

    head = part({"alg": "HS256", "typ": "JWT"})
    return f"{head}.{part({'iat': int(now), 'note': 'doctor'})}.{secrets.token_urlsafe(32)}"
