"""Dynamic registration, as an LMS's administrator goes through it (`wire.md`, "Dynamic
registration"): the LMS's pages, and LTIAAS's address for them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

from werkzeug import Request, Response

from . import registration_pages as pages
from .registration_pages import PATH, Standing
from .tokens import InvalidToken
from .world import Platform

if TYPE_CHECKING:
    from .app import Sandbox

__all__ = ["ROUTES", "standing"]


def standing(sandbox: Sandbox, platform: Platform) -> Standing:
    """What the account knows of an LMS."""
    found = sandbox.platforms.registration_of(platform)
    return Standing(platform.name, platform.url, not platform.legacy, found)


def _overview(sandbox: Sandbox, request: Request) -> Response:
    all_of_them = [standing(sandbox, platform) for platform in sandbox.world.platforms]
    return _page(pages.overview(all_of_them, sandbox.pre_approval))


def _frame(sandbox: Sandbox, request: Request) -> Response:
    platform = _platform(sandbox, request.args.get("url", ""))
    query = {
        "openid_configuration": f"{platform.url}/.well-known/openid-configuration",
        "registration_token": sandbox.launches.registration_token(platform),
    }
    if request.args.get("anonymous"):
        query["privacyLevel"] = "anonymous"
    source = "/lti/register?" + urlencode(query, quote_via=quote)
    return _page(pages.frame(standing(sandbox, platform), source))


def _lti_register(sandbox: Sandbox, request: Request) -> Response:
    """LTIAAS's address, which an administrator gives to the LMS."""
    token = request.args.get("registration_token", "")
    try:
        platform = sandbox.launches.of_registration(token)
    except InvalidToken:
        raise ValueError(
            "A registration starts in the LMS: open its Registration page, and press Register."
        ) from None
    # camelCase; LTIAAS silently ignores other spellings.
    anonymous = request.args.get("privacyLevel") == "anonymous"
    id = sandbox.registrations.start(platform, token, anonymous=anonymous)
    address = sandbox.pre_approval_url(id)
    if address is not None:
        return Response("", 302, {"Location": address, "Cache-Control": "no-store"})
    done = sandbox.registrations.complete(id)
    assert done is not None  # It has just begun, and nobody else knows its id.
    return _page(pages.registered(platform.name, done[0]))


def _activate(sandbox: Sandbox, request: Request) -> Response:
    if sandbox.platforms.change(request.form.get("id", ""), {"active": True}) is None:
        raise ValueError("There is no such registration.")
    return Response("", 303, {"Location": PATH})


def _platform(sandbox: Sandbox, url: str) -> Platform:
    platform = sandbox.world.platform(url)
    if platform is None or platform.legacy:
        raise ValueError(f"No LMS at {url!r} can be registered here.")
    return platform


def _page(document: str) -> Response:
    return Response(document, 200, {"Cache-Control": "no-store"}, mimetype="text/html")


ROUTES: dict[tuple[str, str], Callable[[Sandbox, Request], Response]] = {
    ("GET", PATH): _overview,
    ("GET", f"{PATH}/frame"): _frame,
    ("POST", f"{PATH}/activate"): _activate,
    ("GET", "/lti/register"): _lti_register,
}
