"""SQLite: statements run right on the event loop; what scans or checkpoints runs in a thread.

One writer connection, one reader connection (which never waits for the writer, thanks to the write-ahead log), one hub.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn

from nbhub.errors import BadRequest, ConfigError, Conflict, DatabaseUnavailable, NbhubError
from nbhub.store.locking import FileLock
from nbhub.store.statements import Statement
from nbhub.store.transaction import Reading, Row, Writing
from nbhub.store.wakeup import Wakeup

log = logging.getLogger(__name__)

BUSY_MILLISECONDS = 250  # only other programs ever make us wait, and the whole hub waits with us
CHECKPOINT_COMMITS = 500
BACKLOG_PAGES = 4_000  # 16 MiB of log: worth a pause of some milliseconds
MEMORY = ":memory:"
OLDEST = (3, 38, 0)


class SqliteReading(Reading):
    """Reads on one connection; each statement sees what is committed."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    async def __aenter__(self) -> SqliteReading:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    async def fetch(self, statement: Statement, **params: Any) -> Sequence[Row]:
        """See `Reading`."""
        return _rows(self._connection, statement, params)

    async def fetchone(self, statement: Statement, **params: Any) -> Row | None:
        """See `Reading`."""
        named = statement.sqlite
        try:
            row: Row | None = self._connection.execute(named.sql, named.fill(params)).fetchone()
        except (sqlite3.Error, OverflowError, UnicodeError) as error:
            explain(error)
        return row


class SqliteWriting(SqliteReading, Writing):
    """A write transaction; commits when left without an error."""

    def __init__(self, database: SqliteDatabase) -> None:
        super().__init__(database.writer)
        self._database = database
        self._topics: list[str] = []
        self.clock = database.clock

    async def __aenter__(self) -> SqliteWriting:
        task = asyncio.current_task()
        if self._database.writing is task:
            raise RuntimeError("a write transaction was opened inside another one")
        await self._database.turn.acquire()
        try:
            self._connection.execute("BEGIN IMMEDIATE")
        except sqlite3.Error as error:
            self._database.turn.release()
            explain(error)
        self._database.writing = task
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self._commit()
            else:
                self._roll_back()
        finally:
            self._database.writing = None
            self._database.turn.release()
        if error is None:
            self._database.committed(self._topics)

    def _commit(self) -> None:
        try:
            self._connection.execute("COMMIT")
        except sqlite3.Error as failure:
            self._roll_back()
            explain(failure)

    def _roll_back(self) -> None:
        if self._connection.in_transaction:  # SQLite itself rolls back when the disk is full
            with contextlib.suppress(sqlite3.Error):
                self._connection.execute("ROLLBACK")

    async def execute(self, statement: Statement, **params: Any) -> int:
        """See `Writing`."""
        named = statement.sqlite
        try:
            return self._connection.execute(named.sql, named.fill(params)).rowcount
        except (sqlite3.Error, OverflowError, UnicodeError) as error:
            explain(error)

    async def execute_many(self, statement: Statement, many: Sequence[Mapping[str, Any]]) -> None:
        """See `Writing`."""
        named = statement.sqlite
        try:
            self._connection.executemany(named.sql, [named.fill(dict(params)) for params in many])
        except (sqlite3.Error, OverflowError, UnicodeError) as error:
            explain(error)

    async def lock(self, name: str) -> None:
        """Nothing to do: there is one writer."""

    def ring(self, *topics: str) -> None:
        """See `Writing`."""
        self._topics.extend(topics)


class SqliteScan(Reading):
    """Reads in a thread, with a connection of its own, so that a long read never holds up the hub."""

    def __init__(self, database: SqliteDatabase) -> None:
        self._database = database
        self._connection: sqlite3.Connection | None = None

    async def __aenter__(self) -> Reading:
        if self._database.path == MEMORY:
            return SqliteReading(self._database.reader)
        self._connection = await asyncio.to_thread(connect, self._database.path, reading=True)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._connection is not None:
            await asyncio.to_thread(self._connection.close)

    async def fetch(self, statement: Statement, **params: Any) -> Sequence[Row]:
        """See `Reading`."""
        assert self._connection is not None
        return await asyncio.to_thread(_rows, self._connection, statement, params)

    async def fetchone(self, statement: Statement, **params: Any) -> Row | None:
        """See `Reading`."""
        rows = await self.fetch(statement, **params)
        return rows[0] if rows else None


class SqliteDatabase:
    """One open SQLite file, or a database in memory (for tests)."""

    hears_changes = True  # there is no other hub that could change anything

    def __init__(
        self, path: str, writer: sqlite3.Connection, clock: Callable[[], float], wakeup: Wakeup, lock: FileLock | None
    ) -> None:
        self.path = path
        self.clock = clock
        self.wakeup = wakeup
        self.writer = writer
        self.reader = self.writer if path == MEMORY else connect(path, reading=True)
        self.turn = asyncio.Lock()
        self.writing: asyncio.Task[Any] | None = None
        self._lock = lock
        self._commits = 0
        self._checkpoint: asyncio.Task[None] | None = None

    def read(self) -> SqliteReading:
        """Return a transaction that reads."""
        return SqliteReading(self.reader)

    def write(self) -> SqliteWriting:
        """Return a transaction that writes."""
        return SqliteWriting(self)

    def scan(self) -> SqliteScan:
        """Return a transaction that may read for long."""
        return SqliteScan(self)

    def committed(self, topics: Sequence[str]) -> None:
        """Ring, and now and then fold the write-ahead log into the file."""
        if topics:
            self.wakeup.ring(*topics)
        self._commits += 1
        if self._commits >= CHECKPOINT_COMMITS and self._checkpoint is None and self.path != MEMORY:
            self._commits = 0
            self._checkpoint = asyncio.create_task(self._fold_in())

    async def _fold_in(self) -> None:
        try:
            backlog = await asyncio.to_thread(_checkpoint, self.path)
            if backlog > BACKLOG_PAGES:
                # While others write all the time the thread never quite catches up, and the log would only grow.
                async with self.turn:
                    self.writer.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        except (sqlite3.Error, DatabaseUnavailable) as error:
            log.warning("the write-ahead log of %s could not be folded in: %s", self.path, error)
        finally:
            self._checkpoint = None

    async def close(self) -> None:
        """Fold the log in, close, and let another hub have the file."""
        if self._checkpoint is not None:
            await asyncio.wait([self._checkpoint])
        if self.reader is not self.writer:
            self.reader.close()
        self.writer.close()
        if self._lock is not None:
            self._lock.release()


def prepare(name: str) -> FileLock:
    """Make folder and file if they are missing, and take the lock; raise ConfigError with the remedy."""
    try:
        path = Path(name).expanduser().resolve()  # two names of one file share its lock
    except (OSError, RuntimeError, ValueError) as error:
        raise ConfigError(f"The database path {name[:255]!r} cannot be followed: {error}.") from error
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"The data directory {path.parent} cannot be made: {error.strerror}. Choose one that the hub may write to."
        ) from error
    lock = FileLock(path)
    lock.acquire()
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except OSError as error:
        lock.release()
        raise ConfigError(
            f"The database {path} cannot be opened for writing: {error.strerror}. Make it readable and writable for "
            "the user that the hub runs as."
        ) from error
    return lock


def connect(path: str, *, reading: bool = False) -> sqlite3.Connection:
    """Return a connection with our settings, usable from any thread (one at a time)."""
    if sqlite3.sqlite_version_info < OLDEST:
        needed = ".".join(map(str, OLDEST))
        raise ConfigError(f"This Python uses SQLite {sqlite3.sqlite_version}; nbhub needs {needed} or later.")
    try:
        connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, cached_statements=512)
        connection.execute(f"PRAGMA busy_timeout = {BUSY_MILLISECONDS}")
        connection.execute("PRAGMA foreign_keys = ON")
        if reading:
            connection.execute("PRAGMA query_only = ON")
        else:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute("PRAGMA wal_autocheckpoint = 0")  # folded in by a thread, see `committed`
    except sqlite3.Error as error:
        explain(error)
    return connection


def _checkpoint(path: str) -> int:
    connection = connect(path)
    try:
        _, pages, _ = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        return int(pages)
    finally:
        connection.close()


def _rows(connection: sqlite3.Connection, statement: Statement, params: dict[str, Any]) -> Sequence[Row]:
    named = statement.sqlite
    try:
        return connection.execute(named.sql, named.fill(params)).fetchall()
    except (sqlite3.Error, OverflowError, UnicodeError) as error:
        explain(error)


_WORDS = {
    sqlite3.SQLITE_FULL: "The database or its disk is full. Make room on the disk that holds the data directory.",
    sqlite3.SQLITE_READONLY: "The database can only be read. Make its file and folder writable for the hub.",
    sqlite3.SQLITE_BUSY: "The database is locked by another program. Close what has it open, then try again.",
    sqlite3.SQLITE_LOCKED: "The database is locked by another program. Close what has it open, then try again.",
    sqlite3.SQLITE_IOERR: "The database could not be read or written: the disk reports an error, or is full.",
    sqlite3.SQLITE_CANTOPEN: "The database could not be opened. See that its folder is there and the hub may enter it.",
    sqlite3.SQLITE_CORRUPT: "The database is damaged. Restore it from a backup.",
    sqlite3.SQLITE_NOTADB: "The file is not an SQLite database. Name another one, or move it out of the way.",
}


def explain(error: Exception) -> NoReturn:
    """Raise what the driver's error means in words."""
    raise _meaning(error) from error


def _meaning(error: Exception) -> Exception:
    if isinstance(error, OverflowError | UnicodeError):
        return BadRequest("A number or character is not one that the database can keep.")
    if isinstance(error, sqlite3.IntegrityError):
        return Conflict("Something that this refers to was changed or removed at the same moment. Try again.")
    if isinstance(error, sqlite3.ProgrammingError | sqlite3.InterfaceError | NbhubError):
        return error
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in (sqlite3.SQLITE_ERROR, sqlite3.SQLITE_MISUSE):
        return error  # our mistake: a statement that the database does not understand
    return DatabaseUnavailable(_WORDS.get(code, f"The database does not work: {error}."))
