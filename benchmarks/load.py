"""A load from another process: wrk where it is installed, else Python's own HTTP client.

``python -m benchmarks.load SECONDS CONNECTIONS URL [COOKIE]`` is the latter.
"""

from __future__ import annotations

import http.client
import json
import re
import shutil
import subprocess
import sys
import threading
import time
from typing import NamedTuple
from urllib.parse import urlsplit

_UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0}


class Load(NamedTuple):
    """Requests per second, and the 99th percentile of how long one took, in seconds."""

    rate: float
    p99: float


def program() -> str:
    """What makes the load."""
    return "wrk" if shutil.which("wrk") else "http.client"


def load(url: str, cookie: str, seconds: int, connections: int) -> Load:
    """Ask for one address, over and over; every answer has to be a 200."""
    if program() == "wrk":
        command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency"]
        command += ["-H", f"Cookie: {cookie}", url]
    else:
        command = [sys.executable, "-m", "benchmarks.load", str(seconds), str(connections)]
        command += [url, cookie]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=seconds + 30)
    if program() != "wrk":
        return Load(*json.loads(done.stdout))
    assert "Non-2xx" not in done.stdout, done.stdout
    assert "Socket errors" not in done.stdout, done.stdout
    rate = re.search(r"Requests/sec:\s+([\d.]+)", done.stdout)
    p99 = re.search(r"99%\s+([\d.]+)(us|ms|s|m)", done.stdout)
    assert rate is not None, done.stdout
    assert p99 is not None, done.stdout
    return Load(float(rate[1]), float(p99[1]) * _UNITS[p99[2]])


def _main(seconds: float, connections: int, url: str, cookie: str) -> None:
    parts = urlsplit(url)
    took: list[float] = []
    end = time.monotonic() + seconds

    def ask() -> None:
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=10)
        while (start := time.monotonic()) < end:
            connection.request("GET", parts.path, headers={"Cookie": cookie})
            answer = connection.getresponse()
            answer.read()
            if answer.status != 200:
                raise SystemExit(f"{url} answered {answer.status}")
            took.append(time.monotonic() - start)
        connection.close()

    threads = [threading.Thread(target=ask) for _ in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took.sort()
    print(json.dumps([len(took) / seconds, took[int(len(took) * 0.99)]]))


if __name__ == "__main__":
    _main(float(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4])
