from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from ltiaas_middleware import middleware

from .adapters import Tool
from .upstream import Upstream

API_KEY = "7d1c3f0e-0000-4000-8000-000000000001"


@pytest.fixture
def upstream(monkeypatch: pytest.MonkeyPatch) -> Upstream:
    upstream = Upstream()
    monkeypatch.setattr(middleware, "Api", lambda settings: upstream)
    return upstream


@pytest.fixture(params=["wsgi", "asgi"])
def make_tool(request: pytest.FixtureRequest, upstream: Upstream) -> Iterator[Callable[..., Tool]]:
    """Makes an echoing app behind either adapter, with the upstream of this process."""
    made: list[Tool] = []

    def make(**options: Any) -> Tool:
        app_headers = options.pop("app_headers", [])
        options = {"url": "https://account.ltiaas.example", "api_key": API_KEY} | options
        made.append(Tool(request.param, options, app_headers))
        return made[-1]

    yield make
    for tool in made:
        tool.middleware.close()


@pytest.fixture
def tool(make_tool: Callable[..., Tool]) -> Tool:
    return make_tool()
