"""``demo --check``: passes when all is well, and otherwise says what failed and why."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from werkzeug import Request, Response

from ltiaas_middleware import ApiSession
from ltiaas_middleware.commands.demo import run
from ltiaas_middleware.commands.demo.run import check
from ltiaas_middleware.commands.demo.tool import DemoTool
from ltiaas_middleware.sandbox import DEFAULT_API_KEY

STEPS = ["ID token", "Roster", "Score", "Gradebook", "Two tabs"]


def checked(*faults: str) -> tuple[int, str]:
    out = io.StringIO()
    status = check(faults, out)
    assert DEFAULT_API_KEY not in out.getvalue()
    assert "eyJ" not in out.getvalue()
    return status, out.getvalue()


def failed(*faults: str) -> str:
    """The lines that say so."""
    status, text = checked(*faults)
    assert status == 1
    lines = [line for line in text.splitlines() if line.startswith("FAILED")]
    assert lines, text
    return "\n".join(lines)


def test_it_passes_and_says_every_step_also_where_a_proxy_is_set_for_all_else() -> None:
    proxy = "http://127.0.0.1:9"
    done = subprocess.run(
        [sys.executable, "-m", "ltiaas_middleware", "demo", "--check"],
        env={**os.environ, "http_proxy": proxy, "https_proxy": proxy},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    lines = done.stdout.splitlines()
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    after = lines[lines.index("Demo") + 1 :]
    assert [line[8:21].strip() for line in after if line.startswith("ok")] == STEPS
    assert lines[-1] == "12 passed, 1 note"
    assert DEFAULT_API_KEY not in done.stdout
    assert "eyJ" not in done.stdout


def test_it_fails_with_what_ltiaas_does_wrong() -> None:
    status, text = checked("refuse:endpoint=/api/idtoken")
    assert status == 1
    assert "faults injected: refuse" in text
    assert text.splitlines()[-1].startswith("Next: ")


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("status", "LTIAAS responds with 502"),
        ("bad_api_key", "API key       LTIAAS rejects it"),
        ("reset", "closed without a response"),
        ("status:status=503,endpoint=/api/memberships", "does not show 'Ada Moreau'"),
        ("refuse:endpoint=/api/lineitems", "does not show 'Saved.'"),
    ],
)
def test_it_names_what_fails(fault: str, words: str) -> None:
    assert words in failed(fault)


Instead = Callable[[DemoTool, Request], Response | None]


@pytest.fixture
def spoil(monkeypatch: pytest.MonkeyPatch) -> Callable[[Instead], None]:
    """Has some requests answered by another hand than the demo tool's."""

    def spoil(instead: Instead) -> None:
        class Spoilt(DemoTool):
            def __call__(self, environ: Any, start_response: Any) -> Iterable[bytes]:
                response = instead(self, Request(environ))
                if response is None:
                    return super().__call__(environ, start_response)
                return response(environ, start_response)

        monkeypatch.setattr(run, "DemoTool", Spoilt)

    return spoil


def original(tool: DemoTool, request: Request) -> Response:
    return Response.from_app(lambda *given: DemoTool.__call__(tool, *given), request.environ)


def replaced(old: str, new: str) -> Instead:
    """The tool's own pages, with some text changed."""

    def instead(tool: DemoTool, request: Request) -> Response | None:
        if request.path != "/launch":
            return None
        response = original(tool, request)
        response.set_data(response.get_data(as_text=True).replace(old, new))
        return response

    return instead


def only(method: str, path: str, response: Response) -> Instead:
    def instead(tool: DemoTool, request: Request) -> Response | None:
        return response if (request.method, request.path) == (method, path) else None

    return instead


@pytest.mark.parametrize(
    ("instead", "words"),
    [
        (only("GET", "/launch", Response("", 500)), "/lti/<launch id>/launch responds with 500"),
        (
            only(
                "GET", "/launch", Response(headers={"Content-Security-Policy": "frame-ancestors"})
            ),
            "forbids every LMS's iframe",
        ),
        (replaced("Chen Liu", "Chen Lee"), "does not show 'Chen Liu'"),
        (replaced("Amir Karimi", ""), "does not show 'Amir Karimi'"),
        (only("POST", "/score", Response("taken")), "does not show 'Saved.'"),
        (
            only("POST", "/score", Response("", 303, {"Location": "launch?sent"})),
            "score is not in the LMS's gradebook",
        ),
    ],
)
def test_what_the_tool_does_wrong_is_found(
    spoil: Callable[[Instead], None], instead: Instead, words: str
) -> None:
    spoil(instead)
    assert words in failed()


def test_a_doubled_score_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    submit = ApiSession.submit_score

    def twice(self: Any, line_item: str, score: Any) -> None:
        submit(self, line_item, replace(score, user_id="ben"))
        submit(self, line_item, score)

    monkeypatch.setattr(ApiSession, "submit_score", twice)
    assert "score is not in the LMS's gradebook" in failed()


def test_two_tabs_that_get_mixed_up_are_found(spoil: Callable[[Instead], None]) -> None:
    noor: list[bool] = []

    def mixing(tool: DemoTool, request: Request) -> Response | None:
        if request.path != "/launch":
            return None
        response = original(tool, request)
        text = response.get_data(as_text=True)
        noor.append("<strong>Noor Haddad" in text)
        if any(noor):
            response.set_data(text.replace("<strong>Chen Liu", "<strong>Noor Haddad"))
        return response

    spoil(mixing)
    assert "does not show '<strong>Chen Liu</strong>'" in failed()
