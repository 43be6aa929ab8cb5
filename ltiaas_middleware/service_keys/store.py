"""Service keys at rest: every launch that brings one stores it, jobs read it back.

Which of two launches is the later one is decided in the database, in the statement that writes, by
the time of the launch: workers on many machines may write in any order.
"""

from __future__ import annotations

import atexit
import os
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any, NamedTuple, NoReturn

import requests
import sqlalchemy as sa

from .._crypto.sealing import Opened, Sealer
from .._forking import in_child
from ..api.exchange import Limits
from ..api.id_token import IdToken
from ..api.session import ApiSession
from ..api.transport import new_session
from ..credentials import ServiceKeyCredential
from ..errors import ServiceKeyStoreError, ServiceKeyUnreadable
from ..settings import Settings
from .database import Database, unusable
from .schema import Place, Row, keys, migrate, select, upsert
from .stored import StoredServiceKey, microseconds
from .writer import Launch, Writer

__all__ = ["Rotation", "ServiceKeyStore"]

_BATCH = 200
# Seconds by which the clocks of two machines may be apart before their times are not believed.
_SKEW = 3600.0
# Seconds that ``forget`` waits for a write that is under way.
_FORGET_WAIT = 30.0


class Rotation(NamedTuple):
    """What ``rotate`` did, in rows: re-encrypted; under the first secret already; unreadable."""

    rotated: int
    current: int
    unreadable: int


class ServiceKeyStore:
    """Service keys in SQLite or PostgreSQL. Safe to use from many threads and processes.

    Args:
        database: ``"sqlite:///keys.sqlite3"``, ``"postgresql://user:password@host/name"`` (read
            with psycopg), or an ``Engine`` of your own, which brings its own timeouts.
        settings: account and secrets. Keys are sealed under the first secret and opened under all
            of them (``Settings.secret``).
        create: make and migrate the tables before the first use. Off for those who run migrations
            of their own.
        limits: for ``StoredServiceKey.api``.
        waiting: how many launches may wait to be written; beyond that the oldest are dropped and
            counted.
        timeout: seconds to connect to PostgreSQL, and for each of its statements. Parameters in
            the address win (``connect_timeout``, ``tcp_user_timeout``,
            ``options=-cstatement_timeout=…``).

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
        timeout: float = 5.0,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = Database(database, timeout)
        self._settings = settings
        self._sealer = Sealer(settings.secrets, "service-key")
        self._limits = limits or Limits(ca_bundle=settings.ca_bundle)
        self._clock = clock
        self._ready = not create
        self._lock = threading.Lock()
        self._session: requests.Session | None = None
        self._writer = Writer(self._write, waiting, monotonic)
        _stores.add(self)
        in_child(self, ServiceKeyStore._after_fork)

    @classmethod
    def from_env(
        cls,
        env: Mapping[str, str] | None = None,
        *,
        create: bool = True,
        limits: Limits | None = None,
        timeout: float = 5.0,
        **overrides: Any,
    ) -> ServiceKeyStore:
        """The store that ``LTIAAS_SERVICE_KEYS`` names, with the account's settings from the
        environment too.

        Args:
            env: the environment to read; ``os.environ`` by default.
            create, limits, timeout: as of the store itself.
            overrides: settings given in code; they win. ``service_keys`` is the database.

        Raises:
            SettingsError: a value is missing or unusable.
        """
        env = os.environ if env is None else env
        database = overrides.pop("service_keys", None) or env.get("LTIAAS_SERVICE_KEYS", "").strip()
        if not database:
            raise unusable("is not set: set it to a database, such as sqlite:///keys.sqlite3")
        settings = Settings.from_env(env, **overrides)
        return cls(database, settings, create=create, limits=limits, timeout=timeout)

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
            self._writer.add(place, Launch(microseconds(launched_at), key))
        except Exception as error:  # noqa: BLE001 - a request must not fail for it
            self._writer.reject(error)

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
        launch = Launch(microseconds(launched_at), service_key)
        # A traceback with its locals ends up in an error tracker.
        del service_key
        return self._write(place, launch)

    def flush(self, timeout: float = 5.0) -> bool:
        """Wait until all that was recorded is written.

        Args:
            timeout: seconds.

        Returns:
            False where some of it still waits: the time was over, or the database failed.
        """
        return self._writer.flush(timeout)

    def stats(self) -> dict[str, int]:
        """Counts since the start of the process.

        ``stored``; ``outdated``: a later launch's key was there already; ``failed``: writes that
        failed, of which most are repeated; ``dropped``: keys that were given up (too many were
        waiting, the process ended, or the key itself cannot be stored). And one that goes up and
        down: ``waiting``.
        """
        return self._writer.stats()

    def close(self, timeout: float = 5.0) -> None:
        """Write what is waiting, for at most ``timeout`` seconds, drop the rest, and close the
        connections. An ``Engine`` that was handed in is left alone. The store can still be used:
        it connects again."""
        self._writer.finish(timeout)
        if self._session is not None:
            self._session.close()
        self._database.close()

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
        rows = self._rows(select.where(keys.c.digest == digest))
        return StoredServiceKey(self, rows[0]) if rows else None

    def for_context(self, platform_id: str, context_id: str | None) -> tuple[StoredServiceKey, ...]:
        """All service keys of one course, the latest launch first; of launches without a course
        where ``context_id`` is None.

        Raises:
            ServiceKeyStoreError: the database cannot be used.
        """
        of_context = (
            keys.c.context_id.is_(None) if context_id is None else keys.c.context_id == context_id
        )
        rows = self._rows(
            select.where(keys.c.platform_id == platform_id, of_context).order_by(
                keys.c.launched_at.desc(), keys.c.digest
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

    def _all(self) -> Iterator[Row]:
        last = ""
        while True:
            rows = self._rows(
                select.where(keys.c.digest > last).order_by(keys.c.digest).limit(_BATCH)
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
        self._database.transact(migrate)
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
        return self._forget(lambda one: one == place, keys.c.digest == place.digest) > 0

    def forget_platform(self, platform_id: str) -> int:
        """Delete all service keys of one LMS. Later launches store theirs again: first deactivate
        the platform, where it is to stay forgotten.

        Returns:
            How many there were.

        Raises:
            ServiceKeyStoreError: the database cannot be used.
        """
        return self._forget(
            lambda one: one.platform_id == platform_id, keys.c.platform_id == platform_id
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
        return f"<ServiceKeyStore {self._database}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a ServiceKeyStore holds connections and is not pickled")

    # The database

    def _write(self, place: Place, launch: Launch) -> bool:
        self._credential_of(launch.key)
        self._be_ready()
        sealed = self._sealer.seal(launch.key.encode(), place.digest.encode())
        latest = int((self._clock() + _SKEW) * 1_000_000)
        statement = upsert(self._database.dialect, place, launch.at, sealed, latest)
        return self._database.changes(statement) > 0

    def _rows(self, query: sa.Select[Any]) -> list[Row]:
        self._be_ready()
        return [Row(*row) for row in self._database.rows(query)]

    def _open(self, row: Row) -> Opened | None:
        # Two rows that changed places would still open, each as the other: its name tells.
        if row.digest != row.place.digest:
            return None
        return self._sealer.open(bytes(row.sealed), row.digest.encode())

    def _seal_again(self, row: Row, content: bytes) -> bool:
        sealed = self._sealer.seal(content, row.digest.encode())
        unchanged = (keys.c.digest == row.digest) & (keys.c.sealed == row.sealed)
        return self._database.changes(keys.update().where(unchanged).values(sealed=sealed)) > 0

    def _forget(self, chosen: Callable[[Place], bool], where: sa.ColumnElement[bool]) -> int:
        self._be_ready()
        if not self._writer.forget(chosen, _FORGET_WAIT):
            raise ServiceKeyStoreError("a write of this very key is under way and does not end")
        return self._database.changes(keys.delete().where(where))

    def _be_ready(self) -> None:
        if not self._ready:
            self.create()

    def _after_fork(self) -> None:
        """In a forked worker: the thread stayed behind, and the connections are the parent's."""
        self._lock = threading.Lock()
        self._session = None
        self._writer.start_over()
        self._database.after_fork()

    # For StoredServiceKey

    def _credential(self, row: Row) -> ServiceKeyCredential:
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


_stores: weakref.WeakSet[ServiceKeyStore] = weakref.WeakSet()


def _last_call() -> None:
    for store in list(_stores):
        store._writer.finish()


atexit.register(_last_call)
