"""A new database, made at once from the tables that the program uses.

What the migrations would lead to, in a tenth of the time: they are for databases that exist. A test compares both.
"""

from __future__ import annotations

import sqlite3

import msgspec
from sqlalchemy import MetaData
from sqlalchemy.dialects import sqlite
from sqlalchemy.schema import CreateIndex, CreateTable

from nbhub.core import roles
from nbhub.store.tables import metadata


def create_sqlite(connection: sqlite3.Connection, revision: str) -> None:
    """Make all tables and the rows that always are there, in one transaction."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        for statement in definitions(metadata):
            connection.execute(statement)
        connection.execute("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY)")
        connection.execute("INSERT INTO alembic_version VALUES (?)", (revision,))
        _always_there(connection)
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def definitions(tables: MetaData) -> list[str]:
    """Return the statements that make the tables and their indexes, those that others refer to first."""
    dialect = sqlite.dialect()
    items: list[CreateTable | CreateIndex] = []
    for table in tables.sorted_tables:
        items += [CreateTable(table), *map(CreateIndex, sorted(table.indexes, key=lambda index: str(index.name)))]
    return [str(item.compile(dialect=dialect)) for item in items]


def _always_there(connection: sqlite3.Connection) -> None:
    connection.executemany(
        "INSERT INTO roles (name, description, scopes) VALUES (?, ?, ?)",
        [(role.name, role.description, msgspec.json.encode(role.scopes).decode()) for role in roles.BUILT_IN.values()],
    )
    # The issuer of all plain API tokens.
    connection.execute(
        "INSERT INTO oauth_clients (identifier, description, secret_hash, redirect_uri, allowed_scopes)"
        " VALUES ('jupyterhub', 'JupyterHub', '', '', '[]')"
    )
