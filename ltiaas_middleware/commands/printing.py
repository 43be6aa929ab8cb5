"""Prints the commands' output, with symbols and colors on a terminal (https://no-color.org)."""

from __future__ import annotations

import os
import sys
from typing import TextIO

PROGRAM = "python -m ltiaas_middleware"
# By level: its symbol, and after it the number of its color (ANSI).
_MARKS = {"ok": "✓32", "note": "·36", "warning": "!33", "failed": "✗31", "skipped": "–90"}


def line(level: str, name: str, text: str, out: TextIO) -> str:
    """One line: a mark (a colored symbol on a terminal, otherwise a word), a name and a text."""
    mark = f"{'FAILED' if level == 'failed' else level:<7}"
    if _is_terminal(out):
        mark = _colored(_MARKS[level][0], _MARKS[level][1:])
    return f"{mark} {name:<13} {text}"


def heading(text: str, out: TextIO) -> str:
    """A heading for the following lines."""
    return _colored(text, "1") if _is_terminal(out) else text


def printable(text: str) -> str:
    """Untrusted text without control characters, which a terminal would interpret."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)


def fail(message: str, fix: str, status: int = 1) -> int:
    """Print what went wrong and what to do, and return the exit status."""
    print(f"{message}\nNext: {fix}", file=sys.stderr)
    return status


def _is_terminal(out: TextIO) -> bool:
    return out.isatty() and (out.encoding or "").lower().startswith("utf")


def _colored(text: str, color: str) -> str:
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return text
    return f"\033[{color}m{text}\033[0m"
