"""Fixtures that several folders share: a real PostgreSQL, and a store on each kind of database."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from nbhub.store import Store
from servers import postgresql

KINDS = ["sqlite", "postgresql"]


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


@pytest.fixture(params=KINDS)
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database, once of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/nbhub.sqlite"
    url: str = request.getfixturevalue("postgresql_url")
    return url


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
