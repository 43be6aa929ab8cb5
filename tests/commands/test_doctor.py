"""``doctor``: every way in which settings and account can be wrong, and what it finds then."""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import re
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import trustme
from werkzeug import Response

from ltiaas_middleware.__main__ import main
from ltiaas_middleware.commands import browser
from ltiaas_middleware.commands.doctor import Finding, examine
from ltiaas_middleware.commands.doctor.finding import TEXTS
from ltiaas_middleware.sandbox import DEFAULT_API_KEY, Sandbox, SandboxServer

from .scripted import answering, serving

KEY = "c0ffee00-2222-4000-8000-00000000beef"
WELL = ["plain-http", "ltiaas", "api-key", "registrations"]
UNKNOWN = (
    '{"status": 401, "error": "Unauthorized", "details": '
    '{"message": "INVALID_LTIK_AUTH_AUTHORIZATION_HEADER", "description": "%s"}}'
)


@pytest.fixture
def server() -> Iterator[SandboxServer]:
    with SandboxServer(Sandbox(api_key=KEY)) as running:
        yield running


def found(env: dict[str, str], **options: Any) -> dict[str, Finding]:
    """The findings by code."""
    findings = list(examine({"LTIAAS_API_KEY": KEY, **env}, **options))
    for finding in findings:
        assert KEY not in f"{finding.seen} {finding.fix}"
        assert finding.level != "failed" or finding.fix, "what failed comes with what to do"
    return {finding.code: finding for finding in findings}


def last(env: dict[str, str], **options: Any) -> tuple[str, str]:
    """(code, everything said) of the finding that ended the way."""
    *_, finding = found(env, **options).values()
    assert finding.level == "failed"
    return finding.code, f"{finding.seen} {finding.fix}"


@contextlib.contextmanager
def account(*responses: Response) -> Iterator[dict[str, str]]:
    """An account that answers just these."""
    with serving(answering(*responses)) as url:
        yield {"LTIAAS_URL": url}


def as_json(text: str, status: int = 401, **headers: str) -> Response:
    return Response(text, status, headers, mimetype="application/json")


UNSIGNED = as_json('{"details": {"message": "CODE"}}')
EXPIRED = as_json(UNKNOWN % "Invalid or expired ltik.")
WRONG_KEY = as_json(UNKNOWN % "Invalid API key")


# -- settings -------------------------------------------------------------------------------------


def test_all_is_well(server: SandboxServer) -> None:
    findings = found({"LTIAAS_URL": server.url})
    assert list(findings) == WELL
    assert findings["registrations"].seen == "3 active."
    # The ltik that never was is well formed, and so is every header.
    assert [entry.scheme for entry in server.sandbox.api_log] == [None, "LTIK-AUTH-V2", "Bearer"]
    assert all(entry.well_formed for entry in list(server.sandbox.api_log)[1:])


def test_the_command_prints_groups_and_a_count_and_ends_with_0(server: SandboxServer) -> None:
    done = _run({"LTIAAS_URL": server.url, "LTIAAS_API_KEY": KEY})
    assert done.returncode == 0, done.stdout
    lines = done.stdout.splitlines()
    assert [line for line in lines if re.fullmatch(r"[A-Z][a-z]+", line)] == ["Settings", "Account"]
    assert "ok      API key       accepted." in lines
    assert lines[-1] == "3 passed, 1 note"
    assert KEY not in done.stdout + done.stderr


def test_the_command_ends_with_1_and_what_to_do_where_something_is_wrong(
    server: SandboxServer,
) -> None:
    wrong = "another-key-entirely"
    done = _run({"LTIAAS_API_KEY": wrong}, "--url", server.url)
    assert done.returncode == 1
    said = done.stdout.partition("FAILED")[2].splitlines()
    assert said[0] == "  API key       LTIAAS rejects it."
    assert said[1].startswith("        Next: Copy it again")
    assert said[2].endswith("docs/reference/doctor.md#api-key-rejected")
    assert said[-1] == "Next: fix the failed checks, then run this again."
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


def test_findings_are_given_as_json(
    server: SandboxServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LTIAAS_API_KEY", KEY)
    assert main(["doctor", "--json", "--url", server.url]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [finding["code"] for finding in document["findings"]] == WELL
    summary = {"ok": 3, "note": 1, "warning": 0, "failed": 0, "skipped": 0}
    assert document["summary"] == summary
    assert set(document["findings"][0]) == {
        *("code", "group", "check", "level", "seen", "fix", "link"),
    }
    assert main(["doctor"]) == 1
    assert "LTIAAS_URL is not set" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("env", "words"),
    [
        ({}, "LTIAAS_URL is not set"),
        ({"LTIAAS_URL": "https://a.example/", "LTIAAS_API_KEY": ""}, "LTIAAS_API_KEY is not set"),
        ({"LTIAAS_URL": "https://a.example/lti"}, "no path"),
        ({"LTIAAS_URL": "http://a.example"}, "https"),
        ({"LTIAAS_URL": "https://user:pw@a.example"}, "https://your.ltiaas.com"),
        (
            {"LTIAAS_URL": "a.example", "LTIAAS_API_KEY": "with space"},
            "which API keys cannot contain",
        ),
        ({"LTIAAS_URL": "a.example", "LTIAAS_TTL": "soon"}, "LTIAAS_TTL"),
    ],
)
def test_a_setting_that_is_wrong_is_named(env: dict[str, str], words: str) -> None:
    code, said = last(env)
    assert code == "invalid-setting"
    assert words in said
    assert "pw" not in said
    assert "with space" not in said


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("LTIAAS_APIKEY", "Did you mean LTIAAS_API_KEY?"),
        ("LTIAAS_SOMETHING_ELSE_ENTIRELY", "Remove it"),
    ],
)
def test_a_variable_that_is_no_setting_is_said(name: str, words: str) -> None:
    first = next(examine({name: "x", "LTIAAS_ALLOW_HTTP": "1"}))
    assert (first.code, first.level) == ("unknown-variable", "warning")
    assert words in first.fix


# -- the way to LTIAAS ----------------------------------------------------------------------------


def test_a_host_that_dns_does_not_know() -> None:
    code, said = last({"LTIAAS_URL": "https://nowhere.invalid"})
    assert code == "ltiaas-unreachable"
    assert "DNS cannot resolve nowhere.invalid" in said


def test_a_port_that_nobody_listens_on() -> None:
    code, said = last({"LTIAAS_URL": "http://127.0.0.1:9"})
    assert code == "ltiaas-unreachable"
    assert "nothing is listening at 127.0.0.1:9" in said


def test_a_proxy_that_is_none(server: SandboxServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{server.port}")
    code, said = last({"LTIAAS_URL": "https://account.invalid"})
    assert code == "ltiaas-unreachable"
    assert "HTTPS_PROXY" in said
    # Plain http never goes through one.
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    assert list(found({"LTIAAS_URL": server.url})) == WELL


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
        assert {finding.level for finding in findings.values()} == {"ok"}


YESTERDAY = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(days=1)


@pytest.mark.parametrize(
    ("names", "options", "trusted", "words"),
    [
        ((), {}, False, "issuer"),
        (("elsewhere.example",), {}, True, "mismatch"),
        ((), {"not_after": YESTERDAY}, True, "expired"),
    ],
)
def test_a_certificate_that_is_not_accepted(
    authority: trustme.CA,
    bundle: str,
    names: tuple[str, ...],
    options: dict[str, Any],
    trusted: bool,
    words: str,
) -> None:
    context = _tls(authority, *names, **options)
    with SandboxServer(Sandbox(api_key=KEY), ssl_context=context) as server:
        env = {"LTIAAS_CA_BUNDLE": bundle} if trusted else {}
        code, said = last({"LTIAAS_URL": server.url, **env})
        assert code == "ltiaas-unreachable"
        assert words in said
        assert "a private certificate authority" in said
        assert "LTIAAS_CA_BUNDLE" in said
        assert "replaces the public authorities" in said
        assert len(server.sandbox.api_log) == 0


def test_a_port_that_speaks_no_tls(server: SandboxServer) -> None:
    code, said = last({"LTIAAS_URL": f"https://127.0.0.1:{server.port}"})
    assert code == "ltiaas-unreachable"
    assert "the server does not speak TLS" in said


# -- LTIAAS ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "code", "words"),
    [
        ({"name": "not_json"}, "not-ltiaas", "200 with text/html"),
        ({"name": "wrong_type"}, "not-ltiaas", "200"),
        ({"name": "status", "status": 404}, "not-ltiaas", "404"),
        ({"name": "status", "status": 502}, "ltiaas-fails", "502 with text/html"),
        ({"name": "rate_limit", "retry_after": 7}, "ltiaas-fails", "429"),
        (
            {"name": "redirect", "location": "https://b.example/x"},
            "ltiaas-redirects",
            "LTIAAS_URL to https://b.example",
        ),
        ({"name": "reset"}, "ltiaas-unreachable", "closed without a response"),
        ({"name": "truncated"}, "not-ltiaas", "401"),
        ({"name": "delay", "seconds": 30}, "ltiaas-unreachable", "no response in time"),
        ({"name": "endless"}, "not-ltiaas", "200"),
    ],
)
def test_what_answers_otherwise_than_ltiaas_is_not_sent_the_key(
    server: SandboxServer,
    fault: dict[str, Any],
    code: str,
    words: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if fault["name"] == "delay":
        monkeypatch.setattr(browser, "_TIMEOUT", (5.0, 0.5))
    if fault["name"] == "endless":
        monkeypatch.setattr(browser, "_MAX_SIZE", 10)
    server.sandbox.faults.switch_on(fault)
    seen, said = last({"LTIAAS_URL": server.url})
    assert seen == code
    assert words in said
    assert all(entry.scheme is None for entry in server.sandbox.api_log)


def test_a_key_of_another_account(server: SandboxServer) -> None:
    code, said = last({"LTIAAS_URL": server.url, "LTIAAS_API_KEY": DEFAULT_API_KEY})
    assert code == "api-key-rejected"
    assert DEFAULT_API_KEY not in said


@pytest.mark.parametrize(
    ("answer", "code", "words"),
    [
        (Response(f"{KEY} failed", 503), "ltiaas-fails", "503"),
        (as_json('{"user": {"id": "x"}}', 200), "not-ltiaas", "200"),
        (as_json(UNKNOWN % "Malformed authorization header."), "not-ltiaas", "401"),
        (Response("x", 403, {"Content-Type": KEY}), "not-ltiaas", "403 with [hidden]"),
        (WRONG_KEY, "api-key-rejected", "rejects it"),
    ],
)
def test_a_key_of_which_nobody_knows(answer: Response, code: str, words: str) -> None:
    with account(UNSIGNED, answer) as env:
        seen, said = last(env)
        assert seen == code
        assert words in said


def test_an_ltiaas_that_stops_answering(server: SandboxServer) -> None:
    server.sandbox.fault("reset", endpoint="/api/platforms")
    assert last({"LTIAAS_URL": server.url})[0] == "ltiaas-unreachable"


@pytest.mark.parametrize(
    ("answer", "code", "words"),
    [
        (Response("", 502), "registrations-unknown", "502"),
        (as_json('{"details": {}}', 403), "registrations-unknown", "403"),
        (as_json("[]", 200), "registrations-none", "no LMS is registered"),
        (as_json('[{"id": 1}]', 200), "registrations", "1 active"),
        (as_json('"x"', 200), "registrations-unknown", "200"),
        (
            as_json('[{"name": "A\\u001bB", "active": false}, {"active": true}]', 200),
            "registrations-inactive",
            "1 of 2 inactive: A\N{REPLACEMENT CHARACTER}B.",
        ),
    ],
)
def test_what_the_account_says_of_its_lmses(answer: Response, code: str, words: str) -> None:
    with account(UNSIGNED, EXPIRED, answer) as env:
        assert words in found(env)[code].seen


@pytest.mark.parametrize(("skew", "way"), [(3000, "ahead of"), (-3000, "behind"), (0, "")])
def test_a_clock_that_is_far_off(
    server: SandboxServer, monkeypatch: pytest.MonkeyPatch, skew: int, way: str
) -> None:
    module = sys.modules["ltiaas_middleware.commands.doctor.account"]
    clock = SimpleNamespace(time=lambda: time.time() + skew)
    monkeypatch.setattr(module, "time", clock)
    findings = found({"LTIAAS_URL": server.url})
    assert ("clock" in findings) == bool(skew)
    assert not skew or re.search(rf"[23]\d\d\d s {way} LTIAAS's", findings["clock"].seen)


# -- its texts ------------------------------------------------------------------------------------


def test_each_finding_is_documented_and_each_text_is_used() -> None:
    root = Path(__file__).parents[2]
    page = (root / "docs" / "reference" / "doctor.md").read_text("utf-8")
    anchors = set(re.findall(r'<a id="([a-z-]+)"></a>', page))
    assert anchors == set(TEXTS)
    modules = (root / "ltiaas_middleware" / "commands").rglob("*.py")
    source = "\n".join(module.read_text("utf-8") for module in modules)
    assert [code for code in TEXTS if f'"{code}"' not in source] == []
    assert all(text["level"] in ("ok", "note", "skipped") or text["fix"] for text in TEXTS.values())
