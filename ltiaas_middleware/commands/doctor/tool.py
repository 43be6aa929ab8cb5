"""Checks the running tool from outside: whether it accepts launches, and knows its own URL.

doctor sends it an invalid launch: how the tool refuses it shows what is around the tool.
"""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from ..._crypto.keys import LaunchIds
from ...origins import is_loopback, origin_of
from ...settings import Settings
from ..browser import Browser, Reply, fetch
from .account import invalid_ltik
from .finding import Finding, find
from .launched import iframe, launched, sandbox_ltik, with_ltik

__all__ = ["tool"]


def tool(settings: Settings, url: str, guard: str | None) -> Iterator[Finding]:
    """Findings about a running tool, from its launch URL and possibly a path that it guards. The
    tool should have the same settings. May raise ``NoReply``."""
    origin = origin_of(url)
    if origin is None:
        yield find("tool-url")
        return
    secure = origin.startswith("https")
    if not secure and not is_loopback(urlsplit(url).hostname or ""):
        yield find("https-missing")
    ltik = invalid_ltik()
    reply = Browser(settings.url, settings.ca_bundle).open(with_ltik(url, ltik), hops=0)[-1]
    yield (finding := _refusal(reply))
    if finding.level == "failed":
        return
    if secure and settings.launch_path is not None:
        yield from _origin(settings, url, ltik)
    real = sandbox_ltik(settings)
    if real is not None:
        yield from launched(settings, url, real, guard)
        return
    yield iframe(reply)
    yield find("launch-skipped")
    if guard is not None:
        yield find("guard-not-checked")


def _refusal(reply: Reply) -> Finding:
    """What the response to a launch that never existed says about the tool."""
    codes = {
        "launch_expired": "tool",
        "api_key_rejected": "tool-api-key",
        "ltiaas_unavailable": "tool-cannot-reach-ltiaas",
        "launch_waiting": "tool-cannot-reach-ltiaas",
    }
    if reply.error_code in codes:
        return find(codes[reply.error_code], status=reply.status)
    if reply.location:
        return find("tool-redirects", target=reply.location.partition("?")[0])
    return find(
        "tool-fails" if reply.status >= 500 else "middleware-not-active", status=reply.status
    )


def _origin(settings: Settings, url: str, ltik: str) -> Iterator[Finding]:
    """Whether the tool knows the scheme, host and port that it is reached by.

    The middleware reads the launch's cookie under one name on https and under another on http. So a
    cookie of the launch that never existed, sent under each name, shows by the error which of them
    was read: ``launch_expired`` (read, and rejected by LTIAAS) or ``launch_unknown`` (not read). A
    form's ``Origin`` that is not the tool's own, as the tool sees it, is ``cross_site``.
    """
    launch_id = LaunchIds(settings.signing_secrets).of(ltik)
    folders = urlsplit(url).path.split("/")[1:]
    mounts = ["".join(f"/{folder}" for folder in folders[:end]) for end in range(len(folders))]
    for prefix, code in (("__Secure-", "https"), ("", "https-not-seen")):
        headers = {"Cookie": f"{prefix}{settings.cookie_name}={ltik}"}
        for mount in mounts or [""]:
            there = f"{origin_of(url)}{mount}{settings.launch_path}/{launch_id}/"
            reply = fetch(there, headers, ca_bundle=settings.ca_bundle)
            if reply.error_code != "launch_expired":
                continue
            yield find(code)
            if code == "https":
                headers["Origin"] = str(origin_of(url))
                reply = fetch(f"{there}form", headers, data="", ca_bundle=settings.ca_bundle)
                refused = reply.error_code == "cross_site"
                yield find("host-not-seen" if refused else "host", host=urlsplit(url).netloc)
            return
    yield find("https-unknown")
