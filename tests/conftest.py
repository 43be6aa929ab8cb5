"""Fixtures that tests of more than one room use, each kind in a module of its own."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from pathlib import Path

import pytest

# Where middlewares share launches by default: not with those of another run. pytest's own folders
# stay where they are, because the path of a socket must be short.
os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", tempfile.gettempdir())
_HOST = os.environ["TMPDIR"] = tempfile.mkdtemp(prefix="lt-")
# The PostgreSQL of the tests runs as another user.
os.chmod(_HOST, 0o755)

# On a busy machine LTIAAS takes longer than users should wait without a page. Of the tools in
# processes of their own, too.
os.environ["LTIAAS_WAITING_PAGE_AFTER"] = "60"

# Shells start background jobs with SIGINT ignored, and child processes inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

pytest_plugins = [
    "pytester",
    "ltiaas_middleware.pytest_plugin",
    "tests.fixtures.accounts",
    "tests.fixtures.databases",
    "tests.fixtures.figures",
    "tests.fixtures.isolation",
    "tests.fixtures.missing",
    "tests.fixtures.redis",
    "tests.fixtures.scheduling",
    "tests.fixtures.tools",
    "tests.fixtures.workers",
]

# What `make check` runs, many processes under load, and what runs on request, measurements.
_MARKS = {"workers": pytest.mark.slow, "bench": pytest.mark.exhaustive}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    root = Path(__file__).parent
    for item in items:
        mark = _MARKS.get(item.path.relative_to(root).parts[0])
        if mark is not None:
            item.add_marker(mark)


def pytest_unconfigure() -> None:
    shutil.rmtree(_HOST, ignore_errors=True)
