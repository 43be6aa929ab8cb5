"""One HTTP request, bounded in time and size."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

import requests
import urllib3
from requests.utils import select_proxy

from ...api.deadlines import DeadlinePassed, TooLarge, deadline, read_bounded
from ...api.transport import new_session
from ...credentials import Credential
from ...settings import Settings

__all__ = ["CONNECT", "Asker", "NoReply", "Reply"]

# Seconds; of an LTIAAS or a tool that is well.
CONNECT, _READ, _DEADLINE = 5.0, 8.0, 15.0
_MAX_SIZE = 1_048_576


class Reply(NamedTuple):
    """A whole answer.

    Attributes:
        status: HTTP status.
        headers: by name, in any case; of several of one name, joined by commas.
        body: as it came.
        cookies: the values of ``Set-Cookie``, one by one.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    cookies: tuple[str, ...] = ()

    def document(self) -> Any:
        """The body as JSON; None where it is not JSON."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            return None

    def kind(self) -> str:
        """The body's media type, for a reader."""
        return self.headers.get("Content-Type", "").partition(";")[0].strip() or "no content type"

    def text(self) -> str:
        """The body, read as UTF-8 as far as it is."""
        return self.body.decode("utf-8", "replace")


class NoReply(Exception):
    """There was no usable answer; the text says why."""


class Asker:
    """Asks LTIAAS and the tool.

    Attributes:
        authorities: what certificates are verified with, as requests takes ``verify``.
        proxy: the proxy to LTIAAS, or None.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._session = new_session(2)
        found = self._session.merge_environment_settings(
            settings.url, {}, True, settings.ca_bundle or True, None
        )
        self.authorities: bool | str = found["verify"] or True
        self.proxy: str | None = select_proxy(settings.url, found["proxies"])

    def ask(
        self,
        address: str,
        headers: Mapping[str, str],
        auth: Credential | None = None,
        *,
        post: Any = None,
    ) -> Reply:
        """GET, or POST of a JSON document, once; redirects are not followed.

        Raises:
            NoReply: nothing usable came.
        """
        until = time.monotonic() + _DEADLINE
        ours = address.startswith(f"{self._settings.url}/")
        try:
            with (
                deadline(until),
                self._session.request(
                    "GET" if post is None else "POST",
                    address,
                    headers=dict(headers),
                    json=post,
                    auth=auth,
                    timeout=(CONNECT, _READ),
                    allow_redirects=False,
                    stream=True,
                    verify=(self._settings.ca_bundle if ours else None) or True,
                ) as response,
            ):
                cookies = tuple(response.raw.headers.getlist("Set-Cookie"))
                body = read_bounded(response, limit=_MAX_SIZE, until=until)
                return Reply(response.status_code, response.headers, body, cookies)
        except (TooLarge, DeadlinePassed):
            raise NoReply("the answer does not end") from None
        except requests.exceptions.SSLError:
            raise NoReply("the TLS certificate is not accepted") from None
        except requests.Timeout:
            raise NoReply("no answer in time") from None
        except requests.RequestException as error:
            # Not its text, nor the chain: both hold the request with its header.
            raise NoReply(f"no answer ({type(error).__name__})") from None
        except (OSError, http.client.HTTPException, urllib3.exceptions.HTTPError):
            raise NoReply("the answer broke off") from None
