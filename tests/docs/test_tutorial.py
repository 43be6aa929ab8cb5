"""The tutorial's tools, started by the tutorial's own commands, do what it says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from urllib.parse import urljoin

import pytest
import requests

from ltiaas_middleware.sandbox import Sandbox, SandboxServer
from tests import servers

from .test_snippets import SNIPPETS

TUTORIAL = servers.ROOT / "docs" / "tutorial"
CODE = {snippet.name: snippet.code for snippet in SNIPPETS}
_STARTS = re.findall(
    r"^    \$ (?:python (tool\.py)|(\w+)) (.*8000)$",
    (TUTORIAL / "first-launch.md").read_text(),
    re.MULTILINE,
)


@pytest.fixture
def account() -> Iterator[SandboxServer]:
    with SandboxServer(Sandbox()) as server:
        yield server


def command(number: int, folder: Path) -> Callable[[int], Sequence[str]]:
    """What the tutorial starts its tool with, on another port."""
    script, module, options = _STARTS[number]
    program = [str(folder / script)] if script else ["-m", module]
    return lambda port: [sys.executable, *program, *options.replace("8000", str(port)).split()]


def environment(account: SandboxServer, folder: Path) -> dict[str, str]:
    return {
        "LTIAAS_URL": account.url,
        "LTIAAS_API_KEY": account.sandbox.api_key,
        "PYTHONPATH": f"{folder}:{servers.ROOT}",
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def launch(server: servers.Server, account: SandboxServer) -> requests.Response:
    ltik = account.sandbox.issue(course="biology", activity="quiz-1", user="chen")
    headers = {"Accept": "text/html", "Sec-Fetch-Mode": "navigate"}
    url = f"{server.url}/launch"
    return requests.get(url, params={"ltik": ltik}, headers=headers, timeout=10)


@pytest.mark.parametrize("number", [0, 1, 2], ids=["flask", "fastapi", "django"])
def test_the_first_launch_greets_the_user(
    number: int, account: SandboxServer, tmp_path: Path
) -> None:
    (tmp_path / "tool.py").write_text(CODE[f"docs_tutorial_first_launch_{number + 1}"])
    env = environment(account, tmp_path)
    with servers.running(command(number, tmp_path), env=env, probe="/launch") as server:
        page = launch(server, account)
        assert "Hello Chen Liu in Introduction to Biology" in page.text
        assert "/lti/" in page.url
        assert requests.get(f"{server.url}/launch", timeout=10).status_code == 401


@pytest.mark.parametrize("number", [0, 1, 2], ids=["flask", "fastapi", "django"])
def test_the_grade_arrives(number: int, account: SandboxServer, tmp_path: Path) -> None:
    (tmp_path / "tool.py").write_text(CODE[f"docs_tutorial_grades_{number + 1}"])
    env = environment(account, tmp_path)
    with servers.running(command(number, tmp_path), env=env, probe="/launch") as server:
        page = launch(server, account)
        (action,) = re.findall(r'action="([^"]+)"', page.text)
        answer = requests.post(urljoin(server.url, action), timeout=10)
        assert answer.status_code == 200
        assert account.sandbox.scores()["chen"]["scoreGiven"] == 8


@pytest.mark.parametrize("number", [0, 1, 2], ids=["flask", "fastapi", "django"])
def test_the_tutorials_test_passes(number: int, tmp_path: Path) -> None:
    (tmp_path / "tool.py").write_text(CODE[f"docs_tutorial_grades_{number + 1}"])
    test = CODE["docs_tutorial_grades_4"].replace('sys.modules["tool"] = Mock()', "")
    (tmp_path / "test_tool.py").write_text(test)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir=."]
    env = {"PYTHONPATH": str(servers.ROOT), "PATH": os.defpath}
    if number:  # Once is enough with all plugins that are installed: to import them takes seconds.
        env["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
        env["PYTEST_PLUGINS"] = "ltiaas_middleware.pytest_plugin"
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)
    assert "1 passed" in done.stdout, done.stdout
