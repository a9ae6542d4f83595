"""A house for tests of the reconciler: a store, a fake backend, and as many reconcilers as a test starts."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

from nbhub.core import secrets
from nbhub.core.launch import HubAddress
from nbhub.core.lifecycle import Limits
from nbhub.core.model import Phase, Server
from nbhub.reconcile import Pace, Reconciler
from nbhub.spawners.fake import FakeSpawner
from nbhub.spawners.fake_backend import FakeBackend
from nbhub.store import Store, servers, users

KEYS = secrets.Keys.from_secret(b"reconciler tests" * 2)
PACE = Pace(lease=2.0, retry=0.05, limits=Limits(poll_interval=0.1), stop_grace=0.5)


class House:
    """A store, a backend, and as many reconcilers as a test starts."""

    def __init__(self, store: Store, backend: FakeBackend) -> None:
        self.store = store
        self.backend = backend

    def reconciler(
        self, holder: str = "one", *, pace: Pace = PACE, kind: type[FakeSpawner] = FakeSpawner, **traits: Any
    ) -> Reconciler:
        spawner = kind(backend=self.backend, **traits)
        return Reconciler(self.store, spawner, hub=HubAddress(), keys=KEYS, clock=time.time, holder=holder, pace=pace)

    @asynccontextmanager
    async def running(self, *reconcilers: Reconciler) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(reconciler.run()) for reconciler in reconcilers]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            for task in tasks:
                with suppress(asyncio.CancelledError):
                    await task

    async def server(self, user: str = "alice", name: str = "") -> Server:
        now = time.time()
        async with self.store.write() as tx:
            owner = await users.get(tx, user) or await users.create(tx, user, now=now)
            return await servers.create(tx, owner, name, now=now)

    async def ask_start(self, server: Server, **options: Any) -> Server:
        async with self.store.write() as tx:
            return await servers.ask_start(tx, server.id, options=options, now=time.time())

    async def ask_stop(self, server: Server, *, remove: bool = False) -> None:
        async with self.store.write() as tx:
            await servers.ask_stop(tx, server.id, remove=remove, now=time.time())

    async def look(self, server: Server) -> Server | None:
        async with self.store.read() as tx:
            return await servers.by_id(tx, server.id)

    async def until(
        self, server: Server, holds: Callable[[Server | None], bool], seconds: float = 100.0
    ) -> Server | None:
        """Wait on the doorbell until the row is as wanted."""
        async with asyncio.timeout(seconds):
            async with self.store.wakeup.listen(f"server:{server.id}") as bell:
                while not holds(found := await self.look(server)):
                    await bell.wait(0.05)
                return found

    async def until_phase(self, server: Server, phase: Phase) -> Server:
        found = await self.until(server, lambda row: row is not None and row.phase is phase and not row.asked_to_start)
        assert found is not None
        return found
