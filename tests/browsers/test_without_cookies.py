"""Apps as they come, in browsers that keep no cookie in the LMS's iframe: sessions, CSRF tokens,
messages and sign-ins are kept with the launch. ``test_webkit`` has the same for Safari."""

from __future__ import annotations

from typing import Any

import pytest

from .browser import Browser
from .running_apps import RunningApps
from .sites import Sites
from .test_unchanged_apps import ADA, BEN, GetBrowser, Notes, administer, write_by_turns

pytestmark = pytest.mark.browser

# "All cross-site cookies" blocked, which refuses partitioned ones, too; Chromium has no such
# setting, and refuses all.
_PROFILES = {"chromium": "no-cookies", "firefox": "third-party-refused"}
# A fetch as Django's documentation has it.
_SAVE = """
const [note] = arguments;
const pairs = document.cookie.split("; ").map((pair) => pair.split("="));
const token = (pairs.find(([name]) => name === "csrftoken") || [])[1];
fetch("/launch", {method: "POST", headers: {"X-CSRFToken": token || "none"},
  body: new URLSearchParams({note})}).then((reply) => done(reply.status), done);"""


@pytest.fixture
def person(kind: str, browser: GetBrowser) -> Browser:
    """A browser that keeps no cookies in the LMS's iframe."""
    return browser(_PROFILES[kind])


@pytest.mark.parametrize(
    "app",
    [
        "flask",
        "django-wsgi",
        "fastapi",
        # Two workers, which share by the files of the machine.
        "flask x2",
        pytest.param("django-asgi", marks=pytest.mark.exhaustive),
    ],
)
def test_an_app_keeps_each_launchs_session_and_takes_its_forms(
    app: str, person: Browser, lms: Sites, apps: RunningApps
) -> None:
    apps.url(app)
    ada = Notes(person, lms.activity(user="ada"), ADA, framed=True)
    ben = Notes(person, lms.activity(user="ben"), BEN, framed=True)
    write_by_turns(ada, ben)
    for notes in (ada, ben):
        notes.look()


def test_djangos_admin_signs_in(person: Browser, lms: Sites, apps: RunningApps) -> None:
    url = apps.url("django-wsgi")
    person.open(lms.activity(user="ada"))
    administer(person, url, f"{person.kind}-without-cookies")
    # Who launches next is signed in nowhere.
    person.open(lms.activity(user="ben"))
    person.page(f"Notes of {BEN}")
    person.click("#admin")
    person.find("[name=password]")


def test_scripts_read_and_set_the_launchs_cookies(
    person: Browser, lms: Sites, apps: RunningApps
) -> None:
    apps.url("django-wsgi")
    tabs: dict[str, str] = {}
    for user, name in (("ada", ADA), ("ben", BEN)):
        tabs[name] = person.open(lms.activity(user=user), new_tab=True)
        person.page(f"Notes of {name}")
        assert person.run(_SAVE, f"by-{user}", framed=True) == 200
        run(person, "document.cookie = arguments[0]", f"theme=of {user}; Path=/; SameSite=Lax")
    for user, name in (("ada", ADA), ("ben", BEN)):
        person.show(tabs[name])
        person.leave_page("location.reload()", framed=True)
        page = person.page(f"Notes of {name}")
        assert f"by-{user}" in page.text
        assert f"theme=of {user}" in page.cookies.split("; ")
        assert "csrftoken=" in page.cookies
        assert "sessionid" not in page.cookies
    run(person, "document.cookie = 'theme=; Max-Age=0'")
    assert "theme" not in person.page(f"Notes of {BEN}").cookies


def test_scripts_find_storage_though_the_browser_refuses_it(
    person: Browser, lms: Sites, apps: RunningApps
) -> None:
    apps.url("flask")
    person.open(lms.activity(user="ada"))
    person.page(f"Notes of {ADA}")
    used = """
const found = [];
for (const storage of [sessionStorage, localStorage]) {
  storage.clear();
  storage.tab = "a";
  storage.setItem("count", 1);
  found.push(storage.getItem("tab"), storage.count, storage.length, storage.getItem("none"));
  storage.removeItem("tab");
  found.push(storage.key(0), storage.key(1), storage.length, "count" in storage);
}
done(found);"""
    seen = ["a", "1", 2, None, "count", None, 1, True]
    assert person.run(used, framed=True) == seen * 2


def run(person: Browser, script: str, *arguments: Any) -> None:
    """Run a script in the tool's page, and wait until the requests that it makes are answered."""
    asked = (
        "performance.getEntriesByType('resource').filter((one) => /ltiaas-cookies/.test(one.name))"
    )
    person.enter(framed=True)
    before = person.driver.execute_script(f"return {asked}.length")
    person.driver.execute_script(script, *arguments)
    person.wait(
        lambda: person.driver.execute_script(f"return {asked}.length") > before, "nothing was sent"
    )
