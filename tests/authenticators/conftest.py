"""Fixtures: a native source with an empty store and a clock that tests turn; any source with a store; whole hubs."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from nbhub.authenticators.admission import Admission
from nbhub.authenticators.base import Authenticator
from nbhub.authenticators.native import NativeAuthenticator
from nbhub.core.secrets import Keys
from nbhub.store import Store
from web_hub import SECRET, TestHub, running_hub

Attach = Callable[[Authenticator], Awaitable[Admission]]
PASSWORD = "correct horse battery"


@dataclass
class Clock:
    """Time as a test wants it, in seconds since the epoch."""

    now: float = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def store() -> AsyncIterator[Store]:
    opened = await Store.open("sqlite:///:memory:")
    yield opened
    await opened.close()


@pytest.fixture
async def native(store: Store, clock: Clock) -> NativeAuthenticator:
    source = NativeAuthenticator()
    source.attach(store, clock)
    return source


@pytest.fixture
async def ada(native: NativeAuthenticator) -> str:
    """An account with PASSWORD; its name."""
    offer = await native.invite("ada", by="root")
    await native.accept(offer.code, "ada", PASSWORD, address="192.0.2.1")
    return "ada"


@pytest.fixture
def attach(store: Store) -> Attach:
    """Return a way to give an authenticator an empty store: it returns what lets people in."""

    async def attach_one(source: Authenticator, clock: Callable[[], float] = time.time) -> Admission:
        source.attach(store, clock)
        return Admission(source, store, Keys.from_secret(SECRET), clock)

    return attach_one


@pytest.fixture
def hub_of(tmp_path: Path) -> Callable[..., contextlib.AbstractAsyncContextManager[TestHub]]:
    """Return a way to run a hub with an authenticator: `async with hub_of(source) as hub`."""
    return lambda source, **settings: running_hub(tmp_path, authenticator=source, **settings)
