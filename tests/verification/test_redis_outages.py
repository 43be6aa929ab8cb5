"""Redis gone, slow, full, read-only, and back."""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
from math import inf

import pytest
import trustme

from ltiaas_middleware._verification.launches import CachedLaunch
from ltiaas_middleware._verification.stores import StoreUnavailable
from tests.servers import free_port
from tests.tokens import ltik
from tests.waiting import wait_until

pytestmark = pytest.mark.redis


class TestAnOutage:
    """Redis gone, slow, full, read-only, and back."""

    @pytest.fixture
    def worker(self, make_worker, own_redis):
        return make_worker(own_redis.url, clock=None)

    def back(self, worker):
        """Wait until the worker has found Redis again."""

        def found():
            try:
                worker.shared.look("x" * 22)
            except StoreUnavailable:
                return False
            return True

        wait_until(found)

    def test_gone_and_back(self, worker, own_redis, upstream, caplog):
        known = worker.verify(ltik())
        own_redis.kill()
        assert worker.known(known.id).claims is known.claims
        assert worker.recall(known.id).claims is known.claims
        assert worker.authenticator.use_once("token", inf)
        assert not worker.authenticator.use_once("token", inf)
        worker.authenticator.use(known, binds=True)
        assert worker.in_memory(known.id).cookie_bound
        assert isinstance(worker.verify(ltik()), CachedLaunch)
        assert worker.stats.store_errors > 0
        own_redis.start()
        # uvicorn and gunicorn show no lower level by default.
        with caplog.at_level(logging.WARNING):
            self.back(worker)
        assert "Redis works again" in caplog.text
        token = ltik()
        worker.verify(token)
        worker.settle()
        assert worker.shared.look(worker.id_of(token)).entry is not None

    def test_that_hangs_is_not_called_by_every_request(
        self, make_worker, own_redis, upstream, monkeypatch, record_figure
    ):
        worker = make_worker(own_redis.url)  # Its clock stands still: the pause is not over.
        worker.verify(ltik())
        waited = []
        attempt = worker.store._try

        def note(action):
            waited.append(action)
            return attempt(action)

        monkeypatch.setattr(worker.store, "_try", note)
        with own_redis.hanging():
            for _ in range(50):
                assert isinstance(worker.verify(ltik()), CachedLaunch)
        record_figure(f"3: Redis hangs: {len(waited)} of 50 new launches waited for it")
        assert len(waited) <= 6

    def test_is_waited_for_by_no_event_loop(self, worker, own_redis, upstream, monkeypatch):
        known = worker.verify(ltik())
        waited_in = set()
        attempt = worker.store._try

        def call_and_note(action):
            waited_in.add(threading.get_ident())
            return attempt(action)

        monkeypatch.setattr(worker.store, "_try", call_and_note)

        async def main():
            asking = []
            with own_redis.hanging():
                for number in range(60):
                    asking.append(
                        asyncio.create_task(worker.authenticator.verify_async(ltik()))
                        if number % 2
                        else asyncio.create_task(
                            worker.authenticator.run_async(lambda: worker.recall(known.id))
                        )
                    )
                    worker.authenticator.use(known, binds=True)
                    await asyncio.sleep(0.005)
                outcomes = await asyncio.gather(*asking)
            assert all(isinstance(outcome, CachedLaunch) for outcome in outcomes)

        asyncio.run(main())
        assert waited_in
        assert threading.get_ident() not in waited_in

    @pytest.mark.parametrize(
        "trouble",
        [
            {"maxmemory": "1", "maxmemory-policy": "noeviction"},
            {"min-replicas-to-write": "1"},
            {"requirepass": "x" * 20},
        ],
        ids=["full", "accepts no writes", "wants a password"],
    )
    def test_that_refuses(self, worker, own_redis, upstream, trouble):
        token = ltik()
        worker.verify(token)
        worker.settle()
        for name, value in trouble.items():
            own_redis.client.config_set(name, value)
        for _ in range(20):
            assert isinstance(worker.verify(ltik()), CachedLaunch)
        assert worker.known(worker.id_of(token)) is not None
        assert worker.stats.fetches == 21

    def test_that_is_read_only_is_read(self, worker, make_worker, own_redis, upstream):
        token = ltik()
        worker.verify(token)
        worker.settle()
        own_redis.client.replicaof("127.0.0.1", "1")
        late = make_worker(own_redis.url, clock=None)
        assert isinstance(late.verify(token), CachedLaunch)
        assert upstream.asked == [token]
        assert isinstance(late.verify(ltik()), CachedLaunch)
        assert late.stats.store_errors > 0

    def test_that_never_was_there(self, make_worker, own_redis, upstream):
        own_redis.kill()
        worker = make_worker(own_redis.url, clock=None)
        assert isinstance(worker.verify(ltik()), CachedLaunch)
        own_redis.start()
        self.back(worker)

    def test_a_password_is_told_to_nobody(self, make_worker, own_redis, caplog):
        secret = "hunter2hunter2"
        own_redis.client.config_set("requirepass", "something else")
        address = own_redis.url.replace("redis://", f"redis://:{secret}@")
        with caplog.at_level(logging.DEBUG):
            worker = make_worker(address, clock=None)
            assert isinstance(worker.verify(ltik()), CachedLaunch)
            worker.settle()
        shown = f"{worker.settings!r} {worker.store!r} {vars(worker.authenticator)!r}"
        assert secret not in caplog.text + shown
        assert "workers do not share launches" in caplog.text


class TestTheLog:
    """One line when it changes, one a minute while it stays, and why."""

    @pytest.fixture
    def told(self, caplog):
        caplog.set_level(logging.INFO, "ltiaas_middleware")
        return lambda: [
            record.getMessage() for record in caplog.records if "Redis" in record.getMessage()
        ]

    def test_of_an_outage_that_comes_and_goes(self, told, make_worker, own_redis):
        worker = make_worker(own_redis.url, clock=None)
        for _ in range(2):
            own_redis.kill()
            for _ in range(30):
                assert isinstance(worker.verify(ltik()), CachedLaunch)
            own_redis.start()

            def works():
                worker.verify(ltik())
                return not worker.store._troubled

            wait_until(works)
        assert 2 <= len(told()) <= 6
        assert told()[-1] == "Redis works again"

    def test_of_one_that_is_full_is_not_over_when_it_is_read(self, told, make_worker, own_redis):
        worker = make_worker(own_redis.url, clock=None)
        own_redis.client.config_set("maxmemory-policy", "noeviction")
        own_redis.client.config_set("maxmemory", 1)
        for _ in range(5):
            worker.verify(ltik())
            worker.recall("x" * 22)
        assert len(told()) == 1
        own_redis.client.config_set("maxmemory", 0)
        worker.verify(ltik())
        assert len(told()) == 2

    # redis-py leaves the socket of a handshake that failed to the garbage collector.
    @pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
    def test_names_a_failure_of_tls(self, make_worker, tmp_path, own_redis, upstream, caplog):
        authority = trustme.CA()
        certificate = authority.issue_cert("localhost")
        certificate.private_key_pem.write_to_path(tmp_path / "key.pem")
        certificate.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
        authority.cert_pem.write_to_path(tmp_path / "authority.pem")
        port = free_port()
        own_redis.client.config_set("tls-auth-clients", "no")
        own_redis.client.config_set("tls-cert-file", f"{tmp_path}/cert.pem")
        own_redis.client.config_set("tls-key-file", f"{tmp_path}/key.pem")
        own_redis.client.config_set("tls-port", port)
        stranger = make_worker(f"rediss://localhost:{port}", clock=None)
        assert isinstance(stranger.verify(ltik()), CachedLaunch)
        assert "TLS: its certificate is not trusted" in caplog.text
        stranger.authenticator.close()
        gc.collect()
        trusted = f"rediss://localhost:{port}?ssl_ca_certs={tmp_path}/authority.pem"
        first, second = (make_worker(trusted, clock=None) for _ in range(2))
        assert second.recall(first.verify(ltik()).id) is not None
        assert first.stats.store_errors == second.stats.store_errors == 0

    @pytest.mark.parametrize(
        ("trouble", "why"),
        [
            ({"maxmemory": "1", "maxmemory-policy": "noeviction"}, "it is full"),
            ({"min-replicas-to-write": "1"}, "too few replicas"),
            ({"requirepass": "x" * 20}, "it requires a different username or password"),
            ({"port": "0"}, "it refuses connections"),
        ],
    )
    def test_says_why(self, make_worker, own_redis, upstream, caplog, trouble, why):
        control = own_redis.client.connection_pool
        for name, value in trouble.items():
            own_redis.client.config_set(name, value)
        worker = make_worker(own_redis.url, clock=None)
        for _ in range(50):
            assert isinstance(worker.verify(ltik()), CachedLaunch)
        worker.settle()
        assert why in caplog.text
        lines = [record for record in caplog.records if "Redis" in record.getMessage()]
        assert len(lines) == 1
        control.disconnect()


def test_close_leaves_no_connection(make_redis, redis_server):
    before = len(redis_server.client.client_list())
    workers = [make_redis(clock=None) for _ in range(4)]
    for worker in workers:
        worker.verify(ltik())
    assert len(redis_server.client.client_list()) > before
    for worker in workers:
        worker.authenticator.close()
        # A call under way may end later.
        worker.recall("x" * 22)
    wait_until(lambda: len(redis_server.client.client_list()) <= before)
