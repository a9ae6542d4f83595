"""A new hub on the data of an older one: tables are brought up to date at its start, servers run on; replicas roll."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, MetaData, create_engine, text
from sqlalchemy.ext.asyncio import create_async_engine

from nbhub.store import migrate, portable
from nbhub.store.portable import Part, Snapshot
from servers.hub import PATIENCE, HubProcess, until
from servers.machine import leaders_of
from servers.postgresql import PostgresqlServer

PREVIOUS = str(ScriptDirectory.from_config(migrate.configuration()).get_revision("head").down_revision)
STAYS = "c.Hub.cleanup_servers = False\n"


async def make_older(url: str) -> None:
    """Give the tables of a database the form that they had one revision ago; what fits in is kept."""
    parts: list[Part] = []

    def take(snapshot: Snapshot) -> None:
        parts.extend(Part(part.name, part.columns, part.last_id, list(part.rows)) for part in snapshot.parts())

    async with portable.reading(url) as read:
        await read(take)
    if url.startswith("postgresql"):
        engine = create_async_engine(url.replace("postgresql:", "postgresql+asyncpg:"))
        async with engine.begin() as connection:
            await connection.run_sync(_rebuild, parts)
        await engine.dispose()
        return
    with create_engine(url).begin() as plain:
        _rebuild(plain, parts)


def _rebuild(connection: Connection, parts: list[Part]) -> None:
    old = MetaData()
    old.reflect(connection)
    old.drop_all(connection)
    migrate.upgrade(connection, "a test", PREVIOUS)
    made = MetaData()
    made.reflect(connection)
    for table in reversed(made.sorted_tables):
        if table.name != "alembic_version":
            connection.execute(table.delete())
    for part in parts:
        table = made.tables.get(part.name)
        rows = [dict(zip(part.columns, row, strict=True)) for row in part.rows]
        if table is not None and rows:
            connection.execute(table.insert(), [{c.name: row[c.name] for c in table.c} for row in rows])
        if part.last_id is not None and connection.dialect.name == "postgresql" and table is not None:
            sequence = f"pg_get_serial_sequence('{part.name}', 'id')"
            connection.execute(text(f"SELECT setval({sequence}, {max(part.last_id, 1)})"))


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
async def test_servers_live_through_an_upgrade(
    folder: Path, small_servers: str, kind: str, request: pytest.FixtureRequest
) -> None:
    url = request.getfixturevalue("postgresql_url") if kind == "postgresql" else ""
    names = ("one", "two") if kind == "postgresql" else ("one",)
    old = HubProcess(folder / "old", small_servers + STAYS, data_dir=folder / "data", db_url=url)
    await old.start()
    token = await old.token()
    async with old.client(token) as api:
        await api.post("/users/alice")
        assert (await api.post("/users/alice/server")).status_code == 201
    assert await old.stop() == 0
    await make_older(url or f"sqlite:///{old.data_dir}/nbhub.sqlite")
    (alice,) = leaders_of(folder)["alice"]

    async with _hubs(folder, names, small_servers + STAYS, url) as hubs:
        for hub in hubs:
            async with hub.client(token) as api:
                assert (await api.get("/users/alice")).json()["servers"][""]["ready"]
            await until(lambda hub=hub: _reaches(hub, "alice"), "reachable through the new hub")
        assert [leader.pid for leader in leaders_of(folder)["alice"]] == [alice.pid]
        async with hubs[0].client(alice.environment["JUPYTERHUB_API_TOKEN"]) as own:
            assert (await own.get("/user")).json()["name"] == "alice"
        async with hubs[-1].client(token) as api:
            assert (await api.delete("/users/alice/server")).status_code == 204
            assert (await api.post("/users/alice/server")).status_code == 201
            assert (await api.delete("/users/alice/server")).status_code == 204


async def test_replicas_of_the_older_version_go_on_beside_newer_tables(
    folder: Path, small_servers: str, postgresql_server: PostgresqlServer, postgresql_url: str
) -> None:
    """Migrations only add. Hubs that run do not notice; an older one that starts now is refused, in words."""
    name = postgresql_url.partition("@/")[2].partition("?")[0]
    async with _hubs(folder, ("one", "two"), small_servers, postgresql_url) as (one, two):
        token = await one.token()
        async with one.client(token) as first, two.client(token) as second:
            for user in ("alice", "bob"):
                await first.post(f"/users/{user}")
            for api in (first, second):  # so that their statements are prepared
                assert (await api.post("/users/alice/server")).status_code == 201
                assert (await api.delete("/users/alice/server")).status_code == 204
            working = [asyncio.create_task(_work(api, user)) for api, user in ((first, "alice"), (second, "bob"))]
            for statement in (
                "BEGIN",
                *(
                    f"ALTER TABLE {table} ADD COLUMN hue TEXT NOT NULL DEFAULT ''"
                    for table in ("users", "servers", "tokens")
                ),
                "CREATE TABLE hues (id BIGSERIAL PRIMARY KEY)",
                "UPDATE alembic_version SET version_num = '9999'",
                "COMMIT",
            ):
                postgresql_server.query(statement, name)
            assert await asyncio.gather(*working) == [None, None]
            refused = await asyncio.to_thread(
                HubProcess(folder / "three", small_servers, data_dir=folder / "data", db_url=postgresql_url).refused
            )
            assert refused.status == 2 and "written by a newer nbhub" in refused.reason
            await _work(second, "alice")
        for hub in (one, two):
            assert "Traceback" not in hub.text(), hub.text()


async def _work(api: httpx.AsyncClient, user: str) -> None:
    """Start and stop the user's server a few times."""
    for _ in range(4):
        answer = await api.post(f"/users/{user}/server")
        assert answer.status_code == 201, answer.text
        assert (await api.get(f"/users/{user}")).json()["servers"][""]["ready"]
        answer = await api.delete(f"/users/{user}/server")
        assert answer.status_code == 204, answer.text


@contextlib.asynccontextmanager
async def _hubs(folder: Path, names: tuple[str, ...], settings: str, url: str) -> AsyncIterator[list[HubProcess]]:
    hubs = [HubProcess(folder / name, settings, data_dir=folder / "data", db_url=url) for name in names]
    try:
        await asyncio.gather(*(hub.start() for hub in hubs))
        yield hubs
    finally:
        for hub in hubs:
            if hub.child is not None:
                assert await hub.stop() == 0, hub.text()


async def _reaches(hub: HubProcess, user: str) -> bool:
    async with httpx.AsyncClient(timeout=PATIENCE) as client:
        return (await client.get(f"{hub.url}/user/{user}/api")).status_code == 200
