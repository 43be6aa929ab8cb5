"""What the code cites of wire.md is there to be read."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
# Docstrings break lines where they have to.
_CITED = re.compile(r"wire\.md`{0,2},\s+\"([^\"]+)\"")


def test_every_place_that_is_cited_exists() -> None:
    page = (ROOT / "docs" / "wire.md").read_text("utf-8")
    places = re.findall(r"^(?:##|-) (.+)$", page, re.MULTILINE)
    files = [*(ROOT / "ltiaas_middleware").rglob("*.py"), *(ROOT / "examples").glob("*.py")]
    cited = {
        (" ".join(name.split()), file.name)
        for file in files
        for name in _CITED.findall(file.read_text("utf-8").replace("\n# ", "\n"))
    }
    assert len(cited) > 20
    for name, file in sorted(cited):
        assert any(place.startswith(name) for place in places), f"{file} cites {name!r}"
