"""Requests that a hub with 2,000 users, half of them running, gets all day."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from benchmarks import load, machine, population
from benchmarks.report import Row, Values, better_when_small, judge, shown
from benchmarks.systems import HERE, System, fresh

USERS = 2000
CONNECTIONS = 32
SECONDS = 5.0
STEPS = 4000  # reports of activity that one connection has to send; both hubs refuse an hour ahead of time


async def measure(kind: type[System], scale: float) -> Values:
    values = Values()
    names = population.user_names(int(USERS * scale))
    running = names[: len(names) // 2]
    with fresh(kind) as system:
        await system.up()
        await population.make_users(system, names)
        await population.for_each(system, running, population.start_server, at_once=25)
        tokens = [(name, await population.make_token(system, name)) for name in running[:CONNECTIONS]]
        for what, requests in questions(system, tokens).items():
            await _measure(system, what, requests, values)
    if kind.name == "nbhub":
        await _bare(values)
    return values


def questions(system: System, tokens: list[tuple[str, str]]) -> dict[str, list[bytes]]:
    return {
        "user": [load.request("GET", "/hub/api/user", token=token) for _, token in tokens],
        "activity": [_activity(name, token, step) for step in range(STEPS) for name, token in tokens],
        "list": [load.request("GET", "/hub/api/users?limit=50", token=system.token)],
        "login": [load.request("GET", "/hub/login")],
    }


def _activity(name: str, token: str, step: int) -> bytes:
    """Return a report that is half a second newer than that of the step before, so that each one says something."""
    at = (datetime.now(UTC) + timedelta(seconds=60 + step / 2)).isoformat()
    body = {"last_activity": at, "servers": {"": {"last_activity": at}}}
    return load.request("POST", f"/hub/api/users/{name}/activity", token=token, body=body)


async def _measure(system: System, what: str, requests: list[bytes], values: Values) -> None:
    await load.hammer(system.hub, requests, connections=CONNECTIONS, seconds=1)
    hub, _ = system.pids()
    before = machine.cpu_seconds(hub)
    tally = await load.hammer(system.hub, requests, connections=CONNECTIONS, seconds=SECONDS)
    _expect_success(system.name, what, tally)
    values[f"{what} rate"] = tally.rate
    values[f"{what} cpu us"] = (machine.cpu_seconds(hub) - before) / tally.count * 1e6
    values[f"{what} p99 ms"] = tally.percentile(0.99) * 1000


async def _bare(values: Values) -> None:
    """The least that the same server can do, on the same core."""
    port = machine.free_ports(1)[0]
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        command = [sys.executable, str(HERE / "bare.py"), str(port)]
        log = Path(folder) / "bare.log"
        process = machine.Process(command, core=machine.SYSTEM_CORE, log=log, cwd=Path(folder))
        try:
            machine.wait_for_port(port, process)
            requests = [load.request("GET", "/")]
            await load.hammer(port, requests, connections=CONNECTIONS, seconds=1)
            before, begun = machine.cpu_seconds([process.pid]), time.perf_counter()
            tally = await load.hammer(port, requests, connections=CONNECTIONS, seconds=SECONDS)
            values["bare rate"] = tally.count / (time.perf_counter() - begun)
            values["bare cpu us"] = (machine.cpu_seconds([process.pid]) - before) / tally.count * 1e6
        finally:
            process.end()


def _expect_success(name: str, what: str, tally: load.Tally) -> None:
    failed = {status: count for status, count in tally.statuses.items() if status >= 300}
    if failed or not tally.count:
        raise RuntimeError(f"{name}, {what}: {failed or 'no answers'}; the first was {tally.sample[:300]!r}")


def rows(ours: Values, theirs: Values) -> list[Row]:
    bare = ours["bare cpu us"] / ours["user cpu us"]
    return [
        _row("`GET /hub/api/user` with a token, 32 connections", "user", 10, ours, theirs),
        Row(
            "the same, as a share of a bare ASGI function (CPU per request)",
            f"{shown(bare, '{:.2f}')} ({shown(ours['user cpu us'], '{:.0f}')} µs)",
            f"bare: {shown(ours['bare cpu us'], '{:.0f}')} µs",
            None,
            "≥ 0.4",
            judge(bare, bare >= 0.4),
        ),
        _row("`POST activity` (ratios of these rows: CPU per request)", "activity", 40, ours, theirs),
        _row("`users?limit=50` of 2,000 users, half of them running", "list", 15, ours, theirs),
        _row("login page", "login", 6, ours, theirs),
    ]


def _row(what: str, key: str, times: int, ours: Values, theirs: Values) -> Row:
    ratio = better_when_small(
        ours[f"{key} cpu us"], theirs[f"{key} cpu us"]
    )  # what a core can do, whoever else uses it
    say: Callable[[Values], str] = lambda values: (  # noqa: E731
        f"{shown(values[f'{key} rate'], '{:,.0f}')}/s ({shown(values[f'{key} cpu us'], '{:,.0f}')} µs CPU)"
    )
    return Row(what, say(ours), say(theirs), ratio, f"≥ {times} ×", None if ratio is None else ratio >= times)
