"""The content of a database, read in one snapshot while others write, and written to another of either kind."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine

from nbhub import secret
from nbhub.core.model import Phase
from nbhub.errors import BadRequest, ConfigError, Conflict, NotFound
from nbhub.store import Store, grants, groups, migrate, portable, schema, servers, users
from nbhub.store.portable import Part, Snapshot
from servers.postgresql import PostgresqlServer

Contents = tuple[str, list[Part]]


@pytest.fixture(params=["sqlite", "postgresql"])
def other_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A database without tables, to write to."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/new/nbhub.sqlite"
        return
    yield request.getfixturevalue("postgresql_url")


async def read(url: str, while_reading: Callable[[], None] = lambda: None) -> Contents:
    found: list[Part] = []
    revisions: list[str] = []

    def take(snapshot: Snapshot) -> None:
        revisions.append(snapshot.revision)
        for part in snapshot.parts():
            found.append(Part(part.name, part.columns, part.last_id, list(part.rows)))
            while_reading()

    async with portable.reading(url) as work:
        await work(take)
    return revisions[0], found


async def fill(store: Store, count: int = 3) -> None:
    """Users with groups, roles, tokens, log-ins, passwords, and a server that runs."""
    async with store.write() as tx:
        group = await groups.create_group(tx, "staff")
        for number in range(count):
            user = await users.create(tx, f"üser{number}", admin=number == 0, now=1.5)
            await users.set_password(tx, user.id, "argon2 hash")
            await grants.create_token(tx, f"hash{number}", user_id=user.id, scopes=["self"], note='"\n', now=2.0)
            await grants.create_session(
                tx, user.id, cookie_hash=f"c{number}", session_id=f"s{number}", now=1.0, expires_at=9e9
            )
        await users.delete(tx, user.id)  # its id is not given out again
        await groups.add(tx, group.id, ["üser0"])
        first = await users.get(tx, "üser0")
        assert first is not None
        server = await servers.create(tx, first, "", now=1000.0)
        await servers.ask_start(tx, server.id, options={"a": [1, None]}, now=1000.0)
        [held] = await servers.claim(tx, holder="one", now=1000.0, lease=50.0, limit=1)
        await servers.record(tx, held.id, held.lease_token, phase=Phase.RUNNING, url="http://127.0.0.1:1")


async def test_everything_arrives_in_a_database_of_either_kind(store: Store, database_url: str, other_url: str) -> None:
    await fill(store)
    revision, parts = await read(database_url)
    assert revision == schema.HEAD
    assert await portable.write(other_url, revision, parts, replace=False, now=1010.0) == ""
    again_revision, again = await read(other_url)
    assert again_revision == schema.HEAD
    before, after = (
        {part.name: sorted(map(_plain, part.rows), key=repr) for part in found} for found in (parts, again)
    )
    lease = next(part.columns.index("lease_expires") for part in parts if part.name == "servers")
    [held] = before["servers"]
    assert held[lease] == 1050.0
    before["servers"] = [(*held[:lease], 1010.0, *held[lease + 1 :])]  # nobody holds it any more
    assert after == before

    other = await Store.open(other_url, lambda: 1010.0)
    async with other.write() as tx:
        assert await users.count(tx) == 2
        fresh = await users.create(tx, "new", now=1.0)
        assert fresh.id == 3 + portable.IDS_LEFT_OUT + 1
        [claimed] = await servers.claim(tx, holder="two", now=1010.0, lease=5.0, limit=9)
        assert claimed.options == {"a": [1, None]}
    await other.close()


def _plain(row: Any) -> tuple[Any, ...]:
    return tuple(row)


async def test_a_snapshot_is_of_one_moment(store: Store, database_url: str) -> None:
    await fill(store)

    async def write_more(number: int) -> None:
        other = await Store.open(database_url, beside_hub=True)
        async with other.write() as tx:
            user = await users.create(tx, f"late{number}", now=1.0)
            await grants.create_token(tx, f"late{number}", user_id=user.id, scopes=["self"], now=2.0)
        await other.close()

    written = []

    def meanwhile() -> None:
        if len(written) < 3:
            written.append(len(written))
            with contextlib.closing(asyncio.new_event_loop()) as loop:
                in_a_thread(loop, write_more(len(written)))

    _, parts = await read(database_url, meanwhile)
    rows = {part.name: list(part.rows) for part in parts}
    assert len(written) == 3
    assert len(rows["users"]) == 2
    assert len(rows["tokens"]) == 2
    async with store.read() as tx:
        assert await users.count(tx) == 5


def in_a_thread(loop: asyncio.AbstractEventLoop, work: Any) -> None:
    """Run it to its end in a thread of its own, while this one, with its event loop, waits."""
    thread = threading.Thread(target=loop.run_until_complete, args=(work,))
    thread.start()
    thread.join()


async def test_what_is_there_is_not_overwritten_unasked(store: Store, database_url: str) -> None:
    await fill(store)
    revision, parts = await read(database_url)
    with pytest.raises((Conflict, ConfigError), match=r"Another hub .* uses the database|A hub uses the database"):
        await portable.write(database_url, revision, parts, replace=True, now=1.0)
    await store.close()
    with pytest.raises(Conflict, match=r"is not empty .2 users, 0 services.*--force"):
        await portable.write(database_url, revision, parts, replace=False, now=1.0)
    assert await portable.write(database_url, revision, parts[:1], replace=True, now=1.0) != ""
    assert [len(list(part.rows)) for part in (await read(database_url))[1] if part.name == "tokens"] == [0]


async def test_a_failure_in_the_middle_leaves_what_was_there(store: Store, database_url: str) -> None:
    await fill(store)
    revision, parts = await read(database_url)
    await store.close()
    broken = Part("tokens", ("id", "no_such_column"), None, [(1, 2)])
    with pytest.raises(BadRequest, match="does not fit its revision"):
        await portable.write(database_url, revision, [*parts[:3], broken], replace=True, now=1.0)
    orphan = Part(
        "sessions",
        ("id", "user_id", "cookie_hash", "session_id", "created", "expires_at"),
        1,
        [(1, 99, "a", "b", 1.0, 2.0)],
    )
    with pytest.raises((BadRequest, Conflict), match=r"does not fit together|refers to was changed"):
        await portable.write(database_url, revision, [orphan], replace=True, now=1.0)
    with pytest.raises(ConfigError, match="newer nbhub"):
        await portable.write(database_url, "9999", parts, replace=True, now=1.0)
    assert await read(database_url) == (revision, parts)


async def test_rows_of_an_older_program_are_migrated(tmp_path: Path, other_url: str) -> None:
    old = tmp_path / "old.sqlite"
    with create_engine(f"sqlite:///{old}").connect() as connection:
        migrate.upgrade(connection, str(old), "0001")
        connection.exec_driver_sql("INSERT INTO users VALUES (7, 'alice', 1, 1.0, NULL, NULL, 0)")
        connection.exec_driver_sql("INSERT INTO services (id, name, admin, url) VALUES (3, 'cull', 1, NULL)")
        connection.commit()
    revision, parts = await read(str(old))
    assert revision == "0001"
    await portable.write(other_url, revision, parts, replace=False, now=1.0)
    store = await Store.open(other_url)
    async with store.read() as tx:
        found = await users.get(tx, "alice")
        assert found is not None and found.admin and found.id == 7
    await store.close()
    rows = {
        part.name: [dict(zip(part.columns, row, strict=True)) for row in part.rows]
        for part in (await read(other_url))[1]
    }
    assert rows["services"][0]["info"] == "{}" and rows["services"][0]["display"] is True


async def test_a_damaged_file_is_kept_and_replaced(tmp_path: Path, sqlite_template: Path) -> None:
    good, path = tmp_path / "good.sqlite", tmp_path / "nbhub.sqlite"
    shutil.copy(sqlite_template, good)
    revision, parts = await read(str(good))
    path.write_bytes(b"this is no database" * 1000)
    with pytest.raises(Conflict, match="it cannot be read"):
        await portable.write(str(path), revision, parts, replace=False, now=1.0)
    said = await portable.write(str(path), revision, parts, replace=True, now=1.0)
    assert "before-restore" in said
    assert (tmp_path / "nbhub.sqlite.before-restore").read_bytes().startswith(b"this is no")
    assert path.stat().st_mode & 0o777 == 0o600
    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert names(tmp_path) == {
        "good.sqlite", "nbhub.sqlite", "nbhub.sqlite.before-restore", "nbhub.sqlite.lock",
    }  # fmt: skip


async def test_root_restores_what_is_somebody_elses(tmp_path: Path, sqlite_template: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give files away")
    revision, parts = await read(str(sqlite_template))
    data = tmp_path / "data"
    data.mkdir()
    os.chown(data, 4711, 4712)
    (data / "nbhub.sqlite.restore").write_text("left by one that was killed")
    await portable.write(str(data / "nbhub.sqlite"), revision, parts, replace=False, now=1.0)
    secret.write(data / "secret", [secret.new()])
    assert {path.name: (path.stat().st_uid, path.stat().st_gid) for path in data.iterdir()} == dict.fromkeys(
        ("nbhub.sqlite", "nbhub.sqlite.lock", "secret"), (4711, 4712)
    )


async def test_nothing_to_read(tmp_path: Path, postgresql_server: PostgresqlServer, postgresql_url: str) -> None:
    with pytest.raises(NotFound, match="There is no database"):
        await read(str(tmp_path / "none.sqlite"))
    with pytest.raises(NotFound, match="has no tables of nbhub's"):
        await read(postgresql_url)
    await (await Store.open(postgresql_url)).close()
    name = postgresql_url.partition("@/")[2].partition("?")[0]
    postgresql_server.query("UPDATE alembic_version SET version_num = '9999'", name)
    with pytest.raises(ConfigError, match="newer nbhub"):
        await read(postgresql_url)


def names(folder: Path) -> set[str]:
    return {file.name for file in folder.iterdir()}
