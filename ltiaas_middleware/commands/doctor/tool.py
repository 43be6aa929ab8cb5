"""Checks the running tool: whether it accepts launches, knows its own URL, and shows its own page.

doctor first sends it an invalid launch: how the tool refuses it shows what is around the tool. Then
it checks the page of a real launch, as in an LMS's iframe. Only a sandbox issues launches on
request; with any other account, only an LMS can launch.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import urljoin, urlsplit

from ..._crypto.keys import LaunchIds
from ..._gate.cookies import SetCookie
from ..._gate.jar import COOKIES_PATH
from ...origins import is_loopback, origin_of
from ...settings import Settings
from ..browser import Browser, Reply, fetch, is_kept, reaches
from .account import invalid_ltik
from .finding import Finding, find

# How many requests probably reach more than one worker.
_REQUESTS = 4


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
    reply = Browser(settings.url, settings.ca_bundle).open(_with_ltik(url, ltik), hops=0)[-1]
    yield (finding := _refusal(reply))
    if finding.level == "failed":
        return
    real = _sandbox_ltik(settings)
    if secure and settings.launch_path is not None:
        # With a sandbox, the real launch below shows whether the tool recognizes its own cookie.
        unknown = "cookie-not-recognized" if real is None else "https-unknown"
        yield from _origin(settings, url, ltik, unknown)
    if real is not None:
        yield from _launched(settings, url, real, guard)
        return
    yield _iframe(reply)
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
    code = "tool-fails" if reply.status >= 500 else "middleware-not-active"
    return find(code, status=reply.status)


def _origin(settings: Settings, url: str, ltik: str, unknown: str) -> Iterator[Finding]:
    """Whether the tool knows the scheme, host and port that it is reached by. ``unknown`` is the
    code of the finding if that stays open.

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
    yield find(unknown)


def _with_ltik(url: str, ltik: str) -> str:
    """A launch's URL as in LTIAAS's redirect (wire.md, "The launch redirect")."""
    joint = "&" if urlsplit(url).query else "?"
    return f"{url.partition('#')[0]}{joint}ltik={ltik}"


def _sandbox_ltik(settings: Settings) -> str | None:
    """The ltik of a launch by the sandbox's instructor, or None if the account is not a sandbox."""
    if not (settings.url.startswith("http:") or is_loopback(urlsplit(settings.url).hostname or "")):
        return None
    url, headers = f"{settings.url}/sandbox/launches", {"Content-Type": "application/json"}
    document = fetch(url, headers, data="{}", ca_bundle=settings.ca_bundle).document()
    return document.get("ltik") if isinstance(document, dict) else None


def _launched(settings: Settings, url: str, ltik: str, guard: str | None) -> Iterator[Finding]:
    """Findings about the page that a launch opens. May raise ``NoReply``."""
    browser = Browser(settings.url, settings.ca_bundle)
    replies = browser.open(_with_ltik(url, ltik))
    page = replies[-1]
    prefix = re.escape(settings.launch_path or "\0")
    shape = re.compile(rf"(?P<mount>.*?)(?P<path>{prefix}/(?P<id>[\w-]{{22}}))/(?=(?P<below>.*))")
    launch = next(filter(None, (shape.match(reply.path) for reply in replies)), None)
    stripped = _stripped(urlsplit(url).path, launch)
    if stripped and page.status >= 400:
        yield find("prefix-stripped", prefix=stripped, path=settings.launch_path)
        return
    if page.error_code:
        unknown = page.error_code == "launch_unknown"
        yield find("launch-unknown" if unknown else "launch-rejected", code=page.error_code)
        return
    yield _page(page, launch)
    yield _iframe(page)
    if launch is None:
        yield find("no-launch-path")
    else:
        yield from _cookies(settings, browser, replies, launch)
    if guard is not None:
        yield _guard(browser, url, launch, guard)


def _stripped(path: str, launch: re.Match[str] | None) -> str:
    """What the launch URL's path begins with and the launch's own does not, so that a proxy must
    have taken it away; "" if nothing."""
    if launch is None:
        return ""
    own = f"{launch['mount']}/{launch['below']}"
    return path.removesuffix(own) if path != own and path.endswith(own) else ""


def _page(page: Reply, launch: re.Match[str] | None) -> Finding:
    path = page.path.replace(launch["id"], "<launch id>") if launch else page.path
    if page.location:
        target = origin_of(page.location)
        code = "redirect-loop" if target == origin_of(page.url) else "redirect-to-another-site"
        return find(code, path=path, target=target)
    if page.status >= 400:
        return find("launch-fails", path=path, status=page.status)
    left = launch is not None and not page.path.startswith(launch[0])
    return find("redirect-out-of-the-launch" if left else "launch", path=path, status=page.status)


def _iframe(reply: Reply) -> Finding:
    """Whether an LMS may show the page in an iframe."""
    if "X-Frame-Options" in reply.headers:
        return find("x-frame-options", value=reply.headers["X-Frame-Options"])
    policy = reply.headers.get("Content-Security-Policy", "")
    allowed = re.search(r"frame-ancestors([^;,]*)", policy, re.IGNORECASE)
    sources = allowed[1].split() if allowed else ["*"]
    if "*" in sources:
        return find("iframe")
    some = set(sources) - {"'none'", "'self'"}
    return find("frame-ancestors-list" if some else "frame-ancestors", sources=" ".join(sources))


def _cookies(
    settings: Settings, browser: Browser, replies: list[Reply], launch: re.Match[str]
) -> Iterator[Finding]:
    """The launch's own and the app's, as a browser with third-party cookies blocked keeps them."""
    best: dict[str, SetCookie] = {}
    for cookie in (
        cookie for reply in replies for cookie in reply.cookies if not cookie.is_deletion
    ):
        # Without the launch's tag, which is part of its id. The middleware may send a second form.
        name = cookie.name.removeprefix(f"{launch['id'][:8]}.")
        if name not in best or is_kept(cookie):
            best[name] = cookie
    arrived = any(name.endswith(settings.cookie_name) for name in best)
    if not arrived:
        yield find("launch-cookie")
    lost = [name for name, cookie in best.items() if not is_kept(cookie)]
    unsent = [name for name, cookie in best.items() if not reaches(cookie, launch[0])]
    for code, names in (("cookies-not-kept", lost), ("cookie-path", unsent)):
        if names:
            yield find(code, names=", ".join(names))
    if best and not lost and not unsent:
        url = urljoin(replies[0].url, launch[0].rstrip("/") + COOKIES_PATH)
        failed = _unrecognized(browser, url) if arrived else None
        yield failed or find("cookies", names=", ".join(best))


def _unrecognized(browser: Browser, url: str) -> Finding | None:
    """What prevents the tool from recognizing the launch's cookie; None if it recognizes it.

    Only in a launch without its cookie, the middleware itself responds to ``COOKIES_PATH``.
    """
    for _ in range(_REQUESTS):
        reply = browser.open(url, hops=0)[-1]
        if reply.error_code == "launch_unknown":
            return find("launch-unknown")
        if reply.status == 405 and reply.headers.get("Allow") == "POST":
            return find("cookie-not-recognized")
    return None


def _guard(browser: Browser, url: str, launch: re.Match[str] | None, path: str) -> Finding:
    """Whether an app's own guard of a path holds in a launch, too."""
    if launch is None:
        return find("guard-not-checked")
    outside = browser.open(urljoin(url, launch["mount"] + path), hops=0)[-1]
    inside = browser.open(urljoin(url, launch["mount"] + launch["path"] + path), hops=0)[-1]
    code = "guard"
    if outside.status < 300:
        code = "guard-missing"
    elif inside.status in (404, 405) or inside.status >= 500:
        # The app has no view for a GET there: whether a guard let the request pass stays open.
        code = "guard-unclear"
    elif inside.status < 300:
        asks_for_launch = outside.error_code == "launch_required"
        code = "guard-is-a-launch" if asks_for_launch else "guard-bypassed"
    return find(code, path=path, outside=outside.status, inside=inside.status)
