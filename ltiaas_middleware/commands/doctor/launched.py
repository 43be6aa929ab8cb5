"""Checks the app's own page after a real launch of the running tool, as in an LMS's iframe.

Only a sandbox issues launches on request; with any other account, only an LMS can launch.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import urljoin, urlsplit

from ...origins import is_loopback, origin_of
from ...settings import Settings
from ..browser import Browser, Reply, SetCookie, fetch
from .finding import Finding, find

__all__ = ["iframe", "launched", "sandbox_ltik", "with_ltik"]

# The app has no view for a GET there: whether a guard let the request pass stays open.
_NO_VIEW = (404, 405)


def with_ltik(url: str, ltik: str) -> str:
    """A launch's URL as in LTIAAS's redirect (wire.md, "The launch redirect")."""
    joint = "&" if urlsplit(url).query else "?"
    return f"{url.partition('#')[0]}{joint}ltik={ltik}"


def sandbox_ltik(settings: Settings) -> str | None:
    """The ltik of a launch by the sandbox's instructor, or None if the account is not a sandbox."""
    if not (settings.url.startswith("http:") or is_loopback(urlsplit(settings.url).hostname or "")):
        return None
    url, headers = f"{settings.url}/sandbox/launches", {"Content-Type": "application/json"}
    document = fetch(url, headers, data="{}", ca_bundle=settings.ca_bundle).document()
    return document.get("ltik") if isinstance(document, dict) else None


def launched(settings: Settings, url: str, ltik: str, guard: str | None) -> Iterator[Finding]:
    """Findings about the page that a launch opens. May raise ``NoReply``."""
    browser = Browser(settings.url, settings.ca_bundle)
    replies = browser.open(with_ltik(url, ltik))
    page = replies[-1]
    prefix = re.escape(settings.launch_path or "\0")
    shape = re.compile(rf"(?P<mount>.*?)(?P<path>{prefix}/(?P<id>[\w-]{{22}}))/(?=(?P<below>.*))")
    launch = next(filter(None, (shape.match(reply.path) for reply in replies)), None)
    stripped = _stripped(urlsplit(url).path, launch)
    if stripped and page.status >= 400:
        yield find("prefix-stripped", prefix=stripped, path=settings.launch_path)
        return
    if page.error_code:
        yield find("launch-rejected", code=page.error_code)
        return
    yield _page(page, launch)
    yield iframe(page)
    if launch is None:
        yield find("no-launch-path")
    else:
        yield from _cookies(settings, replies, launch)
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
        same = target == origin_of(page.url)
        return find(
            "redirect-loop" if same else "redirect-to-another-site", path=path, target=target
        )
    if page.status >= 400:
        return find("launch-fails", path=path, status=page.status)
    left = launch is not None and not page.path.startswith(launch[0])
    return find("redirect-out-of-the-launch" if left else "launch", path=path, status=page.status)


def iframe(reply: Reply) -> Finding:
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


def _cookies(settings: Settings, replies: list[Reply], launch: re.Match[str]) -> Iterator[Finding]:
    """The launch's own and the app's, as a browser with third-party cookies blocked keeps them."""
    best: dict[str, SetCookie] = {}
    for cookie in (cookie for reply in replies for cookie in reply.cookies if not cookie.deletes):
        # Without the launch's tag, which is part of its id. The middleware may send a second form.
        name = cookie.name.removeprefix(f"{launch['id'][:8]}.")
        if name not in best or cookie.kept:
            best[name] = cookie
    if not any(name.endswith(settings.cookie_name) for name in best):
        yield find("launch-cookie")
    lost = [name for name, cookie in best.items() if not cookie.kept]
    unsent = [name for name, cookie in best.items() if not cookie.reaches(launch[0])]
    for code, names in (("cookies-not-kept", lost), ("cookie-path", unsent)):
        if names:
            yield find(code, names=", ".join(names))
    if best and not lost and not unsent:
        yield find("cookies", names=", ".join(best))


def _guard(browser: Browser, url: str, launch: re.Match[str] | None, path: str) -> Finding:
    """Whether an app's own guard of a path holds in a launch, too."""
    if launch is None:
        return find("guard-not-checked")
    outside = browser.open(urljoin(url, launch["mount"] + path), hops=0)[-1]
    inside = browser.open(urljoin(url, launch["mount"] + launch["path"] + path), hops=0)[-1]
    code = "guard"
    if outside.status < 300:
        code = "guard-missing"
    elif inside.status in _NO_VIEW or inside.status >= 500:
        code = "guard-unclear"
    elif inside.status < 300:
        asks_for_launch = outside.error_code == "launch_required"
        code = "guard-is-a-launch" if asks_for_launch else "guard-bypassed"
    return find(code, path=path, outside=outside.status, inside=inside.status)
