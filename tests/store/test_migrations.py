"""Migrations: fresh, repeated, at once, newer than the program, somebody else's."""

from __future__ import annotations

import ast
import asyncio
import re
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import StaticPool

from nbhub.errors import ConfigError
from nbhub.store import Store, migrate, schema, users
from nbhub.store.tables import metadata
from servers.postgresql import PostgresqlServer


def test_the_program_knows_its_last_revision() -> None:
    assert ScriptDirectory.from_config(migrate.configuration()).get_current_head() == schema.HEAD


@pytest.fixture
def migrated(tmp_path: Path) -> Path:
    """An SQLite file that went through all migrations, as one of an older program does."""
    path = tmp_path / "migrated.sqlite"
    connection = sqlite3.connect(path)
    migrate.upgrade_sqlite(connection, str(path))
    connection.close()
    return path


def test_migrations_make_the_tables_that_the_program_uses_on_sqlite(migrated: Path) -> None:
    with create_engine(f"sqlite:///{migrated}").connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def test_a_new_sqlite_file_is_what_the_migrations_lead_to(migrated: Path, sqlite_template: Path) -> None:
    assert _definitions(sqlite_template) == _definitions(migrated)
    for query in (
        "SELECT name FROM roles ORDER BY name",
        "SELECT name, scopes FROM roles ORDER BY name",
        "SELECT identifier, description, secret_hash, redirect_uri, allowed_scopes FROM oauth_clients",
        "SELECT version_num FROM alembic_version",
    ):
        assert _rows(sqlite_template, query) == _rows(migrated, query)


def _definitions(path: Path) -> dict[tuple[str, str], list[str]]:
    """What each table and index is made of; the order in which constraints are written means nothing."""
    rows = _rows(path, "SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT NULL AND name != 'alembic_version'")
    return {
        (kind, name): sorted(filter(None, re.split(r"\s*[,()]\s*", re.sub(r"\s+", " ", sql.lower()))))
        for kind, name, sql in rows
    }


def _rows(path: Path, query: str) -> list[tuple[Any, ...]]:
    connection = sqlite3.connect(path)
    try:
        return connection.execute(query).fetchall()
    finally:
        connection.close()


async def test_migrations_make_the_tables_that_the_program_uses_on_postgresql(
    postgresql_server: PostgresqlServer, postgresql_template: str
) -> None:
    url = postgresql_server.url(postgresql_template).replace("postgresql:", "postgresql+asyncpg:")
    engine = create_async_engine(url)
    async with engine.connect() as connection:
        differences = await connection.run_sync(
            lambda sync: compare_metadata(MigrationContext.configure(sync), metadata)
        )
    await engine.dispose()
    assert differences == []


def test_migrations_only_add() -> None:
    """Hubs of the version before go on beside newer tables, so nothing that they use may go or be demanded of them."""
    directory = ScriptDirectory.from_config(migrate.configuration())
    later = [script for script in directory.walk_revisions() if script.down_revision is not None]
    assert later
    for script in later:
        tree = ast.parse(Path(script.path).read_text())
        calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)]
        of_op = {call.func.attr for call in calls if ast.unparse(call.func.value) == "op"}  # type: ignore[attr-defined]
        assert of_op <= {"add_column", "create_table", "create_index"}, f"{script.path}: {of_op}"
    connection = sqlite3.connect(":memory:")
    _upgrade_to(connection, str(later[-1].down_revision))
    for script in reversed(later):
        before = _columns(connection)
        _upgrade_to(connection, str(script.revision))
        after = _columns(connection)
        assert before.keys() <= after.keys(), script.path
        tables = {table for table, _ in before}
        fresh = {column for column in after.keys() - before.keys() if column[0] in tables}
        assert not [column for column in fresh if after[column]], f"{script.path}: older hubs do not name these"
    connection.close()


def _upgrade_to(connection: sqlite3.Connection, revision: str) -> None:
    engine = create_engine("sqlite://", creator=lambda: connection, poolclass=StaticPool)
    with engine.begin() as wrapped:
        migrate.upgrade(wrapped, "a test", revision)


def _columns(connection: sqlite3.Connection) -> dict[tuple[str, str], bool]:
    """Every column, and whether an insert has to name it."""
    tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    return {
        (table, name): bool(demanded) and default is None
        for table in tables
        for _, name, _, demanded, default, _ in connection.execute(f"PRAGMA table_info({table})")
    }


async def test_opening_again_changes_nothing(database_url: str) -> None:
    store = await Store.open(database_url)
    async with store.write() as tx:
        await users.create(tx, "alice", now=1)
    await store.close()
    store = await Store.open(database_url)
    async with store.read() as tx:
        assert await users.count(tx) == 1
    await store.close()


async def test_a_fresh_database_gets_its_tables(tmp_path: Path, postgresql_url: str) -> None:
    for url in (str(tmp_path / "new.sqlite"), postgresql_url):
        store = await Store.open(url)
        async with store.read() as tx:
            assert await users.count(tx) == 0
        await store.close()


async def test_hubs_that_start_at_once_migrate_once(postgresql_url: str) -> None:
    stores = await asyncio.gather(*(Store.open(postgresql_url) for _ in range(4)))
    for store in stores:
        async with store.read() as tx:
            assert await users.count(tx) == 0
        await store.close()


async def test_a_newer_sqlite_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "nbhub.sqlite"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE users (id INTEGER, something_new TEXT)")
        connection.execute("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)")
        connection.execute("INSERT INTO alembic_version VALUES ('9999')")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(ConfigError, match=r"nbhub.sqlite was written by a newer nbhub .*'9999'.*backup"):
        await Store.open(str(path))
    assert _tables(path) == {"users", "alembic_version"}
    assert len(path.read_bytes()) == len(before)


async def test_a_newer_postgresql_database_is_refused(postgresql_server: PostgresqlServer, postgresql_url: str) -> None:
    store = await Store.open(postgresql_url)
    await store.close()
    name = postgresql_url.partition("@/")[2].partition("?")[0]
    postgresql_server.query("UPDATE alembic_version SET version_num = '9999'", name)
    with pytest.raises(ConfigError, match="was written by a newer nbhub"):
        await Store.open(postgresql_url)


@pytest.mark.parametrize(("table", "words"), [("spawners", "is JupyterHub's"), ("invoices", "are not nbhub's")])
async def test_tables_of_others_are_left_alone(tmp_path: Path, table: str, words: str) -> None:
    path = tmp_path / "their.sqlite"
    with sqlite3.connect(path) as connection:
        connection.execute(f"CREATE TABLE {table} (id INTEGER)")
    connection.close()
    with pytest.raises(ConfigError, match=words):
        await Store.open(str(path))
    assert _tables(path) == {table}


async def test_a_migration_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "migrations"
    (folder / "versions").mkdir(parents=True)
    (folder / "versions" / "r1.py").write_text(
        "import sqlalchemy as sa\nfrom alembic import op\nrevision = '1'\ndown_revision = None\n"
        "def upgrade():\n    op.create_table('half', sa.Column('id', sa.Integer))\n    raise RuntimeError('broken')\n"
    )
    configuration = migrate.configuration()
    configuration.set_main_option("script_location", str(folder))
    monkeypatch.setattr(migrate, "configuration", lambda: configuration)
    path = tmp_path / "nbhub.sqlite"
    with sqlite3.connect(path) as earlier:  # one that was begun by an older program
        earlier.execute("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)")
    with pytest.raises(RuntimeError, match="broken"):
        await Store.open(str(path))
    assert _tables(path) == {"alembic_version"}


def _tables(path: Path) -> set[str]:
    connection = sqlite3.connect(path)
    names = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    connection.close()
    return names


async def test_a_migration_that_the_server_refuses_is_told_in_words(
    postgresql_server: PostgresqlServer, postgresql_url: str
) -> None:
    name = postgresql_url.partition("@/")[2].partition("?")[0]
    postgresql_server.query(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    with pytest.raises(ConfigError, match=r"cannot be used\. The database server takes no writes now"):
        await Store.open(postgresql_url)
