"""Connections to the service-key database. Every wait is bounded, and no error shows a secret.

If a firewall or a failover drops packets, TCP keeps trying for hours. So there are limits on three
levels: PostgreSQL's own ``statement_timeout``; the kernel's ``tcp_user_timeout`` and keepalives;
and one here, for a server that acknowledges every packet but never responds, for example because
its disk hangs.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Generator
from contextlib import suppress
from typing import Any, TypeVar, cast
from urllib.parse import quote, quote_plus

import sqlalchemy as sa
from sqlalchemy.exc import DataError, DBAPIError, NoSuchModuleError, SQLAlchemyError

from ..errors import ServiceKeyStoreError, SettingsError

T = TypeVar("T")

# Seconds by which the server may exceed its own limit for a statement before it is given up here.
_GRACE = 1.0
# Seconds that one writer of SQLite waits for another.
_SQLITE_WAIT = 30
# Connections that are idle are probed after this many seconds, then at this interval.
_KEEPALIVE = {"keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3}


class Unstorable(ServiceKeyStoreError):
    """The database works but refuses this row, so a retry would not help."""


class Database:
    """SQLite or PostgreSQL; ``ServiceKeyStore`` explains the arguments. Thread-safe.

    Raises:
        SettingsError: the database is of another kind, or its driver is missing.
    """

    def __init__(self, database: str | sa.Engine, timeout: float) -> None:
        self._statement_timeout: int | None = None
        self._own = isinstance(database, str)
        self.engine = (
            self._connecting(_url(database), timeout) if isinstance(database, str) else database
        )
        if self.engine.dialect.name not in ("sqlite", "postgresql"):
            raise unusable("must be SQLite or PostgreSQL")

    def __str__(self) -> str:
        """The URL without its password, which may also be a parameter."""
        return self.engine.url.set(query={}).render_as_string(hide_password=True)

    def transact(self, work: Callable[[sa.Connection], T], *, keep: bool = True) -> T:
        """Do ``work`` in its own transaction. Rolls it back unless ``keep`` is True.

        Raises:
            Unstorable: the database refuses the data.
            ServiceKeyStoreError: the database cannot be used.
        """
        kind: type[ServiceKeyStoreError] = ServiceKeyStoreError
        try:
            with self.engine.connect() as connection, connection.begin() as transaction:
                if self._statement_timeout is not None:
                    # For this transaction alone: behind PgBouncer the session is not ours.
                    connection.exec_driver_sql(
                        f"SET LOCAL statement_timeout = {self._statement_timeout}"
                    )
                result = work(connection)
                if not keep:
                    transaction.rollback()
                return result
        except SQLAlchemyError as error:
            # Raised outside: the chain holds statements and connection arguments.
            why = _why(error, self.engine.url)
            if isinstance(error, DataError):
                kind = Unstorable
        raise kind(why)

    def rows(self, query: sa.Select[Any]) -> list[Any]:
        """The rows that a query selects. Raises the same errors as ``transact``."""
        return self.transact(lambda one: list(one.execute(query)))

    def changes(self, statement: sa.Insert | sa.Update | sa.Delete) -> int:
        """How many rows a statement changed. Raises the same errors as ``transact``."""
        # Without the option, SQLAlchemy gives no count of an INSERT's rows on every driver.
        counting = statement.execution_options(preserve_rowcount=True)
        return self.transact(lambda one: int(one.execute(counting).rowcount))

    def close(self) -> None:
        """Close the connections, unless they belong to the user's own ``Engine``."""
        if self._own:
            self.engine.dispose()

    def after_fork(self) -> None:
        """Call this in the child of a fork, because the connections belong to the parent."""
        self.engine.dispose(close=False)

    def _connecting(self, url: sa.URL, timeout: float) -> sa.Engine:
        postgresql = url.get_backend_name() == "postgresql"
        arguments: dict[str, Any] = {"timeout": _SQLITE_WAIT}
        if postgresql:
            # libpq counts whole seconds to connect, and takes 1 for 2.
            limits = {"connect_timeout": max(2, round(timeout)), **_KEEPALIVE}
            limits["tcp_user_timeout"] = round(timeout * 1000)
            arguments = {name: value for name, value in limits.items() if name not in url.query}
            if "statement_timeout" not in str(url.query.get("options", "")):
                self._statement_timeout = max(1, round(timeout * 1000))
        try:
            engine = sa.create_engine(
                url, connect_args=arguments, pool_pre_ping=True, hide_parameters=True
            )
        except NoSuchModuleError:
            raise unusable(f"names an unknown driver: {url.drivername}") from None
        except ImportError as error:
            why = f"needs a driver that is not installed: pip install {error.name}"
            raise unusable(why) from None
        if not postgresql:
            sa.event.listen(engine, "connect", _write_ahead)
        elif url.get_driver_name() == "psycopg" and self._statement_timeout is not None:
            sa.event.listen(engine, "do_connect", _bounded_connect(timeout + _GRACE))
        return engine


def _url(database: str) -> sa.URL:
    try:
        url = sa.make_url(database)
    except (SQLAlchemyError, ValueError):
        # Without the chain: it quotes the URL, and with it a password.
        url = None
    if url is None:
        raise unusable("is not the URL of a database, such as sqlite:///keys.sqlite3")
    # "postgres" is what hosting services write into their variables.
    if url.drivername in ("postgres", "postgresql"):
        url = url.set(drivername="postgresql+psycopg")
    if url.get_backend_name() == "sqlite":
        if not url.database or ":memory:" in url.database or "memory" in url.query.get("mode", ""):
            raise unusable("must be a file: other processes cannot read an in-memory database")
    elif url.get_backend_name() != "postgresql":
        raise unusable("must be SQLite or PostgreSQL")
    return url


def _bounded_connect(timeout: float) -> Callable[..., Any]:
    """Connects with psycopg so that no single wait for the server exceeds ``timeout`` seconds."""
    import psycopg

    class Bounded(psycopg.Connection[Any]):
        def wait(self, gen: Generator[Any, Any, T], *args: Any, **options: Any) -> T:
            return super().wait(self._until(gen, time.monotonic() + timeout), *args, **options)

        def _until(self, gen: Generator[Any, Any, T], end: float) -> Generator[Any, Any, T]:
            try:
                state = next(gen)
                # psycopg comes back several times a second, with or without an answer.
                while time.monotonic() <= end:
                    state = gen.send((yield state))
            except StopIteration as stop:
                return cast(T, stop.value)
            # Not to be used again: the answer may still come, to another question.
            self.pgconn.finish()
            raise psycopg.OperationalError(f"no response within {timeout:g} s")

    return lambda dialect, record, args, options: Bounded.connect(*args, **options)


def _write_ahead(connection: Any, record: object) -> None:
    """Readers and a writer at once (sqlite.org/wal.html)."""
    cursor = connection.cursor()
    # Another process may be switching it over, or somebody may be reading: the next one does it.
    with suppress(sqlite3.OperationalError):
        cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=NORMAL")
    cursor.close()


def unusable(why: str) -> SettingsError:
    """The error for a setting that does not name a usable database."""
    return SettingsError(f"service_keys (LTIAAS_SERVICE_KEYS) {why}")


def _why(error: SQLAlchemyError, url: sa.URL) -> str:
    """What the database says: its first line, since what follows may quote the row."""
    said = str(error.orig) if isinstance(error, DBAPIError) else ""
    line = said.strip().partition("\n")[0]
    for password in _passwords(url):
        for form in (password, quote(password, safe=""), quote_plus(password)):
            line = line.replace(form, "***")
    return f"{type(error).__name__}: {line}" if line else type(error).__name__


def _passwords(url: sa.URL) -> list[str]:
    """libpq also takes passwords as parameters (``password``, ``sslpassword``)."""
    given = [str(url.password or "")]
    for name, value in url.query.items():
        if "password" in name.lower():
            given += [value] if isinstance(value, str) else value
    return [password for password in given if password]
