"""SQLite files: one hub each, and what is said when one cannot be used."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from nbhub.errors import ConfigError, DatabaseUnavailable
from nbhub.store import Store, servers, sqlite, users

HOLD = """
import asyncio, sys
from nbhub.store import Store, users
async def hold():
    store = await Store.open(sys.argv[1])
    async with store.write() as tx:
        await users.create(tx, "alice", now=1)
    print("open", flush=True)
    await asyncio.sleep(60)
asyncio.run(hold())
"""


@pytest.fixture
def path(tmp_path: Path, sqlite_template: Path) -> Path:
    """A file with all tables."""
    found = tmp_path / "nbhub.sqlite"
    shutil.copy(sqlite_template, found)
    return found


@pytest.fixture
def nobody(tmp_path: Path) -> Iterator[None]:
    """The test runs without the rights of root."""
    if os.geteuid() != 0:
        yield
        return
    for folder in (tmp_path, *tmp_path.parents[:3]):
        if str(folder).startswith("/tmp/pytest"):
            folder.chmod(0o755)
    os.seteuid(65534)
    yield
    os.seteuid(0)


@pytest.fixture
def read_only_file(tmp_path: Path, sqlite_template: Path) -> Path:
    """A file that may only be read, in a folder that may be written."""
    folder = tmp_path / "data"
    folder.mkdir()
    folder.chmod(0o777)
    shutil.copy(sqlite_template, folder)
    (folder / sqlite_template.name).chmod(0o444)
    return folder / sqlite_template.name


async def test_a_second_hub_is_refused_by_whatever_name(path: Path, tmp_path: Path) -> None:
    (tmp_path / "link.sqlite").symlink_to(path)
    first = await Store.open(str(path))
    for url in (str(path), f"sqlite:///{path}", str(tmp_path / "link.sqlite")):
        with pytest.raises(ConfigError, match=rf"Another hub \(process {os.getpid()}\) uses the database .*PostgreSQL"):
            await Store.open(url)
    await first.close()
    await (await Store.open(str(path))).close()


def hold(path: Path) -> subprocess.Popen[bytes]:
    """Start another process that has the database open."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2] / "src")}
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE, env=environment)
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"open\n"
    return holder


async def test_a_killed_hub_leaves_no_lock_and_all_that_it_committed(path: Path) -> None:
    holder = hold(path)
    try:
        with pytest.raises(ConfigError, match=f"process {holder.pid}"):
            await Store.open(str(path))
    finally:
        holder.send_signal(signal.SIGKILL)
        holder.communicate(timeout=100)
    store = await Store.open(str(path))
    async with store.read() as tx:
        assert await users.get(tx, "alice") is not None
    await store.close()


async def test_urls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for url, file in [
        ("sqlite:///relative.sqlite", tmp_path / "relative.sqlite"),
        (f"sqlite:///{tmp_path}/new%20folder/a.sqlite", tmp_path / "new folder" / "a.sqlite"),
        (f"{tmp_path}/bare", tmp_path / "bare"),
    ]:
        store = await Store.open(url)
        await store.close()
        assert file.exists()
        assert file.stat().st_mode & 0o077 == 0
    memory = await Store.open("sqlite:///:memory:")
    async with memory.write() as tx:
        await users.create(tx, "alice", now=1)
    async with memory.scan() as scan:
        assert await users.count(scan) == 1
    assert memory.hears_changes
    await memory.close()
    with pytest.raises(ConfigError, match="begins with 'mysql'"):
        await Store.open("mysql://root@localhost/x")


async def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"data directory .*file/data cannot be made: Not a directory"):
        await Store.open(str(tmp_path / "file" / "data" / "nbhub.sqlite"))
    with pytest.raises(ConfigError, match="cannot be"):
        await Store.open(str(tmp_path / ("x" * 300)))


async def test_a_folder_that_may_not_be_written(path: Path, nobody: None) -> None:
    with pytest.raises(ConfigError, match=r"lock file .* cannot be written: Permission denied.*data directory"):
        await Store.open(str(path))


async def test_a_file_that_may_not_be_written(read_only_file: Path, nobody: None) -> None:
    with pytest.raises(ConfigError, match=r"nbhub.sqlite cannot be opened for writing: Permission denied"):
        await Store.open(str(read_only_file))


async def test_a_file_that_is_something_else(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("not a database at all\n" * 500)
    with pytest.raises(ConfigError, match=r"notes.txt cannot be used. The file is not an SQLite database"):
        await Store.open(str(path))
    assert path.read_text().startswith("not a database")


async def test_a_full_disk_is_told_and_nothing_is_half_done(path: Path) -> None:
    store = await Store.open(str(path))
    async with store.write() as tx:
        await users.create(tx, "alice", now=1)
    database = store._database
    assert isinstance(database, sqlite.SqliteDatabase)
    pages = database.writer.execute("PRAGMA page_count").fetchone()[0]
    database.writer.execute(f"PRAGMA max_page_count = {pages + 1}")
    with pytest.raises(DatabaseUnavailable, match="disk is full"):
        async with store.write() as tx:
            for number in range(10_000):
                await users.create(tx, f"user-{number}", now=1)
    async with store.read() as reading:
        assert await users.count(reading) == 1
    database.writer.execute("PRAGMA max_page_count = 1000000")
    async with store.write() as tx:
        await users.create(tx, "bob", now=1)
    await store.close()


async def test_a_lock_of_another_program_is_told_and_passes(path: Path) -> None:
    store = await Store.open(str(path))
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(DatabaseUnavailable, match="locked by another program"):
        async with store.write() as tx:
            await users.create(tx, "alice", now=1)
    async with store.read() as reading:
        assert await users.count(reading) == 0  # a reader never waits
    other.execute("ROLLBACK")
    other.close()
    async with store.write() as tx:
        await users.create(tx, "alice", now=1)
    await store.close()


async def test_writers_take_turns(path: Path) -> None:
    store = await Store.open(str(path))

    async def make(number: int) -> None:
        async with store.write() as tx:
            await users.create(tx, f"a-{number}", now=1)
            await asyncio.sleep(0)
            await users.create(tx, f"b-{number}", now=1)

    await asyncio.gather(*(make(number) for number in range(20)))
    async with store.read() as tx:
        assert await users.count(tx) == 40
    async with store.scan() as scan:
        found, total = await users.list_page(scan, limit=100, name_filter="a-")
        assert (len(found), total) == (20, 20)
        assert (await users.get(scan, "a-3")) is not None
    await store.close()


async def test_the_write_ahead_log_is_folded_in_beside_the_work(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "CHECKPOINT_COMMITS", 20)
    monkeypatch.setattr(sqlite, "BACKLOG_PAGES", 100)
    store = await Store.open(str(path))
    log = path.with_name(path.name + "-wal")
    for number in range(400):
        async with store.write() as tx:
            await users.create(tx, f"user-{number}", now=1)
        await asyncio.sleep(0.001)
    assert log.stat().st_size < 2_000_000  # 400 commits of several pages would be more than twice that
    await store.close()
    assert not log.exists()


async def test_a_reader_may_not_write(path: Path) -> None:
    store = await Store.open(str(path))
    async with store.read() as tx:
        with pytest.raises(DatabaseUnavailable, match="only be read"):
            await users.create(tx, "alice", now=1)  # type: ignore[arg-type]
    await store.close()


async def test_leases_of_a_killed_hub_hold_up_nothing(tmp_path: Path) -> None:
    path = tmp_path / "nbhub.sqlite"
    killed = await Store.open(str(path), lambda: 1000.0)
    async with killed.write() as tx:
        user = await users.create(tx, "alice", now=1)
        server = await servers.create(tx, user, "", now=1)
        await servers.ask_start(tx, server.id, now=1000)
        (held,) = await servers.claim(tx, holder="killed", now=1000, lease=15, limit=1)
    await killed.close()
    restarted = await Store.open(str(path), lambda: 1001.0)
    async with restarted.write() as tx:
        (taken,) = await servers.claim(tx, holder="restarted", now=1001, lease=15, limit=1)
        assert taken.lease_token > held.lease_token
        assert await servers.claim(tx, holder="restarted", now=1001, lease=15, limit=1) == []
    await restarted.close()
