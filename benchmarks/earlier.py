"""Row 11: the processor time of a worker for a new launch, beside an earlier state of the package.

Both are run in one go, each by a server of its own, with the tools of today. The earlier state
comes from the repository's history; without it the row says so.
"""

from __future__ import annotations

import contextlib
import io
import shutil
import subprocess
import tarfile
import tempfile

from tests import redis_server, servers

from . import launches, ltiaas, over_sockets
from .processor_time import Browser, processor_seconds, workers
from .report import Line

#: The package before frames, rate limits and many workers were looked at.
_EARLIER = "471bb02"
_WARM_UP = 30


def row(short: bool) -> list[Line]:
    """Row 11."""
    rounds, count = (1, 20) if short else (10, 60)
    lines = []
    with tempfile.TemporaryDirectory() as folder:
        if not _unpacked(folder):
            return [Line(11, f"a new launch: commit {_EARLIER} is not in this clone", "not run")]
        for server in ("uvicorn", "gunicorn"):
            for with_redis in (False, True):
                if with_redis and shutil.which("redis-server") is None:
                    continue
                took = _milliseconds(server, folder, rounds, count, with_redis=with_redis)
                today, earlier = took["today"], took["earlier"]
                where = "in Redis" if with_redis else "in memory"
                what = f"{server}, processor time of a new launch {where} / at {_EARLIER}"
                figure = f"{today:.2f} ms of {earlier:.2f} ms, both requests"
                lines.append(Line(11, what, figure, today / earlier, 0.6))
    return lines


def _unpacked(folder: str) -> bool:
    try:
        archive = subprocess.run(
            ["git", "archive", _EARLIER, "ltiaas_middleware"],
            cwd=servers.ROOT,
            capture_output=True,
            check=True,
        ).stdout
    except (OSError, subprocess.CalledProcessError):
        return False
    with tarfile.open(fileobj=io.BytesIO(archive)) as files:
        files.extractall(folder, filter="data")
    return True


def _milliseconds(
    server: str, folder: str, rounds: int, count: int, *, with_redis: bool
) -> dict[str, float]:
    """Of a worker's processor, for each launch."""
    total = {"today": 0.0, "earlier": 0.0}
    with contextlib.ExitStack() as stack:
        url = stack.enter_context(ltiaas.running(0, 0, 0))
        browsers, pids = {}, {}
        for name, package in (("today", str(servers.ROOT)), ("earlier", folder)):
            env = {"LTIAAS_URL": url, "LTIAAS_API_KEY": launches.LTIAAS["api_key"]}
            if with_redis:
                # One each: they do not read each other's entries.
                env["LTIAAS_CACHE"] = stack.enter_context(redis_server.running()).url
            port = stack.enter_context(_started(server, env, package)).port
            browsers[name] = stack.enter_context(contextlib.closing(Browser(port)))
            pids[name] = workers(port)
            for _ in range(_WARM_UP):
                browsers[name].launch(launches.ltik())
        for _ in range(rounds):
            for name, browser in browsers.items():
                ltiks = [launches.ltik() for _ in range(count)]
                before = processor_seconds(pids[name])
                for ltik in ltiks:
                    browser.launch(ltik)
                total[name] += processor_seconds(pids[name]) - before
    return {name: 1e3 * seconds / rounds / count for name, seconds in total.items()}


def _started(
    server: str, env: dict[str, str], package: str
) -> contextlib.AbstractContextManager[servers.Server]:
    env = {
        **env,
        "PYTHONPATH": f"{package}:{servers.ROOT}",
        # The folder that Python is started in does not come before.
        "PYTHONSAFEPATH": "1",
        "BENCHMARKS_PACKAGE": package,
    }
    command = over_sockets.gunicorn if server == "gunicorn" else over_sockets.uvicorn
    kind = "wsgi" if server == "gunicorn" else "asgi"
    # uvicorn puts this folder, or else the one it was started in, before all others.
    options = [] if server == "gunicorn" else ["--app-dir", package]
    made = command(f"tools:wrapped_{kind}")
    return servers.running(lambda port: [*made(port), *options], env=env)
