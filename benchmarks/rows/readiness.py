"""How late the hub knows: from the moment a server begins to listen to the answer that says it is ready."""

from __future__ import annotations

import asyncio
import statistics
import time

from benchmarks import machine, population
from benchmarks.load import Client
from benchmarks.report import Row, Values, better_when_small, judge, shown
from benchmarks.systems import System, fresh
from benchmarks.upstream import Upstream

STARTS = 24
AT_ONCE = 6
DELAYS = (0.4, 0.9, 1.7, 2.6, 4.1, 6.3)  # seconds from asking to listening


async def measure(kind: type[System], scale: float) -> Values:
    late: list[float] = []
    names = population.user_names(max(int(STARTS * scale), 2))
    delays = dict(zip(names, DELAYS * len(names), strict=False))

    async def start_late(client: Client, name: str) -> None:
        late.append(await _lateness(client, name, delays[name]))

    with fresh(kind) as system:
        await system.up()
        await population.make_users(system, names)
        await population.for_each(system, names, start_late, at_once=AT_ONCE)
    values = Values()
    values["median s"] = statistics.median(late)
    values["worst s"] = max(late)
    return values


async def _lateness(client: Client, name: str, delay: float) -> float:
    """Start a server that listens only after `delay`; return the seconds from then to being told that it is ready."""
    port = machine.free_ports(1)[0]
    asked = asyncio.create_task(population.start_server(client, name, {"port": port}))
    await asyncio.sleep(delay)
    server = await asyncio.get_running_loop().create_server(Upstream, "127.0.0.1", port)
    listening = time.perf_counter()
    try:
        await asked
        return time.perf_counter() - listening
    finally:
        server.close()


def rows(ours: Values, theirs: Values) -> list[Row]:
    return [
        Row(
            "a ready server is known as ready (median; worst)",
            f"{shown(ours['median s'], '{:.3f}')}; {shown(ours['worst s'], '{:.3f}')} s late",
            f"{shown(theirs['median s'], '{:.2f}')}; {shown(theirs['worst s'], '{:.2f}')} s late",
            better_when_small(ours["median s"], theirs["median s"]),
            "≤ 0.1 s late",
            judge(ours["worst s"], ours["worst s"] <= 0.1),
        )
    ]
