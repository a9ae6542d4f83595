"""Keeper: keeps every managed service running, one process each, on one of the hubs that share the database.

A lease in the row of the service says which hub; a hub that loses it ends its process. A process that dies is launched
again after a pause that grows. What a killed hub leaves running is taken over as it is, or replaced.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from nbhub.core import names, secrets
from nbhub.core.model import ServiceEntry
from nbhub.errors import DatabaseUnavailable, NbhubError, SpawnError
from nbhub.services import launch
from nbhub.services.answering import until_answering
from nbhub.services.declared import ServiceSpec
from nbhub.services.launch import Workshop
from nbhub.spawners.children import Children
from nbhub.spawners.processes import Identity, is_alive
from nbhub.store import Store, services

log = logging.getLogger("nbhub.services")


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds. `lease`: how long a hub that is gone still counts; `look`: how often others look whether it is."""

    lease: float = 15.0
    look: float = 5.0
    first_pause: float = 1.0  # before the first new launch; doubles with every further one
    longest_pause: float = 60.0
    settled: float = 60.0  # a process that ran for so long ended for a reason of its own


class Lost(Exception):
    """Another hub keeps the service running now, or it was deleted."""


class Keeper:
    """Runs `specs` until cancelled. `alone`: no other hub can share this database, so a lease is never lost."""

    def __init__(
        self,
        store: Store,
        specs: Sequence[ServiceSpec],
        workshop: Workshop,
        *,
        holder: str,
        clock: Callable[[], float],
        alone: bool,
        pace: Pace | None = None,
    ) -> None:
        self._store = store
        self._specs = tuple(specs)
        self._workshop = workshop
        self._holder = holder
        self._clock = clock
        self._alone = alone
        self._pace = pace or Pace()
        self._children = Children(self._ended)
        self._ends: dict[Identity, asyncio.Future[int | None]] = {}
        self._kept: list[tuple[ServiceSpec, asyncio.Task[None]]] = []
        self._changed = asyncio.Event()

    def change(self, specs: Sequence[ServiceSpec]) -> None:
        """Run these from now on: who is gone or has other settings is ended, who is new launched, the rest stays."""
        self._specs = tuple(specs)
        self._changed.set()

    async def run(self) -> None:
        """Keep all services running until cancelled; then end them."""
        managed = [spec for spec in self._specs if spec.command]
        try:
            with contextlib.suppress(NbhubError, OSError):
                await self._workshop.clear_strangers({spec.name for spec in managed})
            async with asyncio.TaskGroup() as group:
                while True:
                    self._changed.clear()
                    await self._follow(group)
                    await self._changed.wait()
        finally:
            self._children.close()

    async def _follow(self, group: asyncio.TaskGroup) -> None:
        """Keep just what the settings name."""
        wanted = self._specs
        ending = [task for spec, task in self._kept if spec not in wanted]
        for task in ending:
            task.cancel()
        await asyncio.gather(*ending, return_exceptions=True)
        self._kept = [(spec, task) for spec, task in self._kept if spec in wanted]
        for spec in wanted:
            if all(spec != kept for kept, _ in self._kept):
                work = self._keep(spec) if spec.command else _look_once(spec, self._workshop)
                self._kept.append((spec, group.create_task(work)))

    async def _keep(self, spec: ServiceSpec) -> None:
        pause = self._pace.first_pause
        while True:
            begun = self._clock()
            try:
                entry = await self._take(spec)
                await self._serve(spec, entry)
            except Lost:
                await self._clear_leftover(spec)
                await asyncio.sleep(self._pace.look)
                continue
            except NbhubError as error:
                log.error("service=%s cannot be run: %s", spec.name, error.message)
            except Exception:  # one service's trouble is not the hub's
                log.exception("service=%s cannot be run", spec.name)
            if self._clock() - begun >= self._pace.settled:
                pause = self._pace.first_pause
            log.info("service=%s launched again in %.1fs", spec.name, pause)
            await asyncio.sleep(pause)
            pause = min(pause * 2, self._pace.longest_pause)

    async def _clear_leftover(self, spec: ServiceSpec) -> None:
        """End a process of an earlier hub of this machine, when another hub runs the service by now."""
        with contextlib.suppress(NbhubError):
            async with self._store.read() as tx:
                entry = await services.get(tx, spec.name)
            if self._workshop.is_left_over(spec, entry):
                log.info("service=%s left over by an earlier hub is ended; another hub runs it now", spec.name)
                os.close(await self._workshop.place(spec))

    async def _serve(self, spec: ServiceSpec, entry: ServiceEntry) -> None:
        """Have one process and look after it to its end. Raises Lost; what is left at the end is ended."""
        process = self._workshop.found(spec, entry)
        try:
            if process is not None:
                log.info("service=%s found running pid=%d", spec.name, process.pid)
                self._children.watch(process, entry.id, spec.name)
            else:
                process = await self._launch(spec, entry)
                await self._note(spec, entry, process)
            await self._until_end(spec, entry, process)
        finally:
            if process is not None:
                await self._end(spec, entry, process)

    async def _launch(self, spec: ServiceSpec, entry: ServiceEntry) -> Identity:
        lock = await self._workshop.place(spec)
        try:
            token = self._workshop.new_token(spec)
            await self._give_token(spec, entry, token)
        except BaseException:
            os.close(lock)
            raise
        child, process = await self._workshop.launch(spec, entry, token, lock)
        self._children.watch(process, entry.id, spec.name, child)
        log.info("service=%s launched pid=%d log=%s", spec.name, process.pid, self._log(spec))
        return process

    async def _note(self, spec: ServiceSpec, entry: ServiceEntry, process: Identity) -> None:
        state = launch.as_state(process, self._workshop.digest(spec))
        async with self._store.write() as tx:
            if not await services.note_process(tx, entry.id, holder=self._holder, process=state):
                raise Lost

    async def _give_token(self, spec: ServiceSpec, entry: ServiceEntry, token: str) -> None:
        async with self._store.write() as tx:
            taken = await services.take(tx, entry.id, holder=self._holder, now=self._clock(), lease=self._pace.lease)
            if taken is None:
                raise Lost
            note = "From the configuration" if spec.api_token else "Made when the hub launched the service"
            await services.set_token(tx, entry.id, secrets.hash_token(token), note=note, now=self._clock())

    async def _until_end(self, spec: ServiceSpec, entry: ServiceEntry, process: Identity) -> None:
        """Wait until the process ends by itself, and say how. Raises Lost."""
        ended = asyncio.get_running_loop().create_future()
        self._ends[process] = ended
        looking = asyncio.create_task(_look(spec, self._workshop)) if spec.url else None
        renewing = asyncio.create_task(self._renew(spec, entry, process))
        try:
            await asyncio.wait([ended, renewing], return_when=asyncio.FIRST_COMPLETED)
            if renewing.done():
                renewing.result()
            code = ended.result() if ended.done() else None
            log.error("service=%s ended by itself, %s; its log: %s", spec.name, _how(code), self._words(spec))
        finally:
            del self._ends[process]
            for task in (looking, renewing):
                if task is not None:
                    task.cancel()

    async def _renew(self, spec: ServiceSpec, entry: ServiceEntry, process: Identity) -> None:
        """Stay the one who runs it; raises Lost. Ends when the process does, should nobody have told."""
        good_until = self._clock() + self._pace.lease
        while True:
            await asyncio.sleep(self._pace.lease / 3)
            await asyncio.to_thread(self._workshop.files(spec.name).trim_log, launch.LOG_LIMIT)
            try:
                await self._take(spec)
                good_until = self._clock() + self._pace.lease
            except DatabaseUnavailable as error:
                if not self._alone and self._clock() >= good_until:
                    log.error("service=%s is left to other hubs: %s", spec.name, error.message)
                    raise Lost from None
            self._children.collect(process)
            if not is_alive(process):
                return

    async def _take(self, spec: ServiceSpec) -> ServiceEntry:
        async with self._store.write() as tx:
            entry = await services.get(tx, spec.name)
            if entry is None or tuple(entry.command) != spec.command:
                raise Lost  # a hub with newer settings was here
            taken = await services.take(tx, entry.id, holder=self._holder, now=self._clock(), lease=self._pace.lease)
        if taken is None:
            raise Lost
        return taken

    async def _end(self, spec: ServiceSpec, entry: ServiceEntry, process: Identity) -> None:
        """End the process with all that it started, and leave the service to any hub."""
        try:
            await self._workshop.end(spec.name, process)
        except SpawnError as error:
            log.error("service=%s: %s", spec.name, error.message)
        self._children.collect(process)
        with contextlib.suppress(NbhubError):
            async with self._store.write() as tx:
                await services.note_process(tx, entry.id, holder=self._holder, process={})
                await services.let_go(tx, entry.id, holder=self._holder)

    def _ended(self, _: int, __: str, process: Identity, code: int | None) -> None:
        future = self._ends.get(process)
        if future is not None and not future.done():
            future.set_result(code)

    def _log(self, spec: ServiceSpec) -> str:
        return str(self._workshop.files(spec.name).log_path)

    def _words(self, spec: ServiceSpec) -> str:
        lines = self._workshop.files(spec.name).log_tail(3).strip().splitlines()
        return f"{' | '.join(lines)[-500:]!r} in {self._log(spec)}"


def _how(code: int | None) -> str:
    if code is None:
        return "nobody saw how"
    return f"killed by signal {-code}" if code < 0 else f"exit status {code}"


async def _look(spec: ServiceSpec, workshop: Workshop) -> None:
    """Say once whether the service answers at its address, in words that help when it does not."""
    path = names.service_prefix(workshop.hub.base_url, spec.name)
    if await until_answering(spec.url, path, spec.timeout):
        log.info("service=%s answers at %s", spec.name, spec.url)
        return
    what = f"its log is {workshop.files(spec.name).log_path}" if spec.command else "it is not started by the hub"
    log.error(
        "service=%s does not answer at %s within %.0f s; %s. Compare the address it listens on with its url in "
        "c.Hub.services, or raise its timeout.",
        spec.name, spec.url, spec.timeout, what,
    )  # fmt: skip


async def _look_once(spec: ServiceSpec, workshop: Workshop) -> None:
    if spec.url:
        await _look(spec, workshop)
