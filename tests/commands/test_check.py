"""``demo --check``: passes when all is well, and otherwise says which step failed and why."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import pytest
from werkzeug import Request, Response

from ltiaas_middleware import ApiSession, Score
from ltiaas_middleware.commands.demo import check as module
from ltiaas_middleware.commands.demo import run
from ltiaas_middleware.commands.demo.check import check
from ltiaas_middleware.commands.demo.run import Demo
from ltiaas_middleware.commands.demo.tool import DemoTool
from ltiaas_middleware.sandbox import DEFAULT_API_KEY

STEPS = [
    "sandbox up",
    "tool up",
    "redirect",
    "launch",
    "ID token",
    "roster",
    "score",
    "score in the gradebook",
    "two tabs",
]
FAULTS = [
    "refuse",
    "delay:seconds=30",
    "not_json",
    "truncated",
    "wrong_type",
    "no_user",
    "bad_api_key",
    "reset",
    "status",
    "rate_limit:retry_after=30",
    "drip",
    "endless",
    "gzip_bomb",
    "redirect:location=/nowhere",
]


def checked(*faults: str) -> tuple[bool, list[str]]:
    lines: list[str] = []
    well = check(faults, lines.append)
    assert not [line for line in lines if DEFAULT_API_KEY in line or "eyJ" in line]
    return well, lines


def failed(*faults: str) -> tuple[str, str]:
    """(step, why) of a check that fails."""
    well, lines = checked(*faults)
    assert not well
    (failure,) = [line for line in lines if line.startswith("FAILED")]
    step, _, why = failure.removeprefix("FAILED  ").partition(": ")
    number = STEPS.index(step) + 1
    assert lines[-1] == f"The check failed at step {number}, {step}."
    assert [line for line in lines if line.startswith("ok")] == lines[: number - 1]
    return step, why


def test_it_passes_quickly_and_says_every_step() -> None:
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "ltiaas_middleware", "demo", "--check"],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    lines = done.stdout.splitlines()
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    assert [line.removeprefix("ok      ").partition(": ")[0] for line in lines[:-1]] == STEPS
    assert lines[-1].startswith("All 9 steps came out well")
    assert DEFAULT_API_KEY not in done.stdout
    assert "eyJ" not in done.stdout
    # Three seconds on a machine with nothing else to do; this one runs other tests meanwhile.
    assert time.monotonic() - began < 10


@pytest.mark.parametrize("fault", FAULTS)
def test_it_fails_honestly(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if fault.startswith(("delay", "drip")):
        monkeypatch.setattr(module, "_TOOL", {"read_timeout": 0.5, "deadline": 1.0})
    step, why = failed(fault)
    assert step == "launch"
    assert f"told to misbehave: {fault.partition(':')[0]}" in why
    assert ("401" in why) == (fault in ("refuse", "bad_api_key"))


def test_the_command_fails_with_it() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "ltiaas_middleware", "demo", "--check", "--fault", "refuse"],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 1
    assert "FAILED  launch: the tool answers 401: This session is over" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


def test_it_names_the_service_that_fails() -> None:
    step, why = failed("status:status=503,endpoint=/api/memberships")
    assert step == "roster"
    assert "LTIAAS to GET /api/memberships: 503" in why
    step, why = failed("refuse:endpoint=/api/lineitems")
    assert step == "score"
    assert "LTIAAS to POST /api/lineitems/…/scores: 401" in why


def test_a_short_trouble_is_none() -> None:
    well, _ = checked("status:times=1")
    assert well


Wrapped = Callable[[DemoTool, Request], Response | None]


@pytest.fixture
def spoil(monkeypatch: pytest.MonkeyPatch) -> Callable[[Wrapped], None]:
    """Has some requests answered by another hand than the demo tool's."""

    def spoil(instead: Wrapped) -> None:
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


def replaced(old: str, new: str) -> Wrapped:
    """The tool's own answers, with some text changed."""

    def instead(tool: DemoTool, request: Request) -> Response | None:
        if request.path != "/launch":
            return None
        response = original(tool, request)
        response.set_data(response.get_data(as_text=True).replace(old, new))
        return response

    return instead


def only(method: str, path: str, make: Callable[[Request], Response]) -> Wrapped:
    def instead(tool: DemoTool, request: Request) -> Response | None:
        if (request.method, request.path) != (method, path):
            return None
        return make(request)

    return instead


def test_what_the_tool_does_wrong_is_found(spoil: Callable[[Wrapped], None]) -> None:
    def found(instead: Wrapped) -> tuple[str, str]:
        spoil(instead)
        return failed()

    step, why = found(only("GET", "/", lambda _: Response("broken", 500)))
    assert (step, why) == ("tool up", "the tool's first page answers 500: broken")

    step, why = found(only("GET", "/launch", lambda _: Response("<h1>Oh</h1>", 500)))
    assert (step, why) == ("launch", "the launch's page answers 500: Oh")

    # Its X-Frame-Options would be taken away; what the app says about frames by CSP stands.
    framed = Response("x", headers={"Content-Security-Policy": "frame-ancestors 'none'"})
    step, why = found(only("GET", "/launch", lambda _: framed))
    assert step == "launch"
    assert "frame-ancestors" in why

    step, why = found(only("GET", "/launch", lambda _: Response(DEFAULT_API_KEY)))
    assert (step, why) == ("launch", "the tool shows a secret in its page or its redirect")

    step, why = found(replaced("Chen Liu", "Chen Lee"))
    assert step == "ID token"
    assert "nothing of 'Chen Liu'" in why

    step, why = found(replaced("Wanda Nowak", ""))
    assert step == "roster"
    assert "'Wanda Nowak'" in why

    step, why = found(replaced("<form", "<p"))
    assert step == "score"
    assert "no form" in why

    step, why = found(replaced('action="/lti/', 'action="/'))
    assert (step, why) == ("score", "the form's address has left the launch")

    step, why = found(only("POST", "/score", lambda _: Response("taken")))
    assert step == "score"
    assert "answers 200: taken" in why

    def out(request: Request) -> Response:
        return Response("", 303, {"Location": "https://elsewhere.example/"})

    step, why = found(only("POST", "/score", out))
    assert (step, why) == ("score", "after the score, the tool leads out of the launch")

    def pretend(request: Request) -> Response:
        return Response("", 303, {"Location": f"{request.root_path}/launch?sent=1"})

    step, why = found(only("POST", "/score", pretend))
    assert (step, why) == (
        "score in the gradebook",
        "the LMS's gradebook has nothing for this learner",
    )

    def after(tool: DemoTool, request: Request) -> Response | None:
        return Response("<h1>Gone</h1>", 500) if request.args.get("sent") else None

    step, why = found(after)
    assert (step, why) == ("score", "the page after it answers 500: Gone")


def test_a_wrong_or_a_doubled_score_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    from ltiaas_middleware.commands.demo import tool

    number = tool._number
    with monkeypatch.context() as patch:
        patch.setattr(tool, "_number", lambda text: (number(text) or 0) / 2)
        step, why = failed()
    assert (step, why) == ("score in the gradebook", "the LMS's gradebook has 40.0 of 100")

    submit = ApiSession.submit_score

    def twice(self: Any, line_item: str, score: Score) -> None:
        submit(self, line_item, replace(score, user_id="ben"))
        submit(self, line_item, score)

    monkeypatch.setattr(ApiSession, "submit_score", twice)
    step, why = failed()
    assert (step, why) == (
        "score in the gradebook",
        "the LMS's gradebook has 2 scores instead of one",
    )


def test_two_tabs_that_get_mixed_up_are_found(spoil: Callable[[Wrapped], None]) -> None:
    visits: list[bool] = []

    def mixing(tool: DemoTool, request: Request) -> Response | None:
        if request.path != "/launch":
            return None
        response = original(tool, request)
        text = response.get_data(as_text=True)
        visits.append("Noor Haddad" in text)
        if visits.count(True) and not visits[-1]:
            response.set_data(text.replace("</main>", "The Long Nineteenth Century</main>"))
        return response

    spoil(mixing)
    assert failed() == ("two tabs", "the first tab shows the second tab's course")


def test_a_middleware_that_does_not_do_its_work_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    class Bad:
        """Says where it leads; the rest is as it may be."""

        location = "/elsewhere"
        cookie = "a=b; HttpOnly"

        def __init__(self, app: Any, **options: Any) -> None:
            pass

        def __call__(self, environ: Any, start_response: Any) -> Iterable[bytes]:
            request = Request(environ)
            if "ltik" not in request.args:
                return Response("<h1>Here</h1>")(environ, start_response)
            headers = {"Location": self.location, "Set-Cookie": self.cookie}
            return Response("", 303, headers)(environ, start_response)

        def close(self) -> None:
            pass

    monkeypatch.setattr(run, "LTIAASMiddleware", Bad)
    assert failed() == ("launch", "the tool does not lead to the launch's own path, query and all")
    monkeypatch.setattr(Bad, "location", f"/lti/{'a' * 22}/launch?resource=quiz-1")
    monkeypatch.setattr(Bad, "cookie", "a=b")
    assert failed() == (
        "launch",
        "the tool sets no cookie for the launch that scripts cannot read",
    )
    monkeypatch.setattr(Bad, "cookie", "a=b; HttpOnly")
    assert failed() == ("ID token", "LTIAAS was not asked for it with a well-formed header")


def test_an_lms_that_does_not_launch_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(module, "_USER", "nobody")
        step, why = failed()
        assert step == "redirect"
        assert "answers 400" in why
    with monkeypatch.context() as patch:
        patch.setattr(Demo, "__enter__", _with_another_tool)
        assert failed() == (
            "redirect",
            "LTIAAS does not send the browser to the tool's launch with an ltik",
        )


_enter = Demo.__enter__


def _with_another_tool(self: Demo) -> Demo:
    entered = _enter(self)
    entered.sandbox.tool = f"{entered.tool.url}/elsewhere"
    return entered


@pytest.mark.parametrize(("which", "step"), [("server", "sandbox up"), ("tool", "tool up")])
def test_a_server_that_is_gone_is_found(
    which: str, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def entered(self: Demo) -> Demo:
        demo = _enter(self)
        getattr(demo, which).stop()
        monkeypatch.setattr(getattr(demo, which), "stop", lambda: None)
        return demo

    monkeypatch.setattr(Demo, "__enter__", entered)
    found, why = failed()
    assert found == step
    assert "does not answer" in why


def test_an_lms_without_a_first_page_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def entered(self: Demo) -> Demo:
        demo = _enter(self)
        demo.sandbox.own_hosts = {"elsewhere"}
        monkeypatch.setattr("ltiaas_middleware.sandbox.app.guard.refusal", lambda *_, **__: "No.")
        return demo

    monkeypatch.setattr(Demo, "__enter__", entered)
    assert failed() == ("sandbox up", "the LMS's first page answers 403")
