"""Browsers and sites for the tests of this directory."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from selenium.common.exceptions import WebDriverException
from urllib3.exceptions import HTTPError

from tests.programs import need

from .browser import PROGRAMS, Browser, start
from .running_apps import RunningApps, running_apps
from .sites import Certificates, Clock, Sites, serving

ARTIFACTS = Path(__file__).parents[2] / "artifacts" / "browsers"

KINDS = ("chromium", "firefox")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """`make test` runs every other case, in Chromium; `make check` runs the rest."""
    cases: dict[str, list[tuple[str, pytest.Item]]] = {}
    for item in items:
        kind = item.callspec.params.get("kind") if hasattr(item, "callspec") else None
        if kind in KINDS and item.path.parent == Path(__file__).parent:
            cases.setdefault(item.nodeid.replace(kind, "", 1), []).append((kind, item))
    for turn, case in enumerate(sorted(cases)):
        for kind, item in cases[case]:
            if len(cases[case]) > 1 and (turn % 2 or kind != "chromium"):
                item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="session", params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """Which browser."""
    need(*PROGRAMS[request.param])
    return str(request.param)


@pytest.fixture(scope="session")
def running(
    certificates: Certificates, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str, str], Browser]]:
    """Browsers by kind and profile. Starting one takes seconds, so all tests share them."""
    started: dict[tuple[str, str], Browser] = {}

    def get(kind: str, profile: str) -> Browser:
        key = kind, profile
        if key in started:
            try:
                started[key].tidy()
            except (HTTPError, WebDriverException, OSError) as error:
                # ChromeDriver crashes now and then between two tests.
                print(f"{kind} ({profile}) has died and is started anew: {error!r}")
                with contextlib.suppress(HTTPError, WebDriverException, OSError):
                    started[key].driver.quit()
                del started[key]
        if key not in started:
            directory = tmp_path_factory.mktemp(f"{kind}-{profile}")
            started[key] = start(kind, profile, directory, certificates.ca_file)
        return started[key]

    yield get
    for browser in started.values():
        browser.driver.quit()


@pytest.fixture
def browser(kind: str, running: Callable[[str, str], Browser]) -> Callable[[str], Browser]:
    """A browser with one empty tab, by profile (``browser.start``)."""

    def get(profile: str = "usual") -> Browser:
        return running(kind, profile)

    return get


@pytest.fixture(scope="session")
def lms(certificates: Certificates) -> Iterator[Sites]:
    """The LMS and its LTIAAS, for apps in processes of their own."""
    with serving(certificates, Clock(time.time)) as sites:
        yield sites


@pytest.fixture(scope="session")
def apps(lms: Sites, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningApps]:
    """Apps as their frameworks' tutorials make them, started when they are asked for."""
    with running_apps(lms, tmp_path_factory.mktemp("apps")) as apps:
        yield apps
    for name, server in apps.servers.items():
        complaints = re.findall(r".*(?:Traceback|\bltik=(?!\[hidden\])).*", server.output)
        assert not complaints, f"{name}: {server.output}"


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
