"""Fixtures that several folders share: a real PostgreSQL, and a store on each kind of database."""

from __future__ import annotations

import asyncio
import os
import shutil
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from nbhub.store import Store
from servers import postgresql

KINDS = ["sqlite", "postgresql"]

# Cases made by hypothesis: the same in every run but a long one, and however long one takes.
settings.register_profile(
    "steady",
    deadline=None,
    database=None,
    derandomize=os.environ.get("NBHUB_LONG") != "1",
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("steady")


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[postgresql.PostgresqlServer]:
    """One PostgreSQL server for the whole run."""
    if not postgresql.available():
        pytest.skip("PostgreSQL is not installed")
    server = postgresql.PostgresqlServer()
    server.start()
    yield server
    server.remove()


@pytest.fixture
def postgresql_url(postgresql_server: postgresql.PostgresqlServer) -> Iterator[str]:
    """The URL of a database of its own for one test, empty."""
    name = f"test_{uuid.uuid4().hex}"
    postgresql_server.query(f"CREATE DATABASE {name}")
    yield postgresql_server.url(name)
    postgresql_server.query(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An SQLite file with all tables; copied, since migrating takes longer than most tests."""
    path = tmp_path_factory.mktemp("template") / "nbhub.sqlite"
    asyncio.run(_make(str(path)))
    return path


@pytest.fixture(scope="session")
def postgresql_template(postgresql_server: postgresql.PostgresqlServer) -> str:
    """The name of a PostgreSQL database with all tables, to copy."""
    postgresql_server.query("CREATE DATABASE migrated")
    asyncio.run(_make(postgresql_server.url("migrated")))
    return "migrated"


async def _make(url: str) -> None:
    await (await Store.open(url)).close()


@pytest.fixture(params=KINDS)
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a database with all tables and no users, once of each kind."""
    if request.param == "sqlite":
        path = tmp_path / "nbhub.sqlite"
        shutil.copy(request.getfixturevalue("sqlite_template"), path)
        yield f"sqlite:///{path}"
        return
    server: postgresql.PostgresqlServer = request.getfixturevalue("postgresql_server")
    template = request.getfixturevalue("postgresql_template")
    name = f"test_{uuid.uuid4().hex}"
    server.query(f"CREATE DATABASE {name} TEMPLATE {template}")
    yield server.url(name)
    server.query(f"DROP DATABASE {name} WITH (FORCE)")


class Clock:
    """A clock that tests set."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    """The store's clock; stands at 1000."""
    return Clock()


@pytest.fixture
async def store(database_url: str, clock: Callable[[], float]) -> AsyncIterator[Store]:
    """An open store, once on each kind of database."""
    opened = await Store.open(database_url, clock)
    yield opened
    await opened.close()
