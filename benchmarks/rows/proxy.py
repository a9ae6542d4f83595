"""What the data plane does: small GETs at 5,000 routes, and how soon a new route is in force at 1,000."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Callable

from benchmarks import load, machine, population
from benchmarks.load import Client
from benchmarks.report import Row, Values, better_when_large, better_when_small, judge, shown
from benchmarks.systems import System, fresh

ROUTES = 5000
ROUTES_WHEN_ADDING = 1000
ADDED = 20
CONNECTIONS = 32
SECONDS = 6.0
STEP = 0.004  # seconds between questions whether the route is there; until then each costs the hub a page


async def measure(kind: type[System], scale: float) -> Values:
    values = Values()
    names = population.user_names(int(ROUTES * scale))
    first = int(ROUTES_WHEN_ADDING * scale)
    with fresh(kind) as system:
        await system.up()
        await population.make_users(system, names)
        await population.for_each(system, names[:first], population.start_server, at_once=25)
        await _settle(system, names[:first])
        rest = names[first:]
        await _adding(system, rest[:ADDED], values, pause=1, kind="single")
        await _adding(system, rest[ADDED : 2 * ADDED], values, pause=0, kind="burst")
        await system.add_routes(rest[2 * ADDED :])
        await _settle(system, names)
        await _small_gets(system, names, values)
    return values


async def _settle(system: System, names: list[str]) -> None:
    """Wait until every route is in force."""
    client = Client(system.public)
    for name in names:
        await _in_force(client, name)
    client.close()


async def _adding(system: System, names: list[str], values: Values, *, pause: float, kind: str) -> None:
    """One start after the other: from being told that a server is ready to its first answer through the proxy."""
    client, visitor = Client(system.hub, system.token), Client(system.public)
    delays = []
    for name in names:
        await asyncio.sleep(pause)
        await population.start_server(client, name)
        ready = time.perf_counter()
        await _in_force(visitor, name)
        delays.append(time.perf_counter() - ready)
    values[f"{kind} median s"], values[f"{kind} worst s"] = statistics.median(delays), max(delays)


async def _in_force(visitor: Client, name: str) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        _, answer = await visitor.ask("GET", f"/user/{name}/api")
        if b"upstream" in answer:
            return
        await asyncio.sleep(STEP)
    raise TimeoutError(f"no route to the server of {name} after 10 s; the last answer was {answer[:200]!r}")


async def _small_gets(system: System, names: list[str], values: Values) -> None:
    requests = [load.request("GET", f"/user/{name}/api/status") for name in names]
    requests = requests[::7] + requests[3::7]  # users all over the table
    await load.hammer(system.public, requests, connections=CONNECTIONS, seconds=1)
    _, proxy = system.pids()
    before = machine.cpu_seconds(proxy)
    tally = await load.hammer(system.public, requests, connections=CONNECTIONS, seconds=SECONDS)
    if set(tally.statuses) != {200}:
        raise RuntimeError(f"{system.name}: {dict(tally.statuses)}; the first answer was {tally.sample[:300]!r}")
    values["rate"] = tally.rate
    values["cpu us"] = (machine.cpu_seconds(proxy) - before) / tally.count * 1e6
    values["p99 ms"] = tally.percentile(0.99) * 1000


def rows(ours: Values, theirs: Values) -> list[Row]:
    ratio = better_when_large(1 / ours["cpu us"], 1 / theirs["cpu us"])
    return [
        Row(
            "small GETs through the proxy, 5,000 routes (ratio of CPU per request)",
            f"{shown(ours['rate'], '{:,.0f}')}/s ({shown(ours['cpu us'], '{:.0f}')} µs CPU)",
            f"{shown(theirs['rate'], '{:,.0f}')}/s ({shown(theirs['cpu us'], '{:.0f}')} µs CPU)",
            ratio,
            "≥ 4 ×",
            None if ratio is None else ratio >= 4,
        ),
        _adding_row("a single start, 1 s after the last", "single", ours, theirs),
        _adding_row("starts without a pause between them", "burst", ours, theirs),
    ]


def _adding_row(how: str, kind: str, ours: Values, theirs: Values) -> Row:
    say: Callable[[Values], str] = lambda values: (  # noqa: E731
        f"{values[f'{kind} median s'] * 1000:.0f}; {values[f'{kind} worst s'] * 1000:.0f} ms"
    )
    worst = ours[f"{kind} worst s"]
    return Row(
        f"route in force after ready, 1,000 routes; {how} (median; worst)",
        say(ours),
        say(theirs),
        better_when_small(ours[f"{kind} median s"], theirs[f"{kind} median s"]),
        "≤ 100 ms",
        judge(worst, worst <= 0.1),
    )
