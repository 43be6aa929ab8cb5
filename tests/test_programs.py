"""What is missing on a machine is skipped by name there, and an error in CI."""

from __future__ import annotations

import pytest

from tests import programs
from tests.servers import ROOT


@pytest.fixture(autouse=True)
def nothing_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "find", lambda program: None)
    monkeypatch.delenv("CI", raising=False)


def test_a_missing_program_is_skipped_by_name() -> None:
    with pytest.raises(pytest.skip.Exception, match=r"redis-server \(apt-get install redis-server"):
        programs.need("redis-server")


def test_a_missing_program_is_an_error_in_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="chromium, certutil"):
        programs.need("chromium", "certutil")


def test_missing_packages_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    programs._main(install=False)
    said = capsys.readouterr().out
    assert all(package in said for package in programs.PACKAGES.values())


def test_the_end_of_a_run_counts_what_was_not_tested(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Where the package is installed from its wheel, these tests are not on the path.
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    pytester.makepyfile(
        """
        import pytest
        def test_one():
            pytest.skip("missing program: redis-server (apt-get install redis-server)")
        def test_two():
            pytest.skip("missing program: redis-server (apt-get install redis-server)")
        def test_three():
            pytest.skip("another reason")
        """
    )
    done = pytester.runpytest_subprocess("-p", "tests.fixtures.missing", "-p", "no:randomly")
    done.stdout.fnmatch_lines(["*NOT TESTED HERE: 2 tests*", "*2  missing program: redis-server*"])
