"""Which servers there are and how they fare: rows of the database, and what their backend says; also beside a hub."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from nbhub import accounts, config
from nbhub.app import Hub
from nbhub.core.model import Server
from nbhub.errors import NbhubError
from nbhub.spawners.base import Handle, Spawner
from nbhub.spawners.details import Details
from nbhub.store import servers

PATIENCE = 20.0  # seconds for the backend


@dataclass(frozen=True, slots=True)
class Entry:
    """One server, and what its backend says about it."""

    server: Server
    details: Details

    @property
    def since(self) -> float | None:
        """When it became what it is now, in seconds since the epoch."""
        server = self.server
        found = {"starting": server.started, "running": server.ready, "stopping": server.ready or server.started}
        return found.get(server.phase.value, server.stopped)

    @property
    def message(self) -> str:
        """What is to be said of it: why it failed, or what a start is waiting for."""
        if self.server.phase == "starting" and self.server.events:
            return self.server.events[-1].message
        return self.server.message


@dataclass(frozen=True, slots=True)
class Roster:
    """The servers, and why their backend says nothing about them, if so."""

    entries: Sequence[Entry]
    trouble: str = ""


async def read(hub: Hub, *, include_stopped: bool = False) -> Roster:
    """Return the servers by user and name. What the backend cannot say is left open. Raises DatabaseUnavailable."""
    async with accounts.opened(hub) as store, store.read() as tx:
        found = await servers.everybodys(tx, include_stopped=include_stopped)
    there = [server for server in found if server.active]
    trouble, said = "", {}
    if there:
        try:
            said = await _ask(hub, there)
        except TimeoutError:
            trouble = f"The place where the servers run did not answer within {PATIENCE:.0f} seconds."
        except NbhubError as error:
            trouble = error.message
    return Roster([Entry(server, said.get(server.id, Details())) for server in found], trouble)


async def _ask(hub: Hub, there: Sequence[Server]) -> dict[int, Details]:
    spawner: Spawner = config.build(hub.spawner_class, hub.config, parent=hub)
    try:
        async with asyncio.timeout(PATIENCE):
            told = await spawner.details([Handle.of(server) for server in there])
    finally:
        await spawner.close()
    return {server.id: each for server, each in zip(there, told, strict=True)}
