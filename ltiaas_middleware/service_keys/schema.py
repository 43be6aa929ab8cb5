"""The service-key tables, and migrations from older releases.

The key of a row is a digest of (platform id, context id, resource link id), because ids may be
missing (in SQL, any two NULLs are different), and an LMS's ids may have any length.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from ..activity import ActivityKey
from ..errors import ServiceKeyStoreError
from .database import Database

metadata = sa.MetaData()

#: Documented in docs/reference/database.md; a change here needs an entry in ``_UPGRADES``.
keys = sa.Table(
    "ltiaas_service_keys",
    metadata,
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
    metadata,
    sa.Column("part", sa.String(64), primary_key=True),
    sa.Column("version", sa.Integer, nullable=False),
)
_PART = "service_keys"

#: The migrations from version 1 to 2, from 2 to 3, and so on.
_UPGRADES: tuple[Callable[[sa.Connection], None], ...] = ()

# Any number will do, as long as nothing else in the database locks the same one.
_ADVISORY_LOCK = 5_844_117_231
_DOCTORS = ActivityKey("ltiaas-middleware doctor", None, None)


def activity_key(row: Any) -> ActivityKey:
    """What a row of ``keys`` is stored under."""
    return ActivityKey(row.platform_id, row.context_id, row.resource_link_id)


def upsert(
    dialect: str, key: ActivityKey, launched_at: int, sealed: bytes, latest: int
) -> sa.Insert:
    """The statement that stores a ciphertext, unless a later launch's is already stored.

    Args:
        dialect: ``"sqlite"`` or ``"postgresql"``.
        key: the key of the row.
        launched_at: microseconds since the epoch.
        sealed: the ciphertext.
        latest: microseconds. Rows with a later time are overwritten, because a machine whose clock
            was ahead must not block all later launches.
    """
    insert: Any = postgresql.insert if dialect == "postgresql" else sqlite.insert
    row = {**key._asdict(), "digest": key.digest, "launched_at": launched_at, "sealed": sealed}
    statement = insert(keys).values(row)
    new = statement.excluded
    result: sa.Insert = statement.on_conflict_do_update(
        index_elements=[keys.c.digest],
        set_={"launched_at": new.launched_at, "sealed": new.sealed},
        # Or equal: the same launch may be verified again and bring a fresh key.
        where=sa.or_(keys.c.launched_at <= new.launched_at, keys.c.launched_at > latest),
    )
    return result


def version_of(connection: sa.Connection) -> int | None:
    """The version of the existing tables, or None if there are none."""
    if not sa.inspect(connection).has_table(_schema.name):
        return None
    found = connection.scalar(sa.select(_schema.c.version).where(_schema.c.part == _PART))
    return None if found is None else int(found)


def migrate(connection: sa.Connection) -> None:
    """Create or migrate the tables, in the connection's transaction.

    Raises:
        ServiceKeyStoreError: a newer release has migrated the tables.
    """
    _lock(connection)
    _schema.create(connection, checkfirst=True)
    found, newest = version_of(connection), 1 + len(_UPGRADES)
    if found is None:
        keys.create(connection, checkfirst=True)
        connection.execute(_schema.insert().values(part=_PART, version=newest))
    elif found > newest:
        raise ServiceKeyStoreError(
            f"a newer release created the tables (version {found}); this release supports version "
            f"{newest}, so upgrade it"
        )
    elif found < newest:
        for upgrade in _UPGRADES[found - 1 :]:
            upgrade(connection)
        connection.execute(_schema.update().where(_schema.c.part == _PART).values(version=newest))


def _lock(connection: sa.Connection) -> None:
    """Let one process at a time migrate, until the end of the transaction."""
    if connection.dialect.name == "postgresql":
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_ADVISORY_LOCK)))
    else:
        # sqlite3 begins no transaction before DDL, and a deferred one before anything else.
        connection.exec_driver_sql("BEGIN IMMEDIATE")


def inspect_database(url: str) -> int | None:
    """Do what the store does, in a transaction that is rolled back: create or migrate the tables,
    write a row, read it, and delete it. Returns the version of the tables, or None if there are
    none yet.

    Raises:
        SettingsError: the URL does not name a usable database.
        ServiceKeyStoreError: the database is unreachable, its user lacks a permission, or a newer
            release migrated the tables.
    """
    database = Database(url, 5.0)
    try:
        path = database.engine.url.database or ""
        if database.engine.dialect.name == "postgresql" or os.path.exists(path):
            return database.transact(_try_all, keep=False)
        folder = os.path.dirname(os.path.abspath(path))
        if not os.path.isdir(folder):
            raise ServiceKeyStoreError("the folder of the database file does not exist")
        if not os.access(folder, os.W_OK | os.X_OK):
            raise ServiceKeyStoreError("this user cannot write to the folder of the database file")
        return None
    finally:
        database.close()


def _try_all(connection: sa.Connection) -> int | None:
    version = version_of(connection)
    migrate(connection)
    connection.execute(upsert(connection.dialect.name, _DOCTORS, 0, b"\0", 0))
    row = keys.c.digest == _DOCTORS.digest
    connection.execute(sa.select(keys.c.sealed).where(row))
    connection.execute(keys.update().where(row).values(sealed=b"\1"))
    connection.execute(keys.delete().where(row))
    return version
