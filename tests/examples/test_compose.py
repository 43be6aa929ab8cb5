"""``examples/compose.yaml``: that its two containers fit each other (no container runs here)."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml

from ltiaas_middleware import Settings
from ltiaas_middleware.sandbox import DEFAULT_API_KEY

ROOT = Path(__file__).parents[2]


def test_the_tool_reaches_the_sandbox_and_the_browser_reaches_both(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    services = yaml.safe_load((ROOT / "examples/compose.yaml").read_text("utf-8"))["services"]
    sandbox, tool = services["ltiaas"], services["tool"]
    for name, value in tool["environment"].items():
        monkeypatch.setenv(name, value)
    settings = Settings.from_env()
    assert settings.api_key == DEFAULT_API_KEY
    url = urlsplit(settings.url)
    assert (url.hostname, url.port) == (sandbox["hostname"], 8400)
    assert sandbox["ports"] == ["127.0.0.1:8400:8400"]
    opened = re.search(r"--tool (\S+)", sandbox["command"])
    assert opened
    port = urlsplit(opened[1]).port
    assert tool["ports"] == [f"127.0.0.1:{port}:{port}"]
    assert f"--port {port}" in tool["command"]
    app = re.search(r"--app (\S+)", tool["command"])
    assert app
    assert (ROOT / app[1]).is_file()
