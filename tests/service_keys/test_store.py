"""The contract that every database of service keys keeps: run on SQLite and on PostgreSQL."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
import sqlalchemy as sa

from ltiaas_middleware import IdToken, Settings, SettingsError
from ltiaas_middleware.errors import ServiceKeyStoreError, ServiceKeyUnreadable
from ltiaas_middleware.service_keys import ActivityKey, ServiceKeyStore, schema
from ltiaas_middleware.service_keys.database import Database, _why
from tests.account import SECRET
from tests.fixtures.databases import connected
from tests.waiting import wait_until

from . import storing

NOW = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)
KEY = SECRET["service key"]
HERE = ActivityKey("platform", "course", "activity")
Open = Callable[..., ServiceKeyStore]


def token(key: str | None = KEY, place: ActivityKey = HERE) -> IdToken:
    return IdToken.parse(
        {
            "user": {"id": "ada"},
            "platform": {"id": place.platform_id},
            "launch": {
                "context": {"id": place.context_id},
                "resourceLink": {"id": place.resource_link_id},
            },
            "services": {"serviceKey": key},
        }
    )


def key_at(store: ServiceKeyStore, place: ActivityKey = HERE) -> str:
    found = store.get(place)
    assert found is not None
    return found.credential.authorization.rpartition(":")[2]


def test_a_stored_key_comes_back_as_a_credential_with_the_time_of_its_launch(
    store: ServiceKeyStore,
) -> None:
    moment = datetime(2026, 3, 1, 13, 0, 0, 123456, tzinfo=timezone(timedelta(hours=1)))
    assert store.put(HERE, KEY, moment)
    found = store.get(HERE)
    assert found is not None
    assert found.credential.authorization == f"SERVICE-AUTH-V1 {SECRET['api key']}:{KEY}"
    assert found.credential.origin == "https://your.ltiaas.example"
    assert (found.platform_id, found.context_id, found.resource_link_id) == HERE
    assert found.activity_key == HERE
    assert found.refreshed_at == moment
    assert found.refreshed_at.utcoffset() == timedelta(0)


def test_what_was_never_stored_is_none(store: ServiceKeyStore) -> None:
    assert store.get(ActivityKey("platform", "course")) is None
    assert store.for_context("platform", "course") == ()
    assert list(store.all()) == []


def test_an_absent_id_is_neither_any_id_nor_an_empty_one_and_has_one_row_only(
    store: ServiceKeyStore,
) -> None:
    places = [
        ActivityKey(*ids)
        for ids in (
            ("p", None, None), ("p", "", None), ("p", None, ""), ("p", "", ""),
            ("p", "c", None), ("p", None, "c"), ("p", "None", None), ("pc", "", ""),
        )
    ]  # fmt: skip
    for round_ in range(3):
        for number, place in enumerate(places):
            store.put(place, f"key-{number}-{round_}", NOW + timedelta(seconds=round_))
    assert [key_at(store, place) for place in places] == [f"key-{n}-2" for n in range(len(places))]
    assert len(list(store.all())) == len(places)


def test_the_last_launch_wins_whatever_order_the_writes_arrive_in(store: ServiceKeyStore) -> None:
    second = NOW + timedelta(microseconds=1)
    assert store.put(HERE, "second", second)
    assert not store.put(HERE, "first", NOW)
    assert key_at(store) == "second"
    assert store.put(HERE, "third", second + timedelta(hours=1))
    assert key_at(store) == "third"


def test_the_same_launch_verified_again_brings_a_fresh_key(store: ServiceKeyStore) -> None:
    store.put(HERE, "old", NOW)
    assert store.put(HERE, "fresh", NOW)
    assert key_at(store) == "fresh"


def test_a_machine_whose_clock_was_ahead_does_not_keep_later_launches_out(
    open_store: Open,
) -> None:
    store = open_store(clock=NOW.timestamp)
    store.put(HERE, "of-the-future", NOW + timedelta(days=400))
    assert store.put(HERE, "of-today", NOW)
    assert key_at(store) == "of-today"
    within_skew = NOW + timedelta(minutes=30)
    store.put(HERE, "a-little-ahead", within_skew)
    assert not store.put(HERE, "of-today", NOW)


@pytest.mark.parametrize("round_trip", ["", "'); DROP TABLE", "ü🙂\u202e", "a" * 20_000, "a/b?c#d"])
def test_an_lms_may_name_things_as_it_likes(store: ServiceKeyStore, round_trip: str) -> None:
    place = ActivityKey("p" + round_trip, round_trip, round_trip)
    store.put(place, KEY, NOW)
    assert [key.activity_key for key in store.all()] == [place]
    assert key_at(store, place) == KEY


def test_a_courses_keys_come_with_the_latest_launch_first(store: ServiceKeyStore) -> None:
    for number, link in enumerate(["a", None, "b"]):
        store.put(ActivityKey("p", "c", link), "k", NOW + timedelta(hours=number))
    store.put(ActivityKey("p", None, "elsewhere"), "k", NOW)
    store.put(ActivityKey("q", "c", "elsewhere"), "k", NOW)
    found = [key.resource_link_id for key in store.for_context("p", "c")]
    assert found == ["b", None, "a"]
    assert [key.resource_link_id for key in store.for_context("p", None)] == ["elsewhere"]


def test_all_keys_are_read_in_portions_between_which_nothing_is_held(
    store: ServiceKeyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ltiaas_middleware.service_keys.store._BATCH", 3)
    places = {ActivityKey("p", "c", str(number)) for number in range(10)}
    for place in places:
        store.put(place, KEY, NOW)
    seen = set()
    for key in store.all():
        seen.add(key.activity_key)
        # Another connection can change any row while the job is at this one.
        store.put(key.activity_key, "changed-meanwhile", NOW + timedelta(seconds=1))
    assert seen == places
    assert {key_at(store, place) for place in places} == {"changed-meanwhile"}


def test_one_key_can_be_forgotten(store: ServiceKeyStore) -> None:
    store.put(HERE, KEY, NOW)
    store.put(ActivityKey("platform", "course", None), KEY, NOW)
    assert store.delete(HERE)
    assert not store.delete(HERE)
    assert [key.activity_key for key in store.all()] == [ActivityKey("platform", "course", None)]


def test_a_whole_platform_can_be_forgotten(store: ServiceKeyStore) -> None:
    for platform in ("p", "p2"):
        for link in ("a", "b", None):
            store.put(ActivityKey(platform, "c", link), KEY, NOW)
    assert store.delete_platform("p") == 3
    assert {key.platform_id for key in store.all()} == {"p2"}
    assert store.delete_platform("p") == 0


def test_what_still_waits_to_be_written_is_forgotten_too(
    store: ServiceKeyStore, database: str
) -> None:
    store.create()
    other = ActivityKey("other", None, None)
    with blocked(database):
        for place in (ActivityKey("first", None, None), HERE, other):
            store.record(token(place=place), NOW)
        deleting = threading.Thread(target=store.delete_platform, args=("platform",))
        deleting.start()
        until_gone(store)
    deleting.join()
    assert store.flush()
    assert HERE not in {key.activity_key for key in store.all()}
    assert store.get(other) is not None


def until_gone(store: ServiceKeyStore) -> None:
    """Until the thread that deletes has taken its platform out of the queue."""
    writer = store._writer
    with writer._changed:
        writer._changed.wait_for(lambda: HERE not in writer._waiting, timeout=5)


# Secrets


def test_no_column_holds_a_key_in_clear(store: ServiceKeyStore, database: str) -> None:
    store.put(HERE, KEY, NOW)
    with connected(database) as connection:
        columns = [list(row) for row in connection.exec_driver_sql(
            "SELECT * FROM ltiaas_service_keys"
        )]  # fmt: skip
    cells = [bytes(c) if isinstance(c, memoryview) else c for c in columns[0]]
    held = b"|".join(c if isinstance(c, bytes) else str(c).encode() for c in cells)
    assert b"platform" in held
    for secret in SECRET.values():
        assert secret.encode() not in held
    if database.startswith("sqlite"):
        store.close()
        for file in Path(sa.make_url(database).database or "").parent.iterdir():
            assert KEY.encode() not in file.read_bytes()


def test_a_row_moved_to_another_place_does_not_open(store: ServiceKeyStore, database: str) -> None:
    mine, theirs = HERE, ActivityKey("platform", "course of another", "activity")
    for place in (mine, theirs):
        store.put(place, f"key of {place.context_id}".replace(" ", "-"), NOW)
    taken = "(SELECT sealed FROM ltiaas_service_keys WHERE context_id = 'course of another')"
    with connected(database) as connection:
        connection.exec_driver_sql(
            f"UPDATE ltiaas_service_keys SET sealed = {taken} WHERE context_id = 'course'"
        )
    row = store.get(mine)
    assert row is not None
    with pytest.raises(ServiceKeyUnreadable):
        _ = row.credential
    with pytest.raises(ServiceKeyUnreadable):
        _ = row.api
    assert key_at(store, theirs) == "key-of-course-of-another"


def test_a_row_renamed_to_another_place_does_not_open(
    store: ServiceKeyStore, database: str
) -> None:
    theirs = ActivityKey("platform", "course of another", "activity")
    store.put(theirs, KEY, NOW)
    with connected(database) as connection:
        connection.exec_driver_sql(f"UPDATE ltiaas_service_keys SET digest = '{HERE.digest}'")
    row = store.get(HERE)
    assert row is not None
    with pytest.raises(ServiceKeyUnreadable):
        _ = row.credential
    assert len(list(store.all())) == 1


def test_a_row_that_is_given_another_courses_ids_does_not_open(
    store: ServiceKeyStore, database: str
) -> None:
    store.put(HERE, KEY, NOW)
    with connected(database) as connection:
        connection.exec_driver_sql("UPDATE ltiaas_service_keys SET context_id = 'another'")
    (row,) = store.for_context("platform", "another")
    with pytest.raises(ServiceKeyUnreadable):
        _ = row.credential


@pytest.mark.parametrize("sealed", ["00", "01", "01" + "00" * 12, "02" + "00" * 60])
def test_a_row_with_nonsense_in_it_does_not_open(
    store: ServiceKeyStore, database: str, sealed: str
) -> None:
    store.put(HERE, KEY, NOW)
    value = f"x'{sealed}'" if database.startswith("sqlite") else f"'\\x{sealed}'::bytea"
    with connected(database) as connection:
        connection.exec_driver_sql(f"UPDATE ltiaas_service_keys SET sealed = {value}")
    row = store.get(HERE)
    assert row is not None
    with pytest.raises(ServiceKeyUnreadable):
        _ = row.credential
    assert store.put(HERE, KEY, NOW + timedelta(seconds=1))
    assert key_at(store) == KEY


@pytest.mark.parametrize(
    ("changed", "opens"),
    [
        ("launched_at = 9223372036854775807", True),
        ("launched_at = -9223372036854775807", True),
        ("launched_at = 'soon'", True),
        ("sealed = 'a text'", False),
        ("sealed = 1000000000000", False),
        ("platform_id = x'00'", False),
    ],
)
def test_a_row_that_somebody_spoiled_keeps_no_job_from_the_others(
    store: ServiceKeyStore, database: str, changed: str, opens: bool
) -> None:
    if not database.startswith("sqlite") and "= 9" not in changed and "= -9" not in changed:
        pytest.skip("PostgreSQL refuses values of another type")
    other = HERE._replace(resource_link_id="other")
    store.put(HERE, KEY, NOW)
    store.put(other, KEY, NOW)
    with connected(database) as connection:
        where = "resource_link_id = 'activity'"
        connection.exec_driver_sql(f"UPDATE ltiaas_service_keys SET {changed} WHERE {where}")
    rows = {row.resource_link_id: row for row in store.all()}
    assert rows["other"].refreshed_at == NOW
    assert repr(rows["activity"])
    assert store.rotate().unreadable == (0 if opens else 1)
    if not opens:
        with pytest.raises(ServiceKeyUnreadable):
            _ = rows["activity"].credential


def test_secrets_are_rotated_while_everything_goes_on(open_store: Open, settings: Settings) -> None:
    old = open_store()
    between = open_store(
        settings=replace(settings, secrets=("the-new-secret-0001", SECRET["secret"]))
    )
    new = open_store(settings=replace(settings, secrets="the-new-secret-0001"))
    for link in "abc":
        old.put(ActivityKey("p", "c", link), f"key-{link}", NOW)
    between.put(ActivityKey("p", "c", "d"), "key-d", NOW)
    keys = [ActivityKey("p", "c", link) for link in "abcd"]
    assert [key_at(between, place) for place in keys] == ["key-a", "key-b", "key-c", "key-d"]
    with pytest.raises(ServiceKeyUnreadable):
        key_at(new, keys[0])
    assert new.rotate() == (0, 1, 3)
    assert between.rotate() == (3, 1, 0)
    assert [key_at(new, place) for place in keys] == ["key-a", "key-b", "key-c", "key-d"]
    assert between.rotate() == (0, 4, 0)
    with pytest.raises(ServiceKeyUnreadable):
        key_at(old, keys[0])


def test_a_rotation_does_not_overwrite_what_a_launch_brings_at_that_moment(
    open_store: Open, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = open_store()
    store = open_store(
        settings=replace(settings, secrets=("the-new-secret-0001", SECRET["secret"]))
    )
    old.put(HERE, "old", NOW)
    encrypt_ = store._encryptor.encrypt

    def launched_meanwhile(content: bytes, place: bytes) -> bytes:
        old.put(HERE, "brought-by-a-launch", NOW + timedelta(seconds=1))
        return encrypt_(content, place)

    class Between:
        encrypt = staticmethod(launched_meanwhile)
        decrypt = staticmethod(store._encryptor.decrypt)

    monkeypatch.setattr(store, "_encryptor", Between)
    assert store.rotate() == (0, 1, 0)
    assert key_at(store) == "brought-by-a-launch"


# Many processes


@pytest.mark.slow
def test_eight_processes_store_the_same_keys_at_once(database: str, store: ServiceKeyStore) -> None:
    command = [sys.executable, "-m", "tests.service_keys.storing"]
    given = [database, SECRET["api key"], SECRET["secret"]]
    root = Path(__file__).parents[2]
    processes = [
        subprocess.Popen(
            [*command, str(number), *given],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=root,
        )
        for number in range(storing.PROCESSES)
    ]
    try:
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        for process in processes:
            assert process.communicate(timeout=60)[0] == "done\n"
            assert process.returncode == 0
    finally:
        for process in processes:
            process.kill()
            process.wait()
    last = storing.ROUNDS - 1
    expected = f"key-{storing.PROCESSES - 1}-{last}"
    places = [storing.place(number) for number in range(storing.PLACES)]
    assert {key_at(store, place) for place in places} == {expected}
    keys = list(store.all())
    assert len(keys) == len(set(places)) == storing.PLACES
    assert {key.refreshed_at for key in keys} == {storing.launched_at(storing.PROCESSES - 1, last)}


# Tables


def test_the_tables_are_made_at_the_first_use_and_made_again_without_harm(
    open_store: Open,
) -> None:
    store = open_store()
    assert list(store.all()) == []
    store.put(HERE, KEY, NOW)
    store.create()
    another = open_store()
    another.create()
    assert key_at(another) == KEY


def test_tables_of_an_older_release_are_brought_up_to_date_with_what_is_in_them(
    open_store: Open, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_store().put(HERE, KEY, NOW)

    def add_column(connection: sa.Connection) -> None:
        connection.exec_driver_sql("ALTER TABLE ltiaas_service_keys ADD COLUMN note TEXT")

    monkeypatch.setattr(schema, "_UPGRADES", (add_column,))
    assert key_at(open_store()) == KEY
    assert key_at(open_store()) == KEY  # and only once
    with connected(database) as connection:
        connection.exec_driver_sql("SELECT note FROM ltiaas_service_keys")
        assert connection.exec_driver_sql("SELECT version FROM ltiaas_schema").scalar() == 2


def test_an_upgrade_that_fails_leaves_the_tables_as_they_were(
    open_store: Open, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_store().put(HERE, KEY, NOW)

    def half(connection: sa.Connection) -> None:
        connection.exec_driver_sql("ALTER TABLE ltiaas_service_keys ADD COLUMN note TEXT")
        connection.exec_driver_sql("SELECT 1 FROM nowhere")

    monkeypatch.setattr(schema, "_UPGRADES", (half,))
    with pytest.raises(ServiceKeyStoreError, match="nowhere"):
        open_store().create()
    monkeypatch.undo()
    assert key_at(open_store()) == KEY
    with pytest.raises(sa.exc.DBAPIError), connected(database) as connection:
        connection.exec_driver_sql("SELECT note FROM ltiaas_service_keys")


def test_tables_of_a_newer_release_are_left_alone(open_store: Open, database: str) -> None:
    open_store().create()
    with connected(database) as connection:
        connection.exec_driver_sql("UPDATE ltiaas_schema SET version = 99")
    with pytest.raises(ServiceKeyStoreError, match="newer release"):
        open_store().put(HERE, KEY, NOW)


def test_who_runs_migrations_of_their_own_can_follow_the_documented_schema(
    open_store: Open, database: str
) -> None:
    page = Path(__file__).parents[2] / "docs" / "reference" / "database.md"
    wanted = "sqlite" if database.startswith("sqlite") else "postgresql"
    blocks = re.findall(r"```sql\n-- (\w+)\n(.*?)```", page.read_text(), re.DOTALL)
    documented = dict(blocks)[wanted]
    with connected(database) as connection:
        for statement in filter(str.strip, documented.split(";")):
            connection.exec_driver_sql(statement)
        by_hand = described(connection)
    store = open_store(create=False)
    store.put(HERE, KEY, NOW)
    assert key_at(store) == KEY
    store.create()
    assert key_at(store) == KEY
    with connected(database) as connection:
        for table in ("ltiaas_service_keys", "ltiaas_schema"):
            connection.exec_driver_sql(f"DROP TABLE {table}")
    open_store().create()
    with connected(database) as connection:
        assert described(connection) == by_hand


def described(connection: sa.Connection) -> Any:
    inspector = sa.inspect(connection)
    return {
        table: (
            [(c["name"], str(c["type"]), c["nullable"]) for c in inspector.get_columns(table)],
            inspector.get_pk_constraint(table)["constrained_columns"],
            [(index["name"], index["column_names"]) for index in inspector.get_indexes(table)],
        )
        for table in sorted(inspector.get_table_names())
    }


def test_without_tables_and_told_not_to_make_them_it_says_so(open_store: Open) -> None:
    with pytest.raises(ServiceKeyStoreError, match="ltiaas_service_keys"):
        open_store(create=False).get(HERE)


# Recording


class blocked:  # noqa: N801
    """Nobody else can write to the database meanwhile."""

    def __init__(self, database: str) -> None:
        self._sqlite = database.startswith("sqlite")
        self._engine = sa.create_engine(database.replace("postgresql:", "postgresql+psycopg:"))

    def __enter__(self) -> None:
        self._connection = self._engine.connect()
        statement = "LOCK TABLE ltiaas_service_keys"
        if self._sqlite:
            self._connection = self._connection.execution_options(isolation_level="AUTOCOMMIT")
            statement = "BEGIN IMMEDIATE"
        self._connection.exec_driver_sql(statement)

    def __exit__(self, *error: object) -> None:
        if self._sqlite:
            self._connection.exec_driver_sql("ROLLBACK")
        self._connection.close()
        self._engine.dispose()


def test_a_recorded_launch_is_stored_in_the_background(store: ServiceKeyStore) -> None:
    store.record(token(), NOW)
    assert store.flush()
    assert key_at(store) == KEY
    assert store.stats() == {"stored": 1, "outdated": 0, "dropped": 0, "failed": 0, "waiting": 0}
    store.record(token("older"), NOW - timedelta(hours=1))
    assert store.flush()
    assert key_at(store) == KEY
    assert store.stats()["outdated"] == 1


def test_a_launch_without_a_key_stores_nothing(store: ServiceKeyStore) -> None:
    store.record(IdToken.parse({"user": {"id": 1}, "platform": {"id": "p"}}), NOW)
    assert store.flush()
    assert list(store.all()) == []
    assert sum(store.stats().values()) == 0


def test_a_launch_of_no_platform_is_counted_and_logged(store: ServiceKeyStore, caplog: Any) -> None:
    store.record(IdToken.parse({"user": {"id": 1}, "services": {"serviceKey": KEY}}), NOW)
    assert list(store.all()) == []
    assert store.stats()["dropped"] == 1
    assert "neither platform.id nor platform.guid" in caplog.text
    assert KEY not in caplog.text


def test_a_legacy_launch_is_stored_under_its_guid_and_never_under_anothers_id(
    store: ServiceKeyStore,
) -> None:
    legacy = IdToken.parse(
        {"user": {"id": 1}, "platform": {"guid": "p"}, "services": {"legacyServiceKey": KEY}}
    )
    store.record(legacy, NOW)
    key = ActivityKey.of(legacy)
    assert key is not None
    assert key_at(store, key) == KEY
    assert store.get(ActivityKey("p")) is None


def test_a_launch_is_visible_to_its_own_request(store: ServiceKeyStore, database: str) -> None:
    for number in range(20):
        key = ActivityKey("platform", "course", f"activity-{number}")
        store.record(token(place=key), NOW)
        found = store.get(key)
        assert found is not None
        assert found.activity_key == key
    assert store.delete(key)
    assert store.get(key) is None


def test_a_slow_database_holds_nobody_up_and_the_latest_launch_is_what_it_gets(
    open_store: Open, database: str
) -> None:
    store = open_store(waiting=2)
    store.create()
    first, second, third = (ActivityKey("p", "c", link) for link in "123")
    with blocked(database):
        store.record(token("held-up", first), NOW)
        writer = store._writer
        wait_until(lambda: writer._writing == first)
        store.record(token("later", second), NOW + timedelta(hours=1))
        store.record(token("earlier", second), NOW)
        store.record(token("again", first), NOW + timedelta(hours=1))
        store.record(token("too-old", third), NOW)
        assert not store.flush(0.05)
        assert store.stats()["dropped"] == 1
        assert store.stats()["waiting"] == 3
    assert store.flush()
    assert (key_at(store, first), key_at(store, second)) == ("again", "later")
    assert store.get(third) is None
    assert store.stats() == {"stored": 3, "outdated": 0, "dropped": 1, "failed": 0, "waiting": 0}


def test_what_a_failing_database_did_not_take_is_stored_once_it_works_again(
    open_store: Open, database: str, caplog: pytest.LogCaptureFixture
) -> None:
    store = open_store()
    store.create()
    with connected(database) as connection:
        connection.exec_driver_sql("ALTER TABLE ltiaas_service_keys RENAME TO away")
    places = [ActivityKey("p", "c", str(number)) for number in range(3)]
    for place in places:
        store.record(token(place=place), NOW)
    assert not store.flush()
    assert not store.flush()
    assert store.stats()["failed"] >= 2
    (failing,) = [record.getMessage() for record in caplog.records]
    # How many were there already when the first one failed is the threads' affair.
    assert re.search(r"retries [1-3] of them", failing)
    assert "ltiaas_service_keys" in failing
    assert not [s for s in SECRET.values() if s in caplog.text]
    with connected(database) as connection:
        connection.exec_driver_sql("ALTER TABLE away RENAME TO ltiaas_service_keys")
    wait_until(lambda: store.stats()["waiting"] == 0)  # Nobody launches meanwhile.
    assert {key_at(store, place) for place in places} == {KEY}
    assert store.stats()["stored"] == 3
    assert store.stats()["dropped"] == 0
    assert "works again" in caplog.records[-1].getMessage()


def test_a_key_that_no_database_takes_fails_alone(
    store: ServiceKeyStore, caplog: pytest.LogCaptureFixture
) -> None:
    for number, odd in enumerate(["\ud800", "two words", "ends\n"]):
        store.record(token(odd, ActivityKey("p", "c", str(number))), NOW)
    store.record(token(), NOW)
    assert store.flush()
    assert store.stats()["failed"] == store.stats()["dropped"] == 3
    assert "CredentialError" in caplog.text
    assert len(list(store.all())) == 1
    assert key_at(store) == KEY


def test_what_cannot_be_recorded_is_logged_and_never_raised(
    store: ServiceKeyStore, caplog: pytest.LogCaptureFixture
) -> None:
    store.record(token(), datetime(2026, 1, 1))
    store.record(None, NOW)  # type: ignore[arg-type]
    assert store.stats()["failed"] == 2
    assert len(caplog.records) == 2
    with pytest.raises(ValueError, match="time zone"):
        store.put(HERE, KEY, datetime(2026, 1, 1))


_ENDING = """
import os, sys
from datetime import datetime, timezone
from tests.service_keys.test_store import token
from ltiaas_middleware import Settings
from ltiaas_middleware.service_keys import ActivityKey, ServiceKeyStore
settings = Settings(url="https://your.ltiaas.example", api_key=sys.argv[2], secrets=sys.argv[3])
store = ServiceKeyStore(sys.argv[1], settings)
now = datetime.now(timezone.utc)
store.record(token(place=ActivityKey("p", "c", "of the parent")), now)
"""
_FORKING = """
store.flush()
if os.fork() == 0:
    store.record(token(place=ActivityKey("p", "c", "of the child")), now)
    sys.exit(0 if store.flush(10) else 1)
sys.exit(os.waitstatus_to_exitcode(os.wait()[1]))
"""


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        (_ENDING, {"of the parent"}),
        (_ENDING + _FORKING, {"of the parent", "of the child"}),
    ],
    ids=["ends at once", "forks after its first launch"],
)
def test_a_process_leaves_nothing_unwritten_that(
    store: ServiceKeyStore, database: str, script: str, expected: set[str]
) -> None:
    subprocess.run(
        [sys.executable, "-c", script, database, SECRET["api key"], SECRET["secret"]],
        check=True,
        cwd=Path(__file__).parents[2],
        timeout=30,
    )
    assert {key.resource_link_id for key in store.all()} == expected


def test_a_store_on_an_engine_of_the_users_own_leaves_it_open(
    open_store: Open, database: str
) -> None:
    engine = sa.create_engine(database.replace("postgresql:", "postgresql+psycopg:"))
    with engine.connect() as connection:
        store = open_store(database=engine)
        store.put(HERE, KEY, NOW)
        store.close()
        assert connection.scalar(sa.text("SELECT count(*) FROM ltiaas_service_keys")) == 1
    assert key_at(store) == KEY
    engine.dispose()


# Settings and errors


def test_an_unreachable_database_fails_clearly_and_without_its_password(
    settings: Settings, tmp_path: Path
) -> None:
    for database in (
        f"postgres://tool:{SECRET['password']}@127.0.0.1:1/none",
        f"postgres://tool@127.0.0.1:1/none?password={SECRET['password']}",
        f"sqlite:///{tmp_path}/no/such/directory/keys.sqlite3",
    ):
        store = ServiceKeyStore(database, settings)
        with pytest.raises(ServiceKeyStoreError) as caught:
            store.get(HERE)
        assert "OperationalError: " in str(caught.value)
        assert SECRET["password"] not in f"{caught.value}{store!r}{caught.value.__context__!r}"
        assert caught.value.__context__ is None
        store.close()


@pytest.mark.parametrize(
    "database",
    ["sqlite://", "sqlite:///:memory:", "sqlite:///file:x?mode=memory&uri=true",
     "mysql://tool:database-password-77e1@host/name", "not a database",
     "postgresql+pg8000://tool:database-password-77e1@host/name",
     "postgresql+nonsense://tool:database-password-77e1@host/name",
     "postgresql://tool:an@unencoded:database-password-77e1@host/name"],
)  # fmt: skip
def test_a_database_that_cannot_be_is_refused_at_the_start(
    settings: Settings, database: str
) -> None:
    with pytest.raises(SettingsError, match="service_keys") as caught:
        ServiceKeyStore(database, settings)
    assert SECRET["password"] not in f"{caught.value}{caught.value.__context__!r}"


def test_an_engine_of_another_kind_is_refused(settings: Settings) -> None:
    engine = sa.create_mock_engine("mysql+pymysql://", lambda *_: None)
    with pytest.raises(SettingsError, match="SQLite or PostgreSQL"):
        ServiceKeyStore(_Engine(engine), settings)


class _Engine(sa.Engine):
    def __init__(self, mock: Any) -> None:
        self.dialect = mock.dialect


def test_the_store_is_made_from_the_environment(tmp_path: Path) -> None:
    env = {
        "LTIAAS_DOMAIN": "your.ltiaas.example",
        "LTIAAS_API_KEY": SECRET["api key"],
        "LTIAAS_SERVICE_KEYS": f"sqlite:///{tmp_path}/a.sqlite3",
    }
    store = ServiceKeyStore.from_env(env)
    assert "a.sqlite3" in repr(store)
    other = ServiceKeyStore.from_env(env, service_keys=f"sqlite:///{tmp_path}/b.sqlite3")
    assert "b.sqlite3" in repr(other)
    del env["LTIAAS_SERVICE_KEYS"]
    with pytest.raises(SettingsError, match="LTIAAS_SERVICE_KEYS"):
        ServiceKeyStore.from_env(env)


def test_service_keys_off_in_the_environment_is_off() -> None:
    env = {"LTIAAS_URL": "https://your.ltiaas.example", "LTIAAS_API_KEY": SECRET["api key"]}
    for text in ("off", "OFF", "none", "0"):
        env["LTIAAS_SERVICE_KEYS"] = text
        assert Settings.from_env(env).service_keys is None
        with pytest.raises(SettingsError, match="is not set"):
            ServiceKeyStore.from_env(env)


@pytest.mark.parametrize("form", ["tool:{}@h/n", "tool@h/n?password={}"])
def test_neither_errors_nor_names_of_a_database_show_its_password(form: str) -> None:
    password = "p@ss/word 77e1"
    quoted = quote(password, safe="")
    database = Database(f"postgresql://{form.format(quoted)}", 1.0)
    for shown in (password, quoted, quote_plus(password)):
        error = sa.exc.OperationalError("", {}, Exception(f"failed for {shown}\nrow: {shown}"))
        assert _why(error, database.engine.url) == "OperationalError: failed for ***"
        assert shown not in str(database)
