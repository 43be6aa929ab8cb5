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
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.servers import ROOT

PAGES = ["README.md", *(f"docs/{page.name}" for page in sorted((ROOT / "docs").glob("*.md")))]
_BLOCK = re.compile(r"(?:<!-- given:\n(.*?)\n?-->\n\n?)?```python\n(.*?)```", re.DOTALL)


class Snippet(NamedTuple):
    name: str
    code: str


def snippets() -> list[Snippet]:
    found = []
    for page in PAGES:
        for number, (given, code) in enumerate(_BLOCK.findall((ROOT / page).read_text()), 1):
            name = f"{page.replace('/', '_').removesuffix('.md').replace('-', '_')}_{number}"
            found.append(Snippet(name, f"{given}\n{code}" if given else code))
    return found


SNIPPETS = snippets()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All snippets, and the examples beside them."""
    folder = tmp_path_factory.mktemp("snippets")
    for snippet in SNIPPETS:
        (folder / f"{snippet.name}.py").write_text(snippet.code)
    for example in (ROOT / "examples").glob("*.py"):
        (folder / example.name).write_text(example.read_text())
    return folder


def test_there_are_snippets() -> None:
    assert {"README_1", "docs_index_1"} <= {snippet.name for snippet in SNIPPETS}


@pytest.mark.parametrize("snippet", SNIPPETS, ids=[snippet.name for snippet in SNIPPETS])
def test_it_runs(snippet: Snippet, tmp_path: Path) -> None:
    code = snippet.code
    if any(isinstance(node, (ast.AsyncFor, ast.Await)) for node in ast.parse(code).body):
        pytest.fail("await outside of a function")
    env = {
        **{name: value for name, value in os.environ.items() if not name.startswith("LTIAAS_")},
        "LTIAAS_URL": "https://your.ltiaas.com",
        "LTIAAS_API_KEY": "00000000-0000-4000-8000-000000000000",
        "LTIAAS_SERVICE_KEYS": "sqlite:///keys.sqlite3",
        "PYTHONPATH": str(ROOT),
    }
    (tmp_path / "snippet.py").write_text(code)
    command = [sys.executable, "-W", "error", "-c", "import snippet"]
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


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
