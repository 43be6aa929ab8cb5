"""Sessions, messages, CSRF tokens and sign-ins of real apps on real servers: each launch has its
own, whatever the cookies' names are and whoever is signed in outside of launches."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
import requests

from ltiaas_middleware.sandbox import Sandbox

from .. import servers
from .apps.sessions import ADMIN, PASSWORD, SITE
from .jar import Person

APP = "tests.frameworks.apps.sessions:app"
TOOLS = ["flask", "django", "django-csrf-in-session", "starlette", "fastapi"]
# By tool; scripts read the tokens of these.
USUAL = dict.fromkeys(("flask", "django", "starlette"), ("", "__Host-"))
USERS = {"ada": "Ada Moreau", "ben": "Ben Carter"}


def with_each(*tools: str) -> pytest.MarkDecorator:
    """A test for each tool, with each prefix of its cookies' names."""
    return pytest.mark.parametrize(
        ("tool", "prefix"),
        [
            pytest.param(
                tool,
                prefix,
                id=f"{prefix.strip('_-') or 'plain'}-{tool}",
                marks=[] if prefix in USUAL.get(tool, ("",)) else [pytest.mark.slow],
            )
            for tool in tools
            for prefix in ("", "__Secure-", "__Host-")
        ],
    )


PersonAt = Callable[[str, str], Person]


@pytest.fixture(scope="module")
def person_at(account_env: dict[str, str]) -> Iterator[PersonAt]:
    """A new browser at a tool, whose server is started when it is first asked for."""
    started: dict[tuple[str, str], servers.Server] = {}
    with ExitStack() as stack:

        def person_at(tool: str, prefix: str) -> Person:
            if (tool, prefix) not in started:
                name, _, variant = tool.partition("-")
                env = {**account_env, "TOOL": name, "PREFIX": prefix, "CSRF_IN_SESSION": variant}
                start = servers.gunicorn if name in ("flask", "django") else servers.uvicorn
                started[tool, prefix] = stack.enter_context(start(APP, env=env))
            return Person(started[tool, prefix].port)

        yield person_at
    for (tool, _), server in started.items():
        assert not re.search(r"Traceback|\bltik=(?!\[hidden\])", server.output), (
            f"{tool}: {server.output}"
        )


class Tab:
    """One user's launch."""

    def __init__(self, person: Person, sandbox: Sandbox, user: str) -> None:
        self.person = person
        self.user = USERS[user]
        self.ltik = sandbox.issue(user=user)
        self.path, reply = person.open(f"/launch?ltik={self.ltik}")
        self.base = re.match(r"/lti/[\w-]{22}", self.path)[0]  # type: ignore[index]
        self.page: dict[str, Any] = reply.json()
        self.notes: list[str] = []
        self.is_right()

    def look(self) -> None:
        self.path, reply = self.person.open(f"{self.base}/notes")
        self.page = reply.json()
        self.is_right()

    def is_right(self, *messages: str) -> None:
        """The page is this user's, with what they wrote and nothing else."""
        seen = (self.page["user"], self.page["notes"], self.page["messages"])
        assert seen == (self.user, self.notes, list(messages))

    def submit(self, note: str, **changed: Any) -> requests.Response:
        """Post the page's form."""
        fields = {**self.page["fields"], **changed, "note": note}
        return self.person.ask("POST", f"{self.base}/notes", self.page["headers"], fields)

    def send(self, note: str, token: str | None = None) -> requests.Response:
        """Let the page's script send a note, with the token that it reads from its cookie."""
        script = self.page["script"]
        token = token or self.token
        headers = {script["header"]: token} if token else {}
        return self.person.ask("POST", f"{self.base}/api/notes", headers, {"note": note})

    @property
    def token(self) -> str | None:
        return self.person.jar.readable(self.path).get(self.page["script"]["cookie"])

    def write(self, note: str) -> None:
        self.look()
        if "fields" in self.page:
            self.path, reply = self.person.follow(f"{self.base}/notes", self.submit(note))
        else:
            assert self.send(note).status_code == 200
            self.path, reply = self.person.open(f"{self.base}/notes")
        self.page = reply.json()
        self.notes.append(note)
        # What a framework remembers for one page is shown once.
        self.is_right(f"{self.user} saved {note}")
        self.look()


@pytest.fixture
def tabs(tool: str, prefix: str, person_at: PersonAt, sandbox: Sandbox) -> tuple[Person, Tab, Tab]:
    """Two users' launches in one browser, in which somebody is signed in at the tool's own site."""
    person = person_at(tool, prefix)
    assert person.open("/landing")[1].text.strip('"') == "welcome"
    return person, Tab(person, sandbox, "ada"), Tab(person, sandbox, "ben")


def writes_by_script(tool: str, prefix: str) -> bool:
    """Whether the tool's only way is a cookie that scripts cannot read under its own name."""
    return tool == "starlette" and prefix == "__Host-"


@with_each(*TOOLS)
def test_two_users_in_one_browser_have_their_own_sessions(
    tool: str, prefix: str, tabs: tuple[Person, Tab, Tab]
) -> None:
    person, ada, ben = tabs
    if not writes_by_script(tool, prefix):
        ada.write("Ada-1")
        ben.write("Ben-1")
        ada.write("Ada-2")
        ben.write("Ben-2")
    ada.look()
    ben.look()
    # The site's own session is as it was, and has seen nothing of the launches'.
    page = person.open("/notes")[1].json()
    assert (page["user"], page["notes"]) == (SITE, [SITE])


@with_each("flask", "django", "django-csrf-in-session", "fastapi")
def test_a_form_needs_its_own_launchs_token(
    tool: str, prefix: str, tabs: tuple[Person, Tab, Tab]
) -> None:
    _, ada, ben = tabs
    own = (ada.page["fields"], ada.page["headers"])
    for fields, headers in (
        (dict.fromkeys(own[0], ""), dict.fromkeys(own[1], "x")),
        (ben.page["fields"], ben.page["headers"]),
    ):
        ada.page["fields"], ada.page["headers"] = fields, headers
        assert ada.submit("forged").status_code == 403
    ada.page["fields"], ada.page["headers"] = own
    assert ada.submit("Ada-1").is_redirect


@with_each("flask", "django", "starlette")
def test_a_script_reads_its_own_launchs_token_and_sends_it(
    tool: str, prefix: str, tabs: tuple[Person, Tab, Tab]
) -> None:
    person, ada, ben = tabs
    own, others = ada.token, ben.token
    if prefix == "__Host-":
        # A browser takes such a name at Path=/ only, where one launch would read another's. What
        # a script finds there is the site's own, and that is refused.
        assert own == others == person.jar.readable("/landing")[ada.page["script"]["cookie"]]
        assert ada.send("forged").status_code == 403
        return
    assert own
    assert others not in (None, own)
    assert ada.send("forged", token=others).status_code == 403
    for note in ("Ada-1", "Ada-2"):
        assert ada.send(note).status_code == 200
    assert ben.send("Ben-1").status_code == 200
    assert ada.person.open(f"{ada.base}/notes")[1].json()["notes"] == ["Ada-1", "Ada-2"]
    assert ben.person.open(f"{ben.base}/notes")[1].json()["notes"] == ["Ben-1"]


@with_each("django", "django-csrf-in-session")
def test_djangos_admin_signs_one_launch_in(
    tool: str, prefix: str, tabs: tuple[Person, Tab, Tab]
) -> None:
    person, ada, ben = tabs
    # Its site does not take a user for staff who is none.
    path, page = person.open(f"{ada.base}/admin/")
    assert path == f"{ada.base}/admin/login/"
    (token,) = set(re.findall(r'name="csrfmiddlewaretoken" value="(\w+)"', page.text))
    fields = {"username": ADMIN, "password": PASSWORD, "next": f"{ada.base}/admin/"}
    reply = person.ask("POST", path, {}, {**fields, "csrfmiddlewaretoken": token})
    path, page = person.follow(path, reply)
    assert path == f"{ada.base}/admin/"
    assert "Site administration" in page.text
    assert person.open(f"{ben.base}/admin/")[0] == f"{ben.base}/admin/login/"
    assert person.open("/admin/")[0] == "/admin/login/"
    ben.look()


@with_each("flask")
def test_six_launches_with_sessions_of_a_kilobyte_do_not_add_up(
    tool: str, prefix: str, person_at: PersonAt, sandbox: Sandbox
) -> None:
    person = person_at(tool, prefix)
    tabs = [Tab(person, sandbox, user) for user in ("ada", "ben") * 3]
    for tab in tabs:
        tab.write(secrets.token_urlsafe(600))
    for tab in tabs:
        header = person.jar.header(f"{tab.base}/notes")
        (size,) = [len(each) for each in header.split("; ") if f"{prefix}session=" in each]
        assert size > 1000
        assert len(header) < 2000 + len(tab.ltik)
