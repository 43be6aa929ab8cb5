"""doctor's findings, and how to print them. The texts are in ``findings.toml``."""

from __future__ import annotations

import json
import tomllib
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from importlib.resources import files
from typing import TextIO

from ..printing import heading, line

#: By code: group, check, level, seen and fix.
TEXTS = tomllib.loads(files(__package__).joinpath("findings.toml").read_text("utf-8"))
_DOCS = "https://github.com/ltiaas-middleware/ltiaas-middleware/blob/main/docs/reference/doctor.md"
#: A note is fine here, but not in production.
LEVELS = ("ok", "note", "warning", "failed", "skipped")


@dataclass(frozen=True)
class Finding:
    """What one check found, without secrets; ``level`` is one of ``LEVELS``."""

    code: str
    group: str
    check: str
    level: str
    seen: str
    fix: str
    link: str


def find(code: str, /, **values: object) -> Finding:
    """The finding for a code, with values for the placeholders in its texts."""
    text = TEXTS[code]
    seen, fix = (text.get(part, "").format(**values) for part in ("seen", "fix"))
    check = text.get("check", code.capitalize())
    return Finding(code, text["group"], check, text["level"], seen, fix, f"{_DOCS}#{code}")


def print_findings(findings: Iterable[Finding], out: TextIO, *, as_json: bool) -> int:
    """Print each finding immediately, then how many there are of each level. Returns the exit
    status: 1 if a check failed."""
    seen: list[Finding] = []
    for finding in findings:
        if not as_json:
            _print(finding, out, begins=not seen or seen[-1].group != finding.group)
        seen.append(finding)
    levels = Counter(finding.level for finding in seen)
    summary = {level: levels[level] for level in LEVELS}
    if as_json:
        document = {"findings": list(map(asdict, seen)), "summary": summary}
        print(json.dumps(document, indent=2), file=out)
    else:
        counts = ", ".join(_counted(level, count) for level, count in summary.items() if count)
        print(f"\n{counts}", file=out)
        if levels["failed"]:
            print("Next: fix the failed checks, then run this again.", file=out)
    return 1 if levels["failed"] else 0


def _counted(level: str, count: int) -> str:
    plural = "s" if level in ("note", "warning") and count > 1 else ""
    return f"{count} {'passed' if level == 'ok' else level}{plural}"


def _print(finding: Finding, out: TextIO, begins: bool) -> None:
    if begins:
        print(heading(finding.group, out), file=out)
    print(line(finding.level, finding.check, finding.seen, out=out), file=out)
    if finding.fix:
        print(f"        Next: {finding.fix}\n        {finding.link}", file=out)
    out.flush()
