"""``demo --check``: runs doctor against the demo, then one launch from the LMS to the gradebook.

It uses real sockets, like a browser. Its output never contains an ltik or the API key.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from html import unescape
from typing import TextIO
from urllib.parse import urlencode

from ..browser import Browser, NoReply, Reply
from ..doctor import Finding, examine
from ..doctor.finding import find, print_findings
from .run import Demo

__all__ = ["check"]

_SCORE = 80


class StepFailed(Exception):
    """A step failed. The text says what happened instead."""


def check(faults: Iterable[str], out: TextIO) -> int:
    """Print each finding, and return the exit status. With ``faults`` in the sandbox, the check
    should fail. An unknown fault raises ``ValueError``."""
    with Demo(0, 0, faults) as demo:
        return print_findings(_findings(demo), out, as_json=False)


def _findings(demo: Demo) -> Iterator[Finding]:
    env = {"LTIAAS_URL": demo.server.url, "LTIAAS_API_KEY": demo.sandbox.api_key}
    failed = False
    for finding in examine(env, tool=f"{demo.tool.url}/launch"):
        failed = failed or finding.level == "failed"
        yield finding
    injected = ", ".join(fault.name for fault in demo.sandbox.faults) or "none"
    if failed:
        yield find("demo-skipped", faults=injected)
        return
    try:
        yield from _steps(demo, Browser(demo.server.url))
    except (StepFailed, NoReply) as error:
        yield find("demo-fails", why=error, faults=injected)


def _steps(demo: Demo, browser: Browser) -> Iterator[Finding]:
    first = _launch(demo, browser, "biology", "quiz-1", "chen")
    # The last of them is on the roster's second page.
    people = ("Ada Moreau", "Ben Carter", "Amir Karimi")
    yield _shows(first, "demo-launch", "Chen Liu", "Introduction to Biology", "Quiz 1")
    yield _shows(first, "demo-roster", *people)
    score = {"score": str(_SCORE), "comment": "by demo --check"}
    *_, page = browser.open(f"{first.url.rpartition('/launch')[0]}/score", score)
    yield _shows(page, "demo-score", "Saved.")
    given = demo.sandbox.scores("quiz-1")
    if {user: row["scoreGiven"] for user, row in given.items()} != {"chen": _SCORE}:
        raise StepFailed("the score is not in the LMS's gradebook")
    yield find("demo-gradebook", seen=f"{_SCORE} of 100 for Chen Liu")
    second = _launch(demo, browser, "history", "essay", "noor")
    _shows(second, "demo-two-tabs", "<strong>Noor Haddad</strong>")
    *_, first = browser.open(first.url)
    yield _shows(first, "demo-two-tabs", "<strong>Chen Liu</strong>")


def _launch(demo: Demo, browser: Browser, course: str, activity: str, user: str) -> Reply:
    query = urlencode({"course": course, "activity": activity, "user": user})
    *_, redirect = browser.open(f"{demo.server.url}/lms/launch?{query}")
    if not (redirect.location or "").startswith(f"{demo.tool.url}/launch?"):
        raise StepFailed(f"the LMS responded to the launch with an error ({redirect.status})")
    *_, page = browser.open(f"{redirect.location}")
    if "ltik=" in page.url:
        raise StepFailed("the ltik is still in the URL")
    return page


def _shows(page: Reply, code: str, *words: str) -> Finding:
    text = unescape(page.text)
    missing = [word for word in words if word not in text]
    if missing:
        raise StepFailed(f"the page ({page.status}) does not show {missing[0]!r}")
    return find(code, seen=", ".join(words))
