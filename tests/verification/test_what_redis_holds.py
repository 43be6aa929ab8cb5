"""What is kept in Redis, for how long, and with which rights."""

from __future__ import annotations

from base64 import urlsafe_b64decode
from math import inf

import pytest

from ltiaas_middleware._verification.launches import DAY, CachedLaunch
from ltiaas_middleware.errors import LaunchExpired
from tests.fixtures.workers import API_KEY
from tests.tokens import ltik
from tests.waiting import wait_until

pytestmark = pytest.mark.redis


def test_nothing_in_redis_can_be_read(make_redis, redis_server, upstream):
    """Neither the token, nor the claims, nor the launch id, which opens a launch by itself."""
    first = make_redis()
    token = ltik()
    entry = first.verify(token)
    first.authenticator.use(entry, binds=True)
    first.authenticator.use_once("one-time-token", inf)
    first.settle()
    client = redis_server.client
    wait_until(lambda: len(client.keys()) == 4)
    held = b"".join(name + b" " + client.get(name) for name in client.scan_iter())
    for secret in (token, token.split(".")[2], entry.id, "Ada", "one-time-token", API_KEY):
        assert secret.encode() not in held
    # A name is no other way of writing an id, either.
    tags = [name.split(b"{")[1].split(b"}")[0] for name in client.scan_iter()]
    assert all(entry.id.encode()[:8] not in urlsafe_b64decode(tag + b"==") for tag in tags)


class TestEverythingExpires:
    def test_by_itself(self, make_redis, upstream, redis_server):
        """No key without an end but the mark that says since when the store remembers, and none
        later than its launch's."""
        first = make_redis()
        good, over, junk = ltik(), ltik(), ltik()
        entry = first.verify(good)
        first.authenticator.use(entry, binds=True)
        first.verify(over)
        first.settle()
        upstream.error = LaunchExpired("Invalid or expired ltik.", status=401)
        first.verify(junk)
        first.authenticator.end(first.id_of(over))
        first.authenticator.use_once("token", inf)
        first.shared.take_lease("id")
        first.settle()
        wait_until(lambda: redis_server.client.exists(first.key(entry.id, "bound")))
        ends = {name: redis_server.client.pttl(name) for name in redis_server.client.scan_iter()}
        epoch = [name for name in ends if name.endswith(b":epoch")]
        assert [ends.pop(name) for name in epoch] == [-1]
        assert all(0 < end <= DAY * 1000 for end in ends.values()), ends
        kinds = sorted(name.decode().rsplit(":", 1)[1] for name in ends)
        assert kinds == ["bound", "launch", "lease", "over", "over", "used"]
        assert ends[first.key(first.id_of(junk), "over").encode()] <= 60_000
        # For as long as an old entry of it could be put back.
        assert ends[first.key(first.id_of(over), "over").encode()] > 80_000_000

    def test_a_launch_that_has_a_minute_left_stays_for_a_minute(
        self, make_redis, clock, redis_server
    ):
        first = make_redis()
        token = ltik(iat=clock.wall - DAY + 60)
        entry = first.verify(token)
        first.settle()
        assert redis_server.client.pttl(first.key(entry.id, "launch")) <= 60_000


@pytest.mark.parametrize("database", [0, 3])
def test_a_user_with_few_rights_is_enough(make_worker, redis_server, upstream, database):
    """Those that docs/howto/redis.md lists."""
    commands = ["EVAL", "GETRANGE", "SET", "DEL", "PING"]
    if database:
        commands.append("SELECT")
    redis_server.client.acl_setuser(
        "tool",
        enabled=True,
        reset=True,
        passwords=["+word"],
        commands=[f"+{command}" for command in commands],
        keys=["tool-7:*"],
    )
    url = redis_server.url.replace("redis://", "redis://tool:word@")
    url = f"{url.rpartition('/')[0]}/{database}"
    first, second = (make_worker(url, cache_prefix="tool-7") for _ in range(2))
    token = ltik()
    entry = first.verify(token)
    first.settle()
    assert isinstance(second.verify(token), CachedLaunch)
    first.authenticator.use(entry, binds=True)
    first.settle()
    assert second.recall(entry.id).cookie_bound
    assert first.authenticator.use_once("token", inf)
    assert not second.authenticator.use_once("token", inf)
    first.authenticator.end(entry.id)
    assert second.recall(entry.id) is None
    assert len(upstream.asked) == 1
    assert first.stats.store_errors == second.stats.store_errors == 0
