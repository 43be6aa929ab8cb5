"""``demo --check``: one launch from the LMS's page to the gradebook, without a browser.

It does what a browser does, over real sockets: asks for pages, keeps cookies, follows redirects one
by one, fills in the form that it is shown. What it expects comes from the sandbox's own world; what
it finds comes from the tool's pages. Nothing that it prints holds an ltik or the API key.
"""

from __future__ import annotations

import html
import re
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urlencode, urljoin, urlsplit

import requests

from .run import Demo, bypass_proxies

__all__ = ["Check", "StepFailed", "check"]

# Who the check launches as, where, and what it gives: a learner with a name, in a course whose
# roster has more than one page.
_COURSE, _ACTIVITY, _USER = "biology", "quiz-1", "chen"
_OTHER_COURSE, _OTHER_ACTIVITY, _OTHER_USER = "history", "essay", "noor"
_SCORE = 80
# What the tool's middleware may take to verify a launch here. Every server is on this machine: who
# needs longer is being held up.
_TOOL: dict[str, Any] = {"connect_timeout": 1.0, "read_timeout": 2.0, "deadline": 3.0}
_PATIENCE = 3.0
# Longer than the tool takes to give up, so that the tool's own answer is what the check sees.
_TIMEOUT = 15.0


class StepFailed(Exception):
    """A step did not come out as it must; the text says what was seen instead."""


def check(faults: Iterable[str] = (), say: Callable[[str], None] = print) -> bool:
    """Run the check and say each step. True if every one of them came out well.

    Args:
        faults: misbehaviours for the sandbox to begin with: the check is expected to fail then.
        say: takes each line.

    Raises:
        ValueError: a misbehaviour that there is not.
    """
    bypass_proxies()
    began = time.monotonic()
    with Demo(0, 0, faults, patience=_PATIENCE, **_TOOL) as demo:
        steps = Check(demo).steps()
        done = 0
        for name, step in steps:
            try:
                seen = step()
            except StepFailed as error:
                say(f"FAILED  {name}: {error}")
                left = [later for later, _ in steps]
                if left:
                    say(f"Not tried: {', '.join(left)}.")
                say(f"The check failed at step {done + 1}, {name}.")
                return False
            done += 1
            say(f"ok      {name}: {seen}")
    say(f"All {done} steps came out well, in {time.monotonic() - began:.1f} s.")
    return True


@dataclass
class _Page:
    """A page as the check's browser holds it: where it is, what it says, what can be sent."""

    url: str
    status: int
    headers: Any
    source: str
    text: str = field(init=False)

    def __post_init__(self) -> None:
        without_style = re.sub(r"(?s)<style.*?</style>", " ", self.source)
        words = html.unescape(re.sub(r"<[^>]*>", " ", without_style)).split()
        self.text = " ".join(words)

    def said(self) -> str:
        """What the page tells a person: its alert, else its beginning."""
        alert = re.search(r'(?s)role="alert"[^>]*>(.*?)</(?:p|section)>', self.source)
        heading = re.search(r"(?s)<h1[^>]*>(.*?)</h1>", self.source)
        found = alert or heading
        words = html.unescape(re.sub(r"<[^>]*>", " ", found[1] if found else self.text))
        return " ".join(words.split())[:160]


class Check:
    """The steps, in order, over one running demo."""

    def __init__(self, demo: Demo) -> None:
        self._demo = demo
        self._world = demo.sandbox.world
        self._session = requests.Session()
        # As a browser: no proxy to this machine, no .netrc; cookies are kept by path.
        self._session.trust_env = False
        self._launch_address = ""
        self._page = _Page("", 0, {}, "")
        self._secrets = {demo.sandbox.api_key}

    def steps(self) -> Iterator[tuple[str, Callable[[], str]]]:
        """(name, what to do): each returns what was seen, or raises ``StepFailed``."""
        return iter(
            [
                ("sandbox up", self._sandbox_up),
                ("tool up", self._tool_up),
                ("redirect", self._redirect),
                ("launch", self._launch),
                ("ID token", self._id_token),
                ("roster", self._roster),
                ("score", self._score),
                ("score in the gradebook", self._gradebook),
                ("two tabs", self._two_tabs),
            ]
        )

    # -- the steps --------------------------------------------------------------------------------

    def _sandbox_up(self) -> str:
        page = self._get(f"{self._demo.server.url}/")
        if page.status != 200:
            raise StepFailed(f"the LMS's first page answers {page.status}")
        return f"the LMS's first page at {self._demo.server.url}/"

    def _tool_up(self) -> str:
        page = self._get(f"{self._demo.tool.url}/")
        if page.status != 200:
            raise StepFailed(f"the tool's first page answers {page.status}: {page.said()}")
        return f"the demo tool at {self._demo.tool.url}/, which says: {page.said()}"

    def _redirect(self) -> str:
        self._launch_address = self._open(_COURSE, _ACTIVITY, _USER)
        query = urlsplit(self._launch_address).query
        others = "&".join(part for part in query.split("&") if not part.startswith("ltik="))
        return f"LTIAAS sends the browser to {self._demo.tool.url}/launch?{others}&ltik=(hidden)"

    def _launch(self) -> str:
        self._page = self._captured(self._launch_address)
        return (
            f"303 to {self._shown(self._page.url)}, the ltik is gone from the address, "
            "the launch has a cookie of its own path"
        )

    def _id_token(self) -> str:
        seat = self._world.seat(_COURSE, _ACTIVITY, _USER)
        asked = self._demo.sandbox.journal.entries("/api/idtoken")
        if not asked or not all(entry.well_formed for entry in asked):
            raise StepFailed("LTIAAS was not asked for it with a well-formed header")
        title = seat.activity.title if seat.activity else ""
        self._must_say(self._page, str(seat.user.name), seat.course.title, title)
        return f"{seat.user.name} in {seat.course.title}, {title}; LTIAAS was asked {len(asked)}×"

    def _roster(self) -> str:
        members = self._world.seat(_COURSE).course.members
        card = self._page.source.partition('aria-labelledby="people"')[2].partition("</section>")[0]
        alert = re.search(r'class="notice bad">([^<]*)', card)
        asked = self._demo.sandbox.journal.count("/api/memberships")
        if alert:
            raise StepFailed(f"the page says: {html.unescape(alert[1])} {self._answered()}")
        self._must_say(self._page, *(member.label for member in members))
        return f"{len(members)} people from {asked} pages"

    def _score(self) -> str:
        forms = _Forms(self._page.source)
        if forms.action is None or "score" not in forms.fields:
            raise StepFailed(f"the page shows no form to send a score with: {self._page.said()}")
        action = urljoin(self._page.url, forms.action)
        if not action.startswith(self._launch_path()):
            raise StepFailed("the form's address has left the launch")
        sent = {**forms.fields, "score": str(_SCORE), "comment": "by demo --check"}
        answer = self._send("POST", action, data=sent)
        if answer.status != 303:
            raise StepFailed(
                f"the tool answers {answer.status}: {answer.said()} {self._answered('POST')}"
            )
        target = urljoin(action, answer.headers.get("Location", ""))
        if not target.startswith(self._launch_path()):
            raise StepFailed("after the score, the tool leads out of the launch")
        page = self._get(target)
        if page.status != 200:
            raise StepFailed(f"the page after it answers {page.status}: {page.said()}")
        return f"{_SCORE} of 100 sent, then 303 to {self._shown(target)}"

    def _gradebook(self) -> str:
        reply = self._request("GET", f"{self._demo.server.url}/sandbox/gradebook")
        columns = reply.json()["columns"]
        scores = [
            column["scores"].get(_USER)
            for column in columns
            if column["lineItem"].get("resourceLinkId") == _ACTIVITY
        ]
        if not scores or scores[0] is None:
            raise StepFailed("the LMS's gradebook has nothing for this learner")
        given, maximum = scores[0]["scoreGiven"], scores[0]["scoreMaximum"]
        if (given, maximum) != (_SCORE, 100):
            raise StepFailed(f"the LMS's gradebook has {given} of {maximum}")
        elsewhere = sum(len(column["scores"]) for column in columns)
        if elsewhere != 1:
            raise StepFailed(f"the LMS's gradebook has {elsewhere} scores instead of one")
        return f"{given} of {maximum} for {_USER} in {_ACTIVITY}, and nothing anywhere else"

    def _two_tabs(self) -> str:
        other = self._world.seat(_OTHER_COURSE, _OTHER_ACTIVITY, _OTHER_USER)
        second = self._captured(self._open(_OTHER_COURSE, _OTHER_ACTIVITY, _OTHER_USER))
        self._must_say(second, str(other.user.name), other.course.title)
        first = self._get(self._page.url)
        mine = self._world.seat(_COURSE, _ACTIVITY, _USER)
        self._must_say(first, str(mine.user.name), mine.course.title)
        if other.course.title in first.text:
            raise StepFailed("the first tab shows the second tab's course")
        return (
            f"{other.user.name} opens {other.course.title}, {mine.user.name}'s tab stays as it was"
        )

    # -- a launch ---------------------------------------------------------------------------------

    def _open(self, course: str, activity: str, user: str) -> str:
        """From the LMS's page to the tool's door: the address that LTIAAS sends the browser to."""
        choice = {"course": course, "activity": activity, "user": user}
        query = urlencode({**choice, "query": f"resource={activity}"})
        address = f"{self._demo.server.url}/lms/launch?{query}"
        for _ in range(5):
            answer = self._send("GET", address)
            if answer.status not in (302, 303):
                raise StepFailed(f"the LMS answers {answer.status}: {answer.said()}")
            address = urljoin(address, answer.headers.get("Location", ""))
            if address.startswith(f"{self._demo.tool.url}/"):
                break
        parts = urlsplit(address)
        tokens = re.findall(r"(?:^|&)ltik=([^&]+)", parts.query)
        if parts.path != "/launch" or len(tokens) != 1 or "resource=" not in parts.query:
            raise StepFailed("LTIAAS does not send the browser to the tool's launch with an ltik")
        self._secrets.add(tokens[0])
        return address

    def _captured(self, address: str) -> _Page:
        """Knock, and be shown into the launch's own path."""
        answer = self._send("GET", address)
        if answer.status != 303:
            raise StepFailed(
                f"the tool answers {answer.status}: {answer.said()} {self._answered()}"
            )
        target = urljoin(address, answer.headers.get("Location", ""))
        path = urlsplit(target).path
        if not re.fullmatch(r"/lti/[\w-]{22}/launch", path) or "resource=" not in target:
            raise StepFailed("the tool does not lead to the launch's own path, query and all")
        if "httponly" not in answer.headers.get("Set-Cookie", "").lower():
            raise StepFailed("the tool sets no cookie for the launch that scripts cannot read")
        page = self._get(target)
        if page.status != 200:
            raise StepFailed(f"the launch's page answers {page.status}: {page.said()}")
        if "x-frame-options" in page.headers:
            raise StepFailed("the page has X-Frame-Options: an LMS would show a blank frame")
        if "frame-ancestors" in page.headers.get("content-security-policy", ""):
            raise StepFailed("the page has frame-ancestors: an LMS would show a blank frame")
        return page

    def _launch_path(self) -> str:
        parts = urlsplit(self._page.url)
        return f"{self._demo.tool.url}/{'/'.join(parts.path.split('/')[1:3])}/"

    def _shown(self, address: str) -> str:
        """An address within the launch, for a reader: the launch id says nothing to them."""
        return re.sub(r"/lti/[\w-]{22}", "/lti/(launch id)", address)

    def _must_say(self, page: _Page, *words: str) -> None:
        missing = [word for word in words if " ".join(word.split()) not in page.text]
        if missing:
            raise StepFailed(f"the page says nothing of {missing[0]!r}: {page.said()}")

    def _answered(self, method: str = "GET") -> str:
        """The last of LTIAAS's answers that was none: whose fault it is."""
        for entry in reversed(list(self._demo.sandbox.journal)):
            if entry.method == method and (entry.fault or (entry.status or 500) >= 400):
                status = "no whole answer" if entry.status is None else str(entry.status)
                told = f" (told to misbehave: {entry.fault})" if entry.fault else ""
                return f"(LTIAAS to {entry.method} {_endpoint(entry.path)}: {status}{told})"
        return ""

    # -- a browser --------------------------------------------------------------------------------

    def _get(self, address: str) -> _Page:
        return self._send("GET", address)

    def _send(self, method: str, address: str, data: dict[str, str] | None = None) -> _Page:
        """One request of a navigation. What comes back must hold no secret, unless LTIAAS itself
        sends it: the cookie, and the one redirect whose work it is to carry the ltik."""
        answer = self._request(method, address, data)
        page = _Page(address, answer.status_code, answer.headers, answer.text)
        if address.startswith(f"{self._demo.tool.url}/"):
            exposed = page.source + page.headers.get("Location", "")
            if "ltik=" in exposed or any(secret in exposed for secret in self._secrets):
                raise StepFailed("the tool shows a secret in its page or its redirect")
        return page

    def _request(
        self, method: str, address: str, data: dict[str, str] | None = None
    ) -> requests.Response:
        headers = {
            "Accept": "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8",
            "Sec-Fetch-Mode": "navigate",
            "Sec-Fetch-Dest": "iframe",
            "Sec-Fetch-Site": "same-origin" if data else "same-site",
        }
        try:
            return self._session.request(
                method, address, data=data, headers=headers, timeout=_TIMEOUT, allow_redirects=False
            )
        except requests.RequestException as error:
            # Not its text, which holds the address, and that the ltik.
            host = urlsplit(address).netloc
            raise StepFailed(f"{host} does not answer ({type(error).__name__})") from None


class _Forms(HTMLParser):
    """The first form of a page that is to be posted: its address, and its fields as they stand."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.action: str | None = None
        self.fields: dict[str, str] = {}
        self._inside = False
        self.feed(source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form" and self.action is None and given.get("method") == "post":
            self.action = given.get("action", "")
            self._inside = True
        elif tag == "input" and self._inside and "name" in given:
            self.fields[given["name"]] = given.get("value", "")

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._inside = False


def _endpoint(path: str) -> str:
    """A path with its ids left out: they are addresses themselves, and long ones."""
    return re.sub(r"(/lineitems/)[^/]+", r"\1…", path)
