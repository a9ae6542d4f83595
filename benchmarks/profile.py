"""Where nbhub spends its time: `python -m benchmarks.profile starts|user|activity|list|login [users]`.

Samples the hub with py-spy under load and prints the functions with most samples: own, then with what they call.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import uvloop

from benchmarks import load, machine, population
from benchmarks.rows import requests
from benchmarks.systems import Nbhub, System, fresh

SECONDS = 8
RATE = 400  # samples per second
SHOWN = 45


async def profile(what: str, users: int) -> None:
    """Bring a hub up with `users`, half of them running, load it and print."""
    names = population.user_names(users)
    running, rest = names[: users // 2], names[users // 2 :]
    with fresh(Nbhub) as system:
        await system.up()
        await population.make_users(system, names)
        sampler = _sample(system) if what == "starts" else None
        before, begun = machine.cpu_seconds([system.process.pid]), time.perf_counter()
        await population.for_each(system, running, population.start_server, at_once=100)
        took, cpu = time.perf_counter() - begun, machine.cpu_seconds([system.process.pid]) - before
        if what == "starts":
            print(f"{len(running) / took:.0f} starts/s, {cpu / len(running) * 1000:.2f} ms CPU each")
        else:
            tokens = [(name, await population.make_token(system, name)) for name in (running or rest)[:32]]
            sampler = _sample(system)
            await _ask(system, requests.questions(system, tokens)[what])
        assert sampler is not None
        sampler.wait(SECONDS + 30)
        _show(system.folder / "samples")


async def _ask(system: System, questions: list[bytes]) -> None:
    before = machine.cpu_seconds([system.process.pid])
    tally = await load.hammer(system.hub, questions, connections=32, seconds=SECONDS + 2)
    cpu = machine.cpu_seconds([system.process.pid]) - before
    print(f"{tally.rate:.0f}/s, {cpu / tally.count * 1e6:.0f} µs CPU each, {dict(tally.statuses)}")


def _sample(system: System) -> subprocess.Popen[bytes]:
    command = [
        str(Path(sys.executable).with_name("py-spy")), "record", "--pid", str(system.process.pid),
        "--duration", str(SECONDS), "--rate", str(RATE), "--format", "raw", "--output", str(system.folder / "samples"),
    ]  # fmt: skip
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _show(samples: Path) -> None:
    """Print own and cumulative shares from folded stacks."""
    own: Counter[str] = Counter()
    cumulative: Counter[str] = Counter()
    for line in samples.read_text().splitlines():
        stack, _, count = line.rpartition(" ")
        frames = stack.split(";")
        if "_worker (concurrent" in frames[-1]:
            continue  # a thread that waits for work
        own[frames[-1]] += int(count)
        for frame in set(frames):
            cumulative[frame] += int(count)
    total = sum(own.values())
    for title, counts in (("own", own), ("with what it calls", cumulative)):
        print(f"\n{title}, of {total} samples")
        for frame, count in counts.most_common(SHOWN):
            print(f"{count / total:7.1%}  {frame}")


if __name__ == "__main__":
    os.sched_setaffinity(0, {machine.LOAD_CORE})
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(profile(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 1000))
