"""A PostgreSQL that cannot be reached properly: every wait ends, and no key is lost."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
import sqlalchemy as sa

from ltiaas_middleware import Settings
from ltiaas_middleware.errors import ServiceKeyStoreError
from ltiaas_middleware.service_keys import ActivityKey, ServiceKeyStore
from ltiaas_middleware.service_keys.database import Database
from tests.account import SECRET
from tests.fixtures.databases import connected
from tests.waiting import wait_until
from tests.wire_proxy import WireProxy, proxied, until_swallowing

from .test_store import KEY, NOW, key_at, token

pytestmark = pytest.mark.postgresql


@pytest.fixture
def proxy(postgresql: str) -> Iterator[WireProxy]:
    url = sa.make_url(postgresql)
    assert url.host is not None
    assert url.port is not None
    with connected(postgresql) as connection:
        connection.exec_driver_sql("DROP TABLE IF EXISTS ltiaas_service_keys, ltiaas_schema")
    with proxied(url.host, url.port) as running:
        yield running


@pytest.fixture
def address(proxy: WireProxy, postgresql: str) -> str:
    url = sa.make_url(postgresql).set(port=proxy.port)
    return url.render_as_string(hide_password=False)


@pytest.fixture
def open_(address: str, settings: Settings) -> Iterator[Callable[..., ServiceKeyStore]]:
    opened: list[ServiceKeyStore] = []

    def open_one(query: str = "", **options: object) -> ServiceKeyStore:
        given = {"timeout": 0.5, **options}
        opened.append(ServiceKeyStore(address + query, settings, **given))  # type: ignore[arg-type]
        return opened[-1]

    yield open_one
    for store in opened:
        store.close(0.1)


PLACES = [ActivityKey("p", "c", str(number)) for number in range(30)]


@pytest.mark.parametrize("trouble", ["swallow", "refuse", "cut"])
@pytest.mark.parametrize("connected_before", [True, False], ids=["connected", "new"])
def test_what_was_launched_meanwhile_is_stored_once_it_is_well_again(
    open_: Callable[..., ServiceKeyStore], proxy: WireProxy, trouble: str, connected_before: bool
) -> None:
    store = open_()
    store.create()
    if not connected_before:
        store.close()
    getattr(proxy, trouble)()
    if trouble == "cut":
        proxy.swallow()  # The next connection fares no better.
    for place in PLACES:
        store.record(token(place=place), NOW)
    assert store.stats()["waiting"] == len(PLACES), "nobody waits for the database"
    wait_until(lambda: store.stats()["failed"] >= 2)
    assert store.stats()["stored"] == 0
    assert store.stats()["waiting"] == len(PLACES)
    proxy.pass_on()
    wait_until(lambda: store.stats()["stored"] == len(PLACES))
    assert (store.stats()["waiting"], store.stats()["dropped"]) == (0, 0)
    assert {key_at(store, place) for place in PLACES} == {KEY}


def test_a_job_that_reads_is_not_held_for_ever(
    open_: Callable[..., ServiceKeyStore], proxy: WireProxy, caplog: pytest.LogCaptureFixture
) -> None:
    store = open_()
    store.put(PLACES[0], KEY, NOW)
    proxy.swallow()
    with pytest.raises(ServiceKeyStoreError) as caught:
        store.get(PLACES[0])
    assert SECRET["password"] not in str(caught.value)
    proxy.pass_on()
    assert key_at(store, PLACES[0]) == KEY


def test_an_answer_that_gets_lost_in_the_middle_of_a_statement_ends_too(
    open_: Callable[..., ServiceKeyStore], proxy: WireProxy, address: str
) -> None:
    database = Database(address, 0.5)
    begun = threading.Event()

    def slow(connection: sa.Connection) -> None:
        connection.exec_driver_sql("SELECT 1")
        begun.set()
        proxy.swallow()
        connection.exec_driver_sql("SELECT 2")

    with pytest.raises(ServiceKeyStoreError, match=r"no response within 1\.5 s"):
        database.transact(slow)
    assert begun.is_set()
    proxy.pass_on()
    assert database.transact(lambda one: one.scalar(sa.text("SELECT 3"))) == 3
    database.close()


def test_a_statement_that_the_server_holds_up_is_ended_by_it(
    open_: Callable[..., ServiceKeyStore], postgresql: str
) -> None:
    store = open_()
    store.create()
    with connected(postgresql) as connection:
        connection.exec_driver_sql("LOCK TABLE ltiaas_service_keys")
        with pytest.raises(ServiceKeyStoreError, match="statement timeout"):
            store.get(PLACES[0])
    assert store.get(PLACES[0]) is None


def test_a_slow_network_is_no_failure(
    open_: Callable[..., ServiceKeyStore], proxy: WireProxy
) -> None:
    store = open_(timeout=10)
    proxy.delay(0.02)
    for place in PLACES[:3]:
        store.record(token(place=place), NOW)
    assert store.flush(60)
    assert store.stats()["failed"] == 0
    assert key_at(store, PLACES[0]) == KEY


def test_the_address_has_the_last_word(open_: Callable[..., ServiceKeyStore]) -> None:
    def parameters(store: ServiceKeyStore) -> tuple[str, dict[str, str]]:
        def read(connection: sa.Connection) -> tuple[str, dict[str, str]]:
            driver: Any = connection.connection.driver_connection
            timeout = connection.scalar(sa.text("SHOW statement_timeout"))
            return str(timeout), driver.info.get_parameters()

        return store._database.transact(read)

    timeout, given = parameters(open_())
    assert timeout == "500ms"
    assert given["tcp_user_timeout"] == "500"
    assert given["connect_timeout"] == "2"
    assert given["keepalives_idle"] == "30"
    query = "?connect_timeout=7&tcp_user_timeout=99&options=-cstatement_timeout%3D12345"
    timeout, given = parameters(open_(query))
    assert timeout == "12345ms"
    assert given["tcp_user_timeout"] == "99"
    assert given["connect_timeout"] == "7"


def test_behind_a_pooler_no_setting_outlives_the_transaction(
    open_: Callable[..., ServiceKeyStore],
) -> None:
    store = open_()
    store.create()
    with store._database.engine.connect() as connection:
        assert connection.scalar(sa.text("SHOW statement_timeout")) == "0"


def test_the_newest_launches_are_kept_while_nothing_can_be_written(
    open_: Callable[..., ServiceKeyStore], proxy: WireProxy
) -> None:
    store = open_(waiting=10)
    store.create()
    proxy.swallow()
    start = datetime(2026, 3, 1, tzinfo=timezone.utc)
    for number, place in enumerate(PLACES):
        store.record(token(place=place), start + timedelta(minutes=number))
    until_swallowing(proxy)
    wait_until(lambda: store.stats()["failed"])
    assert store.stats()["dropped"] == 20
    proxy.pass_on()
    wait_until(lambda: store.stats()["stored"] == 10)
    found = {key.activity_key for key in store.all()}
    assert found == set(PLACES[20:])
