"""Fixtures: whole hubs but for their proxy."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from web_hub import TestHub, running_hub


@pytest.fixture(autouse=True)
def tables(tmp_path: Path, sqlite_template: Path) -> None:
    """A database with all tables; copying one is faster than making it."""
    shutil.copy(sqlite_template, tmp_path / "hub.sqlite")


@pytest.fixture
async def hub(tmp_path: Path) -> AsyncIterator[TestHub]:
    """A hub with default settings."""
    async with running_hub(tmp_path) as running:
        yield running


@pytest.fixture
async def named_hub(tmp_path: Path) -> AsyncIterator[TestHub]:
    """A hub with named servers, two for each user."""
    async with running_hub(tmp_path, allow_named_servers=True, named_server_limit=2) as running:
        yield running


@pytest.fixture
def hub_with(tmp_path: Path) -> Callable[..., contextlib.AbstractAsyncContextManager[TestHub]]:
    """Return a way to run a hub with certain settings: `async with hub_with(base_url="/pre/") as hub`."""
    return lambda **settings: running_hub(tmp_path, **settings)
