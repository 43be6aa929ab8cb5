"""Stored service keys: launches store their service key, and jobs read it.

Workers on many machines may write in any order. So the statement that writes compares the launch
times in the database, and keeps the later one.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any, NamedTuple, NoReturn

import requests
import sqlalchemy as sa

from .._crypto.encryption import Decrypted, Encryptor
from .._forking import in_child
from ..activity import ActivityKey
from ..api.exchange import RetryPolicy
from ..api.id_token import IdToken
from ..api.session import ApiSession
from ..api.transport import new_session
from ..credentials import ServiceKeyCredential
from ..errors import ServiceKeyStoreError, ServiceKeyUnreadable
from ..settings import Settings
from .database import Database, unusable
from .schema import activity_key, keys, migrate, upsert
from .stored import StoredServiceKey, microseconds
from .writer import Launch, Writer

_BATCH = 200
# Seconds by which the clocks of two machines may be apart before their times are not believed.
_SKEW = 3600.0
# Seconds that ``delete`` waits for a write that is under way.
_DELETE_WAIT = 30.0


class Rotation(NamedTuple):
    """The row counts of ``rotate``: re-encrypted, already under the first secret, and
    unreadable."""

    rotated: int
    current: int
    unreadable: int


class ServiceKeyStore:
    """Service keys in SQLite or PostgreSQL. Safe to use from many threads and processes.

    Every method that uses the database raises ``ServiceKeyStoreError`` if the database fails.

    Args:
        database: ``"sqlite:///keys.sqlite3"``, ``"postgresql://user:password@host/name"`` (through
            psycopg), or your own ``Engine``, which keeps its own timeouts.
        settings: the account and its secrets. The first of ``Settings.secrets`` encrypts, and all
            decrypt.
        create: create and migrate the tables before the first use. Turn it off if you run your own
            migrations.
        retry_policy: the policy of ``StoredServiceKey.api``.
        waiting: how many launches may wait to be written. If there are more, the store drops and
            counts the oldest.
        timeout: the limit in seconds for connecting to PostgreSQL, and for each statement.
            Parameters in the URL take precedence (``connect_timeout``, ``tcp_user_timeout``,
            ``options=-cstatement_timeout=…``).

    Raises:
        SettingsError: the database is of an unsupported kind, other processes cannot share it, or
            its driver is missing.
    """

    def __init__(
        self,
        database: str | sa.Engine,
        settings: Settings,
        *,
        create: bool = True,
        retry_policy: RetryPolicy | None = None,
        waiting: int = 10_000,
        timeout: float = 5.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._database = Database(database, timeout)
        self._settings = settings
        self._timeout = timeout
        self._encryptor = Encryptor(settings.signing_secrets, "service-key")
        self._retry_policy = retry_policy or RetryPolicy(ca_bundle=settings.ca_bundle)
        self._clock = clock
        self._ready = not create
        self._lock = threading.Lock()
        self._session: requests.Session | None = None
        self._writer = Writer(self._write, waiting)
        in_child(self, ServiceKeyStore._after_fork)

    @classmethod
    def from_env(
        cls,
        env: Mapping[str, str] | None = None,
        *,
        create: bool = True,
        retry_policy: RetryPolicy | None = None,
        timeout: float = 5.0,
        **overrides: Any,
    ) -> ServiceKeyStore:
        """Create the store for the database in ``LTIAAS_SERVICE_KEYS``, and read the account's
        settings from ``env`` (``os.environ`` by default). ``overrides`` are settings from code,
        which take precedence.

        Raises:
            SettingsError: a value is missing or invalid.
        """
        env = os.environ if env is None else env
        named = overrides.get("service_keys") or env.get("LTIAAS_SERVICE_KEYS", "").strip()
        settings = Settings.from_env(env, **overrides) if named else None
        database: Any = settings and settings.service_keys
        if settings is None or database is None:
            raise unusable("is not set: set it to a database, such as sqlite:///keys.sqlite3")
        return cls(database, settings, create=create, retry_policy=retry_policy, timeout=timeout)

    # Writing

    def record(self, id_token: IdToken, launched_at: datetime) -> None:
        """Store the service key of a verified launch that began at ``launched_at`` (aware), later,
        in another thread. It never raises and never waits.

        It ignores launches without a service key. It logs a launch that has neither a platform ID
        nor a guid, and counts it as dropped.
        """
        try:
            service_key = id_token.services.service_key
            if service_key is None:
                return
            key = ActivityKey.of(id_token)
            if key is None:
                raise ServiceKeyStoreError("the ID token has neither platform.id nor platform.guid")
            self._writer.add(key, Launch(microseconds(launched_at), service_key))
        except Exception as error:  # noqa: BLE001 - a request must not fail for it
            self._writer.reject(error)

    def put(self, key: ActivityKey, service_key: str, launched_at: datetime) -> bool:
        """Immediately store the service key of a launch that began at ``launched_at`` (aware).

        Returns:
            False if the key of a later launch is already stored.

        Raises:
            CredentialError: the key contains characters that a header cannot have.
        """
        launch = Launch(microseconds(launched_at), service_key)
        # A traceback with its locals ends up in an error tracker.
        del service_key
        return self._write(key, launch)

    def flush(self, timeout: float = 5.0) -> bool:
        """Wait up to ``timeout`` seconds until all recorded keys are written. Returns False if some
        keys are still waiting because the time is up or the database failed."""
        return self._writer.flush(timeout)

    def stats(self) -> dict[str, int]:
        """Counts since the process started.

        ``stored``: keys written; ``outdated``: keys not written because a later launch's key was
        already stored; ``failed``: failed writes, most of which are retried; ``dropped``: keys
        given up because too many were waiting, the process ended, or the key cannot be stored.
        ``waiting`` is the current number of waiting keys.
        """
        return self._writer.stats()

    def close(self, timeout: float = 5.0) -> None:
        """Write waiting keys for up to ``timeout`` seconds, drop the rest, and close the
        connections, but not your own ``Engine``. You can still use the store; it reconnects."""
        self._writer.finish(timeout)
        if self._session is not None:
            self._session.close()
        self._database.close()

    # Reading

    def get(self, key: ActivityKey) -> StoredServiceKey | None:
        """The service key of exactly this activity. None for an ID means that the launch had none.

        A launch's own request sees its key: if this process has not written the key yet,
        this method waits for it, up to the timeout of a statement. Other processes see the key once
        it is written, usually within milliseconds.
        """
        self._writer.settle(key, self._timeout)
        found = self._selected(sa.select(keys).where(keys.c.digest == key.digest))
        return found[0] if found else None

    def for_context(self, platform_id: str, context_id: str | None) -> tuple[StoredServiceKey, ...]:
        """All service keys of one course, latest launch first. If ``context_id`` is None, those of
        launches without a course."""
        # For None, SQLAlchemy makes it IS NULL.
        of_context = (keys.c.platform_id == platform_id) & (keys.c.context_id == context_id)
        latest_first = keys.c.launched_at.desc(), keys.c.digest
        return tuple(self._selected(sa.select(keys).where(of_context).order_by(*latest_first)))

    def all(self) -> Iterator[StoredServiceKey]:
        """All stored service keys, in no particular order, fetched in batches while you loop.

        No transaction stays open between batches, so a job may take hours. Keys that are stored or
        deleted in the meantime may or may not appear.
        """
        last = ""
        while True:
            found = self._selected(
                sa.select(keys).where(keys.c.digest > last).order_by(keys.c.digest).limit(_BATCH)
            )
            yield from found
            if len(found) < _BATCH:
                return
            last = found[-1]._row.digest

    # Keeping

    def create(self) -> None:
        """Create the tables, or update those of an older release. You can call this from many
        processes at once, and repeatedly.

        Raises:
            ServiceKeyStoreError: a newer release has migrated the tables.
        """
        self._database.transact(migrate)
        self._ready = True

    def delete(self, key: ActivityKey) -> bool:
        """Delete the service key of exactly this activity, and return whether there was one. A
        later launch stores it again."""
        return self._delete(lambda one: one == key, keys.c.digest == key.digest) > 0

    def delete_platform(self, platform_id: str) -> int:
        """Delete all service keys of one LMS, and return how many there were. Later launches store
        theirs again. To prevent that, deactivate the platform first."""
        where = keys.c.platform_id == platform_id
        return self._delete(lambda one: one.platform_id == platform_id, where)

    def rotate(self) -> Rotation:
        """Re-encrypt all keys that are not yet encrypted under the first secret. Launches and jobs
        can continue, and a key that a launch stores at the same time is not overwritten."""
        rotated = current = unreadable = 0
        for stored in self.all():
            row = stored._row
            opened = self._open(row)
            if opened is None:
                unreadable += 1
            elif opened.current or not self._encrypt_again(row, opened.content):
                current += 1
            else:
                rotated += 1
        return Rotation(rotated, current, unreadable)

    def __repr__(self) -> str:
        return f"<ServiceKeyStore {self._database}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a ServiceKeyStore holds connections and cannot be pickled")

    # The database

    def _write(self, key: ActivityKey, launch: Launch) -> bool:
        self._credential_of(launch.key)
        self._be_ready()
        sealed = self._encryptor.encrypt(launch.key.encode(), key.digest.encode())
        latest = int((self._clock() + _SKEW) * 1_000_000)
        statement = upsert(self._database.engine.dialect.name, key, launch.at, sealed, latest)
        return self._database.changes(statement) > 0

    def _selected(self, query: sa.Select[Any]) -> list[StoredServiceKey]:
        self._be_ready()
        return [StoredServiceKey(self, row) for row in self._database.rows(query)]

    def _open(self, row: Any) -> Decrypted | None:
        try:
            # Two rows that changed places would still open, each as the other: its name tells.
            if row.digest != activity_key(row).digest:
                return None
            return self._encryptor.decrypt(row.sealed, row.digest.encode())
        except TypeError:
            # SQLite keeps values of any type.
            return None

    def _encrypt_again(self, row: Any, content: bytes) -> bool:
        sealed = self._encryptor.encrypt(content, row.digest.encode())
        unchanged = (keys.c.digest == row.digest) & (keys.c.sealed == row.sealed)
        return self._database.changes(keys.update().where(unchanged).values(sealed=sealed)) > 0

    def _delete(self, chosen: Callable[[ActivityKey], bool], where: sa.ColumnElement[bool]) -> int:
        self._be_ready()
        if not self._writer.delete(chosen, _DELETE_WAIT):
            raise ServiceKeyStoreError("another write of this key has not finished; try again")
        return self._database.changes(keys.delete().where(where))

    def _be_ready(self) -> None:
        if not self._ready:
            self.create()

    def _after_fork(self) -> None:
        # The thread stayed behind, and the connections are the parent's.
        self._lock, self._session = threading.Lock(), None
        self._writer.start_over()
        self._database.after_fork()

    # For StoredServiceKey

    def _credential(self, row: Any) -> ServiceKeyCredential:
        opened = self._open(row)
        if opened is None:
            raise ServiceKeyUnreadable(
                "none of the secrets decrypts this service key; the activity's next launch stores "
                "a new one"
            )
        return self._credential_of(opened.content.decode())

    def _credential_of(self, service_key: str) -> ServiceKeyCredential:
        settings = self._settings
        return ServiceKeyCredential(settings.url, settings.api_key, service_key)

    def _api(self, credential: ServiceKeyCredential) -> ApiSession:
        with self._lock:
            if self._session is None:
                self._session = new_session(self._settings.max_concurrent_calls)
        return ApiSession(credential, self._retry_policy, session=self._session)
