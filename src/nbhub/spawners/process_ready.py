"""Wait until a launched process listens, and make sure that it is this server that does."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from nbhub.core import lifecycle
from nbhub.core.lifecycle import Observation
from nbhub.errors import SpawnError
from nbhub.spawners import listening, ports, processes
from nbhub.spawners.listening import Listener
from nbhub.spawners.process_files import Record
from nbhub.spawners.processes import Census

FIRST_PAUSE = 0.01
LONGEST_PAUSE = 0.05


class Lookout:
    """Waits for listeners; one per spawner, so that many waiting servers together ask the kernel no more often."""

    def __init__(self, count: Callable[[], Awaitable[Census]]) -> None:
        self._count = count
        self._waiting = 0

    async def until_listening(self, wanted: Awaited) -> None:
        """Return when the server listens. Raises SpawnError when it ends, takes too long, or is not who listens."""
        loop = asyncio.get_running_loop()
        until, pause = loop.time() + wanted.seconds, FIRST_PAUSE
        host = await _numeric(wanted.ip)
        self._waiting += 1
        try:
            while (listener := _find(host, wanted.record.port)) is None:
                self._refuse_the_dead(wanted)
                if loop.time() > until:
                    raise SpawnError(wanted.late(), wanted.log_tail())
                await asyncio.sleep(max(pause, self._waiting / 2000))
                pause = min(pause * 1.3, LONGEST_PAUSE)
        finally:
            self._waiting -= 1
        if listener.uid not in (wanted.uid, os.geteuid(), 0, UNKNOWN.uid):
            await self._refuse_strangers(wanted, listener)

    def _refuse_the_dead(self, wanted: Awaited) -> None:
        process = wanted.record.process
        if process is None or not processes.is_alive(process):
            seen = wanted.look()
            raise SpawnError(lifecycle.ended(seen, "before it was ready"), wanted.log_tail())

    async def _refuse_strangers(self, wanted: Awaited, listener: Listener) -> None:
        """Let another user's listener pass only if it is of the server's own processes (through sudo, say)."""
        process = wanted.record.process
        assert process is not None
        family = processes.family(process, wanted.mark, await self._count())
        if not await asyncio.to_thread(listening.is_held_by, listener.inode, list(family)):
            raise SpawnError(
                f"Port {wanted.record.port} was taken by another program of this machine (user id {listener.uid}) "
                f"before server {wanted.name} could listen on it. Try again; it will get another port."
            )


@dataclass(frozen=True, slots=True)
class Awaited:
    """A server that should begin to listen."""

    name: str
    ip: str
    record: Record
    uid: int
    mark: bytes
    seconds: float
    look: Callable[[], Observation]
    log_tail: Callable[[], str]

    def late(self) -> str:
        """Say that it took too long."""
        return (
            f"The server's process {self.record.pid} is alive, but it did not listen on port {self.record.port} "
            f"within {self.seconds:.0f} s. Ask your administrator to look at its log, or to allow more time "
            "(http_timeout)."
        )


UNKNOWN = Listener(uid=-1, inode=0)  # the kernel does not say, so nobody can be refused


def _find(host: str, port: int) -> Listener | None:
    try:
        return listening.find(host, port)
    except (OSError, ValueError):
        return UNKNOWN


async def _numeric(ip: str) -> str:
    """Return the address that clients will use, for an `ip` setting that may be empty or a name."""
    host = ports.url_host(ip).strip("[]")
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, None)
    except OSError:
        return host
    return str(found[0][4][0])
