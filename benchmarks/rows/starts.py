"""What a start costs the hub, with and without clients that ask for their pending server 4 times a second."""

from __future__ import annotations

import asyncio
import contextlib
import time

from benchmarks import machine, population
from benchmarks.load import Client
from benchmarks.report import Row, Values, better_when_large, better_when_small, judge, shown
from benchmarks.systems import System, fresh

SERVERS = 1000
AT_ONCE = 100  # starts that clients have under way
PATIENCE = 150.0  # seconds; what was started until then counts


async def measure(kind: type[System], scale: float) -> Values:
    values = Values()
    names = population.user_names(int(SERVERS * scale))
    for polling in (False, True):
        with fresh(kind) as system:
            await system.up()
            if not polling:
                await _memory(system, values)
            await population.make_users(system, names)
            await _starts(system, names, values, polling=polling)
    return values


async def _memory(system: System, values: Values) -> None:
    await asyncio.sleep(3)  # what is allocated late at start
    hub, proxy = system.pids()
    values["hub MB"], values["proxy MB"] = machine.resident_mb(hub), machine.resident_mb(proxy)


async def _starts(system: System, names: list[str], values: Values, *, polling: bool) -> None:
    hub, proxy = system.pids()
    before, proxy_before, begun = machine.cpu_seconds(hub), machine.cpu_seconds(proxy), time.perf_counter()
    work = _start_and_ask if polling else population.start_server
    done = await population.for_each(system, names, work, at_once=AT_ONCE, seconds=PATIENCE)
    took = time.perf_counter() - begun
    await asyncio.sleep(1)  # what a start leaves to be done after it is ready belongs to it
    kind = "polled " if polling else ""
    values[f"{kind}started"] = done
    values[f"{kind}cpu ms"] = (machine.cpu_seconds(hub) - before) / done * 1000
    values[f"{kind}proxy cpu ms"] = (machine.cpu_seconds(proxy) - proxy_before) / done * 1000
    values[f"{kind}rate"] = done / took


async def _start_and_ask(client: Client, name: str) -> None:
    """Start a server while a second connection asks for it 4 times a second until it is ready."""
    asking = Client(client.port, client.token)
    watch = asyncio.create_task(population.wait_ready(asking, name, seconds=PATIENCE))
    try:
        await population.start_server(client, name)
        await watch
    finally:
        watch.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watch
        asking.close()


def rows(ours: Values, theirs: Values) -> list[Row]:
    cpu, rate, polled = ours["cpu ms"], ours["rate"], ours["polled rate"]
    memory = ours["hub MB"] + ours["proxy MB"]
    return [
        Row(
            "hub's own cost of a start, 1,000 fake servers, 100 at once",
            f"{shown(cpu)} ms CPU",
            f"{shown(theirs['cpu ms'])} ms CPU",
            better_when_small(cpu, theirs["cpu ms"]),
            "≤ 4 ms",
            judge(cpu, cpu <= 4),
        ),
        Row(
            "starts per second of the same, hub and proxy on one core",
            f"{shown(rate, '{:.0f}')}/s",
            f"{shown(theirs['rate'], '{:.0f}')}/s",
            better_when_large(rate, theirs["rate"]),
            "≥ 200/s",
            judge(rate, rate >= 200),
        ),
        Row(
            "the same while every client asks for its pending server 4 times a second",
            f"{shown(polled, '{:.0f}')}/s ({shown(ours['polled cpu ms'])} ms CPU)",
            f"{shown(theirs['polled rate'])}/s ({shown(theirs['polled cpu ms'])} ms CPU)",
            better_when_large(polled, theirs["polled rate"]),
            "≥ 150/s",
            judge(polled, polled >= 150),
        ),
        Row(
            "memory (RSS) of an idle hub + proxy",
            f"{shown(ours['hub MB'], '{:.0f}')} + {shown(ours['proxy MB'], '{:.0f}')} MB",
            f"{shown(theirs['hub MB'], '{:.0f}')} + {shown(theirs['proxy MB'], '{:.0f}')} MB",
            better_when_small(memory, theirs["hub MB"] + theirs["proxy MB"]),
            "≤ 150 MB together",
            judge(memory, memory <= 150),
        ),
    ]
