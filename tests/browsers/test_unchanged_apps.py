"""Apps with the settings their frameworks come with, in an LMS's frame: they show, their forms
post, their sessions stay, and two launches never see each other's.

Over TLS, the LMS and the tool on two sites, in browsers that allow third-party cookies and in such
that block them. ``third-party-allowed`` matters: there an app's cookie without ``Partitioned``
comes back too, so that what is wrong with it shows nowhere but in the other user's page.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from .browser import Browser
from .running_apps import ADMIN, PASSWORD, RunningApps
from .sites import Sites

pytestmark = pytest.mark.browser

GetBrowser = Callable[..., Browser]
Picture = Callable[[Browser, str], None]

ADA, BEN = "Ada Moreau", "Ben Carter"
with_notes = pytest.mark.parametrize("app", ["flask", "django-wsgi", "django-asgi", "fastapi"])
with_third_party_cookies = pytest.mark.parametrize(
    "profile", ["third-party-allowed", "third-party-blocked"]
)


class Notes:
    """One user's page of notes, in a tab of its own."""

    def __init__(self, person: Browser, address: str, user: str, *, framed: bool) -> None:
        self._person = person
        self._user = user
        self._framed = framed
        self._tab = person.open(address, new_tab=True)
        self.written: list[str] = []

    def look(self) -> None:
        """The page is this user's, with what they wrote and nothing else."""
        person, framed = self._person, self._framed
        person.show(self._tab)
        person.page(f"Notes of {self._user}", framed=framed)
        said = person.text("#notes", self.written[-1] if self.written else "", framed=framed)
        assert said.split() == self.written

    def write(self, note: str) -> None:
        """Post the form; the app says whose note it saved, once."""
        person, framed = self._person, self._framed
        person.show(self._tab)
        person.type("[name=note]", note, framed=framed)
        person.click("#save", framed=framed)
        person.text("#message", f"{self._user} saved {note}", framed=framed)
        self.written.append(note)
        self.look()


def write_by_turns(ada: Notes, ben: Notes) -> None:
    ada.look()
    ada.write("Ada-1")
    ben.look()
    ben.write("Ben-1")
    ada.write("Ada-2")
    ben.write("Ben-2")


@with_notes
@with_third_party_cookies
def test_in_the_frame_an_app_keeps_each_launchs_session_and_takes_its_forms(
    app: str, profile: str, browser: GetBrowser, lms: Sites, apps: RunningApps, picture: Picture
) -> None:
    apps.url(app)
    person = browser(profile)
    ada = Notes(person, lms.activity(user="ada"), ADA, framed=True)
    ada.look()
    ben = Notes(person, lms.activity(user="ben"), BEN, framed=True)
    write_by_turns(ada, ben)
    picture(person, f"notes-{app}-{profile}")


@with_notes
def test_at_top_level_an_app_keeps_each_launchs_session_and_takes_its_forms(
    app: str, browser: GetBrowser, lms: Sites, apps: RunningApps
) -> None:
    # Here browsers keep an app's cookie whatever its attributes, so that Path alone keeps the
    # second user from the first one's session.
    apps.url(app)
    person = browser("third-party-allowed")
    sandbox = lms.sandbox
    ada = Notes(person, sandbox.launch_url(sandbox.issue(user="ada")), ADA, framed=False)
    ada.look()
    ben = Notes(person, sandbox.launch_url(sandbox.issue(user="ben")), BEN, framed=False)
    write_by_turns(ada, ben)


@pytest.mark.parametrize("app", ["flask-host", "django-wsgi"])
def test_a_session_that_began_outside_launches_is_in_none(
    app: str, browser: GetBrowser, lms: Sites, apps: RunningApps
) -> None:
    # Path does not separate these: that of a __Host- cookie is /, and so is the landing page's.
    url = apps.url(app)
    person = browser("third-party-allowed")
    person.open(f"{url}/")
    person.page("Welcome", framed=False)
    sandbox = lms.sandbox
    for framed in (False, True):
        tabs = []
        for user, name in (("ada", ADA), ("ben", BEN)):
            alone = sandbox.launch_url(sandbox.issue(user=user))
            tabs.append(
                Notes(person, lms.activity(user=user) if framed else alone, name, framed=framed)
            )
        write_by_turns(*tabs)


@pytest.mark.parametrize("app", ["flask", "flask-host"])
def test_another_sites_form_cannot_sign_the_attacker_in(
    app: str, browser: GetBrowser, lms: Sites, apps: RunningApps
) -> None:
    url = apps.url(app)
    victim = browser("third-party-allowed")
    attack = lms.elsewhere.page("form", f"{url}/launch?ltik={lms.sandbox.issue(user='ada')}")
    for framed in (False, True):
        page = lms.elsewhere.page("frame", attack, lms_side=True) if framed else attack
        victim.open(page)
        victim.click("#go", framed=framed)
        victim.page("Request blocked", framed=framed)
        alone = lms.sandbox.launch_url(lms.sandbox.issue(user="ben"))
        Notes(victim, lms.activity(user="ben") if framed else alone, BEN, framed=framed).look()


@with_third_party_cookies
def test_an_absolute_path_that_a_script_asks_for_is_answered_in_the_launch(
    profile: str, browser: GetBrowser, lms: Sites, apps: RunningApps
) -> None:
    apps.url("fastapi")
    person = browser(profile)
    for user, name in (("ada", ADA), ("ben", BEN)):
        person.open(lms.activity(user=user), new_tab=True)
        person.text("#me", name)


@pytest.mark.parametrize("app", ["django-wsgi", "django-asgi"])
def test_djangos_admin_signs_in_within_the_frame(
    app: str, browser: GetBrowser, lms: Sites, apps: RunningApps, picture: Picture
) -> None:
    url = apps.url(app)
    person = browser("third-party-blocked")
    person.open(lms.activity(user="ada"))
    administer(person, url, f"{person.kind}-{app}")
    picture(person, f"admin-{app}")


def administer(person: Browser, url: str, group: str) -> None:
    """Sign in to Django's admin from Ada's notes, and add a group."""
    person.page(f"Notes of {ADA}")
    person.click("#admin")
    person.type("[name=username]", ADMIN)
    person.type("[name=password]", PASSWORD)
    person.click("[type=submit]")
    page = person.page("Site administration")
    assert re.match(rf"{url}/lti/[\w-]{{22}}/admin/$", page.url)
    # A form of the admin's own, with Django's CSRF token.
    person.click("a[href$='auth/group/add/']")
    person.type("[name=name]", group)
    person.click("[name=_save]")
    person.text(".messagelist", "was added successfully")


@pytest.mark.parametrize("app", ["django-wsgi", "django-asgi"])
def test_djangos_static_files_are_found_by_everybody(
    app: str, browser: GetBrowser, lms: Sites, apps: RunningApps
) -> None:
    apps.url(app)
    person = browser("third-party-blocked")
    colours = "return getComputedStyle(document.querySelector('h1')).color"
    addresses = []
    for user, name in (("ada", ADA), ("ben", BEN)):
        person.open(lms.activity(user=user))
        addresses.append(person.page(f"Notes of {name}").url)
        person.wait(
            lambda: person.driver.execute_script(colours) == "rgb(0, 100, 0)", "no style sheet"
        )
    first, second = (re.findall(r"/lti/([\w-]{22})/", address)[0] for address in addresses)
    assert first != second
    assert first not in person.driver.execute_script("return document.documentElement.outerHTML")


@with_third_party_cookies
def test_a_callback_of_dashs_knows_its_user(
    profile: str, browser: GetBrowser, lms: Sites, apps: RunningApps, picture: Picture
) -> None:
    apps.url("dash")
    person = browser(profile)
    tabs = {}
    for user, name in (("ada", ADA), ("ben", BEN)):
        tabs[name] = person.open(lms.activity(user=user), new_tab=True)
        person.page("A dashboard")
        person.text("#message", f"{name} saved")
    picture(person, f"dash-{profile}")
    for name, tab in tabs.items():
        person.show(tab)
        person.type("#note", "seven")
        person.click("#save")
        person.text("#message", f"{name} saved seven")


def test_datasette_shows_its_pages_in_the_frame(
    browser: GetBrowser, lms: Sites, apps: RunningApps, picture: Picture
) -> None:
    # Its links are absolute and its Referrer-Policy is no-referrer.
    url = apps.url("datasette")
    person = browser("third-party-blocked")
    person.open(lms.activity(user="ada"))
    person.text("h1", "notes")
    here = str(person.driver.execute_script("return location.href"))
    assert re.match(rf"{url}/lti/[\w-]{{22}}/notes$", here)
    picture(person, "datasette")
    person.click("a[href='/']")
    person.wait(
        lambda: re.fullmatch(
            rf"{url}/lti/[\w-]{{22}}/", person.driver.execute_script("return location.href")
        ),
        "its link left the launch",
    )
