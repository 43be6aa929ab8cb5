"""A browser that shows the tool in a frame of another site, with third-party cookies blocked."""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import urljoin, urlsplit

from .asking import Asker, Reply
from .page import SetCookie

__all__ = ["FrameBrowser", "Step"]

_HOPS = 12


class Step(NamedTuple):
    """One answer on the way to a page."""

    address: str
    reply: Reply


class FrameBrowser:
    """Follows redirects within the tool's origin, and keeps what cookies a frame keeps.

    Args:
        asker: what asks.
        lms: the origin of the page around the frame.
    """

    def __init__(self, asker: Asker, lms: str) -> None:
        self._asker = asker
        self._lms = lms
        self._jar: dict[tuple[str, str], SetCookie] = {}

    def open(self, address: str) -> list[Step]:
        """Navigate, as the LMS's frame does: every answer on the way, the page last. It ends early
        where a redirect leads to another origin, and after ``12`` redirects.

        Raises:
            NoReply: there was no answer.
        """
        origin = urlsplit(address)[:2]
        steps: list[Step] = []
        for _ in range(_HOPS):
            reply = self._asker.ask(address, self._headers(urlsplit(address).path or "/"))
            steps.append(Step(address, reply))
            self._keep(reply, urlsplit(address).path)
            location = reply.headers.get("Location")
            if not (300 <= reply.status < 400 and location):
                break
            address = urljoin(address, location)
            if urlsplit(address)[:2] != origin:
                break
        return steps

    def _headers(self, path: str) -> dict[str, str]:
        headers = {
            "Accept": "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8",
            "Sec-Fetch-Mode": "navigate",
            "Sec-Fetch-Dest": "iframe",
            # Of the whole chain of redirects: it began on the LMS's page (Fetch Metadata, 2.3).
            "Sec-Fetch-Site": "cross-site",
            "Referer": f"{self._lms}/",
        }
        sent = [one for one in self._jar.values() if one.reaches(path)]
        sent.sort(key=lambda one: -len(one.path))
        if sent:
            headers["Cookie"] = "; ".join(f"{one.name}={one.value}" for one in sent)
        return headers

    def _keep(self, reply: Reply, path: str) -> None:
        for header in reply.cookies:
            cookie = SetCookie.parse(header)
            if not (cookie.is_kept and cookie.partitioned):
                continue
            cookie = cookie._replace(path=cookie.path or path.rpartition("/")[0] or "/")
            key = (cookie.name, cookie.path)
            self._jar.pop(key, None)
            if not cookie.deletes:
                self._jar[key] = cookie
