"""Whether the database of service keys can be used, found out without leaving anything behind."""

from __future__ import annotations

import os
from typing import NamedTuple

import sqlalchemy as sa

from ..errors import ServiceKeyStoreError
from .database import Database
from .schema import Place, keys, migrate, newest_version, upsert, version_of

__all__ = ["Inspected", "inspect_database"]

_PLACE = Place("ltiaas-middleware doctor", None, None)


class Inspected(NamedTuple):
    """What was found.

    Attributes:
        version: of the tables; None where there are none yet.
        newest: the version that this release reads and writes, and migrates to.
    """

    version: int | None
    newest: int


def inspect_database(address: str, timeout: float = 5.0) -> Inspected:
    """Do what the store does, in a transaction that is rolled back: make the tables where there are
    none, write a row, read it, delete it.

    Raises:
        SettingsError: the address is of no usable database.
        ServiceKeyStoreError: it cannot be reached, lacks a right, or is a newer release's.
    """
    database = Database(address, timeout)
    try:
        if database.dialect == "sqlite" and not os.path.exists(database.url.database or ""):
            _can_be_made(database.url.database or "")
            return Inspected(None, newest_version())
        return database.transact(_try, keep=False)
    finally:
        database.close()


def _try(connection: sa.Connection) -> Inspected:
    version, newest = version_of(connection), newest_version()
    if version is not None and version > newest:
        raise ServiceKeyStoreError(
            f"the tables are of version {version}, made by a newer release; this one knows {newest}"
        )
    if version is None:
        migrate(connection)
    if version in (None, newest):
        connection.execute(upsert(connection.dialect.name, _PLACE, 0, b"\0", 0))
        row = keys.c.digest == _PLACE.digest
        connection.execute(sa.select(keys.c.sealed).where(row))
        connection.execute(keys.update().where(row).values(sealed=b"\1"))
        connection.execute(keys.delete().where(row))
    return Inspected(version, newest)


def _can_be_made(path: str) -> None:
    folder = os.path.dirname(os.path.abspath(path))
    if not os.path.isdir(folder):
        raise ServiceKeyStoreError("the folder of the database file does not exist")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise ServiceKeyStoreError("the folder of the database file is not writable for this user")
