"""``doctor --tool`` with the sandbox: a real launch into the running tool, and what the app's own
page does in an LMS's frame."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests
from werkzeug import Request, Response

from ltiaas_middleware import require_launch
from ltiaas_middleware.commands.doctor import Finding, examine
from ltiaas_middleware.sandbox import Sandbox, SandboxServer
from ltiaas_middleware.wsgi import LTIAASMiddleware

from .scripted import App, serving

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


def look(account: SandboxServer, view: View, **options: Any) -> dict[str, Finding]:
    """The findings about the tool's page, by code."""
    guard = options.pop("guard", None)
    with tool(account, view, **options) as address:
        env = {"LTIAAS_URL": account.url, "LTIAAS_API_KEY": KEY}
        findings = list(examine(env, tool=address, guard=guard))
    assert not any(KEY in finding.seen for finding in findings)
    codes = {finding.code: finding for finding in findings if finding.group == "Your tool"}
    assert codes.pop("tool").level == "ok"
    return codes


def session(request: Request) -> Response:
    page = html("Hello")
    page.set_cookie("session", "x", httponly=True, samesite="Lax")
    page.headers["X-Frame-Options"] = "DENY"
    return page


def test_an_app_with_its_frameworks_defaults_is_well_behind_the_middleware(
    account: SandboxServer,
) -> None:
    findings = look(account, session)
    assert list(findings) == ["launch", "iframe", "cookies"]
    assert findings["launch"].seen == "a launch opens /lti/<launch id>/launch (200)."
    assert findings["cookies"].seen == "kept in an iframe: ltiaas-launch, session."


def test_the_same_app_without_its_help_is_not(account: SandboxServer) -> None:
    findings = look(account, session, iframe_support=False)
    assert "X-Frame-Options: DENY" in findings["x-frame-options"].seen
    # Whose session it is does not depend on that setting.
    assert "cookies" in findings


def test_cookies_that_browsers_do_not_keep_in_an_iframe(account: SandboxServer) -> None:
    def view(request: Request) -> Response:
        page = html("")
        for attributes in ("SameSite=None", "Path=/; HttpOnly"):
            page.headers.add("Set-Cookie", f"mine{len(attributes)}=x; {attributes}")
        return page

    findings = look(account, view, shared_cookies=["mine13", "mine16"])
    assert "do not keep mine13, mine16 in" in findings["cookies-not-kept"].seen


def test_a_cookie_for_a_mount_that_the_app_alone_believes_in(account: SandboxServer) -> None:
    """Django's SESSION_COOKIE_PATH and Flask's APPLICATION_ROOT do this."""

    def view(request: Request) -> Response:
        return html("", Set_Cookie="session=x; Path=/tool; Secure; SameSite=None; Partitioned")

    findings = look(account, view)
    assert "the Path of session does not cover" in findings["cookie-path"].seen
    assert "APPLICATION_ROOT" in findings["cookie-path"].fix


def test_a_launch_cookie_that_something_takes_away(account: SandboxServer) -> None:
    with tool(account, session) as address:
        origin = address.removesuffix("/launch")

        def proxy(environ: Any, start_response: Any) -> Any:
            request = Request(environ)
            answer = requests.get(
                f"{origin}{request.full_path}",
                headers={"Accept": "text/html", "Sec-Fetch-Mode": "navigate"},
                allow_redirects=False,
                timeout=10,
            )
            headers = {
                name: value
                for name, value in answer.headers.items()
                if name in ("Location", "LTIAAS-Error", "Content-Type")
            }
            return Response(answer.content, answer.status_code, headers)(environ, start_response)

        with serving(proxy) as url:
            env = {"LTIAAS_URL": account.url, "LTIAAS_API_KEY": KEY}
            codes = [finding.code for finding in examine(env, tool=f"{url}/launch")]
    assert "launch-cookie" in codes


def test_a_proxy_that_removes_the_cookie_header(account: SandboxServer) -> None:
    def without_cookies(environ: Any) -> App:
        environ.pop("HTTP_COOKIE", None)
        return wrapped

    wrapped = worker(account)
    findings = behind(account, without_cookies)
    assert findings["launch"].level == "ok"
    finding = findings["cookie-not-recognized"]
    assert finding.level == "failed"
    assert "the Cookie header" in finding.fix
    assert "LTIAAS_SECRETS" in finding.fix
    assert "cookies" not in findings
    wrapped.close()


@pytest.mark.parametrize("to_the_first", [2, 3, 4])
def test_workers_with_different_secrets(account: SandboxServer, to_the_first: int) -> None:
    """An invalid launch, a real one, its page and the next request for it."""
    workers = [worker(account, secrets=f"secret of {name} worker") for name in ("one", "another")]
    order = iter([workers[0]] * to_the_first)
    findings = behind(account, lambda environ: next(order, workers[1]))
    finding = findings["launch-unknown"]
    assert finding.level == "failed"
    for cause in ("LTIAAS_SECRETS", "LTIAAS_CACHE", "'Redis failed'", "the Cookie header"):
        assert cause in finding.fix
    assert "launch-rejected" not in findings
    for each in workers:
        each.close()


def test_workers_that_share_nothing_but_the_secrets_are_well(account: SandboxServer) -> None:
    workers = [worker(account, cache="memory") for _ in range(2)]
    turns = itertools.cycle(workers)
    findings = behind(account, lambda environ: next(turns))
    assert list(findings) == ["tool", "launch", "iframe", "cookies"]
    for each in workers:
        each.close()


def worker(account: SandboxServer, **options: Any) -> LTIAASMiddleware:
    options = {"url": account.url, "api_key": KEY} | options
    return LTIAASMiddleware(Request.application(session), **options)


def behind(account: SandboxServer, choose: Callable[[Any], App]) -> dict[str, Finding]:
    """The findings about a tool behind a load balancer, by code."""

    def balancer(environ: Any, start_response: Any) -> Any:
        return choose(environ)(environ, start_response)

    with serving(balancer) as url:
        env = {"LTIAAS_URL": account.url, "LTIAAS_API_KEY": KEY}
        findings = list(examine(env, tool=f"{url}/launch"))
    return {finding.code: finding for finding in findings if finding.group == "Your tool"}


def test_a_sign_in_page_that_redirects_for_ever(account: SandboxServer) -> None:
    def view(request: Request) -> Response:
        there = "/login" if request.path == "/launch" else "/launch"
        return Response("", 302, {"Location": f"{request.script_root}{there}"})

    assert "<launch id>" in look(account, view)["redirect-loop"].seen


def test_a_redirect_to_another_site(account: SandboxServer) -> None:
    def view(request: Request) -> Response:
        return Response("", 302, {"Location": "https://sso.example/sign-in"})

    assert "https://sso.example" in look(account, view)["redirect-to-another-site"].seen


def test_a_redirect_out_of_the_launch(account: SandboxServer) -> None:
    def view(request: Request) -> Response:
        if request.path == "/landing":
            return html("Welcome")
        return Response("", 302, {"Location": "/landing"})

    findings = look(account, view, exclude=["/landing"])
    assert "/landing" in findings["redirect-out-of-the-launch"].seen


@pytest.mark.parametrize("status", [404, 500])
def test_an_app_that_fails(account: SandboxServer, status: int) -> None:
    finding = look(account, lambda request: Response("", status))["launch-fails"]
    assert f"responds with {status}" in finding.seen
    assert "FORCE_SCRIPT_NAME" in finding.fix


def test_a_launch_without_a_path_of_its_own(account: SandboxServer) -> None:
    findings = look(account, session, launch_path=None, guard="/staff")
    assert findings["no-launch-path"].level == "warning"
    assert findings["guard-not-checked"].level == "skipped"


def test_a_tool_of_another_account_rejects_the_launch(account: SandboxServer) -> None:
    with SandboxServer(Sandbox(api_key="another-key")) as other:
        findings = look(account, session, url=other.url, api_key="another-key")
    assert list(findings) == ["launch-rejected"]


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
        env = {"LTIAAS_URL": url, "LTIAAS_API_KEY": KEY}
        findings = list(examine(env, tool=address, guard="/staff"))
    assert [finding.code for finding in findings][-4:] == [
        "tool", "iframe", "launch-skipped", "guard-not-checked",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("shown", "code"),
    [("PATH_INFO", "guard"), ("whole", "guard-bypassed"), ("nothing", "guard-missing")],
)
def test_a_guard_is_compared_outside_and_inside_a_launch(
    account: SandboxServer, shown: str, code: str
) -> None:
    def view(request: Request) -> Response:
        whole = request.root_path + request.path
        path = {"PATH_INFO": request.path, "whole": whole, "nothing": "/"}[shown]
        return html("no") if not path.startswith("/staff") else Response("no", 403)

    assert code in look(account, view, guard="/staff")


@pytest.mark.parametrize("status", [404, 405, 500])
def test_a_path_without_a_view_says_nothing_about_a_guard(
    account: SandboxServer, status: int
) -> None:
    def view(request: Request) -> Response:
        return html("no") if not request.path.startswith("/staff") else Response("no", status)

    finding = look(account, view, guard="/staff")["guard-unclear"]
    assert (finding.level, f"responds with {status} outside" in finding.seen) == ("warning", True)


@pytest.mark.parametrize("told", [False, True])
def test_a_proxy_that_strips_a_prefix(account: SandboxServer, told: bool) -> None:
    with tool(account, session) as address:
        origin = address.removesuffix("/launch")

        def proxy(environ: Any, start_response: Any) -> Any:
            request = Request(environ)
            if not request.path.startswith("/tools/quiz/"):
                return Response("", 404)(environ, start_response)
            reply = requests.get(
                origin + request.full_path.removeprefix("/tools/quiz"),
                headers={"Accept": "text/html", "Sec-Fetch-Mode": "navigate"},
                allow_redirects=False,
                timeout=10,
            )
            location = ("/tools/quiz" if told else "") + reply.headers.get("Location", "")
            headers = dict(reply.headers) | ({"Location": location} if location else {})
            return Response(reply.content, reply.status_code, headers)(environ, start_response)

        with serving(proxy) as url:
            env = {"LTIAAS_URL": account.url, "LTIAAS_API_KEY": KEY}
            findings = {one.code: one for one in examine(env, tool=f"{url}/tools/quiz/launch")}
    assert ("prefix-stripped" in findings) != told
    assert ("launch" in findings) == told
    if not told:
        assert "is under /tools/quiz, but the tool redirects to /lti/" in (
            findings["prefix-stripped"].seen
        )
        assert "X-Forwarded-Prefix: /tools/quiz" in findings["prefix-stripped"].fix


def test_a_path_that_only_needs_a_launch_is_no_guard_that_a_launch_bypasses(
    account: SandboxServer,
) -> None:
    def view(request: Request) -> Response:
        if request.path.startswith("/staff"):
            require_launch().require_role("Instructor")
        return html("grades")

    findings = look(account, view, guard="/staff")
    assert findings["guard-is-a-launch"].level == "note"
    assert "guard-bypassed" not in findings
