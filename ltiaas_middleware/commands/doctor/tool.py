"""The running tool, seen from outside: does it take launches, and does it know its own address?

It is shown a launch that never existed: how it refuses that one tells what it has around it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from html import unescape
from urllib.parse import urlsplit

from ..._crypto.keys import LaunchIds
from ...origins import is_loopback, origin_of
from ...settings import Settings
from .account import bogus_ltik
from .asking import Asker, NoReply, Reply
from .finding import FAILED, OK, WARNING, Finding
from .page import frame_finding

__all__ = ["Tool", "code_of", "with_ltik"]

_STEP = "tool"


class Tool:
    """A tool, by its launch address.

    Args:
        settings: the account's; the tool is supposed to have the same.
        asker: what asks.
        clock: this machine's, in seconds since the epoch.
    """

    def __init__(self, settings: Settings, asker: Asker, clock: Callable[[], float]) -> None:
        self._settings = settings
        self._asker = asker
        self._bogus = bogus_ltik(clock())

    def findings(self, address: str) -> Iterator[Finding]:
        """How it takes a launch that never existed, at its launch address."""
        origin = origin_of(address)
        if origin is None:
            yield Finding(
                _STEP,
                FAILED,
                "--tool is not a web address.",
                "Give the launch address, such as https://tool.example/launch.",
            )
            return
        secure = origin.startswith("https")
        parts = urlsplit(address)
        if not secure and not is_loopback(parts.hostname or ""):
            yield Finding(
                _STEP,
                FAILED,
                "it is reached by plain http.",
                "Serve it by https: without, no browser keeps a cookie in an LMS's iframe, and the "
                "ltik can be read on its way.",
            )
        try:
            reply = self._asker.ask(
                with_ltik(address, self._bogus),
                {
                    "Accept": "text/html",
                    "Sec-Fetch-Mode": "navigate",
                    "Sec-Fetch-Dest": "iframe",
                    "Sec-Fetch-Site": "cross-site",
                },
            )
        except NoReply as error:
            yield Finding(_STEP, FAILED, f"{error}.", "Start it, and check the address of --tool.")
            return
        launch = _launch_finding(reply, origin)
        yield launch
        yield frame_finding(reply, "its answer to a launch that never existed")
        if launch.ok and secure:
            yield self._scheme(origin, parts.path)

    def _scheme(self, origin: str, path: str) -> Finding:
        """Whether the tool knows that it is reached by https.

        The middleware reads the launch's cookie under one name on https and under another on
        http. So a cookie that proves the launch that never existed, sent under each name, shows by
        the refusal which of them was read: ``launch_expired`` (read, and refused by LTIAAS) or
        ``launch_unknown`` (not read).
        """
        step = "tool's scheme"
        settings = self._settings
        if settings.launch_path is None:
            return Finding(step, OK, "does not matter: launch paths are off, no cookie is set.")
        launch_id = LaunchIds(settings.secrets).of(self._bogus)
        folders = path.split("/")[1:]
        mounts = ["".join(f"/{folder}" for folder in folders[:end]) for end in range(len(folders))]
        for name, seen in (
            (f"__Secure-{settings.cookie_name}", "https"),
            (settings.cookie_name, "http"),
        ):
            for mount in mounts or [""]:
                address = f"{origin}{mount}{settings.launch_path}/{launch_id}/"
                try:
                    reply = self._asker.ask(
                        address,
                        {"Accept": "application/json", "Cookie": f"{name}={self._bogus}"},
                    )
                except NoReply:
                    continue
                if code_of(reply) != "launch_expired":
                    continue
                if seen == "https":
                    return Finding(step, OK, "the tool knows that it is reached by https.")
                return Finding(
                    step,
                    FAILED,
                    "the tool believes that it is reached by plain http.",
                    "TLS ends at a proxy: tell the app what it forwards (Werkzeug's ProxyFix with "
                    "x_proto=1, uvicorn --proxy-headers), or the launch's cookie is not kept in an "
                    "iframe.",
                )
        return Finding(
            step,
            WARNING,
            "unknown: the tool's API key, secret or launch_path differ from those here.",
            "Run this with the very environment that the tool runs with.",
        )


def with_ltik(address: str, ltik: str) -> str:
    """A launch address as LTIAAS's redirect gives it (wire.md, "The launch redirect")."""
    joint = "&" if urlsplit(address).query else "?"
    return f"{address.partition('#')[0]}{joint}ltik={ltik}"


def code_of(reply: Reply) -> str | None:
    """The code of the middleware's own refusals (``refusals.Refusal``); None for other answers."""
    document = reply.document()
    if isinstance(document, dict):
        code = document.get("code")
        return code if isinstance(code, str) else None
    found = re.search(r"Code for support: (\w+)", unescape(reply.text()))
    return found[1] if found else None


def _launch_finding(reply: Reply, origin: str) -> Finding:
    """What the answer to a launch that never existed says of the tool."""
    code = code_of(reply)
    if code == "api_key_rejected":
        return Finding(
            _STEP,
            FAILED,
            "LTIAAS does not accept the API key that the tool itself has.",
            "Set LTIAAS_API_KEY where the tool runs, and restart it.",
        )
    if code in ("ltiaas_unavailable", "launch_waiting"):
        return Finding(
            _STEP,
            FAILED,
            "the tool cannot reach LTIAAS from where it runs.",
            "Run this command there, with the tool's environment.",
        )
    if reply.status == 401 and code in ("launch_expired", None):
        whose = "the middleware's page" if code else "a page of its own"
        return Finding(_STEP, OK, f"refuses a launch that never existed with {whose} (401).")
    location = reply.headers.get("Location")
    if 300 <= reply.status < 400 and location:
        target = origin_of(location)
        if target == origin.replace("http://", "https://") != origin:
            fix = f"Register {target} with LTIAAS: on the way through http, the ltik is readable."
        else:
            fix = "Put the middleware around what redirects: it has to see a launch first."
        shown = target or f"{origin}{location.partition('?')[0]}"
        return Finding(_STEP, FAILED, f"it redirects to {shown} instead of taking the launch.", fix)
    if reply.status >= 500:
        return Finding(
            _STEP, FAILED, f"answers {reply.status}.", "Read its own log, and the proxy's."
        )
    return Finding(
        _STEP,
        FAILED,
        f"takes no notice of a launch: it answers {reply.status}"
        f"{f' ({code})' if code else ''} to one that never existed.",
        "Wrap the app in LTIAASMiddleware, and check the address of --tool.",
    )
