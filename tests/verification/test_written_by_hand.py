"""Whoever can write to Redis can open no launch that is not its own."""

from __future__ import annotations

import logging
import struct

import pytest

from ltiaas_middleware._verification.launches import DAY, CachedLaunch
from ltiaas_middleware._verification.shared import _LAUNCH, _LAYOUT, Lease
from ltiaas_middleware.errors import LaunchExpired
from tests.tokens import ltik

pytestmark = pytest.mark.redis


def entry_under(redis_server, worker, launch_id, value, kind="launch"):
    redis_server.client.set(worker.key(launch_id, kind), value)


class TestWrittenByHand:
    """Whoever can write to Redis can open no launch that is not its own."""

    @pytest.fixture
    def make(self, make_redis):
        return make_redis

    @pytest.fixture
    def first(self, make):
        return make()

    @pytest.fixture
    def second(self, make):
        return make()

    @pytest.fixture
    def token(self):
        return ltik()

    @pytest.fixture
    def stored(self, first, token, redis_server):
        """The stored entry of `token`, and its launch id."""
        entry = first.verify(token)
        first.settle()
        return redis_server.client.get(first.key(entry.id, "launch")), entry.id

    def rejected(self, worker, launch_id, caplog):
        with caplog.at_level(logging.WARNING):
            assert worker.recall(launch_id) is None
        assert worker.stats.rejected_entries > 0
        assert "failed authentication" in caplog.text

    def test_another_launchs_entry_under_this_id(
        self, first, make, stored, redis_server, caplog, record_figure
    ):
        victim = ltik()
        victim_id = first.id_of(victim)
        entry_under(redis_server, first, victim_id, stored[0])
        late = make()
        self.rejected(late, victim_id, caplog)
        outcome = late.verify(victim)
        assert outcome.ltik == victim
        record_figure("7: 1 foreign entry, 0 taken; the launch's own was fetched")

    def test_an_entry_sealed_by_a_key_holder_for_an_id_that_is_not_its_ltiks(
        self, first, make, token, redis_server, caplog
    ):
        victim_id = first.id_of(ltik())
        entry = first.verify(token)
        head = _LAUNCH.pack(_LAYOUT, False, entry.verified_at, entry.ends_at, len(token))
        sealed = first.shared._seal("launch", victim_id, head + token.encode() + entry.claims)
        entry_under(redis_server, first, victim_id, sealed)
        self.rejected(make(), victim_id, caplog)

    def test_garbage_and_truncation(self, make, stored, redis_server, caplog, record_figure):
        sealed, launch_id = stored
        broken = [b"\x00", b"garbage", b"\x01" * 12, b"\x01" * 13, b"\xff" * 5000]
        broken += [sealed[:length] for length in range(1, len(sealed), 7)]
        broken += [sealed + b"\x00", sealed[::-1]]
        broken += [
            sealed[:place] + bytes([sealed[place] ^ 1]) + sealed[place + 1 :]
            for place in range(len(sealed))
        ]
        worker = make()
        for value in broken:
            entry_under(redis_server, worker, launch_id, value)
            assert worker.shared.look(launch_id).entry is None
        assert worker.stats.rejected_entries == len(broken)
        record_figure(f"7: {len(broken)} damaged entries, 0 taken, 0 crashes")

    @pytest.mark.parametrize("kind", ["list", "hash", "stream"])
    def test_what_is_no_text_at_all(self, make, stored, redis_server, upstream, token, kind):
        client, name = redis_server.client, make().key(stored[1], "launch")
        client.delete(name)
        if kind == "list":
            client.rpush(name, "a", "b")
        elif kind == "hash":
            client.hset(name, "a", "b")
        else:
            client.xadd(name, {"a": "b"})
        assert make().verify(token).ltik == token

    def test_a_lease_that_is_no_text(self, make, redis_server, upstream):
        token = ltik()
        worker = make()
        redis_server.client.rpush(worker.key(worker.id_of(token), "lease"), "a")
        assert worker.verify(token).ltik == token
        assert worker.stats.store_errors == 0

    @pytest.mark.parametrize("kind", ["launch", "over", "bound", "lease"])
    def test_more_bytes_than_ours_are_not_read(
        self, first, make, stored, redis_server, upstream, kind, record_figure
    ):
        """400 MB: in this process they would be 764, and three seconds of each look."""
        client = redis_server.client
        name = first.key(stored[1], kind)
        client.setrange(name, 400_000_000, b"x")
        client.pexpire(name, 4000)
        # What the store's own client reads, in bytes.
        before = client.info("stats")["total_net_output_bytes"]
        late = make()
        late.shared.look(stored[1])
        late.shared.renew(Lease(stored[1], b"token", 0.0))
        read = client.info("stats")["total_net_output_bytes"] - before
        client.delete(name)
        record_figure(f"7: 400 MB as {kind}: {read / 1e6:.1f} MB read by two calls")
        assert read < 20e6

    def test_a_lease_cannot_say_what_ltiaas_said(
        self, first, second, redis_server, upstream, clock
    ):
        """It made users see a 502, and an alarm at night."""
        token = ltik()
        launch_id = first.id_of(token)
        said = struct.pack(">Bd", 3, clock.wall) + b"ApiKeyRejected"
        old = struct.pack(">Bd", 3, clock.wall - 3600) + b"ApiKeyRejected"
        another = second.shared._seal("lease", "another", said)
        mark = second.shared._seal("bound", launch_id, said)
        told_before = second.shared._seal("lease", launch_id, old)
        for said in (b"ApiKeyRejected", b"", another, mark, told_before):
            redis_server.client.set(first.key(launch_id, "lease"), said, px=400)
            assert isinstance(first.verify(token), CachedLaunch)
            first.authenticator._launches._entries.pop(launch_id)
            redis_server.client.delete(first.key(launch_id, "launch"))

    def test_a_foreign_key(self, make, stored, caplog):
        self.rejected(make(secrets="another secret, long"), stored[1], caplog)

    def test_an_old_version(self, first, make, token, stored, redis_server, caplog):
        launch_id = stored[1]
        content = first.shared._open("launch", launch_id, stored[0])
        older = first.shared._seal("launch", launch_id, b"\x00" + content[1:])
        entry_under(redis_server, first, launch_id, older)
        self.rejected(make(), launch_id, caplog)

    def test_an_old_entry_after_a_refusal(
        self, first, make, stored, token, upstream, clock, redis_server, record_figure
    ):
        sealed, launch_id = stored
        clock.pass_(601)
        upstream.error = LaunchExpired("Invalid or expired ltik.", status=401)
        assert isinstance(first.verify(token), LaunchExpired)
        first.settle()
        served = 0
        for _ in range(24):
            entry_under(redis_server, first, launch_id, sealed)
            for worker in (first, make()):
                served += worker.recall(launch_id) is not None
                served += isinstance(worker.verify(token), CachedLaunch)
            clock.pass_(3600 - 30)
        assert served == 0
        record_figure("7: an old entry put back after a refusal for 24 h: served 0 times")

    def test_an_old_entry_even_with_the_refusal_taken_away(
        self, first, make, stored, token, upstream, clock, redis_server
    ):
        sealed, launch_id = stored
        clock.pass_(601)
        upstream.error = LaunchExpired("Invalid or expired ltik.", status=401)
        first.verify(token)
        first.settle()
        redis_server.client.delete(first.key(launch_id, "over"))
        entry_under(redis_server, first, launch_id, sealed)
        # Its ttl is over by now, so that LTIAAS is asked, and says no.
        assert isinstance(make().verify(token), LaunchExpired)
        assert isinstance(first.verify(token), LaunchExpired)

    def test_an_old_entry_past_its_end(self, make, stored, token, clock, redis_server):
        sealed, launch_id = stored
        clock.pass_(DAY + 1)
        entry_under(redis_server, make(), launch_id, sealed)
        assert make().recall(launch_id) is None
