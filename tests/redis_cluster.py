"""A real Redis Cluster for tests: three masters, each with a replica."""

from __future__ import annotations

from pathlib import Path

import redis

from tests.redis_server import RedisServer
from tests.servers import free_port
from tests.waiting import wait_until

_SLOTS = 16384


class RedisCluster:
    """Six servers. Which of them are masters changes with each failover: ask ``masters``.

    Args:
        directory: for their logs and configurations.
        node_timeout: seconds after which the others take a node for dead.
    """

    def __init__(self, directory: Path, node_timeout: float = 1.5) -> None:
        self._bus: dict[int, int] = {}
        self.nodes: list[RedisServer] = []
        for number in range(6):
            folder = directory / str(number)
            folder.mkdir()
            # By default the second port is 10 000 higher, where there may be none.
            bus = free_port()
            server = RedisServer(
                folder,
                *("--cluster-enabled", "yes", "--cluster-port", str(bus)),
                *("--cluster-announce-ip", "127.0.0.1"),
                *("--cluster-node-timeout", str(int(node_timeout * 1000))),
            )
            self._bus[server.port] = bus
            self.nodes.append(server)
        addresses = ",".join(f"127.0.0.1:{node.port}" for node in self.nodes)
        self.url = f"redis+cluster://{addresses}"

    def start(self) -> RedisCluster:
        """Start it; once this returns, all slots are served and all replicas follow."""
        for node in self.nodes:
            node.start()
        masters, replicas = self.nodes[:3], self.nodes[3:]
        for number, node in enumerate(masters):
            first, last = _SLOTS * number // 3, _SLOTS * (number + 1) // 3 - 1
            node.client.execute_command("CLUSTER", "ADDSLOTSRANGE", first, last)
        for number, node in enumerate(self.nodes):
            node.client.execute_command("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
            self._meet(masters[0], node)
        for master, replica in zip(masters, replicas, strict=True):
            master_id = master.client.execute_command("CLUSTER", "MYID")
            wait_until(lambda: _took(replica, "CLUSTER", "REPLICATE", master_id))  # noqa: B023
        self.wait_until_whole()
        return self

    def masters(self) -> list[RedisServer]:
        """Those that serve slots now."""
        return [node for node in self.nodes if _role(node) == "master"]

    def master_of(self, key: str) -> RedisServer:
        """The server that holds a key."""
        command = self.nodes[0].client.execute_command
        slot = command("CLUSTER", "KEYSLOT", key)
        for start, end, master, *_ in command("CLUSTER", "SLOTS"):
            if start <= slot <= end:
                return next(node for node in self.nodes if node.port == master[1])
        raise AssertionError(f"nobody has slot {slot}")

    def wait_until_whole(self) -> None:
        """Until every node agrees that all is well, and each replica has its master."""
        wait_until(lambda: all(map(_is_well, self.nodes)))

    def kill(self) -> None:
        for node in self.nodes:
            node.kill()

    def _meet(self, one: RedisServer, other: RedisServer) -> None:
        if one is not other:
            bus = self._bus[other.port]
            one.client.execute_command("CLUSTER", "MEET", "127.0.0.1", other.port, bus)


def _took(node: RedisServer, *command: object) -> bool:
    try:
        node.client.execute_command(*command)
    except redis.RedisError:
        return False  # it has not heard of that master yet
    return True


def _role(node: RedisServer) -> str | None:
    try:
        return str(node.client.info("replication")["role"])
    except redis.RedisError:
        return None


def _is_well(node: RedisServer) -> bool:
    try:
        info = node.client.execute_command("CLUSTER", "INFO")
        replication = node.client.info("replication")
    except redis.RedisError:
        return False
    if b"cluster_state:ok" not in info or b"cluster_known_nodes:6" not in info:
        return False
    if replication["role"] == "master":
        return bool(replication["connected_slaves"] == 1)
    return bool(replication["master_link_status"] == "up")
