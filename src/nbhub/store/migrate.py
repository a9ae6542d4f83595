"""Running the migrations with Alembic, on a connection that is already there. Loaded only when there are any to run."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import StaticPool

from nbhub.errors import ConfigError

ADVISORY_LOCK = 0x6E62687562  # "nbhub": one hub at a time


def upgrade_sqlite(connection: sqlite3.Connection, place: str) -> None:
    """Run what is missing, in one transaction."""
    engine = create_engine("sqlite://", creator=lambda: connection, poolclass=StaticPool)
    with drivers_own_errors(), engine.connect() as wrapped:
        wrapped.exec_driver_sql("BEGIN IMMEDIATE")
        upgrade(wrapped, place)
        wrapped.commit()


async def upgrade_postgresql(connection: Any, place: str) -> None:
    """Run what is missing, in one transaction, after whoever else is doing the same."""

    async def ours() -> Any:
        return connection

    engine = create_async_engine("postgresql+asyncpg://", async_creator=ours, poolclass=StaticPool)
    with drivers_own_errors():
        async with engine.connect() as wrapped, wrapped.begin():
            await wrapped.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": ADVISORY_LOCK})
            await wrapped.run_sync(upgrade, place)


def configuration() -> Config:
    """Return what Alembic has to know; it lies inside the package, so that it is in the wheel."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    return config


@contextlib.contextmanager
def drivers_own_errors() -> Iterator[None]:
    """Raise what the driver raised, which the callers have words for, instead of its wrapping."""
    try:
        yield
    except DBAPIError as error:
        if error.orig is None:
            raise
        # The asynchronous drivers are wrapped twice.
        raise error.orig.__cause__ or error.orig from error


def revisions() -> frozenset[str]:
    """Return every revision that this program knows."""
    return frozenset(script.revision for script in ScriptDirectory.from_config(configuration()).walk_revisions())


def upgrade(connection: Connection, place: str, revision: str = "head") -> None:
    """Bring the tables to a revision, within the transaction that is open; raise ConfigError if they are newer."""
    config = configuration()
    directory = ScriptDirectory.from_config(config)
    _refuse_newer(connection, directory, place)

    def steps(current: Any, _context: MigrationContext) -> Any:
        return directory._upgrade_revs(revision, current)

    environment = EnvironmentContext(config, directory, fn=steps, destination_rev=revision)
    with environment:
        # Our own transaction surrounds it: a hub that dies in the middle leaves the tables as they were.
        environment.configure(connection=connection, transactional_ddl=True, transaction_per_migration=False)
        environment.run_migrations()


def _refuse_newer(connection: Connection, directory: ScriptDirectory, place: str) -> None:
    known = {script.revision for script in directory.walk_revisions()}
    for revision in MigrationContext.configure(connection).get_current_heads():
        if revision not in known:
            raise ConfigError(
                f"The database {place} was written by a newer nbhub (its revision is {revision!r}). "
                "Run that version again, or restore the backup from before the upgrade."
            )
