"""Programs that tests need and pip cannot bring: found here, or skipped by name.

``python -m tests.programs`` names the Debian packages that are missing on this machine;
``--install`` installs them where that is possible (root, and apt-get).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

#: Program: the Debian package that brings it.
PACKAGES = {
    "WebKitWebDriver": "webkit2gtk-driver",
    "Xvfb": "xvfb",
    "certutil": "libnss3-tools",
    "chromedriver": "chromium-driver",
    "chromium": "chromium",
    "firefox-esr": "firefox-esr",
    "initdb": "postgresql",
    "nginx": "nginx-light",
    "redis-server": "redis-server",
    "varnishd": "varnish",
    "wrk": "wrk",
}
# Debian keeps a server's programs off the PATH.
_ELSEWHERE = ("/usr/lib/postgresql/*/bin", "/usr/sbin", "/usr/local/sbin")


def find(program: str) -> str | None:
    """The path of a program, or None."""
    found = shutil.which(program)
    for pattern in () if found else _ELSEWHERE:
        there = sorted(Path("/").glob(f"{pattern[1:]}/{program}"), reverse=True)
        found = found or (str(there[0]) if there else None)
    return found


def need(*programs: str) -> str:
    """The path of the first program. A test that needs what is missing is skipped by name, and
    fails where ``CI`` is ``true``: there nothing may be missing."""
    found = [find(program) for program in programs]
    missing = [program for program, path in zip(programs, found, strict=True) if path is None]
    if not missing:
        assert found[0] is not None
        return found[0]
    packages = " ".join(PACKAGES.get(program, program) for program in missing)
    why = f"missing program: {', '.join(missing)} (apt-get install {packages})"
    if os.environ.get("CI") == "true":
        pytest.fail(why, pytrace=False)
    pytest.skip(why)


def _main(install: bool) -> None:
    missing = sorted({package for program, package in PACKAGES.items() if find(program) is None})
    if not missing:
        return
    if install and os.geteuid() == 0 and shutil.which("apt-get"):
        print("installing from Debian:", *missing, flush=True)
        quiet = {"env": os.environ | {"DEBIAN_FRONTEND": "noninteractive"}, "check": False}
        subprocess.run(["apt-get", "update", "-qq"], **quiet)  # type: ignore[call-overload]
        command = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing]
        done = subprocess.run(command, stdout=subprocess.DEVNULL, **quiet)  # type: ignore[call-overload]
        if done.returncode == 0:
            return
    print("Tests that need these Debian packages will be skipped:", *missing)
    print("    sudo apt-get install", *missing, flush=True)


if __name__ == "__main__":
    _main("--install" in sys.argv[1:])
