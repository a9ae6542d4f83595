"""PostgreSQL: a few long-lived asyncpg connections, and one that listens for what other hubs ring."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import uuid
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, NoReturn, cast

import asyncpg  # type: ignore[import-untyped]

from nbhub.errors import BadRequest, ConfigError, Conflict, DatabaseUnavailable
from nbhub.store import schema
from nbhub.store.listening import CHANNEL, Listener
from nbhub.store.statements import Statement
from nbhub.store.transaction import Reading, Row, Writing
from nbhub.store.wakeup import Wakeup

log = logging.getLogger(__name__)

Connection = Any  # asyncpg.Connection, which has no types

POOL_SIZE = 5
CONNECT_SECONDS = 4.0
ACQUIRE_SECONDS = 6.0
STATEMENT_SECONDS = 15.0
OLDEST = 120_000
PAYLOAD_BYTES = 7_000  # PostgreSQL takes up to 8,000

_SETTINGS = {
    "application_name": "nbhub",
    "jit": "off",
    "lock_timeout": "10s",
    "statement_timeout": "15s",
    "idle_in_transaction_session_timeout": "60s",
}
_OUT_OF_REACH = "The database is out of reach. Servers keep running; try again in a moment."
_DRIVER_ERRORS = (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError, OverflowError, UnicodeError)


class Pool:
    """Connections that are opened when first needed and kept; dead ones are replaced."""

    def __init__(self, dsn: str, size: int = POOL_SIZE) -> None:
        self._dsn = dsn
        self._idle: list[Connection] = []
        self._room = asyncio.Semaphore(size)

    async def take(self) -> Connection:
        """Return a living connection; raise DatabaseUnavailable if there is none within ACQUIRE_SECONDS."""
        if self._room.locked():
            try:
                await asyncio.wait_for(self._room.acquire(), ACQUIRE_SECONDS)
            except TimeoutError as error:
                raise DatabaseUnavailable(
                    f"The database is busy: no connection became free within {ACQUIRE_SECONDS:.0f} s. Try again."
                ) from error
        else:
            await self._room.acquire()
        while self._idle:
            connection = self._idle.pop()
            if not connection.is_closed():
                return connection
        try:
            return await connect(self._dsn)
        except BaseException:
            self._room.release()
            raise

    def give_back(self, connection: Connection, *, usable: bool = True) -> None:
        """Keep the connection for the next one, unless nobody knows what state it is in."""
        if usable and not connection.is_closed():
            self._idle.append(connection)
        else:
            connection.terminate()
        self._room.release()

    async def close(self) -> None:
        """Close what is idle."""
        idle, self._idle = self._idle, []
        for connection in idle:
            with contextlib.suppress(*_DRIVER_ERRORS):
                await connection.close(timeout=2)


class PostgresqlReading(Reading):
    """Reads on a connection of its own; each statement sees what is committed."""

    def __init__(self, database: PostgresqlDatabase) -> None:
        self._pool = database.pool
        self._connection: Connection | None = None
        self._usable = True

    async def __aenter__(self) -> PostgresqlReading:
        self._connection = await self._pool.take()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.give_back(self._open(), usable=self._usable)

    async def fetch(self, statement: Statement, **params: Any) -> Sequence[Row]:
        """See `Reading`."""
        numbered = statement.postgresql
        with _Guard(self):
            rows: Sequence[Row] = await self._open().fetch(numbered.sql, *numbered.fill(params))
            return rows
        raise AssertionError

    async def fetchone(self, statement: Statement, **params: Any) -> Row | None:
        """See `Reading`."""
        numbered = statement.postgresql
        with _Guard(self):
            row: Row | None = await self._open().fetchrow(numbered.sql, *numbered.fill(params))
            return row
        raise AssertionError

    def _open(self) -> Connection:
        assert self._connection is not None
        return self._connection

    def spoil(self) -> None:
        """Note that nobody knows the state of the connection any more."""
        self._usable = False


class PostgresqlWriting(PostgresqlReading, Writing):
    """A write transaction; commits when left without an error, and rings in the same breath."""

    def __init__(self, database: PostgresqlDatabase) -> None:
        super().__init__(database)
        self._database = database
        self._topics: dict[str, None] = {}
        self.clock = database.clock

    async def __aenter__(self) -> PostgresqlWriting:
        task = asyncio.current_task()
        if task in self._database.writing:
            raise RuntimeError("a write transaction was opened inside another one")
        self._connection = await self._pool.take()
        try:
            with _Guard(self):
                await self._connection.execute("BEGIN")
        except BaseException:
            self._pool.give_back(self._connection, usable=False)
            raise
        self._database.writing.add(task)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                await self._commit()
            else:
                await self._roll_back()
        finally:
            self._database.writing.discard(asyncio.current_task())
            self._pool.give_back(self._open(), usable=self._usable)
        if error is None:
            self._database.wakeup.ring(*self._topics)

    async def _commit(self) -> None:
        try:
            with _Guard(self):
                await self._open().execute("".join((*self._notifications(), "COMMIT")))
        except Exception:
            await self._roll_back()
            raise

    async def _roll_back(self) -> None:
        if not self._usable:
            return
        try:
            await self._open().execute("ROLLBACK")
        except _DRIVER_ERRORS:
            self.spoil()  # a lost connection rolls back by itself; what went wrong before is what gets told
        except BaseException:
            self.spoil()
            raise

    def _notifications(self) -> Sequence[str]:
        """Return NOTIFY statements; other hubs hear them when, and only when, the transaction commits."""
        if not self._topics:
            return ()
        parts: list[list[str]] = [[]]
        size = 0
        for topic in self._topics:
            size += len(topic) + 4
            if size > PAYLOAD_BYTES:
                parts.append([])
                size = 0
            parts[-1].append(topic)
        payloads = (json.dumps([self._database.instance, *part]) for part in parts if part)
        return [f"NOTIFY {CHANNEL}, '{payload.replace(chr(39), chr(39) * 2)}';" for payload in payloads]

    async def execute(self, statement: Statement, **params: Any) -> int:
        """See `Writing`."""
        numbered = statement.postgresql
        with _Guard(self):
            status: str = await self._open().execute(numbered.sql, *numbered.fill(params))
            return int(status.rpartition(" ")[2])
        raise AssertionError

    async def execute_many(self, statement: Statement, many: Sequence[Mapping[str, Any]]) -> None:
        """See `Writing`."""
        numbered = statement.postgresql
        with _Guard(self):
            await self._open().executemany(numbered.sql, [numbered.fill(params) for params in many])

    async def lock(self, name: str) -> None:
        """See `Writing`."""
        with _Guard(self):
            await self._open().fetchval("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", f"nbhub {name}")

    def ring(self, *topics: str) -> None:
        """See `Writing`."""
        self._topics.update(dict.fromkeys(topics))


class _Guard:
    """Turns the driver's errors into ours, and notes when a connection must not be used again."""

    __slots__ = ("_reading",)

    def __init__(self, reading: PostgresqlReading) -> None:
        self._reading = reading

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            return
        usable = asyncpg.PostgresError | UnicodeError | OverflowError | asyncpg.InterfaceError
        # What was cut off or cancelled in the middle is in no known state; closed ones are noticed when given back. One
        # that takes no writes leads to a server that is a standby by now: the next connection may find the new primary.
        if not isinstance(error, usable) or isinstance(error, asyncpg.ReadOnlySQLTransactionError):
            self._reading.spoil()
        if isinstance(error, _DRIVER_ERRORS):
            explain(error)


class PostgresqlDatabase:
    """One PostgreSQL database, which many hubs share."""

    def __init__(self, dsn: str, clock: Callable[[], float], wakeup: Wakeup) -> None:
        self.clock = clock
        self.wakeup = wakeup
        self.pool = Pool(dsn)
        self.instance = uuid.uuid4().hex[:12]  # tells our own notifications from those of others
        self.writing: set[asyncio.Task[Any] | None] = set()
        self.listener = Listener(lambda: connect(dsn), wakeup, self.instance)

    @classmethod
    async def open(cls, dsn: str, clock: Callable[[], float], wakeup: Wakeup) -> PostgresqlDatabase:
        """Connect, migrate, and listen; raise ConfigError with the reason if that cannot be done."""
        try:
            await _migrate(dsn)
        except (DatabaseUnavailable, ValueError) as error:
            raise ConfigError(f"The database {place(dsn)} cannot be used. {error}") from error
        database = cls(dsn, clock, wakeup)
        await database.listener.start()
        return database

    @property
    def hears_changes(self) -> bool:
        """Whether notifications arrive."""
        return self.listener.connected

    def read(self) -> PostgresqlReading:
        """Return a transaction that reads."""
        return PostgresqlReading(self)

    def write(self) -> PostgresqlWriting:
        """Return a transaction that writes."""
        return PostgresqlWriting(self)

    def scan(self) -> PostgresqlReading:
        """Return a transaction that may read for long; the server does the work either way."""
        return PostgresqlReading(self)

    async def close(self) -> None:
        """Close all connections."""
        await self.listener.stop()
        await self.pool.close()


async def connect(dsn: str, command_timeout: float | None = STATEMENT_SECONDS) -> Connection:
    """Return a new connection; raise DatabaseUnavailable with the reason."""
    try:
        return await asyncpg.connect(
            dsn,
            timeout=CONNECT_SECONDS,
            command_timeout=command_timeout,
            statement_cache_size=512,
            max_cached_statement_lifetime=0,
            server_settings=_SETTINGS,
        )
    except _DRIVER_ERRORS as error:
        explain(error)


@contextlib.asynccontextmanager
async def patient_connection(dsn: str) -> AsyncIterator[Connection]:
    """Connect for work that takes as long as it takes, and say in words what goes wrong with it."""
    connection = await connect(dsn, command_timeout=None)
    try:
        await connection.execute("SET lock_timeout = 0; SET statement_timeout = 0")
        await connection.execute("SET idle_in_transaction_session_timeout = 0")
        yield connection
    except _DRIVER_ERRORS as error:
        explain(error)
    finally:
        connection.terminate()


def place(dsn: str) -> str:
    """Return the address of the database without a password."""
    scheme, _, rest = dsn.partition("://")
    host = rest.partition("?")[0].rpartition("@")[2]
    return f"{scheme}://{host}"


async def _migrate(dsn: str) -> None:
    connection = await connect(dsn)
    try:
        version = int(await connection.fetchval("SHOW server_version_num"))
        if version < OLDEST:
            raise ConfigError(f"The PostgreSQL server at {place(dsn)} is of version {version // 10_000}; 12 is needed.")
        await connection.execute("SET lock_timeout = 0; SET statement_timeout = 0")
        await schema.migrate_postgresql(connection, place(dsn))
    except _DRIVER_ERRORS as error:
        explain(error)
    finally:
        connection.terminate()


def explain(error: BaseException) -> NoReturn:
    """Raise what the driver's error means in words."""
    raise _meaning(error) from error


def _meaning(error: BaseException) -> BaseException:
    match error:
        case asyncpg.IntegrityConstraintViolationError():
            return Conflict("Something that this refers to was changed or removed at the same moment. Try again.")
        case asyncpg.DataError() | OverflowError() | UnicodeError():
            return BadRequest("A number or character is not one that the database can keep.")
        case asyncpg.InvalidAuthorizationSpecificationError() | asyncpg.InvalidCatalogNameError():
            return DatabaseUnavailable(f"The database refuses the hub: {error}. Check user, password and name.")
        case asyncpg.InsufficientPrivilegeError():
            return DatabaseUnavailable(f"The hub's database user may not do this: {error}.")
        case asyncpg.DiskFullError():
            return DatabaseUnavailable("The disk of the database server is full.")
        case asyncpg.ReadOnlySQLTransactionError():
            return DatabaseUnavailable("The database server takes no writes now (a standby?). Try again later.")
        case asyncpg.DeadlockDetectedError() | asyncpg.LockNotAvailableError() | asyncpg.SerializationError():
            return DatabaseUnavailable("Another hub changed the same rows at the same moment. Try again.")
        case asyncpg.QueryCanceledError() | TimeoutError():
            return DatabaseUnavailable("The database did not answer in time. Try again.")
        case asyncpg.PostgresConnectionError() | asyncpg.OperatorInterventionError():
            return DatabaseUnavailable(_OUT_OF_REACH)
        case asyncpg.TooManyConnectionsError():
            return DatabaseUnavailable("The database server has no connection left. Raise its max_connections.")
        case asyncpg.SyntaxOrAccessError():
            return cast(BaseException, error)  # our mistake: a statement that the database does not understand
        case asyncpg.PostgresError():
            return DatabaseUnavailable(f"The database reports: {error}.")
        case _:
            return DatabaseUnavailable(_OUT_OF_REACH)
