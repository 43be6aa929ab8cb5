"""Judges an app's answer as a browser would that shows it in a cross-site frame. No requests here.

What is judged is what tools get wrong most often: headers that forbid the frame, cookies that a
frame does not keep, and addresses that lead out of the launch.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from html.parser import HTMLParser
from typing import NamedTuple
from urllib.parse import urljoin, urlsplit

from .asking import Reply
from .finding import FAILED, OK, WARNING, Finding

__all__ = ["Addresses", "SetCookie", "cookie_findings", "frame_finding", "stray_findings"]

# What a page's own scripts ask for by a path that is written down.
_ASKED = re.compile(
    r"""(?:fetch|axios(?:\.\w+)?|\$\.(?:get|post|ajax|getJSON)|\.open|EventSource|WebSocket)\(\s*"""
    r"""(?:["'][A-Z]+["']\s*,\s*)?["'`](/(?!/)[^"'`\s]*)"""
)
_GONE_TO = re.compile(r"""\blocation(?:\.href)?\s*=\s*["'`](/(?!/)[^"'`\s]*)""")
# Dash writes down where its callbacks go.
_DASH = re.compile(r'"requests_pathname_prefix"\s*:\s*"(/[^"]*)"')
_SHOWN = 5


class SetCookie(NamedTuple):
    """One ``Set-Cookie`` (RFC 6265 section 5.2). Its value is in no message."""

    name: str
    value: str
    path: str
    same_site: str
    secure: bool
    partitioned: bool
    deletes: bool

    @classmethod
    def parse(cls, header: str) -> SetCookie:
        pair, *attributes = header.split(";")
        name, _, value = pair.partition("=")
        found = {}
        for attribute in attributes:
            key, _, text = attribute.partition("=")
            found[key.strip().lower()] = text.strip()
        path = found.get("path", "")
        return cls(
            name.strip(),
            value.strip(),
            path if path.startswith("/") else "",
            found.get("samesite", "").lower(),
            "secure" in found,
            "partitioned" in found,
            found.get("max-age", "1") in ("0", "-1") or "1970" in found.get("expires", ""),
        )

    @property
    def is_kept(self) -> bool:
        """Whether a browser keeps it in a frame of another site."""
        return self.same_site == "none" and self.secure

    def reaches(self, path: str) -> bool:
        """Whether it is sent to a path (RFC 6265 section 5.1.4)."""
        own = self.path.rstrip("/")
        return path == own or path.startswith(f"{own}/")


def cookie_findings(cookies: Iterable[SetCookie], launch_path: str | None) -> Iterator[Finding]:
    """One finding for each of the app's cookies that is at fault, or one for all.

    Args:
        cookies: as the app's answers set them.
        launch_path: of the launch; None where it is served in place.
    """
    step = "cookies"
    well = []
    by_name: dict[str, list[SetCookie]] = {}
    for one in cookies:
        if not one.deletes:
            by_name.setdefault(one.name, []).append(one)
    for same in by_name.values():
        # On loopback the middleware sends each in a second form, for what takes no Secure there.
        cookie = max(same, key=lambda one: (one.is_kept, one.partitioned))
        if not cookie.is_kept:
            attribute = (
                f"SameSite={cookie.same_site.title()}" if cookie.same_site else "no SameSite"
            )
            what = attribute if cookie.same_site != "none" else "no Secure"
            yield Finding(
                step,
                FAILED,
                f"{cookie.name} has {what}: a browser does not keep it in an LMS's frame. Sessions "
                "are lost, forms are refused (CSRF), sign-in pages loop.",
                "Leave LTIAAS_FIT_FRAME on and wrap the outermost app, so that the middleware sees "
                "the cookie; or set SameSite=None; Secure; Partitioned yourself.",
            )
        elif launch_path and not cookie.path.startswith(launch_path):
            yield Finding(
                step,
                WARNING if cookie.name.startswith("__Host-") else FAILED,
                f"{cookie.name} is sent to every launch (Path={cookie.path or '/'}): whoever opens "
                "the tool next in this browser gets this user's session.",
                "Give it the launch's path (launch.path), which LTIAAS_FIT_FRAME does.",
            )
        elif not cookie.partitioned:
            yield Finding(
                step,
                WARNING,
                f"{cookie.name} is not Partitioned: browsers that block third-party cookies do not "
                "keep it.",
                "Add Partitioned, which LTIAAS_FIT_FRAME does.",
            )
        else:
            well.append(cookie.name)
    if well:
        yield Finding(step, OK, f"kept in a frame, for this launch alone: {', '.join(well)}.")


def frame_finding(reply: Reply, whose: str = "its page") -> Finding:
    """Whether an LMS may frame the page (wire.md, "Where the browser gets in the way")."""
    step = "tool in a frame"
    if "X-Frame-Options" in reply.headers:
        return Finding(
            step,
            FAILED,
            f"{whose} has X-Frame-Options: {reply.headers['X-Frame-Options']}, so that the LMS "
            "shows a blank frame.",
            "Leave LTIAAS_FIT_FRAME on; if it is on, a proxy before the tool, or something around "
            "the middleware, adds the header.",
        )
    policy = reply.headers.get("Content-Security-Policy", "")
    allowed = re.search(r"frame-ancestors([^;,]*)", policy, re.IGNORECASE)
    if allowed is None or "*" in allowed[1].split():
        return Finding(step, OK, f"nothing keeps {whose} out of a frame.")
    sources = allowed[1].split()
    if not [one for one in sources if one.lower() not in ("'none'", "'self'")]:
        return Finding(
            step,
            FAILED,
            f"{whose} forbids every LMS's frame (Content-Security-Policy: frame-ancestors "
            f"{' '.join(sources)}).".replace(" )", ")"),
            "Name the LMSes in frame-ancestors, or leave it out.",
        )
    return Finding(
        step,
        WARNING,
        f"{whose} may be framed only by: {' '.join(sources)}.",
        "Check that every LMS is among them (Content-Security-Policy, frame-ancestors).",
    )


class Addresses(HTMLParser):
    """The addresses of a page that a browser would follow or its scripts ask for.

    Attributes:
        followed: links, forms and frames, resolved; without those to other origins.
        asked: what scripts in the page ask for by a path that is written down.
        new_tabs: those that open in a new tab.
        scripts: addresses of the scripts that the page loads.
    """

    _ATTRIBUTES = (
        ("a", "href"), ("area", "href"), ("form", "action"), ("button", "formaction"),
        ("input", "formaction"), ("iframe", "src"), ("frame", "src"),
    )  # fmt: skip

    def __init__(self, source: str, address: str) -> None:
        super().__init__()
        self._base = address
        self._origin = urlsplit(address)[:2]
        self.followed: list[str] = []
        self.asked: list[str] = []
        self.new_tabs: list[str] = []
        self.scripts: list[str] = []
        self._in_script = False
        self.feed(source)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "base" and given.get("href"):
            self._base = urljoin(self._base, given["href"])
        elif tag == "script":
            self._in_script = True
            if given.get("src"):
                self.scripts.append(given["src"])
        elif tag == "meta" and given.get("http-equiv", "").lower() == "refresh":
            self._follow(given.get("content", "").partition("=")[2].strip(" '\""))
        for name, attribute in self._ATTRIBUTES:
            if tag == name and attribute in given:
                target = self._follow(given[attribute])
                if target and given.get("target", "").lower() == "_blank":
                    self.new_tabs.append(target)

    def handle_endtag(self, tag: str) -> None:
        if tag == "script":
            self._in_script = False

    def handle_data(self, data: str) -> None:
        if self._in_script:
            for pattern in (_ASKED, _GONE_TO, _DASH):
                self.asked += [self._resolved(found) for found in pattern.findall(data)]

    def _follow(self, address: str) -> str | None:
        # Without an address a form goes where the page is.
        if not address or address.startswith("#"):
            return None
        target = self._resolved(address)
        if urlsplit(target)[:2] != self._origin:
            return None
        self.followed.append(target)
        return target

    def _resolved(self, address: str) -> str:
        try:
            return urljoin(self._base, address)
        except ValueError:
            return ""


def stray_findings(
    page: Addresses, launch_path: str, is_outside: Callable[[str], bool]
) -> Iterator[Finding]:
    """What leads out of the launch.

    Args:
        page: its addresses.
        launch_path: of the launch.
        is_outside: whether a path is never part of a launch (``Settings.outside``).
    """
    step = "addresses"

    def strays(addresses: Iterable[str]) -> list[str]:
        paths = dict.fromkeys(urlsplit(one).path or "/" for one in addresses)
        return [
            path
            for path in paths
            if not f"{path}/".startswith(f"{launch_path}/") and not is_outside(path)
        ]

    followed, asked = strays(page.followed), strays(page.asked)
    if followed:
        yield Finding(
            step,
            WARNING,
            f"lead out of the launch: {_some(followed)}. The middleware leads the browser back "
            "each time, where the browser says where it comes from.",
            "Build them with the framework (url_for, {% url %}), or put launch.path before them.",
        )
    if asked:
        yield Finding(
            step,
            WARNING,
            f"scripts of the page ask outside the launch: {_some(asked)}. The middleware leads "
            "them back (307); a websocket or an old browser is answered without a launch.",
            "Put launch.path before them, or let the framework build them.",
        )
    inside = [one for one in page.new_tabs if not strays([one])]
    if inside and not any("ltiaas-new-tabs.js" in script for script in page.scripts):
        yield Finding(
            step,
            WARNING,
            f"{len(inside)} link(s) of the launch open a new tab, where the launch's cookie of the "
            "frame is not sent: the tab says 401.",
            'Add <script src="{{ launch.path }}/ltiaas-new-tabs.js" defer></script> to the page.',
        )
    if not (followed or asked or inside):
        yield Finding(step, OK, f"{len(page.followed)} link(s) and form(s) stay in the launch.")


def _some(paths: list[str]) -> str:
    shown = ", ".join(path[:80] for path in paths[:_SHOWN])
    return f"{shown} and {len(paths) - _SHOWN} more" if len(paths) > _SHOWN else shown
