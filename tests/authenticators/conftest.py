"""Fixtures: a native source with an empty store and a clock that tests turn."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from nbhub.authenticators.native import NativeAuthenticator
from nbhub.store import Store

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
