"""``python -m tests.prose``: words that the documentation does not use, and what to write instead.

Read are the pages, the docstrings of public names, and the texts of log lines and exceptions; not
code, links' targets and comments. A line of ``_REJECTED`` that a native writer would
use after all can go: the list is there to catch what reads like a translation.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = (
    *sorted(ROOT.glob("*.md")),
    ROOT / "examples" / "README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
)

_REJECTED = {
    r"(?<!ip )(?<!email )(?<!mac )\baddress(es)?\b(?! bar)": "URL, or IP address",
    r"\b(is|are|was|were|be) (told|led|asked for)\b": "name who does it",
    r"\bstands?\b(?! (for|still)\b)": "is, or nothing",
    r"\boutside of\b": "outside",
    r"\bof its own(?=[,.;:)]|$)": "its own, or by itself",
    r"\bhonest(ly)?\b|\bsimply\b": "leave it out",
    r"\bmade[- ]up\b|\bjunk\b": "invalid",
    r"\bmisbehav\w+": "fault",
    r"\bhandoffs?\b": "one-time link",
    r"\bstray(s|ed)?\b": "outside its launch",
    r"\bled (back|on|out)\b": "redirected",
    r"\bmends?\b": "fix",
    r"\bseal(s|ed|ing)?\b(?!:)": "encrypt",
    r"\ba room\b|\brooms\b": "package",
    r"\bleft out\b": "skipped",
    r"\bfor ever\b": "forever",
    r"\bwhat (is|are) never\b": "paths that are never",
    r"\b(behaviour|honour|colour|favour|catalogue)\w*": "American spelling",
    r"\b\w+(nalise|malise|ymise|rganise|cognise|thorise)[ds]?\b": "American spelling",
    r"\b(is|are) no (?=link|launch|setting|text|origin)": "is not a",
    r"(?-i:\blaunch ids?\b)": "launch ID",
    r"\be-mail": "email",
    r"\banswer(s|ed)? (with )?(a )?[1-5]\d\d\b": "returns",
}
_WORDS = {re.compile(words, re.IGNORECASE): advice for words, advice in _REJECTED.items()}
_NOT_PROSE = re.compile(r"```.*?```|<!--.*?-->|`[^`\n]*`|\]\([^)]*\)", re.DOTALL)


def rejected(text: str) -> list[tuple[int, str, str]]:
    """Line, words and advice, for each word that the list has."""
    # As many lines as before, so that numbers hold.
    prose = _NOT_PROSE.sub(lambda found: "\n" * found[0].count("\n"), text)
    return [
        (number, found[0], advice)
        for number, line in enumerate(prose.splitlines(), 1)
        for words, advice in _WORDS.items()
        for found in words.finditer(line)
    ]


def texts(source: str, *, is_public: bool) -> Iterator[tuple[int, str]]:
    """Lines and texts of a module: messages, and docstrings of public names if it is public."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef, ast.Module)):
            name = getattr(node, "name", "")
            text = ast.get_docstring(node, clean=False)
            if text and is_public and not name.startswith("_"):
                yield node.body[0].lineno, text
        elif isinstance(node, ast.Raise) or (isinstance(node, ast.Call) and _logs(node)):
            for part in ast.walk(node):
                if isinstance(part, ast.Constant) and isinstance(part.value, str):
                    yield part.lineno, part.value


def _logs(call: ast.Call) -> bool:
    return isinstance(call.func, ast.Attribute) and call.func.attr in _LEVELS


_LEVELS = ("info", "warning", "error", "exception")


def main() -> int:
    """Print what is rejected; 1 if anything is."""
    read = [(page, 1, page.read_text("utf-8")) for page in PAGES]
    for module in sorted((ROOT / "ltiaas_middleware").rglob("*.py")):
        parts = module.relative_to(ROOT).with_suffix("").parts
        is_public = not any(part.startswith("_") and part != "__init__" for part in parts)
        found = texts(module.read_text("utf-8"), is_public=is_public)
        read += [(module, line, text.replace("``", "`")) for line, text in found]
    lines = [
        f"{file.relative_to(ROOT)}:{first + number - 1}: {found!r}: {advice}"
        for file, first, text in read
        for number, found, advice in rejected(text)
    ]
    print("\n".join(lines) or f"{len(read)} texts read")
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
