"""What hubs of three sizes take, everybody's server running: the table of docs/operator.md.

    python -m benchmarks.sizing [COUNT …]

Servers cost nothing here (see `config/`); each reports its activity every five minutes, as notebook servers do. Only
one hub runs at a time, and every phase is bounded.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import uvloop

from benchmarks import machine, population
from benchmarks.load import Client
from benchmarks.report import Values
from benchmarks.systems import Nbhub, System, fresh

COUNTS = (50, 500, 5000)
SECONDS = 30.0  # at rest, measured
REPORT_EVERY = 300.0  # seconds between two reports of activity of one server


def main(arguments: Sequence[str] = sys.argv[1:]) -> None:
    """Measure and print a table."""
    os.sched_setaffinity(0, {machine.LOAD_CORE})
    print("| users with servers | memory, hub + Envoy | CPU at rest, hub + Envoy | database | restart | backup |")
    print("|---|---|---|---|---|---|")
    for count in map(int, arguments or COUNTS):
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            values = runner.run(_measure(count)).numbers
        print(
            f"| {count:,} | {values['hub MB']:.0f} + {values['proxy MB']:.0f} MB | {values['hub %']:.1f} + "
            f"{values['proxy %']:.1f} % of a core | {values['database MB']:.1f} MB | {values['restart s']:.1f} s | "
            f"{values['backup s']:.1f} s, {values['backup MB']:.1f} MB |",
            flush=True,
        )


async def _measure(count: int) -> Values:
    values = Values()
    names = population.user_names(count)
    with fresh(Nbhub) as system:
        await system.up()
        await population.make_users(system, names)
        if await population.for_each(system, names, population.start_server, at_once=25) != count:
            raise RuntimeError("not all servers started in time")
        await asyncio.sleep(5)
        hub, proxy = system.pids()
        before, begun = [machine.cpu_seconds(pids) for pids in (hub, proxy)], time.monotonic()
        await _reports(system, names)
        took = time.monotonic() - begun
        for name, pids, spent in zip(("hub", "proxy"), (hub, proxy), before, strict=True):
            values[f"{name} %"] = (machine.cpu_seconds(pids) - spent) / took * 100
            values[f"{name} MB"] = machine.resident_mb(pids)
        await asyncio.to_thread(_back_up, system, values)
        await asyncio.to_thread(system.stop)
        begun = time.perf_counter()
        await system.up()
        values["restart s"] = time.perf_counter() - begun
    return values


async def _reports(system: System, names: Sequence[str]) -> None:
    """Report the activity of one server after the other, as often as so many servers would."""
    client = Client(system.hub, system.token)
    pause = REPORT_EVERY / len(names)
    end = time.monotonic() + SECONDS
    number = 0
    while (now := time.monotonic()) < end:
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        name = names[number % len(names)]
        body = {"servers": {"": {"last_activity": stamp}}, "last_activity": stamp}
        await client.ask("POST", f"/hub/api/users/{name}/activity", body)
        number += 1
        await asyncio.sleep(max(now + pause - time.monotonic(), 0))
    client.close()


def _back_up(system: System, values: Values) -> None:
    """Copy the database while the hub runs."""
    data = system.folder / "data"
    values["database MB"] = sum(path.stat().st_size for path in data.glob("nbhub.sqlite*")) / 1e6
    file = Path(system.folder / "backup")
    begun = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "nbhub", "backup", str(file), f"--data-dir={data}"],
        check=True,
        cwd="/",
        env={**machine.clean_environment(), **system.environment()},
        capture_output=True,
    )
    values["backup s"] = time.perf_counter() - begun
    values["backup MB"] = file.stat().st_size / 1e6


if __name__ == "__main__":
    main()
