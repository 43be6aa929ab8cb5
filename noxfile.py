"""One session for each Python version, and one for the oldest dependencies: `nox`, `nox -s lowest`.

They run the tests of every package of the product. Browsers, frameworks, examples, many-worker
scenarios, counts and slow proofs run in `make test` and `make check`, on the default version.
"""

from __future__ import annotations

import nox

nox.options.default_venv_backend = "venv"
nox.options.sessions = ["tests", "lowest"]

VERSIONS = ["3.11", "3.12", "3.13", "3.14", "3.15"]
EXTRAS = ("async", "redis", "sql", "sandbox")
PROJECT = f".[{','.join(EXTRAS)}]"
ELSEWHERE = (
    "bench",
    "browsers",
    "counters",
    "docs",
    "examples",
    "frameworks",
    "proxies",
    "workers",
)


@nox.session(python=VERSIONS)
def tests(session: nox.Session) -> None:
    """The newest released versions of all dependencies."""
    _run(session)


@nox.session(python=VERSIONS[0])
def lowest(session: nox.Session) -> None:
    """The lowest versions that pyproject.toml allows."""
    session.run_install("python", "-m", "pip", "install", "--quiet", "uv")
    pins = f"{session.create_tmp()}/lowest.txt"
    extras = (word for extra in EXTRAS for word in ("--extra", extra))
    options = ("--resolution", "lowest-direct", "--no-deps", "--quiet", "--output-file", pins)
    session.run_install("uv", "pip", "compile", "pyproject.toml", *extras, *options)
    _run(session, "--constraint", pins)


@nox.session(python=VERSIONS[0])
def newest(session: nox.Session) -> None:
    """Pre-releases of all dependencies: may fail, and tells what is coming."""
    _run(session, "--pre")


def _run(session: nox.Session, *options: str) -> None:
    install = ("python", "-m", "pip", "install", "--quiet")
    session.run_install(*install, "--upgrade", "pip>=25.1")
    session.run_install(*install, PROJECT, "--group", "test", *options)
    paths = session.posargs or ["tests", *(f"--ignore=tests/{name}" for name in ELSEWHERE)]
    quick = ("-m", "not slow and not exhaustive")
    session.run("python", "-m", "pytest", "--numprocesses", "3", *quick, *paths)
