"""``doctor --tool`` with the sandbox: a real launch into the running tool, and what the app's own
page does in an LMS's frame."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from werkzeug import Request, Response

from ltiaas_middleware.commands.doctor import Finding, examine, report, verdict
from ltiaas_middleware.sandbox import Sandbox, SandboxServer
from ltiaas_middleware.wsgi import LTIAASMiddleware

from .scripted import serving

KEY = "c0ffee00-2222-4000-8000-00000000beef"
View = Callable[[Request], Response]


@pytest.fixture
def account() -> Iterator[SandboxServer]:
    with SandboxServer(Sandbox(api_key=KEY)) as server:
        yield server


def html(body: str, **headers: str) -> Response:
    return Response(
        body, headers={name.replace("_", "-"): value for name, value in headers.items()},
        mimetype="text/html",
    )  # fmt: skip


@contextlib.contextmanager
def tool(account: SandboxServer, view: View, **options: Any) -> Iterator[str]:
    @Request.application
    def app(request: Request) -> Response:
        return view(request)

    options = {"url": account.url, "api_key": KEY} | options
    wrapped = LTIAASMiddleware(app, **options)
    try:
        with serving(wrapped) as origin:
            yield f"{origin}/launch"
    finally:
        wrapped.close()


def look(account: SandboxServer, view: View, **options: Any) -> list[Finding]:
    with tool(account, view, **options) as address:
        env = {"LTIAAS_URL": account.url, "LTIAAS_API_KEY": KEY}
        findings = list(examine(env, tool=address))
    assert not any(KEY in report(finding) for finding in findings)
    return findings


def levels(findings: list[Finding], step: str) -> list[tuple[str, str]]:
    return [(finding.level, finding.seen) for finding in findings if finding.step == step]


def one(findings: list[Finding], step: str) -> tuple[str, str]:
    (found,) = levels(findings, step)
    return found


def session(request: Request) -> Response:
    page = html('<a href="report">Report</a><form method="post"></form>')
    page.set_cookie("session", "x", httponly=True, samesite="Lax")
    page.headers["X-Frame-Options"] = "DENY"
    return page


def test_an_app_with_its_frameworks_defaults_is_well_behind_the_middleware(
    account: SandboxServer,
) -> None:
    findings = look(account, session)
    assert one(findings, "tool's page")[0] == "ok"
    assert levels(findings, "tool in a frame")[-1][0] == "ok"
    assert one(findings, "cookies") == ("ok", "kept in a frame, for this launch alone: session.")
    assert one(findings, "addresses")[0] == "ok"
    assert all(finding.ok for finding in findings)


def test_the_same_app_without_its_help_is_not(account: SandboxServer) -> None:
    findings = look(account, session, fit_frame=False)
    level, seen = levels(findings, "tool in a frame")[-1]
    assert (level, "X-Frame-Options: DENY" in seen) == ("FAILED", True)
    level, seen = one(findings, "cookies")
    assert (level, "session has SameSite=Lax" in seen) == ("FAILED", True)
    assert verdict(findings) == "Fix the failed checks, then run this again."


@pytest.mark.parametrize(
    ("attributes", "level", "words"),
    [
        ("Path=/; SameSite=None; Secure; Partitioned", "FAILED", "every launch"),
        ("SameSite=None", "FAILED", "no Secure"),
        ("Path=/; HttpOnly", "FAILED", "no SameSite"),
    ],
)
def test_what_a_cookie_of_the_apps_own_lacks(
    account: SandboxServer, attributes: str, level: str, words: str
) -> None:
    def view(request: Request) -> Response:
        return html("", Set_Cookie=f"mine=x; {attributes}")

    found, seen = one(look(account, view, fit_frame=False), "cookies")
    assert found == level
    assert words in seen


def test_what_leaves_the_launch_is_named(account: SandboxServer) -> None:
    def view(request: Request) -> Response:
        return html(
            '<a href="/report">R</a><form action="/save" method="post"></form>'
            '<script>fetch("/api/x"); const s = new WebSocket("/ws")</script>'
            f'<a href="{request.script_root}/inside" target="_blank">I</a>'
            '<a href="https://elsewhere.example/">E</a><a href="#top">T</a>'
        )

    said = levels(look(account, view), "addresses")
    assert {level for level, _ in said} == {"warning"}
    text = " ".join(seen for _, seen in said)
    assert "/report, /save" in text
    assert "/api/x, /ws" in text
    assert "1 link(s) of the launch open a new tab" in text
    assert "elsewhere" not in text


def test_what_is_never_part_of_a_launch_may_be_linked(account: SandboxServer) -> None:
    def view(request: Request) -> Response:
        return html('<a href="/static/help.pdf">Help</a>')

    with tool(account, view, outside=["/static"]) as address:
        env = {"LTIAAS_URL": account.url, "LTIAAS_API_KEY": KEY, "LTIAAS_OUTSIDE": "/static"}
        findings = list(examine(env, tool=address))
    assert one(findings, "addresses")[0] == "ok"


def test_a_sign_in_page_that_redirects_for_ever(account: SandboxServer) -> None:
    def view(request: Request) -> Response:
        there = "/login" if request.path == "/launch" else "/launch"
        return Response("", 302, {"Location": f"{request.script_root}{there}"})

    level, seen = one(look(account, view), "tool's page")
    assert (level, "without end" in seen) == ("FAILED", True)


def test_a_redirect_to_another_site(account: SandboxServer) -> None:
    def view(request: Request) -> Response:
        return Response("", 302, {"Location": "https://sso.example/sign-in"})

    level, seen = one(look(account, view), "tool's page")
    assert (level, "https://sso.example" in seen) == ("FAILED", True)


def test_an_app_that_fails(account: SandboxServer) -> None:
    level, seen = one(look(account, lambda request: Response("", 500)), "tool's page")
    assert (level, "answers 500" in seen) == ("FAILED", True)


def test_with_an_account_that_makes_no_launch_the_page_is_not_called_well(
    account: SandboxServer,
) -> None:
    # As any real account: there is nothing at the sandbox's own addresses.
    inner = account.sandbox

    def real(environ: Any, start_response: Any) -> Any:
        if environ["PATH_INFO"].startswith("/sandbox"):
            return Response("", 404)(environ, start_response)
        return inner(environ, start_response)

    with serving(real) as url, tool(account, session, url=url) as address:
        findings = list(examine({"LTIAAS_URL": url, "LTIAAS_API_KEY": KEY}, tool=address))
    level, seen = one(findings, "tool's page")
    assert level == "skipped"
    assert "unknown" in seen
    assert "All is well" not in verdict(findings)
    assert "What was skipped is not known to work." in verdict(findings)
