"""How long a hub is away: a restart with 2,000 running servers, a cold start; and what a running server weighs."""

from __future__ import annotations

import asyncio
import statistics
import time

from benchmarks import machine, population
from benchmarks.report import Row, Values, better_when_small, judge, shown
from benchmarks.systems import System, fresh

SERVERS = 2000
REPEATS = 3


async def measure(kind: type[System], scale: float) -> Values:
    values = Values()
    values["cold s"] = await _cold(kind)
    names = population.user_names(int(SERVERS * scale))
    half = len(names) // 2
    with fresh(kind) as system:
        await system.up()
        await population.make_users(system, names)
        await population.for_each(system, names[:half], population.start_server, at_once=25)
        before = await _settled(system)
        await population.for_each(system, names[half:], population.start_server, at_once=25)
        values["kB per server"] = (await _settled(system) - before) / (len(names) - half) * 1000
        values["restart s"] = await _restart(system, len(names))
    return values


async def _cold(kind: type[System]) -> float:
    """From the command to the first authenticated answer, database empty; the median of a few."""
    times = []
    for _ in range(REPEATS):
        with fresh(kind) as system:
            begun = time.perf_counter()
            await system.up()
            times.append(time.perf_counter() - begun)
    return statistics.median(times)


async def _settled(system: System) -> float:
    await asyncio.sleep(3)
    hub, proxy = system.pids()
    return machine.resident_mb([*hub, *proxy])


async def _restart(system: System, servers: int) -> float:
    times = []
    for _ in range(REPEATS):
        await asyncio.to_thread(system.stop)
        begun = time.perf_counter()
        await system.up()
        times.append(time.perf_counter() - begun)
    await _expect_running(system, servers)
    return statistics.median(times)


async def _expect_running(system: System, servers: int) -> None:
    """A restart that lost servers would be no restart."""
    await asyncio.sleep(2)
    client = population.Client(system.hub, system.token)
    running = offset = 0
    while page := await client.json("GET", f"/hub/api/users?state=ready&limit=100&offset={offset}"):
        running += len(page)
        offset += len(page)
    client.close()
    if running != servers:
        raise RuntimeError(f"{system.name}: {running} of {servers} servers were running after the restart")


def rows(ours: Values, theirs: Values) -> list[Row]:
    return [
        _seconds("restart with 2,000 running servers, to the first authenticated answer", "restart s", ours, theirs),
        _seconds("cold start, empty database, to the same", "cold s", ours, theirs),
        Row(
            "memory per running server, hub and proxy",
            f"{shown(ours['kB per server'])} kB",
            f"{shown(theirs['kB per server'])} kB",
            better_when_small(ours["kB per server"], theirs["kB per server"]),
            "≤ 5 kB",
            judge(ours["kB per server"], ours["kB per server"] <= 5),
        ),
    ]


def _seconds(what: str, key: str, ours: Values, theirs: Values) -> Row:
    return Row(
        what,
        f"{shown(ours[key], '{:.2f}')} s",
        f"{shown(theirs[key], '{:.2f}')} s",
        better_when_small(ours[key], theirs[key]),
        "≤ 1 s",
        judge(ours[key], ours[key] <= 1),
    )
