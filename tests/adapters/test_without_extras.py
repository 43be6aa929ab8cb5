"""The middleware needs none of the packages that are extras."""

from __future__ import annotations

import subprocess
import sys

import pytest

BARE = """
import sys
from importlib.abc import MetaPathFinder

class Missing(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {extras!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Missing())
import {module}
from ltiaas_middleware import *
"""
EXTRAS = (
    *("sqlalchemy", "redis", "httpx", "httpx2", "anyio", "psycopg"),
    *("jinja2", "opentelemetry", "sentry_sdk", "typing_extensions", "pytest"),
)


@pytest.mark.parametrize(
    "module",
    [
        "ltiaas_middleware",
        "ltiaas_middleware.wsgi",
        "ltiaas_middleware.asgi",
        "ltiaas_middleware.scrubbing",
        "ltiaas_middleware.commands.main",
    ],
)
def test_imports_with_nothing_but_its_dependencies(module: str) -> None:
    code = BARE.format(module=module, extras=EXTRAS)
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
