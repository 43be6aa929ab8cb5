"""``python -m tests.peers [starlette] [flask] [falcon]``: see the package."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import NamedTuple

from .expected import EXPECTED, reason

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
FOLDER = ROOT / ".peers"
MODES = ("bare", "wrapped", "prefix", "launch")


class Peer(NamedTuple):
    """Whose suite it is; what pip needs for it, seen from the unpacked source; and which of its
    modules run their apps in other processes, where nothing is wrapped."""

    name: str
    requirements: tuple[str, ...]
    elsewhere: tuple[str, ...] = ()


PEERS = (
    Peer("starlette", ("--group", "dev")),
    # Its tests read what pytest 9.1 no longer has (_pytest.monkeypatch.notset).
    Peer("flask", ("--group", "tests", "pytest<9")),
    Peer(
        "falcon",
        ("-r", "requirements/tests"),
        elsewhere=("tests/asgi/test_asgi_servers.py", "tests/test_wsgi_servers.py"),
    ),
)


def install(peer: Peer) -> tuple[Path, Path]:
    """Install a peer's newest release; its Python, and its unpacked source."""
    folder = FOLDER / peer.name
    python = folder / "venv" / "bin" / "python"
    folder.mkdir(parents=True, exist_ok=True)
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)

    def pip(*words: str | Path, cwd: Path = folder) -> None:
        command = [python, "-m", "pip", "--quiet", "--disable-pip-version-check", *words]
        subprocess.run(command, check=True, cwd=cwd, stdout=subprocess.DEVNULL)

    pip("install", "--upgrade", "pip>=25.1")
    for old in folder.glob("*.tar.gz"):
        old.unlink()
    pip("download", "--no-deps", "--no-binary", peer.name, "--dest", folder, peer.name)
    (archive,) = folder.glob("*.tar.gz")
    source = folder / archive.name.removesuffix(".tar.gz")
    with tarfile.open(archive) as packed:
        packed.extractall(folder, filter="data")
    # The peer itself as everybody has it, from its wheel where there is one.
    version = archive.name.removesuffix(".tar.gz").rpartition("-")[2]
    pip("install", *peer.requirements, f"{peer.name}=={version}", cwd=source)
    pip("install", "--editable", f"{ROOT}[async]", "pytest-timeout")
    return python, source


def run(peer: Peer, python: Path, source: Path, mode: str) -> dict[str, list[str]]:
    """Each test's outcome, and what it said."""
    outcomes = FOLDER / peer.name / f"{mode}.json"
    outcomes.unlink(missing_ok=True)
    env = {
        **os.environ,
        "PEERS_MODE": mode,
        "PEERS_NAME": peer.name,
        "PEERS_OUTCOMES": str(outcomes),
        "PYTHONPATH": str(HERE),
    }
    words = ["-p", "wrapping", "-q", "--tb=short", "--timeout=20", "-p", "no:cacheprovider"]
    # A module that the newest pytest cannot load takes nothing from the others.
    words += ["--continue-on-collection-errors"]
    words += [f"--ignore={module}" for module in peer.elsewhere]
    with (FOLDER / peer.name / f"{mode}.log").open("w") as log:
        command = [python, "-m", "pytest", *words, "tests"]
        subprocess.run(command, cwd=source, env=env, stdout=log, stderr=log, check=False)
    found: dict[str, list[str]] = json.loads(outcomes.read_text())
    if not any(outcome == "passed" for outcome, _ in found.values()):
        sys.exit(f"no test of {peer.name} passed: see {log.name}")
    return found


def differences(
    one: dict[str, list[str]], other: dict[str, list[str]]
) -> dict[str, tuple[list[str], list[str]]]:
    """Tests that no longer pass, with both outcomes."""
    nothing = ["not run", ""]
    found = {test: (one.get(test, nothing), other.get(test, nothing)) for test in {*one, *other}}
    # What passes only with us is no fault: some of Starlette's own tests fail under any prefix.
    return {
        test: outcomes
        for test, outcomes in sorted(found.items())
        if outcomes[0][0] != outcomes[1][0] != "passed"
    }


def compare(peer: Peer) -> bool:
    """Print what differs; whether all of it was expected."""
    python, source = install(peer)
    outcomes = {mode: run(peer, python, source, mode) for mode in MODES}
    print(f"{source.name}: ", end="")
    for mode, of in outcomes.items():
        passed = sum(outcome == "passed" for outcome, _ in of.values())
        print(f"{mode}: {passed} of {len(of)} passed", end=";  " if mode != MODES[-1] else "\n")
    well = True
    for plain, ours in (("bare", "wrapped"), ("prefix", "launch")):
        found = differences(outcomes[plain], outcomes[ours])
        print(f"  {ours}, unlike {plain}: {len(found)}")
        for test, (before, after) in found.items():
            why = reason(EXPECTED, peer.name, ours, test)
            well = well and why is not None
            print(f"    {'expected  ' if why else 'UNEXPECTED'} {test}: {before[0]}, {after[0]}")
            if why or after[1]:
                print(f"      {why or after[1].splitlines()[0]}")
    return well


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    names = [peer.name for peer in PEERS]
    parser.add_argument("names", nargs="*", help=", ".join(names))
    chosen = parser.parse_args().names or names
    well = [compare(peer) for peer in PEERS if peer.name in chosen]
    return 0 if all(well) else 1


if __name__ == "__main__":
    sys.exit(main())
