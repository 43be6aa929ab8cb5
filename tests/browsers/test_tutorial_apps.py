"""Apps as the tutorials of their frameworks make them, used by two people at once in one browser.

Each is in the LMS's iframe from another site, over TLS. ``make browsers`` drives all of them in all
browser settings; docs/reference/browsers.md has the table.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

import pytest
from selenium.webdriver.remote.webelement import WebElement

from .browser import Browser, type_into
from .running_apps import RunningApps
from .sites import Sites

pytestmark = pytest.mark.browser

GetBrowser = Callable[..., Browser]
USERS = {"ada": "Ada Moreau", "ben": "Ben Carter"}

SETTINGS = [
    ("chromium", "third-party-allowed"),
    ("chromium", "third-party-blocked"),
    ("chromium", "no-cookies"),
    ("firefox", "usual"),
    ("firefox", "third-party-refused"),
    ("webkit", "tracking-prevention"),
]
#: These are driven in two workers, too, in the browser that keeps no cookie.
IN_TWO_WORKERS = ("flask", "django-wsgi", "django-asgi", "fastapi", "dash")
WEBKIT = 5

# Bokeh draws in shadow roots.
FIND = """
const find = root => {
  for (const hit of root.querySelectorAll(arguments[0])) return hit;
  for (const host of root.querySelectorAll("*")) {
    const hit = host.shadowRoot && find(host.shadowRoot);
    if (hit) return hit;
  }
};
const found = find(document);
"""
CLEAR = """
const [field] = arguments;
Object.getOwnPropertyDescriptor(Object.getPrototypeOf(field), "value").set.call(field, "");
field.dispatchEvent(new Event("input", {bubbles: true}));"""
TYPE = """
const [field, text] = arguments;
Object.getOwnPropertyDescriptor(Object.getPrototypeOf(field), "value").set.call(field, text);
for (const name of ["input", "change", "focusout"])
  field.dispatchEvent(new Event(name, {bubbles: true}));"""


class Tab:
    """One user's launch, in a tab of its own."""

    def __init__(self, person: Browser, lms: Sites, user: str, app: App) -> None:
        self.person = person
        self.name = USERS[user]
        self.app = app
        self.written: list[str] = []
        self._tab = person.open(lms.activity(user=user), new_tab=True)

    def show(self) -> None:
        self.person.show(self._tab)

    def find(self, css: str) -> WebElement:
        def look() -> WebElement | None:
            self.person.enter(True)
            found: WebElement | None = self.person.driver.execute_script(
                f"{FIND} return found", css
            )
            return found

        return self.person.wait(look, f"no element {css}")

    def says(self, css: str, wanted: str) -> str:
        """Wait until an element, or the field that it is, says what it should."""
        last: list[object] = []
        read = f"{FIND} return found ? found.value || found.innerText || found.textContent : null"

        def look() -> tuple[str] | None:
            self.person.enter(True)
            said = self.person.driver.execute_script(read, css)
            last[:] = [said, self.person.driver.execute_script("return location.href")]
            return (said,) if said is not None and wanted in said else None

        problem = f"{self.name}: {css} does not say {wanted!r}"
        return self.person.wait(look, lambda: f"{problem} but {last}")[0]

    def type(self, css: str, text: str) -> None:
        field = self.find(css)
        if self.person.kind == "webkit":
            self.person.driver.execute_script(TYPE, field, text)
        else:
            # clear() is no input for a framework that watches the field.
            self.person.driver.execute_script(CLEAR, field)
            type_into(field, text)

    def click(self, css: str) -> None:
        element = self.find(css)
        if self.person.kind == "webkit":
            self.person.driver.execute_script("arguments[0].click()", element)
        else:
            element.click()

    def run(self, script: str) -> object:
        self.person.enter(True)
        return self.person.driver.execute_script(script)

    def is_in_launch(self) -> None:
        path = str(self.run("return location.pathname"))
        assert re.match(r"/lti/[\w-]{22}/", path), path

    def write(self, note: str) -> None:
        """Save a note; the app says whose it was."""
        self.show()
        self.type(self.app.note, note)
        self.click(self.app.save)
        said = self.says(self.app.said, f"{self.name} saved {note}")
        others = [name for name in USERS.values() if name != self.name]
        assert self.app.is_shared or not any(name in said for name in others)
        self.written.append(note)


def nothing(tab: Tab) -> None:
    """The app needs no such step."""


def session_keeps_notes(tab: Tab) -> None:
    assert tab.says("#notes", tab.written[-1]).split() == tab.written


def enter_room(tab: Tab) -> None:
    if tab.person.kind == "webkit":
        # The tutorial's location.pathname = "/chat/lobby/" leaves the launch in browsers that have
        # no Navigation API and cut the Referer.
        tab.find("#room-name-submit")
        tab.run("location.pathname = ltiaas.path + '/chat/lobby/'")
    else:
        tab.type("#room-name-input", "lobby")
        tab.click("#room-name-submit")
    tab.find("[data-ready]")


def pages_of_htmx(tab: Tab) -> None:
    for number in (2, 3):
        tab.click("#next")
        tab.says("#shown", f"Page {number} of {tab.name}")
        tab.is_in_launch()
    tab.person.back()
    tab.says("#shown", f"Page 2 of {tab.name}")
    tab.person.reload_frame()
    tab.says("#shown", f"Page 2 of {tab.name}")
    tab.write("after-reload")


def routes_of_the_spa(tab: Tab) -> None:
    tab.find("[data-service-worker=refused]")
    tab.click("#next")
    tab.says("#shown", f"{tab.name} at /results")
    tab.is_in_launch()
    tab.person.reload_frame()
    tab.says("#shown", f"{tab.name} at /results")


def request_of_a_script(tab: Tab) -> None:
    note = f"{tab.written[-1]}-by-script"
    script = """
      const token = document.cookie.match(/csrftoken=([^;]+)/)?.[1] ?? "none";
      fetch("/groups/", {method: "POST", body: JSON.stringify({name: arguments[0]}), headers: {
        "Content-Type": "application/json", "Accept": "application/json", "X-CSRFToken": token}})
        .then(async reply => done([reply.status, await reply.text()]), done);"""
    status, said = tab.person.run(script, note)
    assert status == 201, said
    assert f"{tab.name} saved {note}" in said


def storage_keeps_notes(tab: Tab) -> None:
    tab.click("a")
    tab.says("#shown", tab.name)
    said = tab.says(tab.app.said, f"{tab.name} saved {tab.written[-1]}")
    assert said.split("\n") == [f"{tab.name} saved {note}" for note in tab.written]


class App(NamedTuple):
    """Where an app shows its user, takes a note, and says who wrote it."""

    name: str
    shown: str = "#shown"
    note: str = "#note"
    save: str = "#save"
    said: str = "#said"
    #: What there is to do before the user is shown, and after the notes are written.
    first: Callable[[Tab], None] = nothing
    then: Callable[[Tab], None] = nothing
    #: Whether people see each other's notes in it.
    is_shared: bool = False
    #: The settings in which ``make test`` drives it.
    usual: tuple[int, ...] = ()


def notes(name: str, **more: object) -> App:
    session = {"then": session_keeps_notes}
    return App(name, "h1", "[name=note]", "#save", "#message", **session | more)  # type: ignore[arg-type]


APPS = [
    notes("flask"),
    notes("django-wsgi"),
    notes("django-asgi"),
    notes("fastapi"),
    App("dash", shown="#message", said="#message"),
    App(
        "drf",
        shown=".navbar .dropdown-toggle",
        note="#post-object-form [name=name], form[method=POST] [name=name]",
        save="form[method=POST] .btn-primary",
        said=".response-info",
        then=request_of_a_script,
        usual=(1,),
    ),
    App("react", then=routes_of_the_spa, usual=(1, WEBKIT)),
    App(
        "channels",
        shown="h1",
        note="#chat-message-input",
        save="#chat-message-submit",
        said="#chat-log",
        first=enter_room,
        is_shared=True,
    ),
    App("htmx-2", then=pages_of_htmx),
    App("htmx-4", then=pages_of_htmx),
    App(
        "nicegui",
        note="input",
        save=".q-btn",
        said=".said",
        then=storage_keeps_notes,
    ),
    App(
        "gradio",
        shown="#shown textarea",
        note="#note textarea",
        save="button#save",
        said="#said textarea",
    ),
    App("streamlit", shown="h1", note="input", save=".stButton button", said=".stMarkdown p"),
    App("panel", note="input", save="button"),
    App("flask-socketio"),
    App("socketio"),
]


def cases() -> list[object]:
    found = []
    twice = [app._replace(name=f"{app.name} x2") for app in APPS if app.name in IN_TWO_WORKERS]
    for app in (*APPS, *twice):
        for number, (kind, profile) in enumerate(SETTINGS):
            if app in twice and number != WEBKIT:
                continue
            marks = [] if number in app.usual else [pytest.mark.exhaustive]
            found.append(
                pytest.param(app, kind, profile, id=f"{app.name}-{kind}-{profile}", marks=marks)
            )
    return found


@pytest.mark.parametrize(("app", "kind", "profile"), cases(), indirect=["kind"])
def test_two_people_use_an_app_at_once(
    app: App, profile: str, browser: GetBrowser, lms: Sites, apps: RunningApps
) -> None:
    apps.url(app.name)
    person = browser(profile)
    tabs = [Tab(person, lms, user, app) for user in USERS]
    for tab in tabs:
        tab.show()
        app.first(tab)
        tab.says(app.shown, tab.name)
    for turn in (1, 2):
        for tab in tabs:
            # The apps live on through all settings.
            tab.write(f"{tab.name[:3]}-{turn}-{person.kind}-{profile}")
    for tab in tabs:
        tab.show()
        app.then(tab)
        tab.is_in_launch()


@pytest.mark.parametrize(
    ("kind", "profile"),
    [pytest.param(*each, id="-".join(each), marks=pytest.mark.exhaustive) for each in SETTINGS],
    indirect=["kind"],
)
def test_datasettes_pages_stay_in_their_launch(
    profile: str, browser: GetBrowser, lms: Sites, apps: RunningApps
) -> None:
    apps.url("datasette")
    person = browser(profile)
    for user in USERS:
        tab = Tab(person, lms, user, App("datasette"))
        tab.says("h1", "notes")
        # Its links are absolute, and its Referrer-Policy is no-referrer.
        tab.click("a[href='/notes/note']")
        tab.says("h1", "note")
        tab.says("table", "Bring a pencil")
        tab.is_in_launch()
        tab.click("a[href='/']")
        tab.says("body", "notes")
        tab.is_in_launch()
