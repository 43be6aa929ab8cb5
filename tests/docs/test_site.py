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


def test_a_dead_link_stops_the_build_and_so_does_a_page_that_the_navigation_forgets(
    tmp_path: Path,
) -> None:
    links = ["gone.md", "page.md#gone", "#gone", "/page/", "page"]
    done = build(tmp_path, " ".join(f"[here]({link})" for link in links), forgotten="Text")
    assert done.returncode == 1, done.stderr
    stops = [line for line in done.stderr.splitlines() if line.startswith("WARNING")]
    assert "  - forgotten.md" in done.stderr
    for found in (*(f"'{link}'" for link in links), "not included in the"):
        assert any(found in line for line in stops), (found, done.stderr)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The text of each page of the site that readers get, as HTML without code blocks."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    env = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return {
        str(page.parent.relative_to(folder)): _CODE_BLOCK.sub("", found[0])
        for page in folder.rglob("index.html")
        if (found := _ARTICLE.search(page.read_text("utf-8")))
    }


_ARTICLE = re.compile(r"<article.*</article>", re.DOTALL)
_CODE_BLOCK = re.compile(r"<pre.*?</pre>", re.DOTALL)
# What Markdown leaves as it is if it does not belong where it is.
_UNREAD = re.compile(r"```|=== &quot;|=== \"|:::|^!!! |<!--|\*\*\w|\]\(|\{:", re.MULTILINE)


def test_no_page_shows_markdown(site: dict[str, str]) -> None:
    assert len(site) > 50
    shown = {name: sorted(set(_UNREAD.findall(html))) for name, html in site.items()}
    assert {name: found for name, found in shown.items() if found} == {}


def test_docstrings_link_the_pages_that_they_cite(site: dict[str, str]) -> None:
    cited = {name: set(re.findall(r"[\w/-]+\.md\b", html)) for name, html in site.items()}
    assert {name: found for name, found in cited.items() if found and "reference/" in name} == {}


@pytest.mark.parametrize("page", sorted((ROOT / "docs").rglob("*.md")), ids=lambda page: page.stem)
def test_a_line_begins_with_a_number_only_in_a_list(page: Path) -> None:
    """Markdown takes a line that begins with "401. " for the next item of a list."""
    last = 0
    for line in page.read_text("utf-8").splitlines():
        if found := re.match(r" *(\d+)\. ", line):
            assert int(found[1]) in (1, last + 1), line
            last = int(found[1])


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
