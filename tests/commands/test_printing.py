"""Symbols and colors: on a terminal only, and not against NO_COLOR."""

from __future__ import annotations

import os
import pty
import subprocess
import sys

import pytest

CODE = """
import sys
from ltiaas_middleware.commands.printing import heading, line
print(heading("Group", sys.stdout))
print(line("ok", "API key", "accepted.", sys.stdout))
print(line("failed", "Tool", "no.", sys.stdout))
"""


def on_a_terminal(**env: str) -> str:
    ours, theirs = pty.openpty()
    environment = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
    environment |= {"TERM": "xterm", "PYTHONIOENCODING": "utf-8", **env}
    with subprocess.Popen([sys.executable, "-c", CODE], env=environment, stdout=theirs) as running:
        assert running.wait(30) == 0
    os.close(theirs)
    with open(ours, "rb", buffering=0) as terminal:
        return terminal.read(10_000).decode().replace("\r\n", "\n")


def test_a_terminal_gets_symbols_in_color() -> None:
    text = on_a_terminal()
    assert text.startswith("\N{ESCAPE}[1mGroup\N{ESCAPE}[0m\n")
    assert "\N{ESCAPE}[32m✓\N{ESCAPE}[0m API key       accepted." in text
    assert "\N{ESCAPE}[31m✗\N{ESCAPE}[0m Tool          no." in text


@pytest.mark.parametrize("env", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_no_color_leaves_the_symbols(env: dict[str, str]) -> None:
    assert on_a_terminal(**env) == "Group\n✓ API key       accepted.\n✗ Tool          no.\n"


def test_a_terminal_that_knows_no_symbols_gets_words() -> None:
    text = on_a_terminal(PYTHONIOENCODING="ascii")
    assert text == "Group\nok      API key       accepted.\nFAILED  Tool          no.\n"


def test_a_pipe_gets_words() -> None:
    done = subprocess.run(
        [sys.executable, "-c", CODE], capture_output=True, text=True, timeout=30, check=True
    )
    assert done.stdout == "Group\nok      API key       accepted.\nFAILED  Tool          no.\n"
