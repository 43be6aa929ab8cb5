"""README lists every setting, with its default."""

from __future__ import annotations

import re
from dataclasses import MISSING, fields

import pytest

from ltiaas_middleware import Settings
from tests.servers import ROOT

_TABLE = (ROOT / "README.md").read_text().partition("\n## Settings\n")[2].partition("\n## ")[0]


def documented() -> dict[str, str]:
    found: dict[str, str] = {}
    for row in re.findall(r"^\| `.*$", _TABLE, re.MULTILINE):
        _, names, defaults, *_ = (cell.strip() for cell in row.split("|"))
        many = re.findall(r"`(\w+)`", names)
        found |= zip(many, [one.strip("` ") for one in defaults.split(",")], strict=True)
    return found


def test_every_setting_is_listed() -> None:
    assert set(documented()) == {field.name for field in fields(Settings)}


@pytest.mark.parametrize("field", fields(Settings), ids=lambda field: field.name)
def test_its_default_is_true(field: object) -> None:
    name, default = field.name, field.default  # type: ignore[attr-defined]
    told = documented()[name]
    if name == "secret":
        assert (told, default) == ("the API key", None)
    elif default is MISSING:
        assert told == ""
    elif default is None or default == ():
        assert told == "none"
    elif isinstance(default, bool):
        assert told == str(default).lower()
    elif isinstance(default, str):
        assert told == default
    else:
        assert float(told) == default
