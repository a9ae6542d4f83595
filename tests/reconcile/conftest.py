"""What tests of the reconciler share."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

import pytest

from nbhub.spawners.fake_backend import FakeBackend
from nbhub.store import Store
from reconcile_house import House


@pytest.fixture
async def house(database_url: str) -> AsyncIterator[House]:
    """A store, once on each kind of database, on which leases run out in real time, and a backend."""
    store, backend = await Store.open(database_url, time.time), FakeBackend()
    yield House(store, backend)
    backend.close()
    await store.close()
