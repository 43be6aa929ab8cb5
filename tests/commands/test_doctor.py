"""``doctor``: every way in which settings, LTIAAS and tool can be wrong, and what it says then."""

from __future__ import annotations

import contextlib
import datetime
import os
import re
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from werkzeug import Response

from ltiaas_middleware.__main__ import main
from ltiaas_middleware.commands.demo.run import Demo
from ltiaas_middleware.commands.demo.tool import DemoTool
from ltiaas_middleware.commands.doctor import Finding, asking, examine, network, report
from ltiaas_middleware.commands.doctor.account import Account
from ltiaas_middleware.sandbox import DEFAULT_API_KEY, Sandbox, SandboxServer
from ltiaas_middleware.settings import Settings
from ltiaas_middleware.wsgi import LTIAASMiddleware

from .scripted import App, answering, serving

KEY = "c0ffee00-2222-4000-8000-00000000beef"
UNKNOWN = (
    '{"status": 401, "error": "Unauthorized", "details": '
    '{"message": "INVALID_LTIK_AUTH_AUTHORIZATION_HEADER", "description": "%s"}}'
)


@pytest.fixture
def server() -> Iterator[SandboxServer]:
    with SandboxServer(Sandbox(api_key=KEY)) as running:
        yield running


def found(env: dict[str, str], **options: Any) -> dict[str, Finding]:
    """The findings by step; of several of one step, the last."""
    findings = list(examine({"LTIAAS_API_KEY": KEY, **env}, **options))
    for finding in findings:
        assert KEY not in report(finding)
        assert finding.ok or finding.fix, "what failed comes with what to do"
    return {finding.step: finding for finding in findings}


def last(env: dict[str, str], **options: Any) -> tuple[str, str, str]:
    """(step, level, everything said) of the finding that ended the way."""
    *_, finding = [item for item in found(env, **options).values() if item.step != "clock"]
    return finding.step, finding.level, f"{finding.seen} {finding.fix}"


@contextlib.contextmanager
def account(*responses: Response) -> Iterator[dict[str, str]]:
    """An account that answers just these."""
    with serving(answering(*responses)) as url:
        yield {"LTIAAS_URL": url}


def as_json(text: str, status: int = 401, **headers: str) -> Response:
    return Response(text, status, headers, mimetype="application/json")


UNSIGNED_AS = '{"details": {"message": "CODE"}}'
UNSIGNED = as_json(UNSIGNED_AS)
EXPIRED = as_json(UNKNOWN % "Invalid or expired ltik.")
WRONG_KEY = as_json(UNKNOWN % "Invalid API key")


# -- settings -------------------------------------------------------------------------------------


def test_all_is_well(server: SandboxServer) -> None:
    findings = found({"LTIAAS_URL": server.url})
    assert [finding.level for finding in findings.values()] == ["warning", *["ok"] * 7]
    assert "plain http" in findings["settings"].seen
    assert "3 LMS" in findings["service"].seen
    # The ltik that never was is well formed, and so is every header.
    assert [entry.scheme for entry in server.sandbox.journal] == [None, "LTIK-AUTH-V2", "Bearer"]
    assert all(entry.well_formed for entry in list(server.sandbox.journal)[1:])


def test_the_command_prints_it_and_ends_with_0(server: SandboxServer) -> None:
    done = _run({"LTIAAS_URL": server.url, "LTIAAS_API_KEY": KEY})
    assert done.returncode == 0, done.stdout
    assert done.stdout.endswith("No check failed. Read the warnings.\n")
    assert "ok      API key: accepted." in done.stdout
    assert KEY not in done.stdout + done.stderr


def test_the_command_ends_with_1_where_something_is_wrong(server: SandboxServer) -> None:
    wrong = "another-key-entirely"
    done = _run({"LTIAAS_API_KEY": wrong}, "--url", server.url)
    assert done.returncode == 1
    assert "FAILED  API key: LTIAAS does not accept it." in done.stdout
    assert done.stdout.endswith("Fix the failed checks, then run this again.\n")
    assert wrong not in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def _run(env: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ltiaas_middleware", "doctor", *arguments],
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_the_command_in_this_process(
    server: SandboxServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LTIAAS_API_KEY", KEY)
    assert main(["doctor", "--url", server.url]) == 0
    assert main(["doctor"]) == 1
    assert "LTIAAS_URL is not set" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("env", "words"),
    [
        ({}, "LTIAAS_URL is not set"),
        ({"LTIAAS_URL": "https://a.example/", "LTIAAS_API_KEY": ""}, "LTIAAS_API_KEY is not set"),
        ({"LTIAAS_URL": "https://a.example/lti"}, "no path"),
        ({"LTIAAS_URL": "a.example/lti"}, "Set LTIAAS_URL to https://a.example."),
        ({"LTIAAS_URL": "http://a.example"}, "Set LTIAAS_URL to https://a.example."),
        ({"LTIAAS_URL": "https://user:pw@a.example"}, "Set LTIAAS_URL to your account's address"),
        ({"LTIAAS_URL": "a.example", "LTIAAS_API_KEY": "with space"}, "character that no API key"),
        ({"LTIAAS_URL": "a.example", "LTIAAS_TTL": "soon"}, "LTIAAS_TTL"),
    ],
)
def test_a_setting_that_is_wrong_is_named(env: dict[str, str], words: str) -> None:
    step, level, said = last(env)
    assert (step, level) == ("settings", "FAILED")
    assert words in said
    assert "pw" not in said
    assert "with space" not in said


@pytest.mark.parametrize(
    ("env", "words"),
    [
        ({"LTIAAS_APIKEY": "x"}, "Did you mean LTIAAS_API_KEY?"),
        ({"LTIAAS_SOMETHING_ELSE_ENTIRELY": "x"}, "Remove it"),
        ({"LTIAAS_DOMAIN": "b.example"}, "name two addresses"),
        ({"LTIAAS_API_KEY": f'"{KEY}"'}, "is in quotes"),
    ],
)
def test_what_is_odd_about_the_variables_is_said(env: dict[str, str], words: str) -> None:
    env = {"LTIAAS_API_KEY": KEY, "LTIAAS_URL": "http://127.0.0.1:9", **env}
    first = next(examine(env))
    assert (first.level, first.step) == ("warning", "settings")
    assert words in report(first)
    assert KEY not in report(first)


def test_the_same_address_twice_is_not_odd(server: SandboxServer) -> None:
    domain = server.url.removeprefix("http://")
    findings = list(
        examine({"LTIAAS_API_KEY": KEY, "LTIAAS_URL": server.url, "LTIAAS_DOMAIN": domain})
    )
    assert [finding.step for finding in findings].count("settings") == 1


# -- below HTTP -----------------------------------------------------------------------------------


def test_a_host_without_an_address(monkeypatch: pytest.MonkeyPatch) -> None:
    step, level, said = last({"LTIAAS_URL": "https://nowhere.invalid"})
    assert (step, level) == ("address", "FAILED")
    assert "Check the spelling" in said
    monkeypatch.setenv("https_proxy", "http://proxy.invalid:3128")
    step, level, said = last({"LTIAAS_URL": "https://account.invalid"})
    assert (step, level) == ("address", "FAILED")
    assert "the proxy proxy.invalid" in said


def test_a_port_that_nobody_listens_on(monkeypatch: pytest.MonkeyPatch) -> None:
    step, level, said = last({"LTIAAS_URL": "http://127.0.0.1:9"})
    assert (step, level) == ("connection", "FAILED")
    assert "Start the sandbox" in said

    def slow(*_: Any, **__: Any) -> None:
        raise TimeoutError("timed out")

    monkeypatch.setattr(network.socket, "create_connection", slow)  # type: ignore[attr-defined]
    monkeypatch.setattr(
        network.socket,  # type: ignore[attr-defined]
        "getaddrinfo",
        lambda *_, **__: [(0, 0, 0, "", ("192.0.2.1", 443))],
    )
    step, level, said = last({"LTIAAS_URL": "https://account.example"})
    assert (step, level) == ("connection", "FAILED")
    assert "did not answer in time" in said
    assert "firewalls" in said


def test_a_proxy_is_what_has_to_be_reached(
    server: SandboxServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = f"127.0.0.1:{server.port}"
    monkeypatch.setenv("https_proxy", proxy)
    findings = found({"LTIAAS_URL": "https://account.invalid"})
    assert "the proxy 127.0.0.1 is" in findings["address"].seen
    assert findings["connection"].ok
    assert "through the proxy" in findings["certificate"].seen
    # The sandbox is no proxy.
    assert findings["LTIAAS"].level == "FAILED"


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def _tls(authority: trustme.CA, *names: str, **options: Any) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*(names or ("127.0.0.1",)), **options).configure_cert(context)
    return context


@pytest.fixture
def bundle(authority: trustme.CA, tmp_path: Path) -> str:
    path = tmp_path / "authority.pem"
    authority.cert_pem.write_to_path(str(path))
    return str(path)


def test_a_certificate_that_is_trusted(authority: trustme.CA, bundle: str) -> None:
    with SandboxServer(Sandbox(api_key=KEY), ssl_context=_tls(authority)) as server:
        findings = found({"LTIAAS_URL": server.url, "LTIAAS_CA_BUNDLE": bundle})
        assert all(finding.level == "ok" for finding in findings.values())
        assert "valid for another" in findings["certificate"].seen


def test_a_certificate_that_is_not_trusted(authority: trustme.CA) -> None:
    with SandboxServer(Sandbox(api_key=KEY), ssl_context=_tls(authority)) as server:
        step, level, said = last({"LTIAAS_URL": server.url})
        assert (step, level) == ("certificate", "FAILED")
        assert "LTIAAS_CA_BUNDLE" in said
        assert len(server.sandbox.journal) == 0


def test_a_certificate_for_another_name(authority: trustme.CA, bundle: str) -> None:
    context = _tls(authority, "elsewhere.example")
    with SandboxServer(Sandbox(api_key=KEY), ssl_context=context) as server:
        step, level, said = last({"LTIAAS_URL": server.url, "LTIAAS_CA_BUNDLE": bundle})
        assert (step, level) == ("certificate", "FAILED")
        assert "for another one" in said


def test_a_certificate_that_is_over_or_nearly(authority: trustme.CA, bundle: str) -> None:
    now = datetime.datetime.now(datetime.timezone.utc)
    context = _tls(authority, not_after=now - datetime.timedelta(days=1))
    with SandboxServer(Sandbox(api_key=KEY), ssl_context=context) as server:
        step, level, said = last({"LTIAAS_URL": server.url, "LTIAAS_CA_BUNDLE": bundle})
        assert (step, level) == ("certificate", "FAILED")
        assert "expired" in said
    context = _tls(authority, not_after=now + datetime.timedelta(days=3, hours=1))
    with SandboxServer(Sandbox(api_key=KEY), ssl_context=context) as server:
        findings = found({"LTIAAS_URL": server.url, "LTIAAS_CA_BUNDLE": bundle})
        assert findings["certificate"].level == "warning"
        assert "ends in 3 days" in findings["certificate"].seen
        assert findings["service"].ok


def test_a_port_that_speaks_no_tls(server: SandboxServer) -> None:
    step, level, said = last({"LTIAAS_URL": f"https://127.0.0.1:{server.port}"})
    assert (step, level) == ("certificate", "FAILED")
    assert "may not speak https" in said


def test_a_folder_of_authorities(
    authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path))
    with SandboxServer(Sandbox(api_key=KEY), ssl_context=_tls(authority)) as server:
        step, level, said = last({"LTIAAS_URL": server.url})
        assert (step, level) == ("certificate", "FAILED")
        assert str(tmp_path) in said


def test_a_certificate_that_only_requests_refuses(
    authority: trustme.CA, bundle: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        network.Network, "_certificate", lambda self: Finding("certificate", "ok", "")
    )
    with SandboxServer(Sandbox(api_key=KEY), ssl_context=_tls(authority)) as server:
        step, level, said = last({"LTIAAS_URL": server.url})
        assert (step, level) == ("LTIAAS", "FAILED")
        assert "certificate is not accepted" in said


# -- LTIAAS ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ({"name": "not_json"}, "not LTIAAS: 200 with text/html"),
        ({"name": "wrong_type"}, "not LTIAAS: 200"),
        ({"name": "status", "status": 404}, "not LTIAAS: 404"),
        ({"name": "status", "status": 502}, "answers 502 with text/html"),
        ({"name": "rate_limit", "retry_after": 7}, "Try again in 7 s."),
        ({"name": "rate_limit", "retry_after": "later"}, "Try again in a minute."),
        ({"name": "redirect", "location": "https://b.example/x"}, "LTIAAS_URL to https://b.examp"),
        ({"name": "redirect", "location": "/login"}, "redirects to http://127.0.0.1"),
        ({"name": "reset"}, "no answer (ConnectionError)"),
        ({"name": "endless"}, "does not end"),
        ({"name": "delay", "seconds": 30}, "no answer in time"),
        ({"name": "drip"}, "does not end"),
        ({"name": "truncated"}, "broke off"),
    ],
)
def test_what_answers_otherwise_than_ltiaas_is_not_sent_the_key(
    server: SandboxServer,
    fault: dict[str, Any],
    words: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(asking, "_READ", 0.7)
    monkeypatch.setattr(asking, "_DEADLINE", 1.0)
    server.sandbox.faults.switch_on(fault)
    step, level, said = last({"LTIAAS_URL": server.url})
    assert (step, level) == ("LTIAAS", "FAILED")
    assert words in said
    assert all(entry.scheme is None for entry in server.sandbox.journal)


def test_the_sandboxs_key_is_recognised(server: SandboxServer) -> None:
    step, level, said = last({"LTIAAS_URL": server.url, "LTIAAS_API_KEY": DEFAULT_API_KEY})
    assert (step, level) == ("API key", "FAILED")
    assert "well-known" in said
    assert DEFAULT_API_KEY not in said


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (Response(f"{KEY} failed", 503), "answers 503"),
        (as_json("{}", 429, **{"Retry-After": "3"}), "Try again in 3 s."),
        (as_json('{"user": {"id": "x"}}', 200), "unknown: LTIAAS answers 200"),
        (as_json(UNKNOWN % "Malformed authorization header."), "unknown: LTIAAS answers 401"),
        (as_json(UNSIGNED_AS.replace("CODE", KEY), 403), "answers 403 [hidden]"),
    ],
)
def test_a_key_of_which_nobody_knows(answer: Response, words: str) -> None:
    with account(UNSIGNED, answer) as env:
        step, level, said = last(env)
        assert (step, level) == ("API key", "FAILED")
        assert words in said


@pytest.mark.parametrize("step", ["API key", "service"])
def test_an_ltiaas_that_stops_answering(step: str, server: SandboxServer) -> None:
    if step == "service":
        server.sandbox.misbehave("reset", endpoint="/api/platforms")
        assert last({"LTIAAS_URL": server.url})[:2] == (step, "FAILED")
        return
    findings = examine({"LTIAAS_API_KEY": KEY, "LTIAAS_URL": server.url})
    seen = []
    for finding in findings:
        seen.append(finding)
        if finding.step == "LTIAAS":
            server.sandbox.misbehave("reset")
    assert [item.step for item in seen if not item.ok] == [step]


@pytest.mark.parametrize(
    ("answer", "level", "words"),
    [
        (WRONG_KEY, "FAILED", "does not accept it"),
        (Response("", 502), "FAILED", "answers 502"),
        (as_json('{"details": {}}', 403), "ok", "to itself (403)"),
        (as_json("[]", 200), "warning", "no LMS is registered"),
        (as_json('[{"id": 1}]', 200), "ok", "with 1 LMS"),
        (as_json('"x"', 200), "ok", "shape not known"),
    ],
)
def test_what_the_account_says_of_itself(answer: Response, level: str, words: str) -> None:
    with account(UNSIGNED, EXPIRED, answer) as env:
        finding = found(env)["service"]
        assert finding.level == level
        assert words in finding.seen


def test_a_clock_that_is_far_off(server: SandboxServer) -> None:
    for skew, words in (
        (3000, r"3\d\d\d s ahead of"),
        (-3000, r"[23]\d\d\d s behind"),
        (0, "agrees"),
    ):
        now = time.time() + skew
        clock = found({"LTIAAS_URL": server.url}, clock=lambda now=now: now)["clock"]
        assert re.search(words, clock.seen)
        assert clock.level == ("warning" if skew else "ok")
    settings = Settings(url=server.url, api_key=KEY)
    examined = Account(settings, asking.Asker(settings), time.time)
    assert "not compared" in examined._time("yesterday").seen


# -- the tool -------------------------------------------------------------------------------------


@pytest.fixture
def demo() -> Iterator[Demo]:
    with Demo(0, 0) as running:
        yield running


def about_tool(demo: Demo, tool: str, **env: str) -> dict[str, Finding]:
    env = {"LTIAAS_URL": demo.server.url, "LTIAAS_API_KEY": demo.sandbox.api_key, **env}
    findings = list(examine(env, tool=tool))
    assert not [item for item in findings if demo.sandbox.api_key in report(item)]
    return {item.step: item for item in findings if item.step.startswith("tool")}


def test_a_tool_that_is_well(demo: Demo) -> None:
    findings = about_tool(demo, f"{demo.tool.url}/launch?resource=1#part")
    assert {item.level for item in findings.values()} == {"ok"}
    assert "the middleware's page" in findings["tool"].seen


def test_a_tool_is_not_looked_at_before_ltiaas_is_well(demo: Demo) -> None:
    findings = about_tool(demo, demo.tool.url, LTIAAS_API_KEY="wrong")
    assert "not checked" in findings["tool"].seen


def test_an_address_that_is_none(demo: Demo) -> None:
    assert about_tool(demo, "tool.example/launch")["tool"].level == "FAILED"


def test_a_tool_by_plain_http_or_not_running(demo: Demo) -> None:
    env = {"LTIAAS_URL": demo.server.url, "LTIAAS_API_KEY": demo.sandbox.api_key}
    findings = [
        item for item in examine(env, tool="http://tool.invalid/") if item.step.startswith("tool")
    ]
    assert ["plain http" in item.seen for item in findings] == [True, False]
    assert [item.level for item in findings] == ["FAILED", "FAILED"]


@pytest.mark.parametrize(
    ("answer", "level", "words"),
    [
        (Response("Welcome"), "FAILED", "takes no notice of a launch: it answers 200"),
        (Response("No", 404), "FAILED", "it answers 404"),
        (as_json('{"code": "malformed_ltik"}', 400), "FAILED", "400 (malformed_ltik)"),
        (as_json('{"code": 5}', 401), "ok", "a page of its own"),
        (Response("Ours", 401), "ok", "a page of its own"),
        (Response("", 500), "FAILED", "answers 500"),
        (Response("", 302, {"Location": "/login?next=1"}), "FAILED", "/login instead"),
        (Response("", 302, {"Location": "https://sso.example/x"}), "FAILED", "https://sso.example"),
        (as_json('{"code": "api_key_rejected"}', 502), "FAILED", "that the tool itself has"),
        (as_json('{"code": "ltiaas_unavailable"}', 503), "FAILED", "cannot reach LTIAAS"),
    ],
)
def test_what_a_tool_answers(demo: Demo, answer: Response, level: str, words: str) -> None:
    with serving(answering(answer)) as url:
        finding = about_tool(demo, f"{url}/launch")["tool"]
        assert finding.level == level
        assert words in finding.seen
        assert "next=1" not in finding.seen


def test_a_tool_that_sends_everyone_to_https(demo: Demo) -> None:
    target: list[str] = []

    def app(environ: Any, start_response: Any) -> Any:
        location = f"https://{environ['HTTP_HOST']}/launch"
        target.append(location)
        return Response("", 301, {"Location": location})(environ, start_response)

    with serving(app) as url:
        finding = about_tool(demo, f"{url}/launch")["tool"]
        assert finding.level == "FAILED"
        assert "Register https://127.0.0.1" in finding.fix
        assert target


@pytest.mark.parametrize(
    ("headers", "level", "words"),
    [
        ({"X-Frame-Options": "SAMEORIGIN"}, "FAILED", "X-Frame-Options"),
        (
            {"Content-Security-Policy": "default-src 'self'; frame-ancestors https://a.example"},
            "warning",
            "only by: https://a.example.",
        ),
        ({"Content-Security-Policy": "frame-ancestors"}, "FAILED", "forbids every LMS"),
        ({"Content-Security-Policy": "frame-ancestors *"}, "ok", "nothing"),
    ],
)
def test_a_tool_that_an_lms_cannot_frame(
    demo: Demo, headers: dict[str, str], level: str, words: str
) -> None:
    with serving(answering(Response("No", 401, headers))) as url:
        finding = about_tool(demo, f"{url}/launch")["tool in a frame"]
        assert finding.level == level
        assert words in finding.seen


def _wrapped(demo: Demo, **options: Any) -> LTIAASMiddleware:
    return LTIAASMiddleware(
        DemoTool(), **{"url": demo.server.url, "api_key": demo.sandbox.api_key, **options}
    )


def _seen_as_http(app: App) -> App:
    """As behind a proxy that ends TLS, and of which the app has not been told."""

    def behind(environ: Any, start_response: Any) -> Any:
        environ["wsgi.url_scheme"] = "http"
        return app(environ, start_response)

    return behind


def _mounted(app: App) -> App:
    def below(environ: Any, start_response: Any) -> Any:
        path = environ["PATH_INFO"]
        if not path.startswith("/tools/app/"):
            return Response("Nothing", 404)(environ, start_response)
        environ["SCRIPT_NAME"], environ["PATH_INFO"] = "/tools/app", path[len("/tools/app") :]
        return app(environ, start_response)

    return below


def test_whether_the_tool_knows_that_it_is_reached_by_https(
    demo: Demo, authority: trustme.CA, bundle: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", bundle)
    tls = _tls(authority)
    wrapped = _wrapped(demo)

    with serving(wrapped, tls) as url:
        assert url.startswith("https")
        findings = about_tool(demo, f"{url}/launch")
        assert {item.level for item in findings.values()} == {"ok"}
        assert "by https" in findings["tool's scheme"].seen
        assert about_tool(demo, url)["tool's scheme"].level == "ok"

    with serving(_seen_as_http(wrapped), tls) as url:
        finding = about_tool(demo, f"{url}/launch")["tool's scheme"]
        assert finding.level == "FAILED"
        assert "ProxyFix" in finding.fix

    with serving(_mounted(wrapped), tls) as url:
        assert about_tool(demo, f"{url}/tools/app/launch")["tool's scheme"].level == "ok"

    with serving(wrapped, tls) as url:
        other = about_tool(demo, f"{url}/launch", LTIAAS_SECRET="another-secret-long-enough")
        assert other["tool's scheme"].level == "warning"
        off = about_tool(demo, f"{url}/launch", LTIAAS_LAUNCH_PATH="off")
        assert "launch paths are off" in off["tool's scheme"].seen


def test_a_tool_that_stops_answering_is_no_crash(
    demo: Demo, authority: trustme.CA, bundle: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", bundle)
    ask = asking.Asker.ask

    def asked(self: Any, address: str, headers: Any, auth: Any = None, **more: Any) -> Any:
        if "Cookie" in headers:
            raise asking.NoReply("gone")
        return ask(self, address, headers, auth, **more)

    monkeypatch.setattr(asking.Asker, "ask", asked)
    with serving(_wrapped(demo), _tls(authority)) as url:
        assert about_tool(demo, f"{url}/launch")["tool's scheme"].level == "warning"
