"""The browsers of ``tests/browsers``, for tools in processes of their own."""

from __future__ import annotations

import pytest

from tests.browsers.conftest import browser, certificates, running  # noqa: F401
from tests.programs import need

from ..browsers.browser import PROGRAMS


@pytest.fixture(
    scope="session", params=["chromium", pytest.param("firefox", marks=pytest.mark.exhaustive)]
)
def kind(request: pytest.FixtureRequest) -> str:
    """Which browser."""
    need(*PROGRAMS[request.param])
    return str(request.param)
