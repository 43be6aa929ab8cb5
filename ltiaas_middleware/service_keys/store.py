"""Service keys at rest: every launch that brings one stores it, jobs read it back.

Theory of operation. ``record`` only puts a key into a bounded waiting room and returns; a thread of
the store's own writes it. So a slow or failing database can neither delay nor fail a request: it
is logged and counted, and the next launch of the same activity brings the key again. Which of two
launches is the later one is decided in the database, in the statement that writes, by the time of
the launch: workers on many machines may write in any order.

A row is named by a digest of (platform id, context id, resource link id): absent ids take part in
it, where SQL would hold any two NULLs to be different, and an LMS's ids may be of any length.
"""

from __future__ import annotations

import atexit
import hashlib
import json
import logging
import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any, NamedTuple, NoReturn, TypeVar

import requests
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from .._crypto.sealing import Opened, Sealer
from ..api.exchange import Limits
from ..api.id_token import IdToken
from ..api.session import ApiSession
from ..api.transport import new_session
from ..credentials import ServiceKeyCredential
from ..errors import ServiceKeyStoreError, ServiceKeyUnreadable, SettingsError
from ..settings import Settings

__all__ = [
    "SCHEMA_VERSION",
    "Place",
    "Rotation",
    "ServiceKeyStore",
    "StoredServiceKey",
]

T = TypeVar("T")

_log = logging.getLogger("ltiaas_middleware")

_metadata = sa.MetaData()

#: Documented in docs/outside-a-launch.md; a change here needs an entry in ``_UPGRADES``.
_keys = sa.Table(
    "ltiaas_service_keys",
    _metadata,
    sa.Column("digest", sa.String(64), primary_key=True),
    sa.Column("platform_id", sa.Text, nullable=False),
    sa.Column("context_id", sa.Text),
    sa.Column("resource_link_id", sa.Text),
    sa.Column("launched_at", sa.BigInteger, nullable=False),
    sa.Column("sealed", sa.LargeBinary, nullable=False),
    sa.Index("ltiaas_service_keys_context", "platform_id", "context_id"),
)
_schema = sa.Table(
    "ltiaas_schema",
    _metadata,
    sa.Column("part", sa.String(64), primary_key=True),
    sa.Column("version", sa.Integer, nullable=False),
)
_PART = "service_keys"
_select = sa.select(
    _keys.c.digest,
    _keys.c.platform_id,
    _keys.c.context_id,
    _keys.c.resource_link_id,
    _keys.c.launched_at,
    _keys.c.sealed,
)


#: What brings the tables of version 1 to 2, of 2 to 3 and so on.
_UPGRADES: tuple[Callable[[sa.Connection], None], ...] = ()

#: The version of the schema that this release reads and writes.
SCHEMA_VERSION = 1 + len(_UPGRADES)

# Any number will do, as long as nothing else in the database locks the same one.
_ADVISORY_LOCK = 5_844_117_231
_BATCH = 200
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
# Seconds by which the clocks of two machines may be apart before their times are not believed.
_SKEW = 3600.0
# Seconds without a launch after which the writing thread ends; the next launch starts another.
_IDLE = 10.0
# Seconds between two log entries about a database that goes on failing.
_LOG_EVERY = 60.0
# Seconds to reach PostgreSQL.
_CONNECT_TIMEOUT = 10
# Seconds that the end of the process waits for keys that are still to be written.
_LAST_CALL = 2.0


class Place(NamedTuple):
    """What a service key is stored under (``wire.md``, "The service key")."""

    platform_id: str
    context_id: str | None
    resource_link_id: str | None

    @property
    def digest(self) -> str:
        """64 hexadecimal digits: SHA-256 of the three as a compact JSON list."""
        text = json.dumps(list(self), separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class _Launch:
    """A service key that waits to be written, and when its launch began (microseconds)."""

    at: int
    key: str = field(repr=False)


class Rotation(NamedTuple):
    """What ``rotate`` did, in rows: sealed again, sealed with the first secret already, and not to
    be opened with any secret."""

    rotated: int
    current: int
    unreadable: int


class _Row(NamedTuple):
    """A row as it stands in the database."""

    digest: str
    platform_id: str
    context_id: str | None
    resource_link_id: str | None
    launched_at: int
    sealed: bytes

    @property
    def place(self) -> Place:
        return Place(self.platform_id, self.context_id, self.resource_link_id)


class StoredServiceKey:
    """One stored service key. Its ``repr`` does not show it.

    Attributes:
        platform_id: of the LMS registration.
        context_id: of the course, or None.
        resource_link_id: of the activity, or None (a deep-linking or course-level launch).
        refreshed_at: when the launch began that brought it (aware, UTC).
    """

    __slots__ = (
        "_row",
        "_store",
        "context_id",
        "platform_id",
        "refreshed_at",
        "resource_link_id",
    )

    def __init__(self, store: ServiceKeyStore, row: _Row) -> None:
        self._store = store
        self._row = row
        self.platform_id = row.platform_id
        self.context_id = row.context_id
        self.resource_link_id = row.resource_link_id
        self.refreshed_at = _EPOCH + timedelta(microseconds=row.launched_at)

    @property
    def place(self) -> Place:
        """The three ids that it is stored under."""
        return self._row.place

    @property
    def credential(self) -> ServiceKeyCredential:
        """Signs roster and grade calls.

        Raises:
            ServiceKeyUnreadable: it was sealed under a secret that is not there any more, or the
                row is not what was written.
        """
        return self._store._credential(self._row)

    @property
    def api(self) -> ApiSession:
        """Calls with this service key, on connections that all keys of the store share.

        Raises:
            ServiceKeyUnreadable: as ``credential``.
        """
        return self._store._api(self.credential)

    def __repr__(self) -> str:
        return f"<StoredServiceKey {self.place!r} of {self.refreshed_at.isoformat()}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a StoredServiceKey is not pickled; keep its place and read it again")


class ServiceKeyStore:
    """Service keys in SQLite or PostgreSQL. Safe to use from many threads and processes.

    Args:
        database: ``"sqlite:///keys.sqlite3"``, ``"postgresql://user:password@host/name"`` (read
            with psycopg), or an ``Engine`` of your own.
        settings: account and secrets. Keys are sealed under the first secret and opened under all
            of them (``Settings.secret``).
        create: make and migrate the tables before the first use. Off for those who run migrations
            of their own.
        limits: for ``StoredServiceKey.api``.
        waiting: how many launches may wait to be written; beyond that they are dropped and counted.

    Raises:
        SettingsError: the database is of another kind, not to be shared, or its driver is missing.
    """

    def __init__(
        self,
        database: str | sa.Engine,
        settings: Settings,
        *,
        create: bool = True,
        limits: Limits | None = None,
        waiting: int = 10_000,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._owns_engine = not isinstance(database, sa.Engine)
        self._engine = database if isinstance(database, sa.Engine) else _engine(database)
        if self._engine.dialect.name not in ("sqlite", "postgresql"):
            raise _unusable("must be SQLite or PostgreSQL")
        self._settings = settings
        self._sealer = Sealer(settings.secrets, "service-key")
        self._limits = limits or Limits(ca_bundle=settings.ca_bundle)
        self._create_first = create
        self._waiting = waiting
        self._clock = clock
        self._monotonic = monotonic
        self._ready = not create
        self._session: requests.Session | None = None
        self._counts = dict.fromkeys(("stored", "outdated", "dropped", "failed"), 0)
        self._quiet_until = 0.0
        self._start_over()
        _stores.add(self)

    @classmethod
    def from_env(
        cls,
        env: Mapping[str, str] | None = None,
        *,
        create: bool = True,
        limits: Limits | None = None,
        **overrides: Any,
    ) -> ServiceKeyStore:
        """The store that ``LTIAAS_SERVICE_KEYS`` names, with the account's settings from the
        environment too.

        Args:
            env: the environment to read; ``os.environ`` by default.
            create: as of the store itself.
            limits: as of the store itself.
            overrides: settings given in code; they win. ``service_keys`` is the database.

        Raises:
            SettingsError: a value is missing or unusable.
        """
        env = os.environ if env is None else env
        database = overrides.pop("service_keys", None) or env.get("LTIAAS_SERVICE_KEYS", "").strip()
        if not database:
            raise _unusable("is not set: set it to a database, such as sqlite:///keys.sqlite3")
        return cls(database, Settings.from_env(env, **overrides), create=create, limits=limits)

    # Writing

    def record(self, id_token: IdToken, launched_at: datetime) -> None:
        """Store the service key of a launch, later and elsewhere. Never raises, never waits.

        Nothing happens for a launch that brings no service key or names no platform.

        Args:
            id_token: of a verified launch.
            launched_at: when it began (aware).
        """
        try:
            key, platform_id = id_token.services.service_key, id_token.platform.id
            if key is None or platform_id is None:
                return
            launch = id_token.launch
            place = Place(
                platform_id,
                launch.context.id if launch.context else None,
                launch.resource_link.id if launch.resource_link else None,
            )
            self._wait_for_writing(place, _Launch(_micros(launched_at), key))
        except Exception as error:  # noqa: BLE001 - a request must not fail for it
            self._count("failed")
            _log.warning("a service key was not stored (%s)", type(error).__name__)

    def put(self, place: Place, service_key: str, launched_at: datetime) -> bool:
        """Store a service key now.

        Args:
            place: what to store it under.
            service_key: the key.
            launched_at: when the launch began that brought it (aware).

        Returns:
            False where a later launch's key is stored already.

        Raises:
            CredentialError: no header can be built from this key.
            ServiceKeyStoreError: the database cannot be used.
        """
        launch = _Launch(_micros(launched_at), service_key)
        # A traceback with its locals ends up in an error tracker.
        del service_key
        return self._write(place, launch)

    def flush(self, timeout: float = 5.0) -> bool:
        """Wait until all that was recorded is written, or has failed.

        Args:
            timeout: seconds.

        Returns:
            False where some of it is still waiting.
        """
        with self._changed:
            return self._changed.wait_for(
                lambda: not self._room and self._writing is None, timeout=timeout
            )

    def stats(self) -> dict[str, int]:
        """Counts since the start of the process, in launches: ``stored``; ``outdated`` (a later
        launch was there already); ``dropped`` (too many were waiting); ``failed``."""
        with self._lock:
            return dict(self._counts)

    def close(self, timeout: float = 5.0) -> None:
        """Write what is waiting, for at most ``timeout`` seconds, and let go of the connections.
        An ``Engine`` that was handed in is left alone. The store can still be used: it
        connects again."""
        self.flush(timeout)
        if self._session is not None:
            self._session.close()
        if self._owns_engine:
            self._engine.dispose()

    # Reading

    def get(
        self,
        platform_id: str,
        context_id: str | None = None,
        resource_link_id: str | None = None,
    ) -> StoredServiceKey | None:
        """The service key stored under exactly these ids; None is an absent id, not any id.

        Raises:
            ServiceKeyStoreError: the database cannot be used.
        """
        digest = Place(platform_id, context_id, resource_link_id).digest
        rows = self._rows(_select.where(_keys.c.digest == digest))
        return StoredServiceKey(self, rows[0]) if rows else None

    def for_context(self, platform_id: str, context_id: str | None) -> tuple[StoredServiceKey, ...]:
        """All service keys of one course, the latest launch first; of launches without a course
        where ``context_id`` is None.

        Raises:
            ServiceKeyStoreError: the database cannot be used.
        """
        of_context = (
            _keys.c.context_id.is_(None) if context_id is None else _keys.c.context_id == context_id
        )
        rows = self._rows(
            _select.where(_keys.c.platform_id == platform_id, of_context).order_by(
                _keys.c.launched_at.desc(), _keys.c.digest
            )
        )
        return tuple(StoredServiceKey(self, row) for row in rows)

    def all(self) -> Iterator[StoredServiceKey]:
        """Every stored service key, read in portions as they are asked for, in no order of meaning.

        No transaction is held open between the portions: a job may take hours over them. What is
        stored or forgotten meanwhile may or may not appear.

        Raises:
            ServiceKeyStoreError: the database cannot be used.
        """
        for row in self._all():
            yield StoredServiceKey(self, row)

    def _all(self) -> Iterator[_Row]:
        last = ""
        while True:
            rows = self._rows(
                _select.where(_keys.c.digest > last).order_by(_keys.c.digest).limit(_BATCH)
            )
            yield from rows
            if len(rows) < _BATCH:
                return
            last = rows[-1].digest

    # Keeping

    def create(self) -> None:
        """Make the tables, or bring those of an older release up to date. Safe to call from many
        processes at once, and when there is nothing to do.

        Raises:
            ServiceKeyStoreError: the database cannot be used, or a newer release has migrated it.
        """
        self._transact(self._migrate)
        self._ready = True

    def forget(
        self,
        platform_id: str,
        context_id: str | None = None,
        resource_link_id: str | None = None,
    ) -> bool:
        """Delete the service key stored under exactly these ids. A later launch stores one again.

        Returns:
            Whether there was one.

        Raises:
            ServiceKeyStoreError: the database cannot be used.
        """
        place = Place(platform_id, context_id, resource_link_id)
        return self._forget(lambda one: one == place, _keys.c.digest == place.digest) > 0

    def forget_platform(self, platform_id: str) -> int:
        """Delete all service keys of one LMS. Later launches store theirs again: first deactivate
        the platform, where it is to stay forgotten.

        Returns:
            How many there were.

        Raises:
            ServiceKeyStoreError: the database cannot be used.
        """
        return self._forget(
            lambda one: one.platform_id == platform_id, _keys.c.platform_id == platform_id
        )

    def rotate(self) -> Rotation:
        """Seal every key under the first secret that is not sealed under it yet. Launches and jobs
        go on meanwhile; a key that a launch brings at the same moment is not overwritten.

        Raises:
            ServiceKeyStoreError: the database cannot be used.
        """
        rotated = current = unreadable = 0
        for row in self._all():
            opened = self._open(row)
            if opened is None:
                unreadable += 1
            elif opened.current or not self._seal_again(row, opened.content):
                current += 1
            else:
                rotated += 1
        return Rotation(rotated, current, unreadable)

    def __repr__(self) -> str:
        return f"<ServiceKeyStore {self._engine.url.render_as_string(hide_password=True)}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a ServiceKeyStore holds connections and is not pickled")

    def _migrate(self, connection: sa.Connection) -> None:
        self._alone(connection)
        _schema.create(connection, checkfirst=True)
        found = connection.scalar(sa.select(_schema.c.version).where(_schema.c.part == _PART))
        newest = 1 + len(_UPGRADES)
        if found is None:
            _keys.create(connection, checkfirst=True)
            connection.execute(_schema.insert().values(part=_PART, version=newest))
        elif found > newest:
            raise ServiceKeyStoreError(
                f"the tables are of version {found}, made by a newer release of "
                f"ltiaas-middleware; this one knows {newest}"
            )
        elif found < newest:
            for upgrade in _UPGRADES[found - 1 :]:
                upgrade(connection)
            connection.execute(
                _schema.update().where(_schema.c.part == _PART).values(version=newest)
            )

    # The waiting room and its thread

    def _start_over(self) -> None:
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._room: dict[Place, _Launch] = {}
        self._writing: Place | None = None
        self._thread: threading.Thread | None = None

    def _wait_for_writing(self, place: Place, launch: _Launch) -> None:
        with self._changed:
            waiting = self._room.get(place)
            if waiting is None and len(self._room) >= self._waiting:
                self._counts["dropped"] += 1
                return
            if waiting is None or launch.at >= waiting.at:
                self._room[place] = launch
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._write_on, name="ltiaas-service-keys", daemon=True
                )
                self._thread.start()
            self._changed.notify_all()

    def _write_on(self) -> None:
        while True:
            with self._changed:
                self._writing = None
                self._changed.notify_all()
                if not self._changed.wait_for(lambda: self._room, timeout=_IDLE):
                    # Nobody launches: a store that nobody holds any more must be able to go.
                    self._thread = None
                    return
                place, launch = next(iter(self._room.items()))
                del self._room[place]
                self._writing = place
            try:
                stored = self._write(place, launch)
            except Exception as error:  # noqa: BLE001 - the thread must live on
                self._failed(error)
            else:
                self._count("stored" if stored else "outdated")

    def _failed(self, error: Exception) -> None:
        self._count("failed")
        now = self._monotonic()
        if now < self._quiet_until:
            return
        self._quiet_until = now + _LOG_EVERY
        why = str(error) if isinstance(error, ServiceKeyStoreError) else type(error).__name__
        _log.error(
            "a service key was not stored (%d so far); the next launch of its activity tries "
            "again: %s",
            self.stats()["failed"],
            why,
        )

    def _count(self, name: str) -> None:
        with self._lock:
            self._counts[name] += 1

    # The database

    def _write(self, place: Place, launch: _Launch) -> bool:
        self._credential_of(launch.key)
        self._be_ready()
        row = {
            "digest": place.digest,
            "platform_id": place.platform_id,
            "context_id": place.context_id,
            "resource_link_id": place.resource_link_id,
            "launched_at": launch.at,
            "sealed": self._sealer.seal(launch.key.encode(), place.digest.encode()),
        }
        insert: Any = postgresql.insert if self._on_postgresql else sqlite.insert
        statement = insert(_keys).values(row)
        new = statement.excluded
        statement = statement.on_conflict_do_update(
            index_elements=[_keys.c.digest],
            set_={"launched_at": new.launched_at, "sealed": new.sealed},
            where=sa.or_(
                # Or equal: the same launch may be verified again and bring a fresh key.
                _keys.c.launched_at <= new.launched_at,
                # A machine whose clock was ahead must not keep all later launches out.
                _keys.c.launched_at > int((self._clock() + _SKEW) * 1_000_000),
            ),
        )
        return self._changes(statement) > 0

    def _rows(self, query: sa.Select[Any]) -> list[_Row]:
        self._be_ready()
        return self._transact(lambda one: [_Row(*row) for row in one.execute(query)])

    def _open(self, row: _Row) -> Opened | None:
        # Two rows that changed places would still open, each as the other: its name tells.
        if row.digest != row.place.digest:
            return None
        return self._sealer.open(bytes(row.sealed), row.digest.encode())

    def _seal_again(self, row: _Row, content: bytes) -> bool:
        sealed = self._sealer.seal(content, row.digest.encode())
        unchanged = (_keys.c.digest == row.digest) & (_keys.c.sealed == row.sealed)
        return self._changes(_keys.update().where(unchanged).values(sealed=sealed)) > 0

    def _forget(self, chosen: Callable[[Place], bool], where: sa.ColumnElement[bool]) -> int:
        self._be_ready()
        with self._changed:
            for place in [one for one in self._room if chosen(one)]:
                del self._room[place]
            self._changed.wait_for(
                lambda: self._writing is None or not chosen(self._writing), timeout=_LAST_CALL
            )
        return self._changes(_keys.delete().where(where))

    def _changes(self, statement: sa.UpdateBase) -> int:
        """How many rows a statement changed."""
        # Without the option, SQLAlchemy gives no count of an INSERT's rows on every driver.
        counting = statement.execution_options(preserve_rowcount=True)
        return self._transact(lambda one: int(one.execute(counting).rowcount))

    def _be_ready(self) -> None:
        if not self._ready:
            self.create()

    def _after_fork(self) -> None:
        """In a forked worker: the thread stayed behind, and the connections are the parent's."""
        self._start_over()
        self._session = None
        self._engine.dispose(close=False)

    @property
    def _on_postgresql(self) -> bool:
        return self._engine.dialect.name == "postgresql"

    def _transact(self, work: Callable[[sa.Connection], T]) -> T:
        """What ``work`` gives, in a transaction of its own."""
        try:
            with self._engine.begin() as connection:
                return work(connection)
        except SQLAlchemyError as error:
            # Raised outside: the chain holds statements and connection arguments.
            why = _why(error, self._engine.url.password)
        raise ServiceKeyStoreError(why)

    def _alone(self, connection: sa.Connection) -> None:
        """Let one process at a time go on from here, until the end of the transaction."""
        if self._on_postgresql:
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_ADVISORY_LOCK)))
        else:
            # The driver itself begins none before DDL, and a deferred one before anything else.
            connection.exec_driver_sql("BEGIN IMMEDIATE")

    # For StoredServiceKey

    def _credential(self, row: _Row) -> ServiceKeyCredential:
        opened = self._open(row)
        if opened is None:
            raise ServiceKeyUnreadable(
                "this service key cannot be opened with any of the secrets; the activity's next "
                "launch stores it afresh"
            )
        return self._credential_of(opened.content.decode())

    def _credential_of(self, service_key: str) -> ServiceKeyCredential:
        settings = self._settings
        return ServiceKeyCredential(settings.url, settings.api_key, service_key)

    def _api(self, credential: ServiceKeyCredential) -> ApiSession:
        with self._lock:
            if self._session is None:
                self._session = new_session(self._settings.max_calls)
        return ApiSession(credential, self._limits, session=self._session)


def _micros(moment: datetime) -> int:
    if moment.utcoffset() is None:
        raise ValueError("launched_at must be a datetime with a time zone")
    return (moment - _EPOCH) // timedelta(microseconds=1)


def _engine(database: str) -> sa.Engine:
    try:
        url = sa.make_url(database)
    except SQLAlchemyError:
        # Without the chain: it quotes the address, and with it a password.
        url = None
    if url is None:
        raise _unusable("is no address of a database, such as sqlite:///keys.sqlite3")
    arguments: dict[str, Any] = {}
    # "postgres" is what hosting services write into their variables.
    if url.drivername in ("postgres", "postgresql"):
        url = url.set(drivername="postgresql+psycopg")
    if url.get_backend_name() == "postgresql":
        if "connect_timeout" not in url.query:
            arguments["connect_timeout"] = _CONNECT_TIMEOUT
    elif url.get_backend_name() == "sqlite":
        if not url.database or ":memory:" in url.database or "memory" in url.query.get("mode", ""):
            raise _unusable("must be a file: nothing else could read a database in memory")
        # Seconds that one writer waits for another.
        arguments["timeout"] = 30
    else:
        raise _unusable("must be SQLite or PostgreSQL")
    missing = None
    try:
        engine = sa.create_engine(
            url, connect_args=arguments, pool_pre_ping=True, hide_parameters=True
        )
    except ImportError as error:
        missing = error.name
    if missing is not None:
        raise _unusable(f"needs a driver that is not installed: pip install {missing}")
    if engine.dialect.name == "sqlite":
        sa.event.listen(engine, "connect", _write_ahead)
    return engine


def _write_ahead(connection: Any, record: object) -> None:
    """Readers and a writer at once (sqlite.org/wal.html)."""
    cursor = connection.cursor()
    # Another process may be switching it over, or somebody may be reading: the next one does it.
    with suppress(sqlite3.OperationalError):
        cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=NORMAL")
    cursor.close()


def _unusable(why: str) -> SettingsError:
    return SettingsError(f"service_keys (LTIAAS_SERVICE_KEYS) {why}")


def _why(error: SQLAlchemyError, password: object) -> str:
    """What the database says: its first line, since what follows may quote the row."""
    said = str(error.orig) if isinstance(error, DBAPIError) else ""
    line = said.strip().partition("\n")[0]
    if password:
        line = line.replace(str(password), "***")
    return f"{type(error).__name__}: {line}" if line else type(error).__name__


_stores: weakref.WeakSet[ServiceKeyStore] = weakref.WeakSet()


def _after_fork() -> None:
    for store in list(_stores):
        store._after_fork()


def _last_call() -> None:
    for store in list(_stores):
        store.flush(_LAST_CALL)


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_after_fork)
atexit.register(_last_call)
