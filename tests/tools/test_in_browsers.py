"""The three tools in an LMS's iframe, as teacher, assistant, student and administrator use them:
each on a real server behind TLS, on another site than the LMS, with third-party cookies blocked."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from ltiaas_middleware.sandbox import World
from tests import servers
from tests.browsers.browser import Browser
from tests.browsers.sites import LMS, TOOL, Certificates, Clock, Server, Sites, serving

from .provider import Provider

for package in ("authlib", "allauth", "csp", "whitenoise"):
    pytest.importorskip(package, reason="the dependency group tools is not installed")
pytestmark = [pytest.mark.browser, pytest.mark.redis]
GetBrowser = Callable[..., Browser]
PROJECT = servers.ROOT / "tests/tools/survey"


@pytest.fixture(scope="module")
def lms(certificates: Certificates) -> Iterator[Sites]:
    """A Canvas."""
    with serving(certificates, Clock(time.time), World.preset("canvas")) as sites:
        yield sites


@pytest.fixture
def person(browser: GetBrowser) -> Browser:
    return browser("third-party-blocked")


def show(person: Browser, lms: Sites, user: str, **choice: str) -> None:
    seat = {"activity": "quiz-1", "course": "biology", "user": user, **choice}
    person.open(f"{lms.lms_url}/lms/frame?{urlencode(seat)}", new_tab=True)


# -- extra time: Flask, RQ, Authlib ---------------------------------------------------------------


@pytest.fixture
def canvas(certificates: Certificates) -> Iterator[Provider]:
    """Canvas itself is the OAuth provider, on the LMS's site."""
    provider = Provider()
    server = Server(provider, certificates)
    provider.url = f"https://{LMS}:{server.port}"
    yield provider
    server.close()


@pytest.fixture
def extra_time(
    lms: Sites, canvas: Provider, redis_server: Any, tmp_path: Path
) -> Iterator[Callable[[], None]]:
    """Serves the tool; gives what runs the jobs that are queued."""
    env = {
        **lms.account_env,
        "LTIAAS_SERVICE_KEYS": f"sqlite:///{tmp_path}/keys.db",
        "DATABASE_URL": f"sqlite:///{tmp_path}/tool.db",
        "REDIS_URL": redis_server.url,
        "SECRET_KEY": "a secret of the tests, long enough",
        "CANVAS_URL": canvas.url,
        "CANVAS_API_URL": canvas.url.replace(LMS, "localhost"),
        "REQUESTS_CA_BUNDLE": str(lms.certificates.ca_file),
    }
    worker = [sys.executable, "-m", "rq.cli", "worker", "--burst", "--url", redis_server.url]

    def work() -> None:
        done = subprocess.run(
            worker,
            cwd=servers.ROOT,
            env={**os.environ, **env, "PYTHONPATH": str(servers.ROOT)},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        assert "Traceback" not in done.stderr, done.stderr

    tls = (lms.certificates.chain_file,) * 2
    app = "tests.tools.extra_time.app:create_app()"
    with servers.gunicorn(app, threads=8, env=env, tls=tls, probe="/health") as server:
        lms.sandbox.tool = f"https://{TOOL}:{server.port}/launch"
        canvas.redirect_uris = {f"https://{TOOL}:{server.port}/oauth/callback"}
        yield work
        assert "Traceback" not in server.output, server.output


@pytest.mark.parametrize(("where", "user"), [("iframe", "ada"), ("tab", "tess")])
def test_extra_time(
    where: str,
    user: str,
    person: Browser,
    lms: Sites,
    canvas: Provider,
    extra_time: Callable[[], None],
) -> None:
    # Canvas may be framed by itself; others, as Google, by nobody.
    canvas.in_frames = where == "iframe"
    show(person, lms, user)
    heading = "Extra time in Introduction to Biology"
    person.page(heading)
    teachers = person.driver.current_window_handle
    if where == "iframe":
        person.click("#connect")
        person.click("#allow")
    else:
        person.new_tab_after(lambda: person.click("#connect-tab"))
        person.click("#allow", framed=False)
        person.text(".message", "You are connected to Canvas", framed=False)
        person.driver.close()
        person.show(teachers)
        person.reload_frame()
    person.page(heading)
    unconnected = "return document.querySelector('#connect') !== null"
    person.wait(lambda: not person.driver.execute_script(unconnected), "not connected to Canvas")

    person.click("input[value=ben]")
    person.click("#save")
    person.text("#status", "queued")
    extra_time()
    person.text("#status", "finished: ben")
    ((_, body),) = canvas.calls
    assert body == {"user_ids": ["ben"], "extra_percent": 50}

    show(person, lms, "ben")
    person.text("#percent", "50 %")
    person.click("#confirm")
    person.text(".message", "Your teacher will see")
    extra_time()
    assert lms.sandbox.scores(tag="extra-time")["ben"]["scoreGiven"] == 1

    show(person, lms, "adam")
    person.page("Extra time in all courses")
    person.text("li", "/biology: 1")


# -- survey: Django, REST framework, CSP, admin ---------------------------------------------------


@pytest.fixture
def survey(lms: Sites, tmp_path: Path) -> Iterator[None]:
    env = {
        **lms.account_env,
        "PYTHONPATH": f"{PROJECT}{os.pathsep}{servers.ROOT}",
        "DATABASE": str(tmp_path / "survey.db"),
        "ALLOWED_HOSTS": f"{TOOL} 127.0.0.1",
        "FRAME_ANCESTORS": lms.lms_url,
    }
    migrate = [sys.executable, "manage.py", "migrate", "--verbosity", "0"]
    subprocess.run(migrate, cwd=PROJECT, env={**os.environ, **env}, check=True, timeout=60)
    tls = (lms.certificates.chain_file,) * 2
    with servers.gunicorn("mysite.wsgi:application", threads=8, env=env, tls=tls) as server:
        lms.sandbox.tool = f"https://{TOOL}:{server.port}/launch"
        yield
        assert "Traceback" not in server.output, server.output


def test_survey(person: Browser, lms: Sites, survey: None) -> None:
    show(person, lms, "ben")
    person.page("Survey: Introduction to Biology")
    person.text("#saved", "nothing")
    person.type("[name=text]", "More mitosis")
    person.click("#save")
    person.text(".message", "Your answer is saved.")
    # The page's script, by REST framework: what it reads needs the CSP's nonce, what it writes the
    # CSRF cookie.
    person.text("#saved", "Introduction to Biology: More mitosis")
    person.click("#shout")
    person.text("#saved", "MORE MITOSIS")
    assert lms.sandbox.scores("quiz-1")["ben"]["scoreGiven"] == 1

    for user in ("tess", "ada"):
        show(person, lms, user)
        person.page("Results: Introduction to Biology")
        person.text("#answers", "Ben Carter: MORE MITOSIS")
    person.click("#api")
    # REST framework's browsable API, with a form that deletes.
    person.text(".response-info", "MORE MITOSIS")

    show(person, lms, "adam")
    person.page("Site administration")
    person.click("a[href$='questions/answer/']")
    person.text("#result_list", "MORE MITOSIS")
    person.click("a[href*='questions/answer/1/']")
    person.type("[name=course]", "-x")
    person.click("[name=_save]")
    person.text(".messagelist", "was changed successfully")


# -- flashcards: FastAPI, deep linking ------------------------------------------------------------


@pytest.fixture
def flashcards(lms: Sites) -> Iterator[str]:
    tls = (lms.certificates.chain_file,) * 2
    app = "tests.tools.flashcards.app:app"
    with servers.uvicorn(app, env=lms.account_env, tls=tls) as server:
        yield f"https://{TOOL}:{server.port}"
        assert "Traceback" not in server.output, server.output


def test_flashcards(person: Browser, lms: Sites, flashcards: str) -> None:
    lms.sandbox.tool = f"{flashcards}/deep-linking"
    show(person, lms, "ada", deep_linking="on")
    person.page("Pick decks")
    person.click("input[value=plants]")
    person.click("#add")
    person.page("1 item added to Introduction to Biology")
    link = lms.sandbox.world.courses[0].activities[-1].id

    lms.sandbox.tool = f"{flashcards}/launch"
    show(person, lms, "ben", activity=link)
    person.page("Plants (easy)")
    person.type("input", "carbon dioxide")
    person.click("#send")
    person.text("#said", "1 of 1 right")

    show(person, lms, "tess", activity=link)
    person.text("#results", "Ben Carter: 1")
    person.click("#grade")
    person.text("#said", "sent 1, refused 0")
    assert lms.sandbox.scores(link)["ben"]["scoreGiven"] == 1

    show(person, lms, "adam", activity=link)
    person.page("All courses")
    person.text("#counts", "biology: 1")
