"""The first command of each page works in an empty folder, with the wheel alone."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.servers import ROOT

from .test_snippets import PAGES, SNIPPETS

pytestmark = pytest.mark.slow
_COMMAND = re.compile(r"^ *\$ (.+?)(?: +#.*)?$", re.MULTILINE)
_PUBLISHED = re.compile(r"ltiaas-middleware(\[\w+\])? @ git\+https://[\w./-]+")
FIRST = {
    str(page.relative_to(ROOT)): found[1]
    for page in (*PAGES, ROOT / "examples" / "README.md")
    if (found := _COMMAND.search(page.read_text()))
}
# What a command that goes on until it is stopped prints once it works, and how it gets a free port.
_SERVERS = {
    "sandbox": ("LMS: http", "--port 0"),
    "gunicorn": ("Booting worker", "--bind 127.0.0.1:0"),
    "uvicorn": ("Uvicorn running", "--port 0"),
}
# An example's host does not exist, so its check fails.
_FAILS = {
    "docs/howto/monitor.md": '"code": "ltiaas-unreachable"',
    "docs/reference/doctor.md": "nothing is listening",
}


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a virtual environment, the wheel, and the tutorial's tool."""
    folder = tmp_path_factory.mktemp("machine")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder)]
    subprocess.run([*build, str(ROOT)], check=True, capture_output=True)
    subprocess.run([sys.executable, "-m", "venv", str(folder / "venv")], check=True)
    (wheel,) = folder.glob("*.whl")
    pip = [str(folder / "venv" / "bin" / "pip"), "install", "--quiet"]
    packages = [f"{wheel}[sandbox]", "flask", "fastapi", "gunicorn", "uvicorn", "django"]
    subprocess.run([*pip, *packages], check=True, capture_output=True)
    return folder


@pytest.mark.parametrize("page", FIRST)
def test_it_works(page: str, machine: Path, tmp_path: Path) -> None:
    (wheel,) = machine.glob("*.whl")
    command = _PUBLISHED.sub(lambda found: f"{wheel}{found[1] or ''}", FIRST[page])
    snippets = {snippet.name: snippet.code for snippet in SNIPPETS}
    framework = 2 if "uvicorn" in command else 1
    (tmp_path / "tool.py").write_text(snippets[f"docs_tutorial_first_launch_{framework}"])
    server = next((value for name, value in _SERVERS.items() if f"{name} " in command), None)
    if server is not None:
        command = f"{command} {server[1]}"
    env = {"PATH": f"{machine}/venv/bin:{os.defpath}", "HOME": str(tmp_path)}
    env |= {
        "LTIAAS_URL": "http://127.0.0.1:9",
        "LTIAAS_API_KEY": "a" * 36,
        "LTIAAS_CACHE": "memory",
    }
    with subprocess.Popen(
        # The last command takes the shell's place, and so gets the signal.
        re.sub(r"^(.* && )?(?=\S+ .*--(port|bind))", r"\1exec ", command),
        shell=True,
        cwd=tmp_path,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as running:
        assert running.stdout is not None
        printed = ""
        for line in running.stdout:
            printed += line
            if server is not None and server[0] in line:
                running.send_signal(signal.SIGINT)
                server = None
    assert server is None, printed
    if page in _FAILS:
        assert running.returncode == 1, printed
        assert _FAILS[page] in printed
    else:
        assert running.returncode in (0, -signal.SIGINT), printed
