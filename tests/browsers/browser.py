"""The browsers, each with a profile of its own, and what the tests do with them."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from selenium.common.exceptions import (
    JavascriptException,
    NoSuchElementException,
    NoSuchFrameException,
    StaleElementReferenceException,
    WebDriverException,
)
from selenium.webdriver import Chrome, ChromeOptions, ChromeService, Remote
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.actions.action_builder import ActionBuilder
from selenium.webdriver.common.actions.mouse_button import MouseButton
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait

from .marionette import MarionetteFirefox
from .webkit import WebKit

__all__ = ["PROGRAMS", "Browser", "Page", "start"]

T = TypeVar("T")

#: What each kind of browser needs; certutil makes it trust the tests' certificate authority.
PROGRAMS = {
    "chromium": ("chromium", "chromedriver", "certutil"),
    "firefox": ("firefox-esr", "certutil"),
    "webkit": ("WebKitWebDriver", "Xvfb"),
}

# Only a failure waits for so long, however busy the machine is.
_WAITS = 60.0
# What a page that is being replaced by the next one answers.
_UNDER_WAY = (
    JavascriptException,
    NoSuchElementException,
    NoSuchFrameException,
    StaleElementReferenceException,
)

_CHROMIUM_FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1100,800",
    # Every name under .test and .localhost is this machine, and there is no other.
    "--host-resolver-rules=MAP *.test 127.0.0.1, MAP *.localhost 127.0.0.1, MAP * ~NOTFOUND, "
    "EXCLUDE 127.0.0.1",
)
_CHROMIUM_PROFILES: dict[str, dict[str, object]] = {
    "usual": {},
    "other": {},
    # "Allow third-party cookies" in the settings, which a new profile does not.
    "third-party-allowed": {"profile.cookie_controls_mode": 2},
    # "Block third-party cookies" in the settings.
    "third-party-blocked": {"profile.cookie_controls_mode": 1},
    # "Block all cookies", as a school's policy does.
    "no-cookies": {"profile.default_content_setting_values.cookies": 2},
}

_FIREFOX_PREFERENCES: dict[str, object] = {
    "network.proxy.type": 0,
    "network.trr.mode": 5,
    "network.dns.localDomains": "lms.school.test,blog.school.test,tool.vendor.test,"
    "www.elsewhere.test",
    "app.normandy.enabled": False,
    "app.update.enabled": False,
    "browser.newtabpage.enabled": False,
    "browser.safebrowsing.malware.enabled": False,
    "browser.safebrowsing.phishing.enabled": False,
    "browser.shell.checkDefaultBrowser": False,
    "browser.startup.page": 0,
    "browser.tabs.warnOnClose": False,
    # JSON is shown as it is, not by a page of Firefox's own.
    "devtools.jsonview.enabled": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "extensions.update.enabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "toolkit.telemetry.enabled": False,
}
_FIREFOX_PROFILES: dict[str, dict[str, object]] = {
    # Total cookie protection, as Firefox comes.
    "usual": {},
    "other": {},
    "third-party-allowed": {
        "browser.contentblocking.category": "custom",
        "network.cookie.cookieBehavior": 0,
    },
    "strict": {"browser.contentblocking.category": "strict"},
    # Total cookie protection, in strict mode too, gives every third party a jar of its own, so
    # that a cookie without Partitioned comes back as well. With this, only one with it does.
    "third-party-blocked": {
        "browser.contentblocking.category": "custom",
        "network.cookie.cookieBehavior": 5,
        "network.cookie.cookieBehavior.optInPartitioning": True,
    },
    # "All cross-site cookies" under "Custom", which refuses partitioned ones as well.
    "third-party-refused": {
        "browser.contentblocking.category": "custom",
        "network.cookie.cookieBehavior": 1,
    },
    "no-cookies": {
        "browser.contentblocking.category": "custom",
        "network.cookie.cookieBehavior": 2,
    },
}


def start(kind: str, profile: str, directory: Path, ca_file: Path) -> Browser:
    """A browser that trusts our certificate authority.

    Args:
        kind: ``chromium``, ``firefox`` or ``webkit``.
        profile: ``usual``, ``other`` (the same, of another person), ``third-party-allowed``,
            ``third-party-blocked``, ``no-cookies``; of Firefox also ``strict`` and
            ``third-party-refused``. WebKit has others: see ``webkit.WebKit``.
        directory: empty, for the profile and the browser's home.
        ca_file: the authority's certificate, PEM.
    """
    if kind == "webkit":
        return Browser(kind, WebKit(profile, directory))
    if kind == "firefox":
        _trust(directory, ca_file)
        preferences = {**_FIREFOX_PREFERENCES, **_FIREFOX_PROFILES[profile]}
        firefox = MarionetteFirefox(shutil.which("firefox-esr") or "", directory, preferences)
        firefox.set_window_size(1100, 800)
        return Browser(kind, firefox)
    _trust(directory / ".pki" / "nssdb", ca_file)
    options = ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    for flag in _CHROMIUM_FLAGS:
        options.add_argument(flag)
    options.add_argument(f"--user-data-dir={directory / 'profile'}")
    options.add_experimental_option("prefs", _CHROMIUM_PROFILES[profile])
    service = ChromeService(
        shutil.which("chromedriver"),
        # Its home, where Chromium looks for the authorities that its user trusts.
        env={**os.environ, "HOME": str(directory), "XDG_DATA_HOME": str(directory / "share")},
    )
    return Browser(kind, Chrome(options=options, service=service))


def _trust(database: Path, ca_file: Path) -> None:
    database.mkdir(parents=True, exist_ok=True)
    where = ["-d", f"sql:{database}"]
    for command in (
        ["-N", *where, "--empty-password"],
        ["-A", *where, "-n", "tests", "-t", "C,,", "-i", str(ca_file)],
    ):
        subprocess.run(["certutil", *command], check=True, capture_output=True)


class Page(NamedTuple):
    """What a person, and a script, can see of a page."""

    heading: str
    text: str
    launch: str | None
    url: str
    referrer: str
    cookies: str


_READ = """return [
  (document.querySelector("h1") || {}).textContent || "",
  document.body.innerText,
  (document.querySelector("#launch") || {}).textContent || null,
  location.href, document.referrer, document.cookie];"""


# For a framework that watches the field (React), the value has to be set as the browser sets it.
_TYPE = """const [field, text] = arguments;
Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, "value").set.call(field, text);
field.dispatchEvent(new Event("input", {bubbles: true}));"""


def type_into(element: WebElement, text: str) -> None:
    """Type a text. Chromium loses keys while a tab that was just shown takes the focus, so the rest
    is typed after that."""
    element.send_keys(text)
    typed = element.get_attribute("value")
    if typed is not None and typed != text and text.startswith(typed):
        element.send_keys(text[len(typed) :])


class Browser:
    """One browser with one profile, shared by tests; each begins with one empty tab."""

    def __init__(self, kind: str, driver: Remote) -> None:
        self.kind = kind
        self.driver = driver
        driver.set_page_load_timeout(_WAITS)

    def tidy(self) -> None:
        """Close all tabs but one, and empty that."""
        first, *others = self.driver.window_handles
        for tab in others:
            self.show(tab)
            self.driver.close()
        self.show(first)
        self.driver.get("about:blank")

    # -- tabs -------------------------------------------------------------------------------------

    def open(self, url: str, *, new_tab: bool = False) -> str:
        """Go to an address as if it were typed. Returns the tab."""
        if new_tab:
            self.driver.switch_to.new_window("tab")
        self.driver.switch_to.default_content()
        self.driver.get(url)
        return str(self.driver.current_window_handle)

    def show(self, tab: str) -> None:
        """Switch to a tab."""
        self.driver.switch_to.window(tab)

    def new_tab_after(self, action: Callable[[], None]) -> str:
        """Do what opens a tab, and switch to it."""
        before = set(self.driver.window_handles)
        action()
        new = self.wait(lambda: set(self.driver.window_handles) - before, "no new tab")
        (tab,) = new
        self.show(tab)
        return tab

    # -- pages ------------------------------------------------------------------------------------

    def page(self, heading: str, *, framed: bool = True) -> Page:
        """Wait for a page by its heading, in the LMS's frame or by itself."""
        last: list[object] = []

        def look() -> Page | None:
            self.enter(framed)
            read = self.driver.execute_script(_READ)
            if read is None:  # Firefox, in between two pages.
                return None
            page = Page(*read)
            last[:] = [page]
            return page if page.heading == heading else None

        return self.wait(look, lambda: f"no page {heading!r}; there is {last}")

    def find(self, css: str, *, framed: bool = True) -> WebElement:
        """Wait for an element."""

        def look() -> WebElement:
            self.enter(framed)
            return self.driver.find_element(By.CSS_SELECTOR, css)

        return self.wait(look, f"no element {css}")

    def click(self, css: str, *, framed: bool = True) -> None:
        """Click on an element."""
        element = self.find(css, framed=framed)
        if self.kind == "webkit" and framed:
            # WebKitWebDriver clicks beside what is in an iframe.
            self.driver.execute_script("arguments[0].click()", element)
        else:
            element.click()

    def type(self, css: str, text: str, *, framed: bool = True) -> None:
        """Type into a field."""
        element = self.find(css, framed=framed)
        if self.kind == "webkit" and framed:
            self.driver.execute_script(_TYPE, element, text)
        else:
            type_into(element, text)

    def text(self, css: str, wanted: str, *, framed: bool = True, timeout: float = _WAITS) -> str:
        """Wait until an element says what it should, and return all that it says."""
        last: list[str] = []

        def look() -> tuple[str] | None:
            self.enter(framed)
            read = "return document.querySelector(arguments[0])?.innerText ?? null"
            said = self.driver.execute_script(read, css)
            last[:] = [str(said)]
            return (str(said),) if said is not None and wanted in said else None

        return self.wait(look, lambda: f"{css} does not say {wanted!r} but {last}", timeout)[0]

    def middle_click(self, css: str, *, framed: bool = True) -> None:
        """Click on a link with the wheel, which opens it in a new tab."""
        builder = ActionBuilder(self.driver)
        pointer = builder.pointer_action
        pointer.move_to(self.find(css, framed=framed))
        pointer.pointer_down(MouseButton.MIDDLE)
        pointer.pointer_up(MouseButton.MIDDLE)
        builder.perform()

    def modified_click(self, css: str, *, framed: bool = True) -> None:
        """Click on a link with the key held down that opens it in a new tab."""
        element = self.find(css, framed=framed)
        ActionChains(self.driver).key_down(Keys.CONTROL).click(element).key_up(
            Keys.CONTROL
        ).perform()

    def link(self, css: str, *, framed: bool = True) -> str:
        """A link's address, as it would be copied."""
        element = self.find(css, framed=framed)
        return str(self.driver.execute_script("return arguments[0].href", element))

    def reload_frame(self) -> None:
        """Reload the frame alone, as its context menu does, and wait until it is another page."""
        self.leave_page("location.reload()")

    def leave_page(self, script: str, *arguments: object, framed: bool = True) -> None:
        """Run a script that replaces its page, and wait for the next page."""
        self.enter(framed)
        self.driver.execute_script(f"window.stale = true; {script}", *arguments)

        def replaced() -> bool:
            self.enter(framed)
            ready = "return !window.stale && document.readyState === 'complete'"
            return bool(self.driver.execute_script(ready))

        self.wait(replaced, f"no page after {script}")

    def run(self, script: str, *arguments: object, framed: bool = True) -> Any:
        """What a script in the page resolves its ``done`` with."""
        self.enter(framed)
        wrapped = f"const done = arguments[arguments.length - 1]; {script}"
        return self.driver.execute_async_script(wrapped, *arguments)

    def back(self) -> None:
        """The back button, which goes back in the frame where that is where the person went."""
        self.driver.switch_to.default_content()
        # Not driver.back(): Marionette's waits for the outer page to load, which it does not.
        self.driver.execute_script("history.back()")

    def enter(self, framed: bool) -> None:
        self.driver.switch_to.default_content()
        if framed:
            self.driver.switch_to.frame(self.driver.find_element(By.ID, "tool-frame"))

    def wait(
        self,
        look: Callable[[], T | None],
        problem: str | Callable[[], str],
        timeout: float = _WAITS,
    ) -> T:
        """Wait until ``look`` returns something."""

        def attempt(_: Remote) -> T | None:
            try:
                return look()
            except _UNDER_WAY:
                return None
            except WebDriverException as error:
                # chromedriver has no code of its own for a frame that is just being replaced.
                if "target frame detached" in str(error) or "discarded" in str(error):
                    return None
                raise

        waiting = WebDriverWait(self.driver, timeout, poll_frequency=0.05)
        try:
            return waiting.until(attempt)  # type: ignore[return-value]
        except WebDriverException as error:
            said = problem if isinstance(problem, str) else problem()
            raise AssertionError(said) from error

    def screenshot(self, path: Path) -> None:
        """Keep a picture of the tab."""
        self.driver.switch_to.default_content()
        path.parent.mkdir(parents=True, exist_ok=True)
        assert self.driver.save_screenshot(str(path))
