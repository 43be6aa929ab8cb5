"""Modules that run in a process of their own each, which is forked from one that has imported what
takes them longest."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from tests.servers import ROOT

# The end of an interpreter takes longer than most of these modules, so none is awaited.
_RUN = """
import gc, os, sys, types
exec(sys.argv[1])
gc.freeze()
for name in sys.argv[2:]:
    if child := os.fork():
        print(name, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
        continue
    output = os.open(f"{name}.log", os.O_CREAT | os.O_WRONLY)
    os.dup2(output, 1)
    os.dup2(output, 2)
    module = sys.modules[name] = types.ModuleType(name)
    module.__file__ = os.path.abspath(f"{name}.py")
    os.mkdir(f"{name}.folder")
    os.chdir(f"{name}.folder")
    # Not an import: while that goes on, no other thread may import the module.
    with open(module.__file__) as file:
        code = compile(file.read(), module.__file__, "exec")
    exec(code, vars(module))
    sys.stdout.flush()
    os._exit(0)
"""


class Done(NamedTuple):
    """How a process ended, and what it printed, to either stream."""

    returncode: int
    printed: str


def run(
    modules: Mapping[str, str],
    folder: Path,
    env: Mapping[str, str],
    first: str,
    options: tuple[str, ...] = (),
) -> dict[str, Done]:
    """Run each module in an empty folder.

    Args:
        modules: their code, by name.
        folder: where they are written.
        env: environment variables, besides this process's own, of which none are the middleware's.
        first: the imports that they share.
        options: the interpreter's.
    """
    for name, code in modules.items():
        (folder / f"{name}.py").write_text(code)
    others = {name: value for name, value in os.environ.items() if not name.startswith("LTIAAS_")}
    done = subprocess.run(
        [sys.executable, *options, "-c", _RUN, first, *modules],
        cwd=folder,
        env={**others, **env, "PYTHONPATH": f"{folder}:{ROOT}"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return {
        name: Done(int(code), (folder / f"{name}.log").read_text())
        for name, code in (line.split() for line in done.stdout.splitlines())
    }
