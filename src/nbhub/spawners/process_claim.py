"""Who may launch a local server: exactly one, whatever hubs start, pause or die in between."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from nbhub.errors import SpawnError
from nbhub.spawners import processes
from nbhub.spawners.ending import Patience, end
from nbhub.spawners.ports import url_host
from nbhub.spawners.process_files import Record, ServerFiles
from nbhub.spawners.processes import Census, Identity

# A start that was overtaken (its hub was frozen meanwhile) comes within this time, or its lease has long told it so.
# After that a lower generation means that the database was replaced, and starts have to work again.
OVERTAKEN_SECONDS = 600.0
LOOK_EVERY = 0.05


@dataclass(frozen=True, slots=True)
class Claim:
    """One server's place on this machine, as one hub sees it."""

    files: ServerFiles
    state: Mapping[str, Any]  # as last saved: leads to the process where the files do not
    ip: str
    count: Callable[[], Awaitable[Census]]
    clock: Callable[[], float] = field(default=time.time)

    @property
    def mark(self) -> bytes:
        """The variable in the environment of all of the server's processes."""
        return mark_of(self.files.name)

    async def take(self, generation: int, patience: Patience, seconds: float) -> Record | int:
        """Return the living server of this generation, or else the locked descriptor that allows to launch one.

        What is left of older generations is ended first. Raises SpawnError when a newer one took over, when something
        cannot be ended, or when another hub holds the place for longer than `seconds`.
        """
        self._refuse_if_overtaken(generation)
        return await self._seize(generation, patience, seconds)

    async def empty(self, patience: Patience, seconds: float) -> int:
        """End whatever runs, of whichever generation, and return the locked descriptor that allows to launch."""
        lock = await self._seize(None, patience, seconds)
        assert isinstance(lock, int)
        return lock

    async def clear(self, generation: int, patience: Patience, seconds: float) -> None:
        """End whatever runs, and let no start of this generation or an older one begin later."""
        if not self._ever_used():
            return
        lock = await self._seize(None, patience, seconds)
        assert isinstance(lock, int)
        try:
            record = self.files.record()
            last = max(generation, record.generation if record else 0)
            self.files.write_record(Record(generation=last, at=self.clock(), stopped=True))
        finally:
            os.close(lock)

    async def remove_files(self, patience: Patience, seconds: float) -> None:
        """End whatever runs and delete all that is kept of the server."""
        if not self._ever_used():
            return
        lock = await self._seize(None, patience, seconds)
        assert isinstance(lock, int)
        try:
            await asyncio.to_thread(self.files.remove)
        finally:
            os.close(lock)

    def _ever_used(self) -> bool:
        return self.files.lock_path.exists() or Identity.of_state(self.state) is not None

    async def _seize(self, keep: int | None, patience: Patience, seconds: float) -> Record | int:
        """Lock, ending whatever is in the way; the server of generation `keep` is returned instead."""
        until = time.monotonic() + seconds + patience.interrupt + patience.term + patience.kill
        while True:
            living = self._living()
            if living is not None and living.generation == keep:
                return living
            if living is not None and living.process is not None:
                await self.end(living.process, patience)
            lock = self.files.try_lock()
            if lock is None:
                await self._look_at_holder(keep, patience)
            elif self._living() is None:
                return await self._tidied(lock, keep, patience)
            else:
                os.close(lock)
            if time.monotonic() > until:
                raise SpawnError(
                    f"Another hub is busy with server {self.files.name} for more than {seconds:.0f} s. "
                    f"Try again; if that does not help, look who has {self.files.lock_path} open."
                )

    async def _tidied(self, lock: int, keep: int | None, patience: Patience) -> int:
        """Holding the lock, end what a dead server left behind, and check that nothing newer was here meanwhile."""
        try:
            record = self.files.record()
            dead = {record.process if record and not record.stopped else None, Identity.of_state(self.state)}
            for process in dead - {None}:
                assert process is not None
                if not (record and record.stopped):
                    await self.end(process, patience)
            if keep is not None:
                self._refuse_if_overtaken(keep)
        except BaseException:
            os.close(lock)
            raise
        return lock

    async def _look_at_holder(self, keep: int | None, patience: Patience) -> None:
        """Find out who holds the lock while nothing on record lives."""
        holder = await asyncio.to_thread(self._marked_holder)
        record = self.files.record()  # read after the look, so it is no older than what was seen
        if self._living() is not None:
            return  # written down meanwhile
        if holder is None:
            await asyncio.sleep(LOOK_EVERY)  # a hub is about to launch, or to write down what it launched
        elif record is not None and record.process is None and not record.stopped:
            # The hub died after the launch, before it could say so. The server itself holds the lock meanwhile.
            self.files.write_record(record.launched_as(holder))
        else:
            await self.end(holder, patience)

    def _marked_holder(self) -> Identity | None:
        """Return the server's own process among those that hold the lock; hubs do not carry its mark."""
        found = [pid for pid in processes.holders(self.files.lock_path) if processes.carries(pid, self.mark)]
        stats = [stat for stat in map(processes.read_stat, found) if stat is not None and not stat.ended]
        if not stats:
            return None
        leader = min(stats, key=lambda stat: (stat.session != stat.pid, stat.start_time))
        return Identity(leader.pid, leader.start_time, processes.boot_id())

    def _living(self) -> Record | None:
        """Return what is on record and alive."""
        record = self.files.record()
        for candidate in (record, self._saved()):
            if candidate is not None and candidate.process is not None and processes.is_alive(candidate.process):
                return candidate
        return None

    def _saved(self) -> Record | None:
        process = Identity.of_state(self.state)
        generation, port = self.state.get("generation"), self.state.get("port")
        if process is None or not isinstance(generation, int) or not isinstance(port, int):
            return None
        record = Record(generation=generation, port=port, url=f"http://{url_host(self.ip)}:{port}")
        return record.launched_as(process)

    def _refuse_if_overtaken(self, generation: int) -> None:
        record = self.files.record()
        if record is None or self.clock() - record.at > OVERTAKEN_SECONDS:
            return
        if record.generation > generation or (record.stopped and record.generation == generation):
            raise SpawnError(
                f"This start of server {self.files.name} was overtaken by a later stop or start. Nothing needs to be "
                f"done; if the hub's database was replaced just now, delete {self.files.record_path}."
            )

    async def end(self, process: Identity, patience: Patience) -> None:
        """End a server's processes; raises SpawnError when one survives even SIGKILL."""
        left = await end(process, self.mark, patience, self.count)
        if left:
            raise SpawnError(
                f"Process {', '.join(map(str, left))} of server {self.files.name} does not end, not even by SIGKILL: "
                "it hangs in the kernel, mostly waiting for a disk or a network drive. It is tried again."
            )


def mark_of(object_name: str) -> bytes:
    """Return the variable NAME=value that the processes of a server carry in their environment."""
    return f"NBHUB_SERVER={object_name}".encode()
