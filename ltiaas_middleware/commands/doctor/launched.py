"""The app's own page, after a real launch into the running tool.

Only a sandbox on this machine makes launches for whoever asks. With any other account nobody but an
LMS can, and what could not be seen is said to be unknown.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from urllib.parse import urljoin, urlsplit

from ..._gate.launch_path import is_launch_id
from ..._gate.outside import Outside
from ...origins import is_loopback, origin_of
from ...settings import Settings
from .asking import Asker, NoReply
from .browser import FrameBrowser, Step
from .finding import FAILED, OK, SKIPPED, WARNING, Finding
from .page import Addresses, SetCookie, cookie_findings, frame_finding, stray_findings
from .tool import code_of, with_ltik

__all__ = ["Launched"]

_STEP = "tool's page"
# Seconds, and how often, to come back as the middleware's page that waits does.
_WAIT, _TIMES = 2.0, 5


class Launched:
    """Launches a tool and judges what it answers.

    Args:
        settings: the account's; the tool is supposed to have the same.
        asker: what asks.
    """

    def __init__(self, settings: Settings, asker: Asker) -> None:
        self._settings = settings
        self._asker = asker
        self._outside = Outside(settings.outside)

    def findings(self, address: str) -> Iterator[Finding]:
        """What is at fault with the page at a launch address, or that it could not be seen."""
        ltik = self._ltik()
        if ltik is None:
            yield Finding(
                _STEP,
                SKIPPED,
                "not checked: only an LMS can launch with this account. Whether the app's headers, "
                "cookies and links work in an LMS's frame is unknown.",
                "Run the sandbox (python -m ltiaas_middleware sandbox --tool URL), start the tool "
                "with the variables that it prints, and run this there.",
            )
            return
        try:
            steps = self._open(with_ltik(address, ltik))
        except NoReply as error:
            yield Finding(_STEP, FAILED, f"after a launch: {error}.", "Read the tool's own log.")
            return
        yield from self._judge(steps)

    def _ltik(self) -> str | None:
        """A launch by the sandbox's instructor; None where the account is no sandbox."""
        url = self._settings.url
        if not is_loopback(urlsplit(url).hostname or ""):
            return None
        try:
            reply = self._asker.ask(f"{url}/sandbox/launches", {}, post={})
        except NoReply:
            return None
        document = reply.document()
        ltik = document.get("ltik") if reply.status == 200 and isinstance(document, dict) else None
        return ltik if isinstance(ltik, str) else None

    def _open(self, address: str) -> list[Step]:
        browser = FrameBrowser(self._asker, self._settings.url)
        for _ in range(_TIMES):
            steps = browser.open(address)
            reply = steps[-1].reply
            if reply.status not in (429, 503) or "Retry-After" not in reply.headers:
                break
            wait = reply.headers["Retry-After"]
            time.sleep(min(_WAIT, float(wait)) if wait.isdigit() else _WAIT)
        return steps

    def _judge(self, steps: list[Step]) -> Iterator[Finding]:
        *_, (address, reply) = steps
        page = urlsplit(address).path or "/"
        code = code_of(reply)
        if code is not None and reply.status >= 400:
            yield Finding(
                _STEP,
                FAILED,
                f"the middleware answers {reply.status} ({code}) to a launch of this sandbox.",
                "Start the tool with the LTIAAS_URL and LTIAAS_API_KEY that are set here.",
            )
            return
        launch_path = next(filter(None, (self._launch_path(one.address) for one in steps)), None)
        path = launch_path or ""
        entered = False
        left: list[str] = []
        for one in steps:
            inside = self._launch_path(one.address) == launch_path
            entered = entered or (inside and launch_path is not None)
            where = urlsplit(one.address).path or "/"
            if entered and not inside and not self._outside.covers(where):
                left.append(where)
        location = reply.headers.get("Location")
        if 300 <= reply.status < 400 and location:
            target = origin_of(urljoin(address, location))
            if target == origin_of(address):
                yield Finding(
                    _STEP,
                    FAILED,
                    f"redirects without end, last to {_path(urljoin(address, location))}.",
                    "If it is a sign-in page: sign users in with current_launch() "
                    "(docs/frameworks.md).",
                )
            else:
                yield Finding(
                    _STEP,
                    FAILED,
                    f"{page} redirects to another site, {target or 'of no clear address'}.",
                    "A frame cannot go there with its launch: sign users in with current_launch() "
                    "(docs/frameworks.md), or open that site in a new tab.",
                )
        elif reply.status >= 400:
            yield Finding(
                _STEP, FAILED, f"{page} answers {reply.status}.", "Read the tool's own log."
            )
        else:
            yield Finding(_STEP, OK, f"a launch shows {page} ({reply.status}).")
        if left:
            yield Finding(
                "redirects",
                FAILED,
                f"lead out of the launch, to {', '.join(dict.fromkeys(left))}: the page there does "
                "not know who launched.",
                "Build the address with the framework (url_for, redirect to a name), or put "
                "launch.path before it.",
            )
        if launch_path is None:
            yield Finding(
                "launch path",
                WARNING,
                "none: the launch is served in place, and two tabs share one session.",
                "Leave LTIAAS_LAUNCH_PATH on, unless the app cannot work below a path.",
            )
        # The page's own, and those of redirects on the way, which a frame has to show as little.
        yield frame_finding(reply)
        cookies = [
            cookie
            for one in steps
            for cookie in map(SetCookie.parse, one.reply.cookies)
            if not self._is_ours(cookie.name)
        ]
        yield from cookie_findings(cookies, launch_path)
        if launch_path is not None and "html" in reply.kind() and reply.status < 300:
            yield from stray_findings(
                Addresses(reply.text(), address), path, lambda one: self._outside.covers(one)
            )

    def _is_ours(self, name: str) -> bool:
        """Whether a cookie is the launch's own."""
        bare = name.removeprefix("__Secure-").removesuffix("-tab")
        return bare == self._settings.cookie_name

    def _launch_path(self, address: str) -> str | None:
        """The launch path that an address is in, with the mount point before it."""
        prefix = self._settings.launch_path
        if prefix is None:
            return None
        found = re.match(rf"(.*?{re.escape(prefix)}/([^/]+))(?:/|$)", urlsplit(address).path)
        return found[1] if found and is_launch_id(found[2]) else None


def _path(address: str) -> str:
    return urlsplit(address).path or "/"
