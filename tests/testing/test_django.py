"""``testing_django.DjangoClient`` in a project's own test suite."""

from __future__ import annotations

import os
import subprocess
import sys

from tests.servers import ROOT

RUN = """
import tests.testing.django_suite
from django.test.runner import DiscoverRunner
raise SystemExit(DiscoverRunner(verbosity=1).run_tests(["tests.testing.django_suite"]))
"""


def test_it_goes_through_the_projects_middleware():
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", RUN],
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Ran 8 tests" in done.stderr
