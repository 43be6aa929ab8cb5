"""A real Redis Cluster of six: each way to be given one, and masters that hang, die, lose slots."""

from __future__ import annotations

import logging
from math import inf

import pytest
import redis

from ltiaas_middleware._verification.launches import CachedLaunch
from ltiaas_middleware._verification.stores import StoreUnavailable
from tests.redis_server import RedisServer
from tests.servers import free_port
from tests.tokens import ltik
from tests.waiting import wait_until

pytestmark = pytest.mark.redis


@pytest.fixture
def cluster(redis_cluster):
    redis_cluster.wait_until_whole()
    return redis_cluster


@pytest.fixture
def make(make_worker, cluster):
    def make(cache=None, **options):
        return make_worker(cache or cluster.url, clock=None, **options)

    return make


@pytest.fixture
def patient(cluster):
    """Nobody takes a node for dead that only hangs."""

    def give(seconds):
        for node in cluster.nodes:
            node.client.config_set("cluster-node-timeout", int(seconds * 1000))

    give(60)
    yield
    give(1.5)


def on(worker, cluster, node):
    """An ltik whose launch that node keeps."""
    while True:
        token = ltik()
        if cluster.master_of(worker.key(worker.id_of(token), "launch")) is node:
            return token


def all_is_shared(first, second, upstream):
    """Launches on all nodes, a cookie that came back, an end and a one-time token."""
    tokens = [ltik() for _ in range(30)]
    for token in tokens:
        entry = first.verify(token)
        assert isinstance(second.verify(token), CachedLaunch)
    assert sorted(upstream.asked) == sorted(tokens)
    first.authenticator.use(entry, binds=True)
    first.settle()
    assert second.recall(entry.id).cookie_bound
    assert first.authenticator.use_once(tokens[0], inf)
    assert not second.authenticator.use_once(tokens[0], inf)
    first.authenticator.end(entry.id)
    assert second.recall(entry.id) is None
    assert first.stats.store_errors == second.stats.store_errors == 0


def test_by_its_address(make, upstream):
    all_is_shared(make(), make(), upstream)


def test_by_the_address_of_one_node(make, cluster, upstream):
    node = cluster.masters()[0]
    all_is_shared(*(make(f"redis+cluster://127.0.0.1:{node.port}/0") for _ in range(2)), upstream)


def test_by_an_address_that_does_not_say_so(make, cluster, upstream, caplog):
    """Half of the launches would be shared, and nobody would know why."""
    all_is_shared(*(make(node.url) for node in cluster.masters()[:2]), upstream)
    told = [record for record in caplog.records if "redis+cluster://" in record.getMessage()]
    assert len(told) == 2


def test_by_a_client_of_ones_own(make, cluster, upstream):
    port = cluster.nodes[0].port
    clients = [redis.RedisCluster(host="127.0.0.1", port=port, socket_timeout=2) for _ in range(2)]
    first, second = (make(client) for client in clients)
    all_is_shared(first, second, upstream)
    for worker in (first, second):
        worker.authenticator.close()
    for client in clients:
        assert client.ping(), "a client that was handed over was closed"
        client.close()


def test_by_a_client_of_one_node_the_log_says_what_to_do(make, cluster, upstream, caplog):
    with redis.Redis(port=cluster.masters()[0].port, socket_timeout=2) as client:
        worker = make(client)
        for _ in range(20):
            assert isinstance(worker.verify(ltik()), CachedLaunch)
    assert sum("node of a cluster" in record.getMessage() for record in caplog.records) == 1


def test_with_a_user_that_has_few_rights(make, cluster, upstream):
    """Those that docs/howto/redis.md lists."""
    commands = ["getrange", "set", "del", "eval", "ping"]
    for node in cluster.nodes:
        node.client.acl_setuser(
            "tool",
            enabled=True,
            reset=True,
            passwords=["+word"],
            commands=[*(f"+{command}" for command in commands), "+cluster|slots", "+command"],
            keys=["tool-7:*"],
        )
    url = cluster.url.replace("://", "://tool:word@")
    all_is_shared(*(make(url, cache_prefix="tool-7") for _ in range(2)), upstream)


def test_a_master_that_hangs_keeps_no_launch_from_being_served(make, cluster, upstream, patient):
    worker = make()
    known = worker.verify(ltik())
    hung = cluster.masters()[0]
    tokens = [on(worker, cluster, hung) for _ in range(6)]
    elsewhere = on(worker, cluster, cluster.masters()[1])
    with hung.hanging():
        for token in tokens:
            assert isinstance(worker.verify(token), CachedLaunch)
        assert worker.known(known.id) is not None
        assert isinstance(worker.verify(elsewhere), CachedLaunch)
    assert len(upstream.asked) == 8


def test_nor_does_one_by_a_client_with_timeouts_of_its_own(
    make, cluster, upstream, patient, caplog
):
    """redis-py waits for 5 s and tries three times, unless told otherwise; a page that waits for
    its launch, and the launch itself, must not."""
    client = redis.RedisCluster(host="127.0.0.1", port=cluster.nodes[0].port, socket_timeout=5)
    worker = make(client)
    worker.verify(ltik())
    hung = cluster.masters()[1]
    tokens = [on(worker, cluster, hung) for _ in range(3)]
    with hung.hanging():
        for token in tokens:
            assert isinstance(worker.verify(token), CachedLaunch)
    assert "did not respond in time" in caplog.text
    worker.authenticator.close()
    client.close()


def test_no_known_launch_is_lost_when_a_master_dies(make, cluster, upstream, record_figure):
    first = make()
    tokens = [ltik() for _ in range(60)]
    for token in tokens:
        assert isinstance(first.verify(token), CachedLaunch)
    dead = cluster.masters()[0]
    # What it has not passed on to its replica yet would be lost with it.
    for master in cluster.masters():
        master.client.wait(1, 5000)
    dead.kill()
    try:
        for token in tokens:
            assert first.known(first.id_of(token)) is not None
        wait_until(lambda: len(cluster.masters()) == 3)
        late = make()
        wait_until(lambda: _reads(late))
        found = sum(late.recall(late.id_of(token)) is not None for token in tokens)
        asked = len(upstream.asked)
    finally:
        dead.start()
    record_figure(f"a master dies: {found} of {len(tokens)} launches found, {asked} calls in all")
    assert found == asked == len(tokens)


def _reads(worker):
    try:
        for _ in range(20):
            worker.shared.look(worker.id_of(ltik()))
    except StoreUnavailable:
        return False
    return True


@pytest.mark.parametrize("given", ["an address", "a client"])
def test_a_cluster_that_is_down_is_left_alone(make_worker, tmp_path, upstream, caplog, given):
    """An error of the kind that an answer is, and yet no answer: it opens the circuit breaker."""
    server = RedisServer(
        *(tmp_path, "--cluster-enabled", "yes", "--cluster-port", str(free_port()))
    ).start()
    command = server.client.execute_command
    # A client of one server gets the error itself; one of a cluster tells it otherwise.
    client = redis.Redis(port=server.port, socket_timeout=2)
    address = f"redis+cluster://127.0.0.1:{server.port}"
    try:
        command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
        wait_until(lambda: b"cluster_state:ok" in command("CLUSTER", "INFO"))
        worker = make_worker(client if given == "a client" else address, clock=None)
        assert isinstance(worker.verify(ltik()), CachedLaunch)
        command("CLUSTER", "DELSLOTSRANGE", 0, 16000)
        wait_until(lambda: b"cluster_state:fail" in command("CLUSTER", "INFO"))
        for _ in range(6):
            assert isinstance(worker.verify(ltik()), CachedLaunch)
        assert worker.store._down
        assert "the cluster is down" in caplog.text
        with caplog.at_level(logging.INFO):
            command("CLUSTER", "ADDSLOTSRANGE", 0, 16000)
            wait_until(lambda: _reads(worker))
        assert "Redis works again" in caplog.text
        worker.authenticator.close()
    finally:
        client.close()
        server.kill()
