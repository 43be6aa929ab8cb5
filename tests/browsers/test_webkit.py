"""WebKit with tracking prevention, which stands for Safari: apps as they come, in an LMS's iframe.

It keeps no cookie there, and cuts the ``Referer`` of the tool's own requests to the bare origin, so
that the middleware cannot redirect them into their launch. The script keeps them inside.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.programs import need

from .browser import PROGRAMS, Browser
from .running_apps import RunningApps
from .sites import Sites
from .test_launch_script import said
from .test_unchanged_apps import Notes, write_by_turns

pytestmark = pytest.mark.browser

GetBrowser = Callable[..., Browser]
ADA, BEN = "Ada Moreau", "Ben Carter"
PROFILE = "tracking-prevention"


@pytest.fixture(scope="session")
def kind() -> str:
    need(*PROGRAMS["webkit"])
    return "webkit"


def in_check(*case: str) -> Any:
    """A case of `make check` alone: Chromium has its like, or it needs one more browser."""
    return pytest.param(*case, marks=pytest.mark.slow)


def opened(person: Browser, lms: Sites, user: str) -> None:
    person.open(lms.activity(user=user))


def test_without_the_script_an_absolute_url_is_nobodys(
    browser: GetBrowser, lms: Sites, apps: RunningApps
) -> None:
    apps.url("fastapi-without-script")
    person = browser(PROFILE)
    opened(person, lms, "ada")
    person.page(f"Notes of {ADA}")
    person.text("#me", "nobody")


@pytest.mark.parametrize(
    "profile", [PROFILE, in_check("third-party-allowed"), in_check("no-cookies")]
)
def test_what_scripts_ask_for_stays_in_the_launch(
    profile: str, browser: GetBrowser, lms: Sites, apps: RunningApps
) -> None:
    apps.url("absolute")
    person = browser(profile)
    for user, name in (("ada", ADA), ("ben", BEN)):
        opened(person, lms, user)
        page = person.page(f"Launched: {name}")
        answers = said(person, "asks")
        assert len(answers) == 10
        assert set(answers.values()) == {name}, answers
        if profile != "third-party-allowed":
            assert page.cookies == ""


@pytest.mark.parametrize(
    ("element", "heading"),
    [
        ("#link", "GET link"),
        in_check("#area", "GET area"),
        ("#post-it", "POST post"),
        in_check("#formaction", "POST formaction"),
        ("#get-it", "GET get a b"),
        (
            "document.querySelector('#shadow').shadowRoot.querySelector('button').click()",
            "POST shadow",
        ),
        in_check("makeLink({href: '/page/made'}).click()", "GET made"),
    ],
)
def test_links_and_forms_stay_in_the_launch(
    element: str, heading: str, browser: GetBrowser, lms: Sites, apps: RunningApps
) -> None:
    url = apps.url("absolute")
    person = browser(PROFILE)
    opened(person, lms, "ada")
    person.page(f"Launched: {ADA}")
    if element.endswith(".click()"):
        person.driver.execute_script(element)
    else:
        person.click(element)
    page = person.page(f"{heading}: {ADA}")
    # This is all that the server was told: no launch.
    assert page.referrer == f"{url}/"


@pytest.mark.parametrize("app", ["flask", in_check("django-wsgi"), "fastapi", in_check("flask x2")])
def test_an_app_keeps_each_launchs_session_and_takes_its_forms(
    app: str, browser: GetBrowser, lms: Sites, apps: RunningApps
) -> None:
    apps.url(app)
    person = browser(PROFILE)
    ada = Notes(person, lms.activity(user="ada"), ADA, framed=True)
    ben = Notes(person, lms.activity(user="ben"), BEN, framed=True)
    write_by_turns(ada, ben)
    if app == "fastapi":
        person.text("#me", BEN)


def test_a_callback_of_dashs_knows_its_user(
    browser: GetBrowser, lms: Sites, apps: RunningApps
) -> None:
    apps.url("dash")
    person = browser(PROFILE)
    for user, name in (("ada", ADA), ("ben", BEN)):
        opened(person, lms, user)
        person.text("#message", f"{name} saved")
        person.type("#note", "seven")
        person.click("#save")
        person.text("#message", f"{name} saved seven")


def test_a_script_sets_a_cookie_before_the_next_request(
    browser: GetBrowser, lms: Sites, apps: RunningApps
) -> None:
    apps.url("flask")
    person = browser(PROFILE)
    opened(person, lms, "ada")
    person.page(f"Notes of {ADA}")
    person.leave_page("document.cookie = 'theme=dark'; location.reload()", framed=True)
    assert person.page(f"Notes of {ADA}").cookies == "theme=dark"
