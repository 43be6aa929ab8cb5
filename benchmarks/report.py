"""One table: what was measured, the ratio, the target, the verdict."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NamedTuple

_PACKAGES = (
    *("ltiaas-middleware", "werkzeug", "flask", "starlette", "asgi-correlation-id"),
    *("uvicorn", "gunicorn", "requests", "redis", "ltiaas"),
)


class Line(NamedTuple):
    """One line of the table.

    Attributes:
        what: was measured.
        figure: in its own unit.
        ratio: what is held against the target, if there is one; "" where the figure has none.
        target: at most; at least if ``least``.
        row: the row of the table that it belongs to.
    """

    what: str
    figure: str
    ratio: float | None = None
    target: float | None = None
    least: bool = False
    row: int = 0

    @property
    def verdict(self) -> str:
        """``met``, or by how much it was missed."""
        if self.target is None or self.ratio is None:
            return ""
        if self.ratio >= self.target if self.least else self.ratio <= self.target:
            return "met"
        off = abs(self.ratio - self.target) / self.target if self.target else self.ratio
        return f"missed by {off:.0%}" if self.target else f"missed by {off:g}"


def machine() -> str:
    """What it ran on, and with."""
    model = platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
        model = names[0].partition(":")[2].strip() if names else model
    try:
        load = f", load average {os.getloadavg()[0]:.1f} at the start"
    except OSError:
        load = ""
    versions = []
    for package in _PACKAGES:
        try:
            versions.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            versions.append(f"{package} -")
    return "\n".join(
        [
            f"{model}, {os.cpu_count()} cores{load}; {platform.system()} {platform.release()}",
            f"{platform.python_implementation()} {platform.python_version()}; commit {_commit()}",
            ", ".join(versions),
        ]
    )


def table(lines: Iterable[Line]) -> str:
    """The table, in Markdown."""
    head = ("", "measured", "ratio", "target", "verdict", "figure")
    rows = [head]
    for line in lines:
        ratio = "" if line.ratio is None else f"{line.ratio:.2f}"
        sign = "≥" if line.least else "≤"
        target = "" if line.target is None else f"{sign} {line.target:g}"
        rows.append((str(line.row), line.what, ratio, target, line.verdict, line.figure))
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    text = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
        for row in rows
    ]
    text.insert(1, "| " + " | ".join("-" * width for width in widths) + " |")
    return "\n".join(text)


def _commit() -> str:
    here = Path(__file__).parent
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--dirty"],
            cwd=here,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return done.stdout.strip()
