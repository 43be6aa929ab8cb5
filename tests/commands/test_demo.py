"""``demo``: it starts, answers, and stops as asked."""

from __future__ import annotations

import contextlib
import re
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from ltiaas_middleware.commands.demo import run
from ltiaas_middleware.commands.demo.run import Demo, bypass_proxies
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
    with command("demo", "--port", "0", "--tool-port", "0", "--access-log") as server:
        printed = server.wait_for_output(READY)
        found = re.search(r"open (http://127\.0\.0\.1:\d+/) instead", printed)
        assert found is not None
        page = requests.get(
            f"{found[1]}lms/launch",
            params={"course": "biology", "activity": "quiz-1", "user": "ada"},
            headers={"Accept": "text/html"},
            timeout=10,
        )
        assert "Ada Moreau" in page.text
        assert "/lti/" in page.url
        server.wait_for_output("GET /lti/")
        server.process.send_signal(sign)
        assert server.process.wait(10) == 0
        printed = server.stop()
    assert printed.rstrip().endswith("Stopped.")
    assert "two" in printed or "second tab" in printed
    assert "Traceback" not in printed
    assert DEFAULT_API_KEY not in printed
    assert "eyJ" not in printed


def test_a_port_that_was_asked_for_and_is_taken_ends_it_with_a_sentence() -> None:
    for option in ("--port", "--tool-port"):
        other = "--tool-port" if option == "--port" else "--port"
        with taken_port() as port, command("demo", option, str(port), other, "0") as server:
            assert server.process.wait(10) == 1
            printed = server.stop()
        assert printed == (
            "Cannot listen: Address already in use. Choose another with --port or --tool-port.\n"
        )


def test_the_usual_ports_give_way_to_free_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    with taken_port() as one, taken_port() as two:
        monkeypatch.setattr(run, "DEFAULT_PORT", one)
        monkeypatch.setattr(run, "DEFAULT_TOOL_PORT", two)
        with Demo() as demo:
            assert requests.get(demo.server.url, timeout=10).status_code == 200
            assert requests.get(demo.tool.url, timeout=10).status_code == 200
            assert demo.remarks == [
                f"Port {one} is taken, so the sandbox is on {demo.server.port}.",
                f"Port {two} is taken, so the demo tool is on {demo.tool.port}.",
            ]


def test_the_sandbox_is_not_left_behind_when_the_tool_has_no_port() -> None:
    threads = set(threading.enumerate())
    with taken_port() as port, pytest.raises(OSError, match="in use"), Demo(0, port):
        pass
    assert not [thread for thread in set(threading.enumerate()) - threads if thread.is_alive()]


def test_it_tells_which_misbehaviour_it_begins_with(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Interrupted(threading.Event):
        """As if Ctrl-C came at once."""

        def wait(self, timeout: float | None = None) -> bool:
            signal.raise_signal(signal.SIGINT)
            return super().wait(timeout)

    before = signal.getsignal(signal.SIGINT)
    monkeypatch.setattr(run.threading, "Event", Interrupted)  # type: ignore[attr-defined]
    run.run(0, 0, ["delay:seconds=3"])
    assert "misbehaves from the start: delay." in capsys.readouterr().out
    assert signal.getsignal(signal.SIGINT) is before


def test_a_proxy_for_all_else_does_not_stand_between(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "example.org")
    monkeypatch.delenv("no_proxy")
    bypass_proxies()
    bypass_proxies()
    seen: dict[str, Any] = dict(run.os.environ)  # type: ignore[attr-defined]
    assert seen["no_proxy"] == seen["NO_PROXY"] == "example.org,127.0.0.1,localhost"
    with Demo(0, 0) as demo:
        assert requests.get(demo.server.url, timeout=10).status_code == 200
