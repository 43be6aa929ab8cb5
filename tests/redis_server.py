"""A real redis-server for tests, which can be killed and come back at the same address."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import redis

from tests.programs import need
from tests.servers import free_port

_BEGINNINGS = {"AUTH", "CLIENT", "HELLO", "PING", "SELECT"}


class RedisServer:
    """Listens on a free port and on a unix socket, and writes nothing to disk.

    What it is told at its start with `options` it is told again at each `start`. With `config` it
    is a Sentinel.
    """

    def __init__(self, directory: Path, *options: str, config: Path | None = None) -> None:
        program = need("redis-server")
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.socket_url = f"unix://{directory}/redis.sock"
        self._command = [
            *(program, "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(directory)),
            *("--unixsocket", f"{directory}/redis.sock", "--save", "", "--appendonly", "no"),
            *options,
        ]
        if config is not None:
            # A Sentinel: the same program, which keeps what it learns in its configuration.
            self._command = [
                *(program, str(config), "--sentinel", "--port", str(self.port)),
                *("--bind", "127.0.0.1", "--dir", str(directory)),
            ]
        self._log = directory / "redis.log"
        self._process: subprocess.Popen[bytes] | None = None
        self.client = redis.Redis(port=self.port, socket_timeout=5)

    def start(self) -> RedisServer:
        """Start it; once this returns it answers."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log)
        end = time.monotonic() + 20
        while True:
            try:
                self.client.ping()
                return self
            except redis.RedisError:
                assert self._process.poll() is None, self._log.read_text()
                assert time.monotonic() < end, "redis-server does not answer"
                time.sleep(0.02)

    @contextlib.contextmanager
    def hanging(self) -> Iterator[None]:
        """`pause`, until the block is left."""
        self.pause()
        try:
            yield
        finally:
            self.go_on()

    def pause(self) -> None:
        """It takes connections and commands and answers none, until it is told to `go_on`."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """End it with SIGKILL; what it held is gone."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    @contextlib.contextmanager
    def round_trips(self) -> Iterator[list[str]]:
        """The commands that clients send within the block, in the list once it is left; not what
        scripts do, and not how a connection begins."""
        sent: list[str] = []
        end = f"end-{free_port()}"
        with self.client.monitor() as monitor:
            yield sent
            self.client.echo(end)
            for command in monitor.listen():
                if end in command["command"]:
                    break
                name = command["command"].split()[0].upper()
                if command["client_type"] != "lua" and name not in _BEGINNINGS:
                    sent.append(name)

    def commands(self) -> dict[str, int]:
        """How often each command was called since `CONFIG RESETSTAT`."""
        stats = self.client.info("commandstats")
        return {name.removeprefix("cmdstat_"): of["calls"] for name, of in stats.items()}


@contextlib.contextmanager
def running() -> Iterator[RedisServer]:
    """A server in a folder of its own, for as long as the block lasts."""
    with tempfile.TemporaryDirectory() as folder:
        server = RedisServer(Path(folder)).start()
        try:
            yield server
        finally:
            server.client.close()
            server.kill()
