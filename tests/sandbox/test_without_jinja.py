"""Without Jinja2 the sandbox says what to install."""

from __future__ import annotations

import subprocess
import sys

import pytest

WITHOUT = """
import sys
sys.modules["jinja2"] = None  # as if it were not installed
"""
SAID = 'The sandbox needs Jinja2: pip install "ltiaas-middleware[sandbox]"\n'


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", WITHOUT + code], capture_output=True, text=True)


@pytest.mark.parametrize("command", [["sandbox", "--tool", "http://x/"], ["demo", "--check"]])
def test_the_commands_say_so(command: list[str]) -> None:
    done = run(f"from ltiaas_middleware.__main__ import main\nsys.exit(main({command!r}))")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"The {command[0]} needs the package jinja2.\n"
        "Next: pip install 'ltiaas-middleware[sandbox]'\n"
    )


def test_importing_it_is_an_import_error_that_says_so() -> None:
    done = run("import ltiaas_middleware.sandbox")
    assert done.stderr.endswith(f"ModuleNotFoundError: {SAID}")
