"""Every example does what it shows, started as its first line says and on a server with workers."""

from __future__ import annotations

import contextlib
import re
import shlex
import sys
from collections.abc import Callable, Iterator
from html import unescape
from pathlib import Path
from urllib.parse import urlencode

import pytest

from ltiaas_middleware.sandbox import SandboxServer

from .. import servers
from .browser import NAVIGATION, Browser, Reply

WSGI = ("flask_app", "falcon_app", "django_app", "wsgi_app")
ASGI = ("falcon_asgi_app", "fastapi_app")
EXAMPLES = servers.ROOT / "examples"

Start = Callable[[dict[str, str]], contextlib.AbstractContextManager[servers.Server]]


def as_its_first_line_says(name: str) -> Start:
    """The command in an example's first line, on a free port instead of 8000."""
    line = (EXAMPLES / f"{name}.py").read_text().splitlines()[0]
    program, *arguments = shlex.split(line.removeprefix("# "))
    assert any("8000" in argument for argument in arguments), line

    def command(port: int) -> list[str]:
        run = [sys.executable] if program == "python" else [sys.executable, "-m", program]
        return run + [argument.replace("8000", str(port)) for argument in arguments]

    return lambda env: servers.running(command, env=env)


def on_gunicorn(name: str) -> Start:
    return lambda env: servers.gunicorn(f"examples.{name}:app", workers=2, env=env)


def on_uvicorn(name: str) -> Start:
    return lambda env: servers.uvicorn(f"examples.{name}:app", workers=2, env=env)


STARTS = [
    *(pytest.param(as_its_first_line_says(name), id=name) for name in WSGI + ASGI),
    pytest.param(on_gunicorn("flask_app"), id="flask_app-gunicorn", marks=pytest.mark.slow),
    pytest.param(on_uvicorn("fastapi_app"), id="fastapi_app-uvicorn", marks=pytest.mark.slow),
]


@pytest.fixture(scope="module", params=STARTS)
def tool(
    request: pytest.FixtureRequest, account_env: dict[str, str], account: SandboxServer
) -> Iterator[servers.Server]:
    start: Start = request.param
    with start({**account_env, "PYTHONWARNINGS": "error"}) as server:
        yield server
    complaints = re.findall(r".*(?:Traceback|never awaited|\bltik=(?!\[hidden\])).*", server.output)
    assert not complaints, server.output


@pytest.fixture
def browser(tool: servers.Server) -> Iterator[Browser]:
    with contextlib.closing(Browser(tool.port)) as browser:
        yield browser


def test_a_teacher_looks_around(
    tool: servers.Server, browser: Browser, account: SandboxServer
) -> None:
    page, home = launched(tool, browser, account, "noor")
    for text in ("Noor Haddad", "The Long Nineteenth Century", "Essay"):
        assert text in page.text

    roster = browser.open(link(page.text, "href"))
    assert roster.path == f"{home}/roster"
    assert re.findall("<li>(.*?)</li>", roster.text) == [
        unescape(member.name or member.id) for member in members(account, "history")
    ]
    assert browser.open(link(roster.text, "href")).path == f"{home}/launch"

    # An LMS takes no score for a teacher.
    sent = browser.ask("POST", link(page.text, "action"), NAVIGATION, form(page.text))
    assert sent.status == 409


def test_a_learner_hands_in(tool: servers.Server, browser: Browser, account: SandboxServer) -> None:
    before = account.sandbox.scores("essay").get("chen", {}).get("submissions", 0)
    page, home = launched(tool, browser, account, "chen")
    sent = browser.ask("POST", link(page.text, "action"), NAVIGATION, form(page.text))
    assert sent.status in (302, 303)
    assert browser.open(sent.all("Location")[0]).path == f"{home}/launch"
    score = account.sandbox.scores("essay")["chen"]
    assert (score["scoreGiven"], score["scoreMaximum"]) == (8, 10)
    assert score["submissions"] == before + 1


def test_a_learner_sees_no_roster(browser: Browser, account: SandboxServer) -> None:
    page = browser.open(f"/launch?ltik={account.sandbox.issue(user='ben')}")
    assert "Ben Carter" in page.text
    assert browser.open(link(page.text, "href")).status == 403


def test_a_learner_without_a_name_is_greeted(browser: Browser, account: SandboxServer) -> None:
    page = browser.open(f"/launch?ltik={account.sandbox.issue(user='f3b1c9d2-77aa')}")
    assert (page.status, "Hello there" in page.text) == (200, True)


def test_a_course_without_grades_takes_no_score(browser: Browser, account: SandboxServer) -> None:
    page = browser.open(f"/launch?ltik={account.sandbox.issue(course='choir')}")
    assert browser.ask("POST", link(page.text, "action"), NAVIGATION, form(page.text)).status == 409


def test_nobody_gets_in_without_a_launch(browser: Browser) -> None:
    assert browser.open("/launch").status == 401
    assert browser.open("/roster").status == 401
    assert browser.ask("POST", "/finish", NAVIGATION, "").status == 401


@pytest.mark.parametrize("name", WSGI + ASGI)
def test_an_example_tells_how_to_start_a_local_ltiaas(name: str) -> None:
    text = Path(EXAMPLES / f"{name}.py").read_text()
    assert "python -m ltiaas_middleware sandbox --tool http://127.0.0.1:8000/launch" in text


def launched(
    tool: servers.Server, browser: Browser, account: SandboxServer, user: str
) -> tuple[Reply, str]:
    account.sandbox.tool = f"{tool.url}/launch"
    ltik = account.sandbox.issue(activity="essay", user=user)
    page = browser.open(account.sandbox.launch_url(ltik))
    assert page.status == 200, page.text
    home = page.path.removesuffix("/launch")
    assert re.fullmatch(r"/lti/[\w-]{22}", home)
    return page, home


def link(page: str, attribute: str) -> str:
    """The address of the one link or form on a page."""
    (found,) = re.findall(rf'{attribute}="(.*?)"', page)
    return unescape(found)


def form(page: str) -> str:
    """What a browser sends of the one form on a page: its hidden fields."""
    return urlencode(re.findall(r'<input type="hidden" name="(.*?)" value="(.*?)">', page))


def members(account: SandboxServer, course: str) -> list[object]:
    found = account.sandbox.world.course(course)
    assert found is not None
    return list(found.members)
