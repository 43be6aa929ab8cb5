"""The command line itself."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import requests

from ltiaas_middleware import __version__
from ltiaas_middleware.__main__ import main
from ltiaas_middleware.sandbox import DEFAULT_API_KEY

from .test_demo import command, taken_port


def told(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    """(exit status, output, errors) of a command."""
    try:
        status = main(arguments)
    except SystemExit as error:
        status = int(error.code or 0)
    seen = capsys.readouterr()
    return status, seen.out, seen.err


def test_help_and_version(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = told(["--help"], capsys)
    assert status == 0
    for word in ("demo", "sandbox", "doctor", "examples:"):
        assert word in out
    assert told(["--version"], capsys) == (0, f"ltiaas-middleware {__version__}\n", "")
    for name in ("demo", "sandbox", "doctor"):
        status, out, _ = told([name, "--help"], capsys)
        assert status == 0
        assert f"python -m ltiaas_middleware {name}" in out.partition("examples:")[2]


def test_without_arguments_it_prints_its_help(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = told([], capsys)
    assert (status, err) == (0, "")
    assert "service-keys" in out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["dome"], "unknown command 'dome'; did you mean demo?"),
        (["service_key"], "did you mean service-keys?"),
        (["xyzzy"], "valid commands: demo, sandbox, doctor, service-keys"),
        (["demo", "--port", "http"], "'http' is not a port"),
        (["demo", "--port", "65536"], "'65536' is not a port"),
        (["demo", "--fault", "sulk"], "unknown fault 'sulk'"),
        (["demo", "--check", "--fault", "delay:now"], "is not option=value"),
        (["sandbox"], "required: --tool"),
        (["sandbox", "--tool", "ftp://x"], "--tool"),
        (["sandbox", "--tool", "http://x/", "--preset", "sakai"], "unknown preset 'sakai'"),
        (["sandbox", "--world", "nowhere.toml"], "nowhere.toml: No such file or directory"),
        (["sandbox", "--tool", "http://127.0.0.1:1/", "--api-key", "a b"], "api_key"),
        (["doctor", "--api-key", "x"], "does not accept --api-key x"),
        (["doctor", "--guard", "/staff"], "--guard requires --tool"),
    ],
)
def test_what_makes_no_sense_is_told_with_usage_and_exit_2(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    status, _, err = told(arguments, capsys)
    assert status == 2
    assert err.startswith("usage: python -m ltiaas_middleware")
    assert words in err or words == "--tool"
    assert re.search(r"\nNext: python -m ltiaas_middleware[a-z -]* --help\n$", err)


def test_the_sandbox_begins_with_its_faults() -> None:
    arguments = ["--tool", "http://127.0.0.1:1/", "--port", "0", "--api-key", "k-1", "--fault"]
    with command("sandbox", *arguments, "status:status=418") as server:
        printed = server.wait_for_output("export LTIAAS_API_KEY=k-1")
        found = re.search(r"export LTIAAS_URL=(\S+)", printed)
        assert found is not None
        assert requests.get(f"{found[1]}/api/idtoken", timeout=10).status_code == 418


def test_the_sandbox_reads_worlds_and_writes_variables(tmp_path: Path) -> None:
    world, env_file = tmp_path / "school.toml", tmp_path / ".env"
    world.write_text(
        '[settings]\ntool = "http://127.0.0.1:1/launch"\n[platforms.west]\npreset = "canvas"\n'
        '[[courses]]\nid = "geo"\nlabel = "G"\ntitle = "Geo"\n'
        'activities = [{id = "maps", title = "Maps"}]\nmembers = {kim = "teacher"}\n'
    )
    arguments = ["--world", str(world), "--env-file", str(env_file), "--port", "0"]
    with command("sandbox", *arguments) as server:
        printed = server.wait_for_output("export LTIAAS_API_KEY=")
        found = re.search(r"export LTIAAS_URL=(\S+)", printed)
        assert found is not None
        assert f"LTIAAS_URL={found[1]}\n" in env_file.read_text("utf-8")
        made = requests.post(f"{found[1]}/sandbox/launches", timeout=10).json()
        headers = {"Authorization": f"LTIK-AUTH-V2 {DEFAULT_API_KEY}:{made['ltik']}"}
        token = requests.get(f"{found[1]}/api/idtoken", headers=headers, timeout=10).json()
        assert token["platform"]["productFamilyCode"] == "canvas"
        assert token["launch"]["resourceLink"]["id"] == "maps"


def test_a_taken_port_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    with taken_port() as port:
        arguments = ["sandbox", "--tool", "http://127.0.0.1:1/", "--port", str(port)]
        assert told(arguments, capsys) == (
            1,
            "",
            f"Cannot listen on 127.0.0.1:{port}: Address already in use.\n"
            "Next: choose another with --port\n",
        )
        for option, other in (("--port", "--tool-port"), ("--tool-port", "--port")):
            assert told(["demo", option, str(port), other, "0"], capsys) == (
                1,
                "",
                "Cannot listen: Address already in use.\n"
                "Next: choose another with --port or --tool-port\n",
            )


def test_the_commands_end_as_their_work_does(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from ltiaas_middleware.commands.demo import run

    assert told(["demo", "--check"], capsys)[0] == 0
    assert told(["demo", "--check", "--fault", "refuse"], capsys)[0] == 1
    monkeypatch.setattr(run, "run", lambda *_, **__: None)
    assert told(["demo"], capsys) == (0, "", "")
    monkeypatch.setattr("ltiaas_middleware.sandbox.serve", lambda *_, **__: None)
    assert told(["sandbox", "--tool", "http://127.0.0.1:1/"], capsys) == (0, "", "")


def test_an_interruption_before_it_began_is_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("ltiaas_middleware.commands.demo.run.run", interrupted)
    assert main(["demo"]) == 130


def test_a_reader_that_leaves_is_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-m", "ltiaas_middleware", "doctor"],
        stdout=write,
        stderr=subprocess.PIPE,
        text=True,
        timeout=30,
        check=False,
    )
    os.close(write)
    assert (done.returncode, done.stderr) == (1, "")

    class Closed(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

        def fileno(self) -> int:
            return spare

    spare = os.open(os.devnull, os.O_WRONLY)
    monkeypatch.setattr(sys, "stdout", Closed())
    assert main(["doctor"]) == 1
    os.close(spare)
