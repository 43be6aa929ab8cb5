"""The pytest plugin, as a tool's own test suite uses it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
SUITE = """
import sys
import pytest
import requests

def test_nothing_is_imported_for_those_who_do_not_ask():
    assert not [name for name in sys.modules if "ltiaas_middleware.sandbox" in name]

def launch(ltiaas_sandbox):
    ltik = ltiaas_sandbox.sandbox.issue()
    header = f"LTIK-AUTH-V2 {ltiaas_sandbox.api_key}:{ltik}"
    return requests.get(
        ltiaas_sandbox.url + "/api/idtoken", headers={"Authorization": header}, timeout=5
    )

def test_a_launch(ltiaas_sandbox):
    ltiaas_sandbox.sandbox.fault("refuse", times=2)
    assert launch(ltiaas_sandbox).status_code == 401
    assert ltiaas_sandbox.server.url == ltiaas_sandbox.url

URLS = set()

@pytest.mark.parametrize("turn", [1, 2])
def test_the_url_stays_and_what_a_test_did_does_not(ltiaas_sandbox, turn):
    URLS.add(ltiaas_sandbox.url)
    assert len(URLS) == 1
    assert launch(ltiaas_sandbox).status_code == 200
    ltiaas_sandbox.sandbox.fault("refuse")

def test_each_test_has_its_own(ltiaas_sandbox):
    sandbox, server = ltiaas_sandbox
    assert launch(ltiaas_sandbox).json()["user"]["id"] == "ada"
    assert sandbox.api_log.count("/api/idtoken") == 1
"""


def test_the_fixture_serves_a_fresh_sandbox_to_each_test(tmp_path: Path) -> None:
    (tmp_path / "test_tool.py").write_text(SUITE)
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    environ.pop("PYTEST_ADDOPTS", None)
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider",
         "-p", "ltiaas_middleware.pytest_plugin", str(tmp_path)],
        cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert "5 passed" in run.stdout, run.stdout + run.stderr
