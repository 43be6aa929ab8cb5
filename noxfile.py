"""One session per Python version: `nox`, or `nox -s tests-3.13`.

They run every room of the package. The browsers, the matrix of frameworks, the examples and the
scenarios with many workers run in `make test`, on the default version.
"""

from __future__ import annotations

import nox

nox.options.default_venv_backend = "venv"

ELSEWHERE = ("bench", "browsers", "docs", "examples", "frameworks", "proxies", "workers")


@nox.session(python=["3.10", "3.11", "3.12", "3.13"])
def tests(session: nox.Session) -> None:
    """The tests of the package's rooms."""
    session.run_install("python", "-m", "pip", "install", "--quiet", "--upgrade", "pip>=25.1")
    session.run_install(
        *("python", "-m", "pip", "install", "--quiet", ".[async,redis,sql]", "--group", "test")
    )
    paths = session.posargs or ["tests", *(f"--ignore=tests/{room}" for room in ELSEWHERE)]
    session.run("python", "-m", "pytest", "--numprocesses", "2", "--dist", "loadfile", *paths)
