"""A browser that launches, and the processor time that a server's processes take for it: user and
system, as the kernel counts it, so that it does not depend on what else the machine is doing."""

from __future__ import annotations

import http.client
import os
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from . import launches


class Browser:
    """Asks a server on this machine, on one connection.

    Args:
        port: of the server.
    """

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)

    def ask(self, path: str, cookie: str | None = None) -> http.client.HTTPResponse:
        """One request, answered whole."""
        headers = dict(launches.BROWSER)
        if cookie:
            headers["Cookie"] = cookie
        self._connection.request("GET", path, headers=headers)
        reply = self._connection.getresponse()
        reply.read()
        return reply

    def launch(self, ltik: str) -> tuple[str, str]:
        """Both requests of a launch: the redirect and the page. Gives its path and its cookie."""
        captured = self.ask(f"/course?ltik={ltik}")
        assert captured.status == 303, captured.status
        path = urlsplit(captured.headers["Location"]).path
        cookie = captured.headers["Set-Cookie"].partition(";")[0]
        assert self.ask(path, cookie).status == 200
        return path, cookie

    def close(self) -> None:
        self._connection.close()


def workers(port: int) -> list[int]:
    """The processes that listen there."""
    inodes = {
        line.split()[9]
        for line in Path("/proc/net/tcp").read_text().splitlines()[1:]
        if line.split()[1].endswith(f":{port:04X}") and line.split()[3] == "0A"
    }
    sockets = {f"socket:[{inode}]" for inode in inodes}
    found = []
    for folder in Path("/proc").glob("[0-9]*/fd"):
        try:
            if sockets & {os.readlink(one) for one in folder.iterdir()}:
                found.append(int(folder.parent.name))
        except OSError:
            continue
    return found


def processor_seconds(pids: list[int]) -> float:
    """Processor time of processes so far."""
    ticks = os.sysconf("SC_CLK_TCK")
    total = 0.0
    for pid in pids:
        fields: Any = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        total += (int(fields[11]) + int(fields[12])) / ticks
    return total
