"""``demo``: it starts, answers, and stops as asked."""

from __future__ import annotations

import contextlib
import re
import signal
import socket
import sys
import threading
from collections.abc import Iterator

import pytest
import requests

from ltiaas_middleware.commands.demo import run
from ltiaas_middleware.commands.demo.run import serve_demo
from ltiaas_middleware.sandbox import DEFAULT_API_KEY
from tests.servers import Server

READY = "Ctrl-C stops both."


@contextlib.contextmanager
def command(*arguments: str) -> Iterator[Server]:
    server = Server([sys.executable, "-m", "ltiaas_middleware", *arguments], 0, {}, False)
    try:
        yield server
    finally:
        server.stop()


@contextlib.contextmanager
def taken_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
def test_it_answers_at_the_printed_address_and_ends_in_peace(sign: signal.Signals) -> None:
    with command("demo", "--port", "0", "--tool-port", "0") as server:
        printed = server.wait_for_output(READY)
        found = re.search(r"open (http://127\.0\.0\.1:\d+/) instead", printed)
        assert re.search(r"(?m)^  http://lms\.localhost:\d+/$", printed), "a URL alone on its line"
        assert found is not None
        page = requests.get(
            f"{found[1]}lms/launch",
            params={"course": "biology", "activity": "quiz-1", "user": "ada"},
            headers={"Accept": "text/html"},
            timeout=10,
        )
        assert "Ada Moreau" in page.text
        assert "/lti/" in page.url
        server.process.send_signal(sign)
        assert server.process.wait(10) == 0
        printed = server.stop()
    assert printed.rstrip().endswith("Stopped.")
    assert "Traceback" not in printed
    assert DEFAULT_API_KEY not in printed
    assert "eyJ" not in printed


def test_the_sandbox_is_not_left_behind_when_the_tool_has_no_port() -> None:
    before = set(threading.enumerate())
    with taken_port() as port, pytest.raises(OSError, match="in use"), serve_demo(0, port):
        pass
    assert set(threading.enumerate()) <= before


def test_it_tells_which_fault_it_begins_with_and_opens_the_lms(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []

    def interrupted(seconds: float) -> None:
        signal.raise_signal(signal.SIGINT)

    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(run.webbrowser, "open", opened.append)  # type: ignore[attr-defined]
    monkeypatch.setattr(run.time, "sleep", interrupted)  # type: ignore[attr-defined]
    run.run(0, 0, ["delay:seconds=3"], show=True)
    printed = capsys.readouterr().out
    assert "Fault injected: delay." in printed
    assert printed.endswith("Stopped.\n")
    assert re.fullmatch(r"http://lms\.localhost:\d+/", opened[0])
    assert signal.getsignal(signal.SIGTERM) is before
