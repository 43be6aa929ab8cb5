"""``make screenshots``: the pictures of README and the site, in docs/img.

Each is taken in Chromium, light and dark, at 1280 by 800 CSS pixels. ``python -m tests.screenshots
FOLDER 380 demo faults`` takes some of them elsewhere and at another width, to look at.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from selenium.webdriver import Chrome, ChromeOptions, ChromeService
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait
from werkzeug import Response

from ltiaas_middleware.commands.demo.run import Demo, serve_demo
from tests.commands.scripted import serving

FOLDER = Path(__file__).parents[1] / "docs" / "img"
QUIZ = "/lms/frame?course=biology&activity=quiz-1&user=chen"
Shot = Callable[["Browser", Demo], None]


class Browser:
    """Chromium with a window of a certain width."""

    def __init__(self, chrome: Chrome, width: int) -> None:
        self.chrome = chrome
        size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": False}
        chrome.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)

    def show(self, demo: Demo, path: str, heading: str | None = None) -> None:
        """Open a page of the LMS, and wait until its iframe, if it has one, has that heading."""
        self.chrome.get(demo.server.lms_url + path)
        if heading is not None:
            self.in_iframe(lambda: self.chrome.find_element(By.XPATH, f"//h1[. = {heading!r}]"))

    def in_iframe(self, act: Callable[[], object]) -> None:
        """Do something in the iframe, as soon as it can be done."""
        self.chrome.switch_to.frame(self.chrome.find_element(By.TAG_NAME, "iframe"))
        WebDriverWait(self.chrome, 20, ignored_exceptions=[Exception]).until(lambda _: act())
        self.chrome.switch_to.default_content()

    def hand_in(self, score: int) -> None:
        """Submit a score in the demo tool."""
        find = self.chrome.find_element

        def submit() -> bool:
            find(By.ID, "score").send_keys(str(score))
            find(By.CSS_SELECTOR, "form button").click()
            return True

        self.in_iframe(submit)
        self.in_iframe(lambda: find(By.CSS_SELECTOR, ".notice.good"))


def gradebook(browser: Browser, demo: Demo) -> None:
    for user, score in (("chen", 80), ("ben", 65)):
        browser.show(demo, QUIZ.replace("chen", user), "Quiz 1: The cell")
        browser.hand_in(score)
    browser.show(demo, "/lms/gradebook?course=biology")


def faults(browser: Browser, demo: Demo) -> None:
    demo.sandbox.fault("delay", seconds=3.0, endpoint="/api/idtoken")
    browser.show(demo, "/lms/faults")


def api_log(browser: Browser, demo: Demo) -> None:
    demo.sandbox.fault("status", status=502, endpoint="/api/lineitems", times=1)
    browser.show(demo, QUIZ, "Quiz 1: The cell")
    browser.show(demo, "/lms/api-log")


def waiting(browser: Browser, demo: Demo) -> None:
    # Until the server ends: longer than the picture takes.
    demo.sandbox.fault("delay", seconds=60.0, endpoint="/api/idtoken")
    browser.show(demo, QUIZ, "Opening your activity…")


def ended(browser: Browser, demo: Demo) -> None:
    demo.sandbox.fault("refuse", endpoint="/api/idtoken")
    browser.show(demo, QUIZ, "Your session has ended")


def blank(browser: Browser, demo: Demo) -> None:
    with serving(Response("", headers={"X-Frame-Options": "DENY"})) as origin:
        demo.sandbox.tool = f"{origin}/launch"
        browser.show(demo, QUIZ)
        browser.in_iframe(lambda: browser.chrome.find_element(By.ID, "main-frame-error"))


def picker(browser: Browser, demo: Demo) -> None:
    browser.show(demo, "/lms/frame?course=biology&user=ada&deep_linking=1", "Choose content")


SHOTS: dict[str, Shot] = {
    "demo": lambda browser, demo: browser.show(demo, QUIZ, "Quiz 1: The cell"),
    "lms-course": lambda browser, demo: browser.show(demo, "/?course=biology"),
    "gradebook": gradebook,
    "faults": faults,
    "api-log": api_log,
    "waiting-page": waiting,
    "session-ended": ended,
    "registration": lambda browser, demo: browser.show(demo, "/lms/registration"),
    "blank-iframe": blank,
    "deep-linking": picker,
}


def main(folder: str = str(FOLDER), width: str = "1280", *names: str) -> int:
    """Take them all, or those."""
    for scheme, number in (("light", 1), ("dark", 0)):
        options = ChromeOptions()
        for flag in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
            options.add_argument(flag)
        options.add_argument("--host-resolver-rules=MAP *.localhost 127.0.0.1")
        # Emulated media do not reach an iframe of another site.
        options.add_argument(f"--blink-settings=preferredColorScheme={number}")
        with Chrome(options, ChromeService(shutil.which("chromedriver"))) as chrome:
            for name in names or SHOTS:
                with serve_demo(0, 0) as demo:
                    SHOTS[name](Browser(chrome, int(width)), demo)
                    chrome.save_screenshot(str(Path(folder, f"{name}-{scheme}.png")))
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
