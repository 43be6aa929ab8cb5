"""What a step of the doctor found, and how it is told."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["FAILED", "OK", "SKIPPED", "WARNING", "Finding", "report", "verdict"]

OK, WARNING, FAILED, SKIPPED = "ok", "warning", "FAILED", "skipped"


@dataclass(frozen=True)
class Finding:
    """What one step found.

    Attributes:
        step: its name, such as ``"API key"``.
        level: ``"ok"``, ``"warning"``, ``"FAILED"``, or ``"skipped"``: not looked at.
        seen: what was found.
        fix: what to do about it; "" where there is nothing to do.
    """

    step: str
    level: str
    seen: str
    fix: str = ""

    @property
    def ok(self) -> bool:
        """Whether launches can work in spite of it."""
        return self.level != FAILED


def report(finding: Finding) -> str:
    """A finding as text: one line, and another where there is something to do."""
    line = f"{finding.level:<7} {finding.step}: {finding.seen}"
    return f"{line}\n        → {finding.fix}" if finding.fix else line


def verdict(findings: Iterable[Finding]) -> str:
    """The last line: never more than what was looked at."""
    levels = {finding.level for finding in findings}
    if FAILED in levels:
        return "Fix the failed checks, then run this again."
    parts = ["No check failed."]
    if WARNING in levels:
        parts.append("Read the warnings.")
    if SKIPPED in levels:
        parts.append("What was skipped is not known to work.")
    return "All is well." if len(parts) == 1 else " ".join(parts)
