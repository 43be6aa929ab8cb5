"""Sessions, sign-ins, messages and CSRF tokens of frameworks and their add-ons, two users in one
browser at once: in the LMS's iframe and at top level, with somebody signed in at the tool's own
site.

The tools are those of ``tests/frameworks/apps/sessions.py``, which answer JSON. What a page of
theirs would do is done in that document: a form is posted, a script reads ``document.cookie`` and
sends the token in a header. ``tests/frameworks/test_app_cookies.py`` has more of it, over HTTP.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from .browser import Browser
from .running_apps import RunningApps
from .sites import Sites

pytestmark = pytest.mark.browser

USERS = {"ada": "Ada Moreau", "ben": "Ben Carter"}
# The page's form, its ``fields`` and the note; or, if the token goes in a header, a script.
FORM = """
const form = document.createElement("form");
form.method = "post"; form.action = arguments[0];
for (const [name, value] of Object.entries(arguments[1])) {
  const field = document.createElement("input");
  field.name = name; field.value = value; form.append(field);
}
document.body.append(form); form.submit();"""
SEND = """
const [path, headers, fields] = arguments;
fetch(path, {method: "POST", headers, body: new URLSearchParams(fields), redirect: "manual"})
  .then(reply => done(reply.type === "opaqueredirect" ? 303 : reply.status), done);"""
TOKEN = """
const pairs = document.cookie.split("; ").map(pair => pair.split("="));
done((pairs.find(([name]) => name === arguments[0]) || [])[1] ?? null);"""
SAID = "return document.contentType === 'application/json' ? document.body.innerText : null"

# Over HTTP `make test` has the slow ones, too.
TOOLS = [
    *("flask", "django", "starlette"),
    *(pytest.param(tool, marks=pytest.mark.slow) for tool in ("django-csrf-in-session", "fastapi")),
]
PREFIXES = {"plain": "", "Secure": "__Secure-", "Host": "__Host-"}
PLACES = {
    "iframe": ("third-party-allowed", True),
    "iframe-third-party-blocked": ("third-party-blocked", True),
    "top-level": ("third-party-allowed", False),
}
# The strictest place for the usual names, and the freest one for those that all launches share.
USUAL = [("plain", "iframe-third-party-blocked"), ("Host", "top-level")]
everywhere = pytest.mark.parametrize(
    ("prefix", "profile", "framed"),
    [
        pytest.param(
            PREFIXES[prefix],
            *PLACES[place],
            id=f"{prefix}-{place}",
            marks=() if (prefix, place) in USUAL else pytest.mark.exhaustive,
        )
        for prefix in PREFIXES
        for place in PLACES
    ],
)


class Tab:
    """One user's launch, in a tab of its own."""

    def __init__(self, person: Browser, lms: Sites, user: str, *, framed: bool) -> None:
        self._person = person
        self._framed = framed
        self.user = USERS[user]
        self.notes: list[str] = []
        alone = lms.sandbox.launch_url(lms.sandbox.issue(user=user))
        self._tab = person.open(lms.activity(user=user) if framed else alone, new_tab=True)
        self.page = self._read()
        self.base = re.findall(r"/lti/[\w-]{22}", self._run("done(location.pathname)"))[0]

    def look(self, *messages: str) -> None:
        """The page, opened anew, is this user's, with what they wrote and nothing else."""
        self._leave("location.assign(arguments[0])", f"{self.base}/notes")
        self.is_right(*messages)

    def is_right(self, *messages: str) -> None:
        self.page = self._read()
        seen = (self.page["user"], self.page["notes"], self.page["messages"])
        assert seen == (self.user, self.notes, list(messages))

    def write(self, note: str) -> None:
        """Write a note in each way that the tool has; it says so on one page."""
        if self.page.get("fields"):
            fields = {**self.page["fields"], "note": note}
            self._leave(FORM, f"{self.base}/notes", fields)
            self.notes.append(note)
            self.is_right(f"{self.user} saved {note}")
            self.look()
        elif "fields" in self.page:
            assert self.send(note, self.page["headers"], "notes") == 303
            self._wrote(note)
        if "script" in self.page and not self.reads_nothing:
            assert self.send(f"{note}-by-script", self.headers(self.token)) == 200
            self._wrote(f"{note}-by-script")

    def _wrote(self, note: str) -> None:
        self.notes.append(note)
        self.look(f"{self.user} saved {note}")
        self.look()

    @property
    def reads_nothing(self) -> bool:
        """Whether the token's cookie is one that scripts cannot read: browsers keep ``__Host-`` at
        ``Path=/`` only, where one launch would read another's."""
        return str(self.page["script"]["cookie"]).startswith("__Host-")

    @property
    def token(self) -> str | None:
        """What a script in the page finds in ``document.cookie``."""
        token: str | None = self._run(TOKEN, self.page["script"]["cookie"])
        return token

    def headers(self, token: str | None) -> dict[str, str]:
        return {self.page["script"]["header"]: token} if token else {}

    def send(
        self, note: str, headers: dict[str, str], path: str = "api/notes", **fields: str
    ) -> int:
        """Let a script of the page send a note: the answer's status."""
        return int(self._run(SEND, f"{self.base}/{path}", headers, {**fields, "note": note}))

    def _read(self) -> dict[str, Any]:
        person = self._person
        person.show(self._tab)

        def look() -> Any:
            person.enter(self._framed)
            said = person.driver.execute_script(SAID)
            return json.loads(said) if said else None

        page: dict[str, Any] = person.wait(look, "no page of the tool's")
        return page

    def _leave(self, script: str, *arguments: Any) -> None:
        self._person.show(self._tab)
        self._person.leave_page(script, *arguments, framed=self._framed)

    def _run(self, script: str, *arguments: Any) -> Any:
        self._person.show(self._tab)
        return self._person.run(script, *arguments, framed=self._framed)


Tabs = tuple[Browser, str, Tab, Tab]


@pytest.fixture
def tabs(
    tool: str,
    prefix: str,
    profile: str,
    framed: bool,
    browser: Callable[..., Browser],
    lms: Sites,
    apps: RunningApps,
) -> Tabs:
    """Two users' launches in one browser, in which somebody is signed in at the tool's own site."""
    url = apps.url(f"sessions {tool}", prefix)
    person = browser(profile)
    person.open(f"{url}/landing")
    person.text("body", "welcome", framed=False)
    ada, ben = (Tab(person, lms, user, framed=framed) for user in USERS)
    return person, url, ada, ben


@everywhere
@pytest.mark.parametrize("tool", TOOLS)
def test_two_users_in_one_browser_write_into_their_own_sessions(tool: str, tabs: Tabs) -> None:
    person, url, ada, ben = tabs
    ada.is_right()
    ben.is_right()
    ada.write("Ada-1")
    ben.write("Ben-1")
    ada.write("Ada-2")
    ben.write("Ben-2")
    ada.look()
    ben.look()
    # The site's own session is as it was, and has seen nothing of the launches'.
    person.open(f"{url}/notes", new_tab=True)
    said = json.loads(person.text("body", "the site", framed=False))
    assert (said["user"], said["notes"]) == ("the site", ["the site"])


@everywhere
@pytest.mark.parametrize("tool", TOOLS)
def test_a_launch_takes_no_other_ones_token(tool: str, tabs: Tabs) -> None:
    _, _, ada, ben = tabs
    if "fields" in ada.page:
        assert ada.send("forged", {}, "notes") == 403
        assert ada.send("forged", ben.page["headers"], "notes", **ben.page["fields"]) == 403
    if "script" in ada.page:
        own, others = ada.token, ben.token
        assert ada.send("forged", {}) == 403
        assert ada.send("forged", ada.headers(others)) == 403
        if ada.reads_nothing:
            # What it finds is the site's own, if the browser shows it in this place at all.
            assert own == others
        else:
            assert own
            assert others not in (None, own)
    ada.look()
