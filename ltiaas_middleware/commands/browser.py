"""A browser that shows the tool in another site's iframe, with third-party cookies blocked."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import urljoin, urlsplit

import requests
import urllib3

from .._gate.cookies import SetCookie, read_set_cookie
from ..credentials import Credential

_TIMEOUT = (5.0, 15.0)
_MAX_SIZE = 1_048_576
# How often, and at most after how many seconds, a page that reloads itself is asked for again.
_RELOADS, _LONGEST_WAIT = 10, 2.0


class NoReply(Exception):
    """There was no usable response. The text says why, and ``fix`` what to do."""

    def __init__(self, why: str, fix: str = "") -> None:
        super().__init__(why)
        self.fix = fix


def is_kept(cookie: SetCookie) -> bool:
    """Whether browsers keep a cookie in another site's iframe."""
    same_site = cookie.found.get("samesite", "").lower()
    return same_site == "none" and {"secure", "partitioned"} <= cookie.found.keys()


def reaches(cookie: SetCookie, path: str) -> bool:
    """Whether browsers send the cookie to a path (RFC 6265 section 5.1.4)."""
    return f"{path}/".startswith(cookie.found.get("path", "/").rstrip("/") + "/")


class Reply(NamedTuple):
    """One response; ``headers`` ignores case."""

    url: str
    status: int
    headers: Mapping[str, str]
    text: str
    cookies: list[SetCookie]

    @property
    def path(self) -> str:
        return urlsplit(self.url).path or "/"

    @property
    def location(self) -> str | None:
        """The target of a redirect, as a full URL."""
        target = self.headers.get("Location")
        return urljoin(self.url, target) if 300 <= self.status < 400 and target else None

    @property
    def error_code(self) -> str | None:
        """The code of the middleware's own error responses; None for all others."""
        code = self.headers.get("LTIAAS-Error", "")
        return code if re.fullmatch(r"[a-z0-9_]{1,64}", code) else None

    def document(self) -> Any:
        """The body as JSON; None if it is not JSON."""
        try:
            return json.loads(self.text)
        except (ValueError, RecursionError):
            return None


def fetch(
    url: str,
    headers: Mapping[str, str],
    auth: Credential | None = None,
    *,
    data: Mapping[str, str] | str | None = None,
    ca_bundle: str | None = None,
) -> Reply:
    """Send one request, with a size limit: a GET, or a POST if there is ``data``. Does not follow
    redirects. Raises ``NoReply``."""
    try:
        with requests.request(
            "GET" if data is None else "POST",
            url,
            headers={"Accept-Encoding": "identity", **headers},
            data=data,
            # Not None, for which requests would look into ~/.netrc.
            auth=auth or (lambda request: request),
            # Plain http is for this machine: no proxy gets to see it.
            proxies={"http": ""},
            timeout=_TIMEOUT,
            allow_redirects=False,
            stream=True,
            verify=ca_bundle or True,
        ) as response:
            text = response.raw.read(_MAX_SIZE).decode("utf-8", "replace")
            given = response.raw.headers.getlist("Set-Cookie")
            cookies = list(filter(None, map(read_set_cookie, given)))
            return Reply(url, response.status_code, response.headers, text, cookies)
    except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
        why = _why(error, urlsplit(url).netloc)
    # Outside the ``except``: the error holds the request with its header.
    raise why


def _why(error: Exception, host: str) -> NoReply:
    cause = getattr(error.args[0], "reason", None) if error.args else None
    if isinstance(error, requests.exceptions.SSLError):
        found = re.search(r"verify failed: ([^(]+)", str(cause))
        return NoReply(
            f"the TLS certificate was rejected: {found[1].strip()}"
            if found
            else "the server does not speak TLS",
            "Check the host, the port and this machine's clock. If a private certificate authority "
            "issued the certificate, or your own proxy intercepts TLS connections, set "
            "LTIAAS_CA_BUNDLE to a file with that authority's certificate. The file replaces the "
            "public authorities, also for calls to LTIAAS, so begin it with a copy of theirs "
            "(`python -m certifi` prints the path).",
        )
    if isinstance(error, requests.exceptions.ProxyError):
        return NoReply("the proxy does not respond", "Check HTTPS_PROXY and NO_PROXY.")
    if isinstance(cause, urllib3.exceptions.NameResolutionError):
        return NoReply(f"DNS cannot resolve {host}", "Check the spelling of the URL.")
    if isinstance(error, requests.Timeout):
        return NoReply(
            "no response in time", "Check the firewalls between here and there, and try again."
        )
    if "refused" in str(cause):
        return NoReply(f"nothing is listening at {host}", "Start the server, or check the port.")
    return NoReply(
        "the connection closed without a response", "Try again, and read the server's log."
    )


class Browser:
    """Follows redirects and reloads within an origin, and keeps the cookies that an iframe keeps.
    ``lms`` is the origin of the page around the iframe."""

    def __init__(self, lms: str, ca_bundle: str | None = None) -> None:
        self._lms = lms
        self._ca_bundle = ca_bundle
        self._jar: dict[tuple[str, str], SetCookie] = {}

    def open(
        self, url: str, data: Mapping[str, str] | None = None, *, hops: int = 12
    ) -> list[Reply]:
        """Navigate, with a POST if there is ``data``. Returns every response on the way, with the
        page last. Stops early at a redirect to another origin, and after ``hops`` redirects. May
        raise ``NoReply``."""
        # Of the whole chain of redirects (Fetch Metadata, 2.3): a launch begins on the LMS's page.
        site = "cross-site" if data is None else "same-origin"
        replies: list[Reply] = []
        while True:
            for _ in range(_RELOADS):
                reply = fetch(url, self._headers(url, site), data=data, ca_bundle=self._ca_bundle)
                wait = reply.headers.get("Refresh", "")
                if reply.status != 503 or not wait.isdigit():
                    break
                time.sleep(min(_LONGEST_WAIT, float(wait)))
            replies.append(reply)
            self._keep(reply)
            target = reply.location
            if not target or len(replies) > hops or urlsplit(target)[:2] != urlsplit(url)[:2]:
                return replies
            url, data = target, None

    def _headers(self, url: str, site: str) -> dict[str, str]:
        path = urlsplit(url).path or "/"
        sent = [f"{one.name}={one.value}" for one in self._jar.values() if reaches(one, path)]
        headers = {
            "Accept": "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8",
            "Sec-Fetch-Mode": "navigate",
            "Sec-Fetch-Dest": "iframe",
            "Sec-Fetch-Site": site,
            "Referer": f"{self._lms}/",
        }
        return headers | ({"Cookie": "; ".join(sent)} if sent else {})

    def _keep(self, reply: Reply) -> None:
        for cookie in reply.cookies:
            key = cookie.name, cookie.found.get("path", "")
            if cookie.is_deletion:
                self._jar.pop(key, None)
            elif is_kept(cookie):
                self._jar[key] = cookie
