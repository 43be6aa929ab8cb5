"""What README and docs/ show is code that runs and type-checks.

A block is a module of its own. One that needs what the page does not show is preceded by a comment
with the lines that come before it::

    <!-- given:
    from tool import app
    -->
"""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.servers import ROOT

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
# A block in a tab is indented.
_BLOCK = re.compile(
    r"(?:^ *<!-- given:\n(?P<given>.*?)\n? *-->\n\n?)?"
    r"^ *```python[^\n]*\n(?P<code>.*?)^ *```",
    re.DOTALL | re.MULTILINE,
)


class Snippet(NamedTuple):
    name: str
    code: str


def snippets() -> list[Snippet]:
    found = []
    for page in PAGES:
        path = page.relative_to(ROOT).with_suffix("")
        stem = str(path).replace("/", "_").replace("-", "_")
        for number, block in enumerate(_BLOCK.finditer(page.read_text()), 1):
            code = "\n".join(textwrap.dedent(block[name] or "") for name in ("given", "code"))
            found.append(Snippet(f"{stem}_{number}", code.strip() + "\n"))
    return found


SNIPPETS = snippets()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All snippets, and the examples beside them."""
    folder = tmp_path_factory.mktemp("snippets")
    for snippet in SNIPPETS:
        (folder / f"{snippet.name}.py").write_text(snippet.code)
        if snippet.name == "docs_tutorial_grades_1":
            (folder / "tool.py").write_text(snippet.code)
    for example in (ROOT / "examples").glob("*.py"):
        (folder / example.name).write_text(example.read_text())
    return folder


def test_there_are_snippets() -> None:
    names = {snippet.name for snippet in SNIPPETS}
    assert {"README_1", "docs_index_1", "docs_tutorial_first_launch_3"} <= names


# What most of them import is imported once, in the process that they are forked from.
_RUN = """
import os, sys
import django.http, fastapi, flask
import ltiaas_middleware.asgi, ltiaas_middleware.wsgi
for name in sys.argv[1:]:
    if child := os.fork():
        print(name, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
        continue
    output = os.open(f"{name}.log", os.O_CREAT | os.O_WRONLY)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.mkdir(f"{name}.folder")
    os.chdir(f"{name}.folder")
    import importlib
    importlib.import_module(name)
    break
"""


@pytest.fixture(scope="module")
def runs(folder: Path) -> dict[str, str]:
    """How each snippet ended, each in a process of its own and in an empty folder."""
    env = {
        **{name: value for name, value in os.environ.items() if not name.startswith("LTIAAS_")},
        "LTIAAS_URL": "https://your.ltiaas.com",
        "LTIAAS_API_KEY": "00000000-0000-4000-8000-000000000000",
        "LTIAAS_SERVICE_KEYS": "sqlite:///keys.sqlite3",
        "PYTHONPATH": f"{folder}:{ROOT}",
    }
    command = [sys.executable, "-W", "error", "-c", _RUN, *(each.name for each in SNIPPETS)]
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return dict(line.split() for line in done.stdout.splitlines())


@pytest.mark.parametrize("snippet", SNIPPETS, ids=[snippet.name for snippet in SNIPPETS])
def test_it_runs(snippet: Snippet, folder: Path, runs: dict[str, str]) -> None:
    if any(isinstance(node, (ast.AsyncFor, ast.Await)) for node in ast.parse(snippet.code).body):
        pytest.fail("await outside of a function")
    assert runs[snippet.name] == "0", (folder / f"{snippet.name}.log").read_text()


@pytest.mark.slow
def test_they_pass_mypy(folder: Path) -> None:
    command = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary"]
    command += ["--allow-untyped-defs", "--allow-incomplete-defs", "--allow-untyped-calls"]
    command += ["--allow-untyped-decorators", "--ignore-missing-imports"]
    # Flask-Login has no types.
    command += ["--allow-subclassing-any"]
    command += ["--disable-error-code=method-assign", "--no-warn-unused-ignores"]
    command += ["--config-file=", *sorted(str(file) for file in folder.glob("*.py"))]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_they_pass_pyright(folder: Path) -> None:
    settings = {
        "typeCheckingMode": "standard",
        "reportMissingModuleSource": False,
        "reportMissingTypeStubs": False,
        "extraPaths": [str(ROOT)],
    }
    (folder / "pyrightconfig.json").write_text(json.dumps(settings))
    command = [sys.executable, "-m", "basedpyright", "--pythonpath", sys.executable, "."]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
