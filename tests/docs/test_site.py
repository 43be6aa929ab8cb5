"""``mkdocs build --strict`` stops at dead links, dead anchors and forgotten pages."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.servers import ROOT

_CONFIG = f"""\
INHERIT: {ROOT}/mkdocs.yml
docs_dir: docs
nav: [index.md, page.md]
plugins: []
hooks: []
"""


def build(folder: Path, text: str, **more: str) -> subprocess.CompletedProcess[str]:
    """With the site's own rules, a site of two pages."""
    (folder / "docs").mkdir()
    (folder / "mkdocs.yml").write_text(_CONFIG)
    (folder / "docs" / "index.md").write_text(text)
    (folder / "docs" / "page.md").write_text("# Page\n\n## There\n")
    for name, content in more.items():
        (folder / "docs" / f"{name}.md").write_text(content)
    env = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    command = [sys.executable, "-m", "mkdocs", "build", "--strict"]
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True)


def test_a_sound_site_is_built(tmp_path: Path) -> None:
    done = build(tmp_path, "[here](page.md#there)")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("link", ["gone.md", "page.md#gone", "#gone", "/page/", "page"])
def test_a_dead_link_stops_the_build(tmp_path: Path, link: str) -> None:
    done = build(tmp_path, f"[here]({link})")
    assert done.returncode == 1, done.stderr
    assert link in done.stderr


def test_a_page_that_the_navigation_forgets_stops_the_build(tmp_path: Path) -> None:
    done = build(tmp_path, "Text", forgotten="Text")
    assert done.returncode == 1, done.stderr
    assert "forgotten.md" in done.stderr


@pytest.mark.parametrize(
    "name",
    [
        "README.md",
        "SECURITY.md",
        "CONTRIBUTING.md",
        "CHANGELOG.md",
        "examples/README.md",
        "benchmarks/README.md",
    ],
)
def test_links_of_the_repositorys_own_pages_lead_somewhere(name: str) -> None:
    page = ROOT / name
    for link in re.findall(r"\]\(([^)#?\s]+)[^)]*\)", page.read_text("utf-8")):
        assert "://" in link or (page.parent / link).exists(), link
