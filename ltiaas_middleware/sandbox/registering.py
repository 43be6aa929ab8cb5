"""Dynamic registration, as an LMS's administrator sees it (`wire.md`, "Dynamic registration"): the
LMS's pages, and LTIAAS's URL for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

from werkzeug import Request, Response

from .pages import found, page, see_other
from .registrations import CLOSE
from .tokens import InvalidToken
from .world import Platform

if TYPE_CHECKING:
    from .app import Sandbox

_PATH = "/lms/registration"


def _overview(sandbox: Sandbox, request: Request) -> Response:
    rows = [
        (platform, sandbox.platforms.registration_of(platform))
        for platform in sandbox.world.platforms
    ]
    pre_approval = sandbox.pre_approval
    return page("registration", "Registration", _PATH, rows=rows, pre_approval=pre_approval)


def _frame(sandbox: Sandbox, request: Request) -> Response:
    platform = _platform(sandbox, request.args.get("url", ""))
    query = {
        "openid_configuration": f"{platform.url}/.well-known/openid-configuration",
        "registration_token": sandbox.launches.registration_token(platform),
    }
    if request.args.get("anonymous"):
        query["privacyLevel"] = "anonymous"
    source = "/lti/register?" + urlencode(query, quote_via=quote)
    title = "Register the tool"
    return page("registration_frame", title, _PATH, wide=True, platform=platform, source=source)


def _lti_register(sandbox: Sandbox, request: Request) -> Response:
    """LTIAAS's URL, which an administrator gives to the LMS."""
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
    url = sandbox.pre_approval_url(id)
    if url is not None:
        return found(url)
    sandbox.registrations.complete(id)
    return page("registered", "Registered", platform=platform, html=CLOSE)


def _activate(sandbox: Sandbox, request: Request) -> Response:
    if sandbox.platforms.change(request.form.get("id", ""), {"active": True}) is None:
        raise ValueError("There is no such registration.")
    return see_other(_PATH)


def _platform(sandbox: Sandbox, url: str) -> Platform:
    platform = sandbox.world.platform(url)
    if platform is None or platform.legacy:
        raise ValueError(f"No LMS at {url!r} can be registered here.")
    return platform


ROUTES: dict[tuple[str, str], Callable[[Sandbox, Request], Response]] = {
    ("GET", _PATH): _overview,
    ("GET", f"{_PATH}/frame"): _frame,
    ("POST", f"{_PATH}/activate"): _activate,
    ("GET", "/lti/register"): _lti_register,
}
