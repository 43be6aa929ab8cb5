"""The Django tool's own tests, as its authors run them."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.servers import ROOT

for package in ("allauth", "csp", "whitenoise"):
    pytest.importorskip(package, reason="the dependency group tools is not installed")
PROJECT = ROOT / "tests/tools/survey"


def test_its_own_tests_pass():
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    for command in (["test"], ["makemigrations", "--check", "--dry-run"]):
        done = subprocess.run(
            [sys.executable, "-W", "error", "manage.py", *command],
            cwd=PROJECT,
            env=env,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        if command == ["test"]:
            assert "Ran 16 tests" in done.stderr, done.stderr
