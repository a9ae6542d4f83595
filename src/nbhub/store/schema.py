"""Bringing the tables of a database to the form that this program needs."""

from __future__ import annotations

import importlib
import sqlite3
from typing import Any

from nbhub.errors import ConfigError
from nbhub.store import fresh

# The last revision in `migrations/versions`. A database that is there already is opened without loading Alembic,
# which takes longer than all the rest of opening.
HEAD = "0004"

_WORDS_FOR_FOREIGN = (
    "The database {place} holds tables that are not nbhub's. Name another one; nbhub makes its tables by itself."
)
_WORDS_FOR_JUPYTERHUB = (
    "The database {place} is JupyterHub's. Name another one for nbhub, and move users over by importing that one."
)


def migrate_sqlite(connection: sqlite3.Connection, place: str) -> None:
    """Bring the tables up to date, all or nothing; raise ConfigError if `place` is newer or somebody else's."""
    names = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    row = connection.execute("SELECT version_num FROM alembic_version").fetchone() if "alembic_version" in names else ()
    if not names:
        fresh.create_sqlite(connection, HEAD)
    elif needs_migration(row[0] if row else None, names, place):
        _alembic().upgrade_sqlite(connection, place)


def require_current(connection: sqlite3.Connection, place: str) -> None:
    """Raise ConfigError unless the tables are just those of this program."""
    names = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    row = connection.execute("SELECT version_num FROM alembic_version").fetchone() if "alembic_version" in names else ()
    if needs_migration(row[0] if row else None, names, place):
        raise ConfigError(f"The tables of {place} are of another version of nbhub. Start the hub of this one first.")


async def migrate_postgresql(connection: Any, place: str) -> None:
    """Bring the tables up to date, all or nothing, one hub at a time; raise ConfigError as `migrate_sqlite`."""
    rows = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = current_schema()")
    names = {row[0] for row in rows}
    version = None
    if "alembic_version" in names:
        version = await connection.fetchval("SELECT version_num FROM alembic_version")
    if needs_migration(version, names, place):
        await _alembic().upgrade_postgresql(connection, place)


def needs_migration(version: str | None, tables: set[str], place: str) -> bool:
    """Say whether there is something to do; raise ConfigError where the tables are not ours to change."""
    if version == HEAD:
        return False
    if "spawners" in tables:
        raise ConfigError(_WORDS_FOR_JUPYTERHUB.format(place=place))
    if version is None and tables - {"alembic_version"}:
        raise ConfigError(_WORDS_FOR_FOREIGN.format(place=place))
    return True


def _alembic() -> Any:
    return importlib.import_module("nbhub.store.migrate")
