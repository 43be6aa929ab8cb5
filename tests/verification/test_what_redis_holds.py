"""What is kept in Redis, for how long, and with which rights."""

from __future__ import annotations

import time
from base64 import urlsafe_b64decode

import pytest

from ltiaas_middleware._verification.launches import CachedLaunch
from ltiaas_middleware._verification.ltik_times import DAY
from ltiaas_middleware.errors import LaunchExpired
from tests.fixtures.workers import API_KEY
from tests.tokens import ltik
from tests.waiting import wait_until

pytestmark = pytest.mark.redis


def test_nothing_in_redis_can_be_read(first, redis_server, upstream):
    """Neither the token, nor the claims, nor the launch id, which opens a launch by itself."""
    token = ltik()
    entry = first.verify(token)
    first.authenticator.use(entry, confirms=True)
    first.authenticator.use_once("handoff-token")
    first.settle()
    client = redis_server.client
    wait_until(lambda: len(client.keys()) == 3)
    held = b"".join(name + b" " + client.get(name) for name in client.scan_iter())
    for secret in (token, token.split(".")[2], entry.id, "Ada", "handoff-token", API_KEY):
        assert secret.encode() not in held
    # A name is no other way of writing an id, either.
    tags = [name.split(b"{")[1].split(b"}")[0] for name in client.scan_iter()]
    assert all(entry.id.encode()[:8] not in urlsafe_b64decode(tag + b"==") for tag in tags)


class TestEverythingExpires:
    def test_by_itself(self, first, second, upstream, redis_server):
        """No key without an end, and none later than its launch's."""
        good, over, junk = ltik(), ltik(), ltik()
        entry = first.verify(good)
        first.authenticator.use(entry, confirms=True)
        first.verify(over)
        first.settle()
        upstream.error = LaunchExpired("Invalid or expired ltik.", status=401)
        first.verify(junk)
        first.store.refuse(first.id_of(over), time.time())
        first.authenticator.use_once("token")
        first.store.begin("id")
        first.settle()
        wait_until(lambda: redis_server.client.exists(first.key(entry.id, "confirmed")))
        ends = {name: redis_server.client.pttl(name) for name in redis_server.client.scan_iter()}
        assert all(0 < end <= DAY * 1000 for end in ends.values()), ends
        kinds = sorted(name.decode().rsplit(":", 1)[1] for name in ends)
        assert kinds == ["confirmed", "launch", "lease", "over", "over", "used"]
        assert ends[first.key(first.id_of(junk), "over").encode()] <= 60_000
        # For as long as an old entry of it could be put back.
        assert ends[first.key(first.id_of(over), "over").encode()] > 80_000_000

    def test_a_launch_that_has_a_minute_left_stays_for_a_minute(self, first, clock, redis_server):
        token = ltik(iat=clock.wall - DAY + 60)
        entry = first.verify(token)
        first.settle()
        assert redis_server.client.pttl(first.key(entry.id, "launch")) <= 60_000


@pytest.mark.parametrize("database", [0, 3])
def test_a_user_with_few_rights_is_enough(make_worker, redis_server, upstream, database):
    """Those that docs/deployment.md lists."""
    commands = ["EVAL", "GETRANGE", "SET", "DEL", "PTTL", "PUBLISH", "SUBSCRIBE", "PING"]
    if database:
        commands.append("SELECT")
    redis_server.client.acl_setuser(
        "tool",
        enabled=True,
        reset=True,
        passwords=["+word"],
        commands=[f"+{command}" for command in commands],
        keys=["tool-7:*"],
        channels=["tool-7:*"],
    )
    url = redis_server.url.replace("redis://", "redis://tool:word@")
    url = f"{url.rpartition('/')[0]}/{database}"
    first, second = (make_worker(url, cache_prefix="tool-7") for _ in range(2))
    token = ltik()
    entry = first.verify(token)
    first.settle()
    assert isinstance(second.verify(token), CachedLaunch)
    wait_until(second.store._news.connected.is_set)
    first.authenticator.use(entry, confirms=True)
    wait_until(lambda: second.in_memory(entry.id).confirmed)
    assert first.authenticator.use_once("token")
    assert not second.authenticator.use_once("token")
    first.store.refuse(entry.id, time.time() + 1)
    assert len(upstream.asked) == 1
    assert first.stats.redis_errors == second.stats.redis_errors == 0
