"""One session per Python version: `nox`, or `nox -s tests-3.13`.

They run what may differ between versions; browsers, Redis, PostgreSQL and the servers with many
workers are the business of `make test`, on the default version.
"""

from __future__ import annotations

import nox

nox.options.default_venv_backend = "venv"


@nox.session(python=["3.10", "3.11", "3.12", "3.13"])
def tests(session: nox.Session) -> None:
    """The tests of the core, the sandbox and the commands."""
    session.run_install("python", "-m", "pip", "install", "--quiet", "--upgrade", "pip>=25.1")
    session.run_install(
        *("python", "-m", "pip", "install", "--quiet", ".[async,redis,sql]", "--group", "test")
    )
    paths = session.posargs or ["tests/core", "tests/sandbox", "tests/commands"]
    session.run("python", "-m", "pytest", "--numprocesses", "2", "--dist", "loadfile", *paths)
