"""End a server's processes: ask, insist, force; each after its grace, and none forgotten."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from nbhub.spawners import processes
from nbhub.spawners.processes import Census, Identity, Stat

LEFTOVER_SECONDS = 3.0  # what processes get to follow a leader that is gone already
LOOK_EVERY = 0.02
LOOK_AT_MOST_EVERY = 0.25


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds to wait after SIGINT, after SIGTERM and after SIGKILL."""

    interrupt: float
    term: float
    kill: float

    def within(self, grace: float) -> Patience:
        """Return the same with SIGKILL sent after `grace` at the latest."""
        asked = self.interrupt + self.term
        if asked <= grace:
            return self
        share = grace / asked if asked else 0.0
        return Patience(self.interrupt * share, self.term * share, self.kill)


class Counter:
    """Counts the machine's processes, once for all who ask at the same moment."""

    def __init__(self) -> None:
        self._count: asyncio.Task[Census] | None = None
        self._next: asyncio.Task[Census] | None = None

    async def __call__(self) -> Census:
        """Return a count that began after the call; a thread does it."""
        if self._next is None:
            self._next = asyncio.ensure_future(self._begin(self._count))
        return await asyncio.shield(self._next)

    async def _begin(self, before: asyncio.Task[Census] | None) -> Census:
        if before is not None:
            await asyncio.wait([before])
        self._count, self._next = self._next, None
        return await asyncio.to_thread(processes.census)


async def end(leader: Identity, mark: bytes, patience: Patience, count: Callable[[], Awaitable[Census]]) -> list[int]:
    """Take down the leader, its session and what descends from it; return the pids that survived even SIGKILL."""
    known: dict[int, Identity] = {}
    stages = (
        (signal.SIGINT, patience.interrupt),
        (signal.SIGTERM, patience.term),
        (signal.SIGKILL, patience.kill),
    )
    for number, seconds in stages:
        relatives = processes.family(leader, mark, await count())
        known |= {pid: Identity(pid, stat.start_time, leader.boot_id) for pid, stat in relatives.items()}
        left = [process for process in known.values() if processes.is_alive(process)]
        if not left:
            return []
        if not processes.is_alive(leader):
            seconds = min(seconds, LEFTOVER_SECONDS)  # noqa: PLW2901
        # Kernels and terminals have sessions of their own; an interrupt there would only stop a calculation.
        polite = number is signal.SIGINT
        _signal([process for process in left if not polite or _in_group(process, leader, relatives)], number)
        await _gone(leader, known, seconds)
    return [process.pid for process in known.values() if processes.is_alive(process)]


def _in_group(process: Identity, leader: Identity, relatives: dict[int, Stat]) -> bool:
    stat = relatives.get(process.pid)
    return stat is not None and leader.pid in (stat.session, stat.group)


def _signal(targets: list[Identity], number: signal.Signals) -> None:
    for target in targets:
        with contextlib.suppress(PermissionError):  # changed its user (sudo); only root may reach it
            processes.send(target, number)


async def _gone(leader: Identity, known: dict[int, Identity], seconds: float) -> None:
    """Wait until all are gone, but not past `seconds`, and after the leader's end only a little."""
    loop = asyncio.get_running_loop()
    until = loop.time() + seconds
    leader_is_there, pause = True, LOOK_EVERY
    while any(processes.is_alive(process) for process in known.values()):
        if leader_is_there and not processes.is_alive(leader):
            leader_is_there, pause = False, LOOK_EVERY
            until = min(until, loop.time() + LEFTOVER_SECONDS)
        left = until - loop.time()
        if left <= 0:
            return
        await asyncio.sleep(min(pause, left))
        pause = min(pause * 1.3, LOOK_AT_MOST_EVERY)
