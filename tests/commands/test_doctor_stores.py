"""``doctor`` looks at Redis and at the database of service keys."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ltiaas_middleware.commands.doctor import Finding, examine
from ltiaas_middleware.sandbox import Sandbox, SandboxServer
from ltiaas_middleware.service_keys import ServiceKeyStore
from tests.redis_server import RedisServer
from tests.servers import ROOT, free_port

KEY = "c0ffee00-2222-4000-8000-00000000beef"
Look = Callable[..., list[Finding]]


@pytest.fixture
def look() -> Iterator[Look]:
    with SandboxServer(Sandbox(api_key=KEY)) as server:

        def look(step: str, **env: str) -> list[Finding]:
            given = {f"LTIAAS_{name.upper()}": value for name, value in env.items()}
            every = list(examine({"LTIAAS_URL": server.url, "LTIAAS_API_KEY": KEY, **given}))
            assert not any("hunter2" in finding.seen for finding in every)
            return [finding for finding in every if finding.check == step]

        yield look


def test_without_either_nothing_is_said(look: Look) -> None:
    assert look("Redis") == look("Service keys") == []


class TestRedis:
    @pytest.mark.redis
    def test_that_is_well(self, look: Look, redis_server: RedisServer) -> None:
        (finding,) = look("Redis", cache=redis_server.url)
        assert finding.level == "ok"
        assert redis_server.client.keys() == []

    def test_that_is_dead_is_named(self, look: Look) -> None:
        (finding,) = look("Redis", cache=f"redis://:hunter2@127.0.0.1:{free_port()}/0")
        assert finding.level == "failed"
        assert "refused" in finding.seen
        assert "every worker verifies each launch itself" in finding.fix

    @pytest.mark.redis
    @pytest.mark.parametrize(
        ("policy", "words"),
        [
            ("noeviction", "stores no new launches"),
            ("volatile-ttl", "evicts the oldest launches"),
            ("volatile-random", "evicts entries that are in use"),
            ("allkeys-lru", ""),
        ],
    )
    def test_whose_policy_forgets_the_wrong_things(
        self, look: Look, tmp_path: Path, policy: str, words: str
    ) -> None:
        server = RedisServer(tmp_path, "--maxmemory", "50mb", "--maxmemory-policy", policy).start()
        try:
            (redis,) = look("Redis", cache=server.url)
            memory = look("Redis memory", cache=server.url)
        finally:
            server.kill()
        assert redis.level == "ok"
        assert len(memory) == bool(words)
        assert all(policy in one.seen and words in one.seen for one in memory)

    @pytest.mark.redis
    def test_whose_user_has_the_documented_rights(self, look: Look, own_redis: RedisServer) -> None:
        page = (ROOT / "docs" / "howto" / "redis.md").read_text()
        (line,) = re.findall(r"^user tool on >password .*$", page, re.M)
        rights = line.replace(">password", ">hunter2").split()[1:]
        own_redis.client.execute_command("ACL", "SETUSER", *rights)
        url = own_redis.url.replace("redis://", "redis://tool:hunter2@")
        assert [finding.level for finding in look("Redis", cache=url)] == ["ok"]
        assert [finding.level for finding in look("Redis memory", cache=url)] == ["skipped"]

    @pytest.mark.redis
    def test_whose_user_lacks_a_right(self, look: Look, own_redis: RedisServer) -> None:
        own_redis.client.execute_command(
            "ACL", "SETUSER", "few", "on", ">hunter2", "~ltiaas:*", "+ping", "+get", "+set"
        )
        url = own_redis.url.replace("redis://", "redis://few:hunter2@")
        (finding,) = look("Redis", cache=url)
        assert finding.level == "failed"
        assert "permissions" in finding.seen
        (finding,) = look("Redis", cache=url.replace(":hunter2@", ":wrong@"))
        assert finding.level == "failed"
        assert "password" in finding.seen


class TestTheDatabase:
    def test_that_is_well_is_left_as_it_was(
        self, look: Look, database: str, settings: object
    ) -> None:
        (finding,) = look("Service keys", service_keys=database)
        assert finding.level == "ok"
        assert "the first launch creates the tables" in finding.seen
        ServiceKeyStore(database, settings).close()  # type: ignore[arg-type]
        (finding,) = look("Service keys", service_keys=database)
        assert finding.level == "ok"

    def test_that_is_dead_is_named(self, look: Look) -> None:
        address = f"postgresql://tool:hunter2@127.0.0.1:{free_port()}/keys"
        (finding,) = look("Service keys", service_keys=address)
        assert finding.level == "failed"
        assert "the middleware stores no service keys" in finding.fix

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
    def test_in_a_folder_that_cannot_be_written_to(self, look: Look, tmp_path: Path) -> None:
        tmp_path.chmod(stat.S_IRUSR | stat.S_IXUSR)
        (finding,) = look("Service keys", service_keys=f"sqlite:///{tmp_path}/keys.sqlite3")
        assert finding.level == "failed"

    def test_in_a_folder_that_does_not_exist(self, look: Look, tmp_path: Path) -> None:
        (finding,) = look("Service keys", service_keys=f"sqlite:///{tmp_path}/no/keys.sqlite3")
        assert (finding.level, "does not exist" in finding.seen) == ("failed", True)
