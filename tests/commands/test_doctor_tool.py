"""``doctor --tool``: what a tool answers to a launch that never existed, and its scheme."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from werkzeug import Response

from ltiaas_middleware.commands import browser
from ltiaas_middleware.commands.demo.run import Demo, serve_demo
from ltiaas_middleware.commands.demo.tool import DemoTool
from ltiaas_middleware.commands.doctor import Finding, examine
from ltiaas_middleware.responses import ErrorInfo
from ltiaas_middleware.responses import Response as ErrorResponse
from ltiaas_middleware.wsgi import LTIAASMiddleware

from .scripted import App, answering, serving


@pytest.fixture(scope="module")
def demo() -> Iterator[Demo]:
    with serve_demo(0, 0) as running:
        yield running


def look(demo: Demo, tool: str, **env: str) -> dict[str, Finding]:
    """The findings about the tool, by code."""
    env = {"LTIAAS_URL": demo.server.url, "LTIAAS_API_KEY": demo.sandbox.api_key, **env}
    findings = list(examine(env, tool=tool))
    assert not [one for one in findings if demo.sandbox.api_key in f"{one.seen} {one.fix}"]
    return {one.code: one for one in findings if one.group == "Your tool"}


def test_a_tool_that_is_well(demo: Demo) -> None:
    findings = look(demo, f"{demo.tool_url}/launch?resource=1#part")
    assert list(findings) == ["tool", "launch", "iframe", "cookies"]


def test_a_tool_is_not_looked_at_before_the_account_is_well(demo: Demo) -> None:
    assert list(look(demo, demo.tool_url, LTIAAS_API_KEY="wrong")) == ["tool-skipped"]


def test_a_url_that_is_none(demo: Demo) -> None:
    assert list(look(demo, "tool.example/launch")) == ["tool-url"]


def test_a_tool_by_plain_http_or_not_running(demo: Demo) -> None:
    assert list(look(demo, "http://tool.invalid/")) == ["https-missing", "tool-unreachable"]


def refused(code: str, status: int) -> Response:
    return Response("Une page traduite", status, {"LTIAAS-Error": code})


@pytest.mark.parametrize(
    ("answer", "code", "words"),
    [
        (Response("Welcome"), "middleware-not-active", "is 200"),
        (Response("No", 404), "middleware-not-active", "is 404"),
        (Response("Code for support: launch_expired", 401), "middleware-not-active", "is 401"),
        (refused("malformed_ltik", 400), "middleware-not-active", "is 400"),
        (refused("\N{ESCAPE}[31m", 401), "middleware-not-active", "is 401"),
        (refused("launch_expired", 401), "tool", "401"),
        (Response("", 500), "tool-fails", "responds with 500"),
        (Response("", 302, {"Location": "/login?next=1"}), "tool-redirects", "/login instead"),
        (Response("", 302, {"Location": "https://sso.example/x"}), "tool-redirects", "sso.example"),
        (refused("api_key_rejected", 502), "tool-api-key", "that the tool runs with"),
        (refused("ltiaas_unavailable", 503), "tool-cannot-reach-ltiaas", "cannot reach LTIAAS"),
    ],
)
def test_what_a_tool_answers(demo: Demo, answer: Response, code: str, words: str) -> None:
    with serving(answering(answer)) as url:
        finding = next(iter(look(demo, f"{url}/launch").values()))
        assert finding.code == code
        assert words in finding.seen
        assert "next=1" not in finding.seen


def test_the_words_of_an_error_page_may_be_anybodys(demo: Demo) -> None:
    def in_french(info: ErrorInfo) -> ErrorResponse:
        return ErrorResponse(info.status, (("Content-Type", "text/html"),), b"<p>Une erreur</p>")

    wrapped = LTIAASMiddleware(
        DemoTool(), url=demo.server.url, api_key="a-wrong-key", on_error=in_french
    )
    with serving(wrapped) as url:
        assert list(look(demo, f"{url}/launch")) == ["tool-api-key"]
    wrapped.close()


def test_a_page_that_waits_is_waited_for(demo: Demo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(browser, "_LONGEST_WAIT", 0.01)
    waiting = Response("", 503, {"LTIAAS-Error": "launch_waiting", "Refresh": "2"})
    with serving(answering(waiting, waiting, refused("launch_expired", 401))) as url:
        assert next(iter(look(demo, f"{url}/launch"))) == "tool"
    with serving(answering(waiting)) as url:
        assert list(look(demo, f"{url}/launch")) == ["tool-cannot-reach-ltiaas"]


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"X-Frame-Options": "SAMEORIGIN"}, "x-frame-options"),
        ({"Content-Security-Policy": "frame-ancestors https://a.example"}, "frame-ancestors-list"),
        ({"Content-Security-Policy": "default-src 'self'; frame-ancestors"}, "frame-ancestors"),
        ({"Content-Security-Policy": "frame-ancestors 'self'"}, "frame-ancestors"),
        ({"Content-Security-Policy": "frame-ancestors *"}, "iframe"),
    ],
)
def test_a_tool_that_an_lms_cannot_frame(demo: Demo, headers: dict[str, str], code: str) -> None:
    # With an account that makes no launch, its page for an invalid launch is what can be seen.
    answer = refused("launch_expired", 401)
    answer.headers.extend(headers)
    real = _without_launches(demo.sandbox)
    with serving(real) as account, serving(answering(answer)) as url:
        findings = look(demo, f"{url}/launch", LTIAAS_URL=account)
    assert list(findings) == ["tool", code, "launch-skipped"]


def _without_launches(sandbox: App) -> App:
    """As a real account: there is nothing at the sandbox's own paths."""

    def real(environ: Any, start_response: Any) -> Any:
        if environ["PATH_INFO"].startswith("/sandbox"):
            return Response("", 404)(environ, start_response)
        return sandbox(environ, start_response)

    return real


# -- its scheme -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tls() -> tuple[ssl.SSLContext, trustme.CA]:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context, authority


def _behind(app: App, changes: dict[str, str | None]) -> App:
    """As behind a proxy that changes the environ; None removes a key."""

    def behind(environ: Any, start_response: Any) -> Any:
        environ = {**environ, **changes}
        given = {key: value for key, value in environ.items() if value is not None}
        return app(given, start_response)

    return behind


# A proxy that ends TLS, and of which the app has not been told.
ENDS_TLS: dict[str, str | None] = {"wsgi.url_scheme": "http"}
NO_COOKIES: dict[str, str | None] = {"HTTP_COOKIE": None}
# As nginx does by default.
OWN_HOST: dict[str, str | None] = {"HTTP_HOST": "127.0.0.1:8000"}


def _mounted(app: App) -> App:
    def below(environ: Any, start_response: Any) -> Any:
        path = environ["PATH_INFO"]
        if not path.startswith("/tools/app/"):
            return Response("Nothing", 404)(environ, start_response)
        environ["SCRIPT_NAME"], environ["PATH_INFO"] = "/tools/app", path[len("/tools/app") :]
        return app(environ, start_response)

    return below


def test_whether_the_tool_knows_that_it_is_reached_by_https(
    demo: Demo, tls: tuple[ssl.SSLContext, trustme.CA], tmp_path: Path
) -> None:
    context, authority = tls
    bundle = str(tmp_path / "authority.pem")
    authority.cert_pem.write_to_path(bundle)
    wrapped = LTIAASMiddleware(DemoTool(), url=demo.server.url, api_key=demo.sandbox.api_key)
    env = {"LTIAAS_CA_BUNDLE": bundle}

    with serving(wrapped, context) as url:
        assert list(look(demo, f"{url}/launch", **env)) == [
            "tool", "https", "host", "launch", "iframe", "cookies",
        ]  # fmt: skip
        other = look(demo, f"{url}/launch", LTIAAS_SECRETS="another-secret-long-enough", **env)
        assert "https-unknown" in other
        assert other["cookies"].level == "ok"
        off = look(demo, f"{url}/launch", LTIAAS_LAUNCH_PATH="off", **env)
        assert not [code for code in off if code.startswith("https")]

    with serving(_behind(wrapped, NO_COOKIES), context) as url:
        assert look(demo, f"{url}/launch", **env)["cookie-not-recognized"].level == "failed"
        with serving(_without_launches(demo.sandbox)) as account:
            real = LTIAASMiddleware(DemoTool(), url=account, api_key=demo.sandbox.api_key)
            with serving(_behind(real, NO_COOKIES), context) as url:
                findings = look(demo, f"{url}/launch", LTIAAS_URL=account, **env)
            real.close()
        assert findings["cookie-not-recognized"].level == "failed"
        assert "https-unknown" not in findings

    with serving(_behind(wrapped, ENDS_TLS), context) as url:
        findings = look(demo, f"{url}/launch", **env)
        assert "ProxyFix" in findings["https-not-seen"].fix

    with serving(_behind(wrapped, OWN_HOST), context) as url:
        finding = look(demo, f"{url}/launch", **env)["host-not-seen"]
        assert f"browsers use {url.removeprefix('https://')}" in finding.seen

    with serving(_mounted(wrapped), context) as url:
        assert "https" in look(demo, f"{url}/tools/app/launch", **env)
    wrapped.close()
