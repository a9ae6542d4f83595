"""Store: one database, opened; read and write transactions on it, and the doorbell."""

from __future__ import annotations

import asyncio
import importlib
import sqlite3
import time
import urllib.parse
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, Protocol

from nbhub.errors import ConfigError, DatabaseUnavailable
from nbhub.store import leases, schema, services, sqlite
from nbhub.store.reach import Reach
from nbhub.store.transaction import Reading, Writing
from nbhub.store.wakeup import Wakeup


class Database(Protocol):
    """What each of the two databases offers."""

    @property
    def hears_changes(self) -> bool:
        """Changes made by other hubs are heard at once."""

    def read(self) -> AbstractAsyncContextManager[Reading]:
        """Return a transaction that reads."""

    def write(self) -> AbstractAsyncContextManager[Writing]:
        """Return a transaction that writes."""

    def scan(self) -> AbstractAsyncContextManager[Reading]:
        """Return a transaction that may read for long."""

    async def close(self) -> None:
        """Let go of everything."""


class Store:
    """The only memory that counts."""

    def __init__(self, database: Database, wakeup: Wakeup, clock: Callable[[], float]) -> None:
        self._database = database
        self.wakeup = wakeup
        self.reach = Reach(wakeup)
        self.clock = clock

    @classmethod
    async def open(cls, url: str, clock: Callable[[], float] = time.time, *, beside_hub: bool = False) -> Store:
        """Open `sqlite:///path`, a bare path, `sqlite:///:memory:` or `postgresql://…`, and migrate its tables.

        With `beside_hub`, an SQLite file is opened without its lock and without changing its tables: for a command
        that writes a row while a hub is running. Raises ConfigError when it cannot be opened, with the reason and the
        remedy.
        """
        wakeup = Wakeup()
        scheme, separator, rest = url.partition("://")
        scheme = scheme.partition("+")[0]
        if separator and scheme in ("postgresql", "postgres"):
            postgresql: Any = importlib.import_module("nbhub.store.postgresql")  # with its driver, only when used
            database = await postgresql.PostgresqlDatabase.open(f"postgresql://{rest}", clock, wakeup)
            return cls(database, wakeup, clock)
        if separator and scheme != "sqlite":
            raise ConfigError(
                f"The database URL begins with {scheme[:32]!r}; nbhub knows sqlite:///path and postgresql://user@host/name."
            )
        path = sqlite_path(rest) if separator else url
        opened = _open_beside(path, clock, wakeup) if beside_hub else await _open_sqlite(path, clock, wakeup)
        return cls(opened, wakeup, clock)

    @property
    def hears_changes(self) -> bool:
        """Whether changes by other hubs are heard at once, so that who a token is may be remembered."""
        return self._database.hears_changes

    def read(self) -> AbstractAsyncContextManager[Reading]:
        """Return a transaction for short, indexed reads; each statement sees what is committed."""
        return self._database.read()

    def write(self) -> AbstractAsyncContextManager[Writing]:
        """Return a transaction for writes; commits when left, rolls back when left by an error."""
        return self._database.write()

    def scan(self) -> AbstractAsyncContextManager[Reading]:
        """Return a transaction for long reads, which hold up nothing else."""
        return self._database.scan()

    async def close(self) -> None:
        """Let go of the database."""
        await self._database.close()


def sqlite_path(rest: str) -> str:
    """Return the path in what follows `sqlite://`: `/relative`, `//absolute`, `/:memory:` or nothing for memory."""
    path = urllib.parse.unquote(rest.partition("?")[0].removeprefix("/"))
    return path or sqlite.MEMORY


async def _open_sqlite(path: str, clock: Callable[[], float], wakeup: Wakeup) -> sqlite.SqliteDatabase:
    lock = None
    if path != sqlite.MEMORY:
        lock = sqlite.prepare(path)
        path = str(lock.database)
    try:
        writer = await asyncio.to_thread(_connect_and_migrate, path)
        database = sqlite.SqliteDatabase(path, writer, clock, wakeup, lock)
        if lock is not None:
            # An earlier hub that held leases is dead, or it would hold the lock; its servers need not wait for them.
            async with database.write() as tx:
                await leases.end_all(tx, clock())
                await services.end_all(tx, clock())
        return database
    except BaseException as error:
        if lock is not None:
            lock.release()
        if isinstance(error, DatabaseUnavailable):
            raise ConfigError(f"The database {path} cannot be used. {error.message}") from error
        raise


def _open_beside(path: str, clock: Callable[[], float], wakeup: Wakeup) -> sqlite.SqliteDatabase:
    path = str(Path(path).expanduser().resolve())
    connection = sqlite.connect(path)
    try:
        schema.require_current(connection, path)
    except BaseException:
        connection.close()
        raise
    return sqlite.SqliteDatabase(path, connection, clock, wakeup, None)


def _connect_and_migrate(path: str) -> sqlite3.Connection:
    connection = sqlite.connect(path)
    try:
        schema.migrate_sqlite(connection, path)
    except BaseException as error:
        connection.close()
        if isinstance(error, sqlite3.Error):
            sqlite.explain(error)
        raise
    return connection
