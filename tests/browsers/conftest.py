"""Browsers and sites for the tests of this directory."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from selenium.common.exceptions import WebDriverException
from urllib3.exceptions import HTTPError

from tests.programs import need

from .browser import PROGRAMS, Browser, start
from .sites import Certificates, Clock, Sites, serving

ARTIFACTS = Path(__file__).parents[2] / "artifacts" / "browsers"


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="session", params=["chromium", "firefox"])
def kind(request: pytest.FixtureRequest) -> str:
    """Which browser."""
    need(*PROGRAMS[request.param])
    return str(request.param)


@pytest.fixture(scope="session")
def running(
    kind: str, certificates: Certificates, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str], Browser]]:
    """Browsers by profile: starting one takes seconds, so that tests share them."""
    started: dict[str, Browser] = {}

    def get(profile: str) -> Browser:
        if profile in started:
            try:
                started[profile].tidy()
            except (HTTPError, WebDriverException, OSError) as error:
                # ChromeDriver crashes now and then between two tests.
                print(f"{kind} ({profile}) has died and is started anew: {error!r}")
                with contextlib.suppress(HTTPError, WebDriverException, OSError):
                    started[profile].driver.quit()
                del started[profile]
        if profile not in started:
            directory = tmp_path_factory.mktemp(f"{kind}-{profile}")
            started[profile] = start(kind, profile, directory, certificates.ca_file)
        return started[profile]

    yield get
    for browser in started.values():
        browser.driver.quit()


@pytest.fixture
def browser(running: Callable[[str], Browser]) -> Callable[[str], Browser]:
    """A browser with one empty tab, by profile (``browser.start``)."""

    def get(profile: str = "usual") -> Browser:
        return running(profile)

    return get


@pytest.fixture
def sites(certificates: Certificates) -> Iterator[Sites]:
    """The LMS, the tool and somebody else's site."""
    with serving(certificates, Clock(time.time)) as sites:
        yield sites


@pytest.fixture
def picture(kind: str) -> Callable[[Browser, str], None]:
    """Keeps a screenshot under ``artifacts/``, for a person to look at."""

    def take(browser: Browser, name: str) -> None:
        browser.screenshot(ARTIFACTS / f"{name}-{kind}.png")

    return take
