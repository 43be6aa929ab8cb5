"""A real master with two replicas, and three Sentinels that watch them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import redis

from tests.redis_server import RedisServer
from tests.waiting import wait_until

NAME = "the-tools-redis"


class Sentinels:
    """Three servers, one of them the master, and three Sentinels.

    Attributes:
        url: what a tool is given.
        servers: the first is the master at the beginning.
        sentinels: the Sentinels.
    """

    def __init__(self, directory: Path) -> None:
        for name in ("0", "1", "2", "s0", "s1", "s2"):
            (directory / name).mkdir()
        master = RedisServer(directory / "0")
        follow = ("--replicaof", f"127.0.0.1 {master.port}")
        self.servers = [master, *(RedisServer(directory / name, *follow) for name in ("1", "2"))]
        self.sentinels = [_sentinel(directory / name, master.port) for name in ("s0", "s1", "s2")]
        hosts = ",".join(f"127.0.0.1:{sentinel.port}" for sentinel in self.sentinels)
        self.url = f"redis+sentinel://{hosts}/{NAME}/0"

    def start(self) -> Sentinels:
        """Start them; once this returns, they know each other and the replicas follow."""
        for server in self.servers:
            server.start()
        # What a Sentinel does not see at its start it looks for after ten seconds.
        master = self.servers[0].client
        wait_until(lambda: master.info("replication")["connected_slaves"] == 2)
        for sentinel in self.sentinels:
            sentinel.start()
        wait_until(lambda: all(map(_knows_all, self.sentinels)))
        return self

    def master(self) -> RedisServer | None:
        """The server that the Sentinels agree on; None while they do not."""
        ports = {_master(sentinel) for sentinel in self.sentinels}
        port = ports.pop() if len(ports) == 1 else None
        return next((server for server in self.servers if server.port == port), None)

    def kill(self) -> None:
        for server in (*self.sentinels, *self.servers):
            server.kill()


def _sentinel(directory: Path, master: int) -> RedisServer:
    config = directory / "sentinel.conf"
    config.write_text(
        f"sentinel monitor {NAME} 127.0.0.1 {master} 2\n"
        f"sentinel down-after-milliseconds {NAME} 1000\n"
        f"sentinel failover-timeout {NAME} 5000\n"
    )
    return RedisServer(directory, config=config)


def _asked(sentinel: RedisServer) -> dict[bytes, Any]:
    answer = sentinel.client.execute_command("SENTINEL", "MASTER", NAME)
    if isinstance(answer, dict):
        return {_bytes(name): of for name, of in answer.items()}
    return dict(zip(answer[::2], answer[1::2], strict=True))


def _bytes(name: Any) -> bytes:
    return name if isinstance(name, bytes) else str(name).encode()


def _knows_all(sentinel: RedisServer) -> bool:
    state = _asked(sentinel)
    return int(state[b"num-slaves"]) == 2 and int(state[b"num-other-sentinels"]) == 2


def _master(sentinel: RedisServer) -> int | None:
    try:
        return int(_asked(sentinel)[b"port"])
    except redis.RedisError:
        return None
