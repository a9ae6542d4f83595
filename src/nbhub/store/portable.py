"""The whole content of a database, read in one snapshot and written to another, of either kind.

Rows travel with the revision of the tables that they were read from. Writing makes tables of just that revision, fills
them, and then migrates them, so that what an older program wrote is brought up to date by the same steps as its
database would be.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Boolean, Connection, MetaData, Table, create_engine, func, inspect, select, text, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import StaticPool

from nbhub.errors import BadRequest, ConfigError, Conflict, NbhubError, NotFound
from nbhub.store import migrate, sqlite, tables
from nbhub.store.base import sqlite_path

BATCH = 500
# Ids that were given out after the backup was made are not given out again: tokens of servers are derived from them.
IDS_LEFT_OUT = 10_000_000
_BUSY = (
    "A hub uses the database {place} now. Stop every hub first: what they know of it would no longer be true. "
    "Servers keep running meanwhile."
)
_NOT_EMPTY = (
    "The database {place} is not empty ({what}). To replace all of it by the backup, repeat with --force; "
    "what is there is then {fate}."
)


@dataclass(frozen=True, slots=True)
class Part:
    """The rows of one table. `last_id` is the last one given out, for tables that give out ids."""

    name: str
    columns: tuple[str, ...]
    last_id: int | None
    rows: Iterable[Sequence[Any]]


class Snapshot:
    """What a database held at one moment."""

    def __init__(self, connection: Connection, place: str) -> None:
        self._connection = connection
        self._found = MetaData()
        self._found.reflect(connection)
        revision = _revision(connection) if "alembic_version" in self._found.tables else None
        if revision is None:
            raise NotFound(f"The database {place} has no tables of nbhub's; there is nothing to back up.")
        if revision not in migrate.revisions():
            raise ConfigError(f"The database {place} was written by a newer nbhub; make the backup with that one.")
        self.revision = revision

    def parts(self) -> Iterator[Part]:
        """Yield every table, those that others refer to first; the rows of one have to be read before the next."""
        for known in tables.metadata.sorted_tables:
            table = self._found.tables.get(known.name)
            if table is not None:
                names = tuple(str(column.name) for column in table.c)
                yield Part(str(known.name), names, self._last_id(table), self._rows(table))

    def _rows(self, table: Table) -> Iterator[Sequence[Any]]:
        streamed = self._connection.execution_options(yield_per=BATCH)
        order = list(table.primary_key)
        for row in streamed.execute(select(table).order_by(*order)):
            yield tuple(row)

    def _last_id(self, table: Table) -> int | None:
        if not _gives_out_ids(table):
            return None
        newest = self._connection.execute(select(func.max(table.c.id))).scalar() or 0
        if self._connection.dialect.name == "sqlite":
            query = text("SELECT seq FROM sqlite_sequence WHERE name = :name").bindparams(name=table.name)
            given = self._connection.execute(query).scalar() or 0
        else:
            sequence = self._connection.execute(_SEQUENCE.bindparams(name=table.name)).scalar()
            given = self._connection.exec_driver_sql(f"SELECT last_value FROM {sequence}").scalar() or 0  # noqa: S608
        return max(int(newest), int(given))


@contextlib.asynccontextmanager
async def reading(url: str) -> AsyncIterator[Callable[[Callable[[Snapshot], None]], Any]]:
    """Open a database, also beside running hubs, and give what calls a function with a snapshot of it.

    Raises ConfigError, NotFound and DatabaseUnavailable.
    """
    if is_postgresql(url):
        async with _postgresql(url, snapshot=True) as (connection, place):
            yield lambda work: connection.run_sync(lambda sync: work(Snapshot(sync, place)))
        return
    path = _file(url)
    if not path.is_file():
        raise NotFound(f"There is no database {path}. Name its folder with --data-dir, or the file with --db.")

    async def read(work: Callable[[Snapshot], None]) -> None:
        with _explained(), _sqlite(path, reading=True) as connection:
            work(Snapshot(connection, str(path)))

    yield read


async def write(url: str, revision: str, parts: Iterable[Part], *, replace: bool, now: float) -> str:
    """Make the database hold just this; return words for what became of what it held before, if it held anything.

    All of it happens or nothing. Raises Conflict where a hub is running, or without `replace` where something is
    there already, ConfigError for a revision that is not known, and BadRequest for rows that do not fit.
    """
    if revision not in migrate.revisions():
        raise ConfigError(
            f"The backup is of a newer nbhub (its revision is {revision[:32]!r}). Restore it with that version."
        )
    if not is_postgresql(url):
        return _write_sqlite(_file(url), revision, parts, replace, now)
    async with _postgresql(url, snapshot=False) as (connection, place):
        return str(await connection.run_sync(_write_postgresql, place, revision, parts, replace, now))


def is_postgresql(url: str) -> bool:
    """Say whether the URL leads to PostgreSQL."""
    scheme, separator, _ = url.partition("://")
    return bool(separator) and scheme.partition("+")[0] in ("postgresql", "postgres")


# -- SQLite ------------------------------------------------------------------------------------------------------


def _write_sqlite(path: Path, revision: str, parts: Iterable[Part], replace: bool, now: float) -> str:
    """Fill a new file beside the old one, then put it in its place."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    there = path.exists()
    lock = sqlite.prepare(str(path))  # raises ConfigError while a hub runs
    fresh = path.with_name(f"{path.name}.restore")  # of a restore that was killed, too: the lock is ours now
    try:
        _remove(fresh)
        held = _held(path) if there else ""
        if held and not replace:
            raise Conflict(_NOT_EMPTY.format(place=path, what=held, fate=f"kept as {_kept(path).name}"))
        with _explained(), _sqlite(fresh, reading=False) as connection:
            connection.exec_driver_sql("PRAGMA foreign_keys = OFF")
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            _fill(connection, str(path), revision, parts, now)
            broken = connection.exec_driver_sql("PRAGMA foreign_key_check").fetchall()
            if broken:
                raise BadRequest(
                    f"The backup does not fit together: rows of {broken[0][0]} refer to what is not there."
                )
            connection.commit()
        words = _exchange(path, fresh, keep=bool(held))
        if os.geteuid() == 0:  # the hub may be somebody else
            for made in (path, lock.path):
                os.chown(made, path.parent.stat().st_uid, path.parent.stat().st_gid)
        return words
    finally:
        _remove(fresh)
        lock.release()


def _remove(file: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        file.with_name(file.name + suffix).unlink(missing_ok=True)


def _held(path: Path) -> str:
    """Return words for what a file holds; nothing if that is what a hub that was never used leaves."""
    if path.stat().st_size == 0:
        return ""
    try:
        with _sqlite(path, reading=False) as connection:
            held = _contents(connection)
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            return held
    except (sqlite3.Error, SQLAlchemyError, NbhubError):  # the more reason to restore a backup
        return "it cannot be read"


def _exchange(path: Path, fresh: Path, *, keep: bool) -> str:
    kept = _kept(path)
    for suffix in ("-wal", "-shm"):  # left by a file that could not be opened; they must not meet the new one
        stale = path.with_name(path.name + suffix)
        if stale.exists():
            stale.replace(kept.with_name(kept.name + suffix))
    if keep:
        kept.unlink(missing_ok=True)
        kept.hardlink_to(path)
    fresh.chmod(0o600)
    with fresh.open("rb") as file:
        os.fsync(file.fileno())
    fresh.replace(path)
    return f"What was there is kept as {kept}." if keep else ""


def _kept(path: Path) -> Path:
    return path.with_name(f"{path.name}.before-restore")


@contextlib.contextmanager
def _sqlite(path: Path, *, reading: bool) -> Iterator[Connection]:
    raw = sqlite.connect(str(path), reading=reading)
    engine = create_engine("sqlite://", creator=lambda: raw, poolclass=StaticPool)
    try:
        with engine.connect() as connection:
            if reading:
                connection.exec_driver_sql("BEGIN")  # one moment for all tables, while the hub goes on writing
            yield connection
    finally:
        engine.dispose()
        raw.close()


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    try:
        with migrate.drivers_own_errors():
            yield
    except sqlite3.Error as error:
        sqlite.explain(error)


def _file(url: str) -> Path:
    scheme, separator, rest = url.partition("://")
    if separator and scheme.partition("+")[0] != "sqlite":
        raise ConfigError(f"The database URL begins with {scheme[:32]!r}; nbhub knows sqlite:/// and postgresql://.")
    name = sqlite_path(rest) if separator else url
    return Path(name).expanduser().resolve()


# -- PostgreSQL --------------------------------------------------------------------------------------------------

_SEQUENCE = text("SELECT pg_get_serial_sequence(:name, 'id')")
_OTHERS = text(
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'nbhub'"
    " AND pid <> pg_backend_pid()"
)


@contextlib.asynccontextmanager
async def _postgresql(url: str, *, snapshot: bool) -> AsyncIterator[tuple[Any, str]]:
    postgresql: Any = importlib.import_module("nbhub.store.postgresql")  # with its driver, only when used
    dsn = f"postgresql://{url.partition('://')[2]}"
    async with postgresql.patient_connection(dsn) as raw:

        async def ours() -> Any:
            return raw

        engine = create_async_engine("postgresql+asyncpg://", async_creator=ours, poolclass=StaticPool)
        options = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True} if snapshot else {}
        with migrate.drivers_own_errors():
            async with engine.connect() as plain:
                connection = await plain.execution_options(**options)
                async with connection.begin():
                    yield connection, postgresql.place(dsn)


def _write_postgresql(
    connection: Connection, place: str, revision: str, parts: Iterable[Part], replace: bool, now: float
) -> str:
    """Replace everything in the transaction that is open."""
    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": migrate.ADVISORY_LOCK})
    if connection.execute(_OTHERS).scalar():
        raise Conflict(_BUSY.format(place=place))
    held = _contents(connection)
    if held and not replace:
        raise Conflict(_NOT_EMPTY.format(place=place, what=held, fate="gone"))
    found = set(inspect(connection).get_table_names())
    ours = [table for table in tables.metadata.sorted_tables if table.name in found]
    for name in [*(table.name for table in reversed(ours)), *({"alembic_version"} & found)]:
        connection.exec_driver_sql(f"DROP TABLE {name} CASCADE")
    _fill(connection, place, revision, parts, now)
    connection.execute(text("SELECT pg_stat_clear_snapshot()"))
    if connection.execute(_OTHERS).scalar():  # one that was started meanwhile
        raise Conflict(_BUSY.format(place=place))
    return "What was there has been replaced." if held else ""


# -- both --------------------------------------------------------------------------------------------------------


def _fill(connection: Connection, place: str, revision: str, parts: Iterable[Part], now: float) -> None:
    migrate.upgrade(connection, place, revision)
    made = MetaData()
    made.reflect(connection)
    ours = [table for table in made.sorted_tables if table.name != "alembic_version"]
    for table in reversed(ours):
        connection.execute(table.delete())  # a backup holds the rows that always are there, too
    last_ids: dict[str, int] = {}
    for part in parts:
        _insert(connection, made, part)
        if part.last_id is not None:
            last_ids[part.name] = part.last_id
    migrate.upgrade(connection, place)
    _leave_ids_out(connection, last_ids)
    for leased in (tables.servers, tables.services):
        # Whoever held these leases then knows nothing of them now.
        connection.execute(update(leased).where(leased.c.lease_expires > now).values(lease_expires=now))


def _insert(connection: Connection, made: MetaData, part: Part) -> None:
    table = made.tables.get(part.name)
    if table is None or not {column.name for column in table.c}.issuperset(part.columns):
        raise BadRequest(f"The backup has a table {part.name[:64]!r} that does not fit its revision; it was changed.")
    truths = [isinstance(table.c[name].type, Boolean) for name in part.columns]
    batch: list[dict[str, Any]] = []
    for row in part.rows:
        values = (
            bool(value) if truth and value is not None else value for value, truth in zip(row, truths, strict=True)
        )
        batch.append(dict(zip(part.columns, values, strict=True)))
        if len(batch) == BATCH:
            connection.execute(table.insert(), batch)
            batch = []
    if batch:
        connection.execute(table.insert(), batch)


def _leave_ids_out(connection: Connection, last_ids: dict[str, int]) -> None:
    for name, last in last_ids.items():
        following = last + IDS_LEFT_OUT
        if connection.dialect.name == "sqlite":
            connection.execute(text("DELETE FROM sqlite_sequence WHERE name = :name"), {"name": name})
            connection.execute(
                text("INSERT INTO sqlite_sequence (name, seq) VALUES (:name, :seq)"), {"name": name, "seq": following}
            )
        else:
            sequence = connection.execute(_SEQUENCE.bindparams(name=name)).scalar()
            connection.execute(text("SELECT setval(:sequence, :last)"), {"sequence": sequence, "last": following})


def _contents(connection: Connection) -> str:
    """Return words for what there is; nothing if there is no table, or just what a hub makes that nobody has used."""
    found = inspect(connection).get_table_names()
    if not found:
        return ""
    if "alembic_version" not in found or "users" not in found:
        return "" if found == ["alembic_version"] else "tables of another program"
    users = connection.exec_driver_sql("SELECT count(*) FROM users").scalar() or 0
    services = connection.exec_driver_sql("SELECT count(*) FROM services").scalar() or 0
    return f"{users} users, {services} services" if users or services else ""


def _gives_out_ids(table: Table) -> bool:
    return "id" in table.c and list(table.primary_key) == [table.c.id]


def _revision(connection: Connection) -> str | None:
    found = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
    return None if found is None else str(found)
