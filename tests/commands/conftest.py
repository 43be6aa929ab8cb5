from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from ltiaas_middleware.commands.demo.run import Demo, serve_demo


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a command reads from the environment, or writes into it, stays in its own test."""
    for name in list(os.environ):
        if name.startswith("LTIAAS_") or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
    monkeypatch.delenv("CURL_CA_BUNDLE", raising=False)
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "")


@pytest.fixture
def demo() -> Iterator[Demo]:
    """The sandbox and the demo tool, on free ports."""
    with serve_demo(0, 0) as running:
        yield running
