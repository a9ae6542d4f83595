"""Servers that run nowhere, with faults on demand: for tests, demonstrations and load runs."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from traitlets import Bool, Enum, Float, Instance, Int, Unicode

from nbhub.core.launch import Launch
from nbhub.core.lifecycle import Observation
from nbhub.errors import BackendUnavailable, BadRequest, SpawnError
from nbhub.spawners.base import Checkpoint, Handle, Note, Spawner
from nbhub.spawners.details import Details
from nbhub.spawners.fake_backend import FakeBackend, FakeObject
from nbhub.spawners.fake_folder import FolderBackend
from nbhub.spawners.one_server import Subject

FAULTS = ("", "slow", "fails", "dies", "mute", "lost", "away", "stubborn")
STAGES = ("Finding a place for the server", "Preparing its files", "Launching it")
NUMBERS = ("after", "delay", "ready_after", "stop_seconds", "stage", "exit_code")


@dataclass(frozen=True, slots=True)
class Plan:
    """How one start will go. Seconds."""

    fault: str
    after: float
    delay: float
    ready_after: float
    stop_seconds: float
    stage: int
    exit_code: int


class FakeSpawner(Spawner):
    """Servers that exist in memory only and answer every path over real HTTP, each at a loopback address of its own.

    Faults are set for all servers by traits and for one by its options, `{"fault": "dies", "after": 0.2}`:
    slow (each stage takes `delay`), fails (SpawnError at stage number `stage`), dies (`after` seconds from its launch,
    with `exit_code`), lost (the same, without a trace), mute (lives and never answers), away (the backend cannot be
    reached), stubborn (a stop takes `stop_seconds`, at most its grace).
    """

    backend = Instance(FakeBackend, help="Where the servers run; give several spawners the same one to share it.")
    fault = Enum(FAULTS, "", help="What goes wrong with every server; empty: nothing.").tag(config=True)
    after = Float(0.0, help="Seconds from launch to a death or loss.").tag(config=True)
    delay = Float(0.0, help="Seconds that each stage of a start takes; the fault slow makes it at least 1.").tag(
        config=True
    )
    ready_after = Float(0.0, help="Seconds from launch until a server answers.").tag(config=True)
    stop_seconds = Float(0.0, help="Seconds that a stop takes; the fault stubborn makes it an hour.").tag(config=True)
    stage = Int(1, help="Number of the stage at which the fault fails strikes, counted from 0.").tag(config=True)
    exit_code = Int(1, help="Exit code of servers that die.").tag(config=True)
    listens = Bool(
        True,
        help="Answer for the servers from this process. Turn it off when another one listens at `port`, such as "
        "python -m nbhub.spawners.fake_listener PORT, so that servers answer while the hub is away.",
    ).tag(config=True)

    folder = Unicode(
        help="Keep the servers in this folder, so that they outlive the hub and several hubs of a machine share them."
    ).tag(config=True)

    def __init__(self, **kwargs: Any) -> None:
        self._owns_backend = "backend" not in kwargs
        self.notes: deque[tuple[str, Note]] = deque(maxlen=1000)  # by the names of objects, the last ones
        super().__init__(**kwargs)
        if self._owns_backend:
            self.backend = FolderBackend(Path(self.folder)) if self.folder else FakeBackend()

    async def start(self, launch: Launch) -> AsyncIterator[Checkpoint]:
        plan = self._plan(launch.options)
        self._reach(plan)
        port = await self.backend.listen() if self.listens else self.port
        state: dict[str, Any] = {"object_name": launch.object_name}
        self.backend.clear_way(launch.object_name, launch.generation)
        for number, message in enumerate(STAGES):
            yield Checkpoint(state=state, message=message, progress=20 + 20 * number)
            await asyncio.sleep(plan.delay)
            self._reach(plan)
            if plan.fault == "fails" and plan.stage == number:
                raise SpawnError(
                    f"The fake server {launch.object_name} failed on demand at stage {number} ({message.lower()}). "
                    "Start it without the option fault.",
                    log_tail=f"{message}\nRuntimeError: failed on demand",
                )
        made = self.backend.create(self._object(launch, plan), port=port)
        yield Checkpoint(state={**state, "address": made.address}, message="Launched", progress=80, url=made.url)

    async def poll(self, handles: Sequence[Handle]) -> Sequence[Observation]:
        self._reach(None)
        return [self.backend.look(handle.object_name) for handle in handles]

    async def stop(self, handle: Handle, *, grace: timedelta) -> None:
        self._reach(None)
        found = self.backend.get(handle.object_name)
        if found is None:
            return
        if found.stop_seconds and found.alive(self.backend.clock()):
            await asyncio.sleep(min(found.stop_seconds, grace.total_seconds()))
        self.backend.remove(handle.object_name)

    async def rename(self, handle: Handle, user_name: str) -> None:
        self._reach(None)

    async def log_tail(self, handle: Handle, lines: int = 40) -> str:
        found = self.backend.get(handle.object_name)
        return f"fake server {found.name} at {found.url}" if found else ""

    async def details(self, handles: Sequence[Handle]) -> Sequence[Details]:
        self._reach(None)
        found = [self.backend.get(handle.object_name) for handle in handles]
        return [Details() if each is None else Details(object=each.name, node=each.address) for each in found]

    def note(self, handle: Handle, note: Note) -> None:
        self.notes.append((handle.object_name, note))

    async def watch(self) -> AsyncIterator[int]:
        queue = self.backend.subscribe()
        try:
            while True:
                yield await queue.get()
        finally:
            self.backend.unsubscribe(queue)

    async def validate_options(self, subject: Subject, options: Mapping[str, Any]) -> dict[str, Any]:
        plain = {name: _single(value) for name, value in options.items()}
        self._plan(plain)
        return plain

    async def close(self) -> None:
        if self._owns_backend:
            self.backend.close()

    def _reach(self, plan: Plan | None) -> None:
        fault = plan.fault if plan else self.fault
        if self.backend.away or fault == "away":
            raise BackendUnavailable("The fake backend is away on demand. Wait until it is back.")

    def _object(self, launch: Launch, plan: Plan) -> FakeObject:
        now = self.backend.clock()
        return FakeObject(
            name=launch.object_name,
            server_id=launch.server_id,
            generation=launch.generation,
            address=self.backend.new_address(),
            ready_at=now + plan.ready_after,
            dies_at=now + plan.after if plan.fault in ("dies", "lost") else None,
            exit_code=None if plan.fault == "lost" else plan.exit_code,
            mute=plan.fault == "mute",
            stop_seconds=plan.stop_seconds,
        )

    def _plan(self, options: Mapping[str, Any]) -> Plan:
        fault = options.get("fault", self.fault)
        if fault not in FAULTS:
            known = ", ".join(name for name in FAULTS if name)
            raise BadRequest(f"Option fault is {str(fault)[:50]!r}; the fake spawner knows {known}.")
        number = {name: _number(name, options.get(name, getattr(self, name))) for name in NUMBERS}
        return Plan(
            fault=fault,
            after=number["after"],
            delay=max(number["delay"], 1.0 if fault == "slow" and "delay" not in options else 0.0),
            ready_after=number["ready_after"],
            stop_seconds=3600.0 if fault == "stubborn" and "stop_seconds" not in options else number["stop_seconds"],
            stage=int(number["stage"]),
            exit_code=int(number["exit_code"]),
        )


def _single(value: Any) -> Any:
    """Forms give lists of one; the API gives plain values."""
    return value[0] if isinstance(value, list | tuple) and len(value) == 1 else value


def _number(name: str, value: Any) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = -1.0
    if number < 0 and name != "exit_code":
        raise BadRequest(f"Option {name} is {str(value)[:50]!r}; it has to be a number, 0 or more.")
    return number
