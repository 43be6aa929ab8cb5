"""The reference pages are complete: every setting once, every error code, every counter."""

from __future__ import annotations

import ast
import inspect
import re
import runpy
from collections.abc import Iterator
from dataclasses import Field, fields, is_dataclass
from types import ModuleType
from typing import Any

import pytest

from ltiaas_middleware import Settings, settings
from ltiaas_middleware._gate.pages import _KINDS
from ltiaas_middleware._verification.stats import Stats
from ltiaas_middleware.api import (
    content_items,
    id_token,
    line_items,
    registrations,
    roster,
    scores,
    services,
)  # fmt: skip
from tests.servers import ROOT

REFERENCE = ROOT / "docs" / "reference"


def test_every_setting_is_described_once() -> None:
    page = (REFERENCE / "settings.md").read_text()
    named = [
        name
        for line in re.findall(r"^<!-- ::settings (.*) -->$", page, re.M)
        for name in line.split()
    ]
    assert sorted(named) == sorted(field.name for field in fields(Settings))


@pytest.mark.parametrize("name", ["settings.md", "cli.md"])
def test_generated_text_is_current(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """If not: ``python docs/.hooks/site.py``."""
    monkeypatch.setenv("COLUMNS", "96")
    site = runpy.run_path(str(ROOT / "docs" / ".hooks" / "site.py"))
    page = (REFERENCE / name).read_text()
    again = site["filled"](page)
    assert len(again) > 5000
    # Versions of Python break the lines of --help differently.
    assert again.split() == page.split()


def test_every_setting_says_what_it_is() -> None:
    source = ROOT / settings.__file__
    for field in fields(Settings):
        assert re.search(rf'^    {field.name}: .*\n    """\w', source.read_text(), re.M), field.name


def test_every_error_code_has_a_section_and_a_row() -> None:
    page = (REFERENCE / "errors.md").read_text()
    assert set(re.findall(r"^## (\w+)$", page, re.M)) == set(_KINDS)
    rows = re.findall(r"^\| \[`(\w+)`\]\(#(\w+)\) \| (\d+) \|", page, re.M)
    assert {code: int(status) for code, anchor, status in rows if code == anchor} == {
        code: status for code, (status, *_) in _KINDS.items()
    }


@pytest.mark.parametrize(
    "module", [content_items, id_token, line_items, registrations, roster, scores, services]
)
def test_every_field_of_a_value_is_described(module: ModuleType) -> None:
    for name, kind in inspect.getmembers(module, inspect.isclass):
        if kind.__module__ == module.__name__ and is_dataclass(kind) and not name.startswith("_"):
            listed = set(re.findall(r"^    (\w+): ", inspect.getdoc(kind) or "", re.M))
            inherited = {field.name for base in kind.__mro__[1:] for field in _public(base)}
            assert {field.name for field in fields(kind)} - inherited <= listed, name


def _public(kind: type) -> tuple[Field[Any], ...]:
    return fields(kind) if is_dataclass(kind) and not kind.__name__.startswith("_") else ()


def test_every_counter_is_listed() -> None:
    page = (REFERENCE / "metrics.md").read_text()
    listed = set(re.findall(r"`(\w+)`", page))
    assert set(Stats().snapshot()) <= listed


def test_every_log_line_is_explained() -> None:
    page = " ".join((REFERENCE / "log-messages.md").read_text().split())
    package = ROOT / "ltiaas_middleware"
    found = 0
    for file in package.rglob("*.py"):
        if file.relative_to(package).parts[0] in ("sandbox", "commands"):
            continue
        for text in logged(ast.parse(file.read_text())):
            # The longest part without a placeholder.
            words = max(re.split(r"%[.\d]*[a-z]", text), key=len).strip(" :;,.()")[:40].strip()
            assert words in page, f"{file.name} logs {text!r}: explain it in log-messages.md"
            found += 1
    assert found > 20


def logged(tree: ast.Module) -> Iterator[str]:
    """The texts of log lines: the first or second argument of what is called ``….warning`` of a
    log, or ``_warn``."""
    for call in ast.walk(tree):
        if isinstance(call, ast.Call) and _LOGS.fullmatch(ast.unparse(call.func)):
            for argument in call.args[:2]:
                for part in ast.walk(argument):
                    text = part.value if isinstance(part, ast.Constant) else None
                    if isinstance(text, str) and " " in text:
                        yield text


_LOGS = re.compile(r"(self\.)?(_\w*log\.(info|warning|error|exception)|_warn)")
