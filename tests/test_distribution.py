"""What is published: the wheel has the package and nothing else, the source what is tracked."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.servers import ROOT


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel that is built from the source archive, and that archive."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return folder


def tracked(*folders: str) -> set[str]:
    listing = ("ls-files", "-z", "--cached", "--others", "--exclude-standard", *folders)
    command = ["git", "-c", f"safe.directory={ROOT}", *listing]
    found = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    if found.returncode != 0:
        pytest.skip("this is no clone, so that nothing tells what is tracked")
    return {name for name in found.stdout.split("\0") if name and (ROOT / name).is_file()}


def test_the_wheel_holds_every_file_of_the_package_and_no_other(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    metadata = {name for name in names if ".dist-info/" in name}
    assert names - metadata == tracked("ltiaas_middleware")
    assert {name.partition(".dist-info/")[2] for name in metadata} == {
        *("METADATA", "WHEEL", "RECORD", "entry_points.txt", "licenses/LICENSE"),
    }


def test_the_source_holds_what_is_tracked_and_no_other(built: Path) -> None:
    (archive,) = built.glob("*.tar.gz")
    with tarfile.open(archive) as packed:
        names = {name.partition("/")[2] for name in packed.getnames()}
    assert names - tracked() == {"PKG-INFO"}
    assert tracked("ltiaas_middleware", "tests", "examples", "docs") <= names


def test_the_index_takes_them(built: Path) -> None:
    """The description renders, and the wheel has no stray files."""
    files = sorted(map(str, built.iterdir()))
    twine = [sys.executable, "-m", "twine", "check", "--strict", *files]
    contents = [sys.executable, "-m", "check_wheel_contents", *built.glob("*.whl")]
    for command in (twine, contents):
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stdout + done.stderr
