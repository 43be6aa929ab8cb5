"""Checks whether the service-key database works, without leaving anything behind."""

from __future__ import annotations

import os

import sqlalchemy as sa

from ..activity import ActivityKey
from ..errors import ServiceKeyStoreError
from .database import Database
from .schema import keys, migrate, upsert, version_of

_KEY = ActivityKey("ltiaas-middleware doctor", None, None)


def inspect_database(url: str, timeout: float = 5.0) -> int | None:
    """Do what the store does, in a transaction that is rolled back: create or migrate the tables,
    write a row, read it, and delete it. Returns the version of the tables, or None if there are
    none yet.

    Raises:
        SettingsError: the URL does not name a usable database.
        ServiceKeyStoreError: the database is unreachable, its user lacks a permission, or a newer
            release migrated the tables.
    """
    database = Database(url, timeout)
    try:
        if database.dialect == "sqlite" and not os.path.exists(database.url.database or ""):
            _can_be_made(database.url.database or "")
            return None
        return database.transact(_try, keep=False)
    finally:
        database.close()


def _try(connection: sa.Connection) -> int | None:
    version = version_of(connection)
    migrate(connection)
    connection.execute(upsert(connection.dialect.name, _KEY, 0, b"\0", 0))
    row = keys.c.digest == _KEY.digest
    connection.execute(sa.select(keys.c.sealed).where(row))
    connection.execute(keys.update().where(row).values(sealed=b"\1"))
    connection.execute(keys.delete().where(row))
    return version


def _can_be_made(path: str) -> None:
    folder = os.path.dirname(os.path.abspath(path))
    if not os.path.isdir(folder):
        raise ServiceKeyStoreError("the folder of the database file does not exist")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise ServiceKeyStoreError("this user cannot write to the folder of the database file")
