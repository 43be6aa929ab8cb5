"""The sandbox in the foreground: what it prints, writes, warns of and logs."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import requests

from ltiaas_middleware.sandbox import Sandbox, SandboxServer, serve
from ltiaas_middleware.sandbox.serving import write_env_file

ROOT = Path(__file__).parents[2]
SERVE = """
from ltiaas_middleware.sandbox import Sandbox, serve
serve(Sandbox(tool="{tool}", api_key="the key's".replace(" ", "-")), faults=["refuse:times=1"])
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_prints_what_a_shell_takes_and_ends_quietly(number: signal.Signals) -> None:
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    with socket.create_server(("127.0.0.1", 0)) as tool:
        code = SERVE.format(tool=f"http://127.0.0.1:{tool.getsockname()[1]}/")
        command = [sys.executable, "-c", code]
        with subprocess.Popen(
            command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout
            assert process.stderr
            exports = "".join(process.stdout.readline() for _ in range(2))
            shell = 'eval "$1"; printf "%s\\n" "$LTIAAS_URL" "$LTIAAS_API_KEY"'
            told = subprocess.run(
                ["sh", "-c", shell, "sh", exports], capture_output=True, text=True, check=True
            )
            origin, key = told.stdout.splitlines()
            assert key == "the-key's"
            # The LMS has a name of its own, so that it frames a tool on 127.0.0.1 across sites.
            lms = f"lms.localhost:{origin.rpartition(':')[2]}"
            assert requests.get(origin, headers={"Host": lms}, timeout=5).status_code == 200
            ltik = requests.post(f"{origin}/sandbox/launches", timeout=5).json()["ltik"]
            headers = {"Authorization": f"LTIK-AUTH-V2 {key}:{ltik}"}
            statuses = [
                requests.get(f"{origin}/api/idtoken", headers=headers, timeout=5).status_code
                for _ in range(2)
            ]
            assert statuses == [401, 200]
            process.send_signal(number)
            assert process.wait(5) == 0
            assert process.stdout.read() == ""
            opened, launch, *calls = process.stderr.read().splitlines()
    assert opened == f"The sandbox's LMS: http://{lms}/"
    assert "launch " in launch
    assert "ada (Instructor, Faculty), quiz-1 in biology" in launch
    digest = launch.split("launch ")[1].split(":")[0]
    assert [call.split(" ", 1)[1] for call in calls] == [
        f"GET /api/idtoken 401, LTIK-AUTH-V2 {digest} (refuse)",
        f"GET /api/idtoken 200, LTIK-AUTH-V2 {digest}",
    ]


def test_it_warns_if_no_tool_listens_and_gives_the_signals_back(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    before = signal.getsignal(signal.SIGTERM)
    seen = []

    def ready(server: SandboxServer) -> None:
        seen.append(requests.get(server.url, timeout=5).status_code)
        signal.raise_signal(signal.SIGTERM)

    with socket.create_server(("127.0.0.1", 0)) as closed:
        tool = f"http://127.0.0.1:{closed.getsockname()[1]}/launch"
    env_file = tmp_path / ".env"
    serve(Sandbox(tool=tool), env_file=str(env_file), ready=ready)
    assert seen == [200]
    assert signal.getsignal(signal.SIGTERM) is before
    out, err = capsys.readouterr()
    assert "export LTIAAS_API_KEY=" in out
    assert f"Warning: nothing is listening at {tool}." in err
    assert f"Wrote LTIAAS_URL and LTIAAS_API_KEY to {env_file}." in err
    assert "LTIAAS_URL=http://127.0.0.1:" in env_file.read_text("utf-8")


def test_it_says_that_a_name_does_not_resolve(capsys: pytest.CaptureFixture[str]) -> None:
    def ready(server: SandboxServer) -> None:
        signal.raise_signal(signal.SIGTERM)

    serve(Sandbox(tool="http://tool.invalid/launch"), ready=ready)
    assert "Warning: this machine cannot resolve tool.invalid." in capsys.readouterr().err


def test_other_lines_of_an_env_file_stay(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_text("DEBUG=1\nexport LTIAAS_URL=old\nLTIAAS_URL_2=x\n# end", "utf-8")
    for url in ("http://a", "http://b"):
        write_env_file(path, {"LTIAAS_URL": url, "LTIAAS_API_KEY": "k"})
    assert path.read_text("utf-8").splitlines() == [
        "DEBUG=1", "LTIAAS_URL_2=x", "# end", "LTIAAS_URL=http://b", "LTIAAS_API_KEY=k",
    ]  # fmt: skip


@pytest.mark.parametrize("fault", ["sulk", "delay:now"])
def test_a_fault_that_does_not_exist_is_an_error_before_it_listens(fault: str) -> None:
    with pytest.raises(ValueError, match=r"unknown fault|is not option=value"):
        serve(Sandbox(), faults=[fault])
