"""What the demo tool asks of LTIAAS within a launch: the roster, results, a score, content.

Written with plain ``requests`` and ``auth=launch.credential``, as any tool could. Whatever goes
wrong becomes a ``CallFailed``, whose text a teacher can read: the demo shows it on its page.
"""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Iterator, Mapping
from typing import Any

import requests
import urllib3

from ...launch import Launch

__all__ = ["CallFailed", "Calls"]

# A tool's page must come up whatever LTIAAS does: no answer of these calls is anywhere near.
_MAX_ANSWER = 1_048_576
_MAX_PAGES = 50
_NOT_OFFERED = {"INACTIVE_SERVICE", "SERVICE_NOT_AVAILABLE_FOR_CONTEXT"}


class CallFailed(Exception):
    """LTIAAS did not do what it was asked; the text says why, for a person to read."""


class Calls:
    """The calls that one page of the tool makes.

    Args:
        launch: signs them.
        patience: seconds for all of them together, so that a slow LTIAAS makes a page with a gap
            and not a page that never comes.
    """

    def __init__(self, launch: Launch, patience: float = 8.0) -> None:
        self._launch = launch
        self._until = time.monotonic() + patience

    def members(self) -> list[Mapping[str, Any]]:
        """Everyone in the course, from all pages of the roster.

        Raises:
            CallFailed: LTIAAS or the LMS behind it does not give it.
        """
        return list(self._all(self._launch.url_for("memberships"), "members"))

    def results(self, line_item: str, user_id: str | None = None) -> list[Mapping[str, Any]]:
        """What the gradebook holds for a line item: of everyone, or of one user.

        Raises:
            CallFailed: LTIAAS or the LMS behind it does not give it.
        """
        address = self._launch.url_for("lineitems", line_item, "scores")
        return list(self._all(address, "scores", {"userId": user_id} if user_id else {}))

    def submit(self, line_item: str, score: Mapping[str, Any]) -> None:
        """Send a score. Not repeated: whether a score that got no answer was taken is unknown.

        Raises:
            CallFailed: it was not taken, or nobody knows.
        """
        address = self._launch.url_for("lineitems", line_item, "scores")
        self._call("POST", address, body=score)

    def deep_linking(self, items: list[Mapping[str, Any]], message: str) -> tuple[str, str]:
        """Content for the LMS, as (address, JWT) for a form to post.

        Raises:
            CallFailed: LTIAAS does not make it.
        """
        body = {"contentItems": items, "options": {"message": message}}
        found = self._call("POST", self._launch.url_for("deeplinking"), body=body)
        target, jwt = found.get("target"), found.get("message")
        if not isinstance(jwt, str) or not isinstance(target, str):
            raise CallFailed("LTIAAS's answer could not be read.")
        if not target.startswith(("https://", "http://")):
            raise CallFailed("LTIAAS named no web address to bring the content to.")
        return target, jwt

    def _all(
        self, address: str, name: str, query: Mapping[str, str] | None = None
    ) -> Iterator[Mapping[str, Any]]:
        """The rows of every page: ``next`` is the LMS's own address, fetched through the same
        endpoint (wire.md, below the table of endpoints)."""
        params = dict(query or {})
        for _ in range(_MAX_PAGES):
            page = self._call("GET", address, params=params)
            rows = page.get(name)
            if not isinstance(rows, list):
                raise CallFailed("LTIAAS's answer could not be read.")
            yield from (row for row in rows if isinstance(row, dict))
            following = page.get("next")
            if not isinstance(following, str) or not following:
                return
            params = {"url": following}
        raise CallFailed("LTIAAS's list has no end.")

    def _call(
        self,
        method: str,
        address: str,
        *,
        params: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        left = self._until - time.monotonic()
        if left <= 0:
            raise CallFailed("LTIAAS is too slow just now.")
        try:
            with requests.request(
                method,
                address,
                params=params,
                json=body,
                auth=self._launch.credential,
                headers={"Accept": "application/json", "Accept-Encoding": "identity"},
                timeout=(min(3.05, left), min(5.0, left)),
                allow_redirects=False,
                stream=True,
            ) as response:
                content = self._read(response)
        except requests.Timeout:
            raise CallFailed("LTIAAS did not answer in time.") from None
        except requests.RequestException:
            # Not its text, nor the chain: both hold the request with its header.
            raise CallFailed("LTIAAS could not be reached.") from None
        document = _document(content)
        if not 200 <= response.status_code < 300:
            raise CallFailed(_why(response, document))
        if response.status_code == 204:
            return {}
        if document is None:
            raise CallFailed("LTIAAS's answer could not be read.")
        return document

    def _read(self, response: requests.Response) -> bytes:
        if response.headers.get("Content-Encoding", "identity") != "identity":
            raise CallFailed("LTIAAS's answer could not be read.")
        parts: list[bytes] = []
        size = 0
        try:
            while part := response.raw.read1(65536):
                parts.append(part)
                size += len(part)
                if size > _MAX_ANSWER or time.monotonic() > self._until:
                    raise CallFailed("LTIAAS's answer does not end.")
        except (OSError, http.client.HTTPException, urllib3.exceptions.HTTPError):
            raise CallFailed("LTIAAS's answer broke off.") from None
        return b"".join(parts)


def _document(content: bytes) -> dict[str, Any] | None:
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


def _why(response: requests.Response, document: Mapping[str, Any] | None) -> str:
    """An error answer in words (wire.md, "Errors")."""
    status = response.status_code
    details = document.get("details") if document else None
    details = details if isinstance(details, dict) else {}
    told = details.get("description")
    if details.get("message") in _NOT_OFFERED:
        return "The LMS does not offer this here."
    if status == 401 and "api key" in str(told).lower():
        return "LTIAAS does not accept this tool's API key. Please tell who runs the tool."
    if status == 401:
        return "This launch is over. Open the activity again from your course."
    if status == 429:
        return "LTIAAS is asked too much just now. Try again in a moment."
    if isinstance(told, str) and status < 500:
        return f"LTIAAS says: {told}"
    return f"LTIAAS answered with an error ({status})."
