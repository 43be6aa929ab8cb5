"""The settings of this part, and its counters."""

from __future__ import annotations

import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis

from ltiaas_middleware import Settings, SettingsError, _setting_checks, wsgi
from ltiaas_middleware._verification import stats
from ltiaas_middleware._verification.stats import Stats, publish
from tests.tokens import ltik


def make(**options):
    return Settings(url="https://your.ltiaas.com", api_key="key-key-key", **options)


class TestSettings:
    @pytest.mark.parametrize(
        "cache",
        [
            "auto",
            "memory",
            "redis://localhost",
            "redis://user:pass@localhost:6379/1?socket_timeout=2",
            "rediss://cache.example:6380/0",
            "unix:///run/redis.sock?db=1",
            "unix://user:pass@/run/redis.sock",
            "redis+cluster://one,two:7000",
            "redis+cluster://user:pa%20ss@one:7000,[::1]:7001/0?socket_timeout=2",
            "rediss+cluster://one?ssl_ca_certs=/etc/ca.pem&ssl_check_hostname=false",
            "redis+sentinel://one,two:26380/master",
            "redis+sentinel://:pass@one/master/3?sentinel_password=another",
            "rediss+sentinel://one,two,three/master",
        ],
    )
    def test_where_launches_are_kept(self, cache):
        assert make(cache=cache).cache == cache

    def test_come_from_the_environment(self):
        env = {
            "LTIAAS_URL": "your.ltiaas.com",
            "LTIAAS_API_KEY": "key-key-key",
            "LTIAAS_CACHE": "redis://cache:6379/0",
            "LTIAAS_CACHE_PREFIX": "tool-7",
        }
        made = Settings.from_env(env)
        assert (made.cache, made.cache_prefix) == ("redis://cache:6379/0", "tool-7")

    @pytest.mark.parametrize(
        "cache",
        [
            "",
            None,
            7,
            "redis",
            "redis://",
            "localhost:6379",
            "http://:hunter2@localhost",
            "memcached://:hunter2@localhost",
            "redis://:hunter2@localhost:port/0",
            "redis://:hunter2@localhost?socket_timeout=hunter2",
            "unix://",
            "redis+else://:hunter2@localhost",
            "redis+cluster://:hunter2@",
            "redis+cluster://:hunter2@localhost:port",
            "redis+cluster://:hunter2@localhost/1",
            "redis+cluster://:hunter2@localhost?db=1",
            "redis+sentinel://:hunter2@localhost",
            "redis+sentinel://:hunter2@localhost/name/hunter2",
            "redis+sentinel://localhost,:26379/name?password=hunter2",
            "redis://:hunter2@one,two",
            "redis://localhost?decode_responses=hunter2",
            "redis://localhost?socket_timeuot=hunter2",
            "redis+cluster://localhost?hunter2=hunter2",
            "redis+sentinel://localhost/name?ssl_cert_reqs=hunter2&ssl=hunter2",
        ],
    )
    def test_what_is_no_address_of_redis_is_refused_by_name(self, cache):
        with pytest.raises(SettingsError, match=r"^cache \(LTIAAS_CACHE\) ") as caught:
            make(cache=cache)
        # Nor in what it came from: a log shows that as well.
        assert caught.value.__context__ is None
        assert "hunter2" not in str(caught.value)

    @pytest.mark.parametrize("package", ["redis"])
    def test_a_missing_package_is_told_with_the_extra_that_brings_it(self, monkeypatch, package):
        found = _setting_checks.find_spec
        monkeypatch.setattr(
            _setting_checks, "find_spec", lambda name: None if name == package else found(name)
        )
        with pytest.raises(SettingsError, match=rf"{package}.*ltiaas-middleware\[redis\]"):
            make(cache="redis://localhost")
        assert make(cache="memory").cache == "memory"

    def test_the_password_is_not_shown(self):
        assert "hunter2" not in repr(make(cache="redis://:hunter2@localhost"))

    def test_a_ready_client_is_taken(self):
        client = redis.Redis()
        assert make(cache=client).cache is client

    def test_a_client_that_decodes_is_not(self):
        with pytest.raises(SettingsError, match="decode_responses"):
            make(cache=redis.Redis(decode_responses=True))
        # Without a server there is none of a cluster; the class is what counts.
        cluster = redis.RedisCluster.__new__(redis.RedisCluster)
        cluster.encoder = redis.Redis(decode_responses=True).get_encoder()
        with pytest.raises(SettingsError, match="decode_responses"):
            make(cache=cluster)

    @pytest.mark.parametrize(
        "client",
        [
            redis.asyncio.Redis(),
            redis.asyncio.RedisCluster(host="localhost", port=1),
            redis.asyncio.Sentinel([("localhost", 1)]).master_for("name"),
        ],
        ids=["a server", "a cluster", "a Sentinel"],
    )
    def test_nor_one_of_asyncio(self, client):
        """Each launch would be 503."""
        with pytest.raises(SettingsError, match=r"redis\.asyncio"):
            make(cache=client)

    def test_nor_what_is_no_client(self):
        with pytest.raises(SettingsError, match=r"redis\+sentinel://"):
            make(cache=redis.Sentinel([("localhost", 1)]))

    @pytest.mark.parametrize("prefix", ["", "a b", "a{b}", "a*", "x" * 101, 7])
    def test_a_prefix_that_means_something_to_redis_is_refused(self, prefix):
        with pytest.raises(SettingsError, match="cache_prefix"):
            make(cache_prefix=prefix)


@pytest.mark.redis
def test_a_ready_client_is_used(make_worker, redis_server):
    token = ltik()
    client = redis.Redis(port=redis_server.port, socket_timeout=1)
    first, second = make_worker(client), make_worker(client)
    first.verify(token)
    first.settle()
    assert second.recall(first.id_of(token)).ltik == token
    first.authenticator.close()
    assert client.ping(), "a client that was handed over was closed"


@pytest.mark.redis
def test_the_middleware_shares_where_it_is_told_to(redis_server):
    def app(environ, start_response):
        raise AssertionError

    options = {"url": "https://your.ltiaas.com", "api_key": "key-key-key"}
    alone = wsgi.LTIAASMiddleware(app, cache="memory", **options)
    by_files = wsgi.LTIAASMiddleware(app, **options)
    by_redis = wsgi.LTIAASMiddleware(app, cache=redis_server.url, **options)
    all_of_them = (alone, by_files, by_redis)
    shares = [middleware._authenticator.shares for middleware in all_of_them]
    assert shares == [False, True, True]
    stores = [type(one._authenticator._shared.store).__name__ for one in (by_files, by_redis)]
    assert stores == ["HostStore", "RedisStore"]
    assert by_redis.stats()["store_errors"] == 0
    for middleware in all_of_them:
        middleware.close()


class TestCounters:
    def test_hits_are_counted_where_memory_answers(self, make_worker, clock):
        worker = make_worker()
        entry = worker.verify(ltik())
        for _ in range(3):
            worker.known(entry.id)
        clock.pass_(31)
        worker.known(entry.id)
        worker.known("x" * 22)
        clock.pass_(600)
        worker.known(entry.id)
        assert worker.stats.hits == 4
        assert worker.stats.misses == 1

    def test_a_launch_whose_ttl_is_over_is_no_hit_however_often_it_is_looked_at(
        self, make_worker, clock
    ):
        worker = make_worker()
        entry = worker.verify(ltik())
        clock.pass_(601)
        for _ in range(5):
            assert worker.known(entry.id) is None
        assert worker.stats.hits == 0

    def test_none_is_lost_where_threads_count_at_once(self):
        class Slow(int):
            """Another thread runs between reading and writing."""

            def __add__(self, other):
                time.sleep(0.001)
                return Slow(int(self) + other)

        stats = Stats()
        stats.misses = Slow(0)
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda _: stats.count("misses"), range(40)))
        assert stats.misses == 40

    def test_no_hit_is_lost_where_threads_count_and_read_at_once(self):
        stats = Stats()

        def count(_):
            for _ in range(1000):
                stats.hit()
            return stats.hits

        before = sys.getswitchinterval()
        sys.setswitchinterval(1e-6)
        try:
            with ThreadPoolExecutor(8) as pool:
                read = list(pool.map(count, range(40)))
        finally:
            sys.setswitchinterval(before)
        assert min(read) >= 1000
        assert stats.hits == stats.hits == stats.snapshot()["hits"] == 40_000

    def test_all_have_a_name_and_begin_at_zero(self):
        counts = Stats().snapshot()
        assert set(counts.values()) == {0}
        assert {
            "hits",
            "misses",
            "fetches",
            "shared_hits",
            "coalesced",
            "stale_served",
            "waiting",
            "rejected",
            "store_errors",
            "rejected_entries",
            "lost_leases",
        } == set(counts)


class Meter:
    def __init__(self):
        self.callbacks = {}

    def create_observable_counter(self, name, callbacks):
        assert name not in self.callbacks
        (self.callbacks[name],) = callbacks
        return object()

    def read(self):
        return {
            name: [(one.value, one.attributes) for one in callback(None)]
            for name, callback in self.callbacks.items()
        }


class TestOpenTelemetry:
    @pytest.fixture
    def meter(self, monkeypatch):
        from opentelemetry import metrics

        meter = Meter()
        monkeypatch.setattr(metrics, "get_meter", lambda name: meter)
        monkeypatch.setattr(stats, "_instruments", [])
        monkeypatch.setattr(stats, "_published", [])
        return meter

    def test_metrics_have_the_counters_names_and_values(self, meter):
        counted = Stats()
        publish(counted)
        for _ in range(7):
            counted.hit()
        counted.upstream_errors["RateLimited"] = 2
        read = meter.read()
        prefix = "ltiaas_middleware."
        assert {name.removeprefix(prefix) for name in read} == {
            *counted.snapshot(),
            "upstream_errors",
        } - {"upstream_errors.RateLimited"}
        assert read[f"{prefix}hits"] == [(7, None)]
        assert read[f"{prefix}upstream_errors"] == [(2, {"kind": "RateLimited"})]

    def test_several_middlewares_add_up(self, meter):
        first, second = Stats(), Stats()
        for counted in (first, second):
            publish(counted)
            for _ in range(3):
                counted.hit()
            counted.upstream_errors["Busy"] = 1
        assert meter.read()["ltiaas_middleware.hits"] == [(6, None)]
        assert meter.read()["ltiaas_middleware.upstream_errors"] == [(2, {"kind": "Busy"})]

    def test_without_the_package_nothing_is_needed(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "opentelemetry", None)
        publish(Stats())
