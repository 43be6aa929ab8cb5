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
import re
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import NamedTuple

import pytest

from tests import forks
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


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, forks.Done]:
    env = {
        "LTIAAS_URL": "https://your.ltiaas.com",
        "LTIAAS_API_KEY": "00000000-0000-4000-8000-000000000000",
        "LTIAAS_SERVICE_KEYS": "sqlite:///keys.sqlite3",
    }
    first = "import django.http, fastapi, flask, ltiaas_middleware.asgi, ltiaas_middleware.wsgi"
    modules = {snippet.name: snippet.code for snippet in SNIPPETS}
    return forks.run(modules, tmp_path_factory.mktemp("runs"), env, first, ("-W", "error"))


@pytest.mark.parametrize("snippet", SNIPPETS, ids=[snippet.name for snippet in SNIPPETS])
def test_it_runs(snippet: Snippet, runs: dict[str, forks.Done]) -> None:
    if any(isinstance(node, (ast.AsyncFor, ast.Await)) for node in ast.parse(snippet.code).body):
        pytest.fail("await outside of a function")
    assert runs[snippet.name].returncode == 0, runs[snippet.name].printed


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
