"""From POST server to a JupyterLab that answers through the proxy, against `jupyter lab` started alone."""

from __future__ import annotations

import asyncio
import contextlib
import statistics
import tempfile
import time
from pathlib import Path

from benchmarks import environments, machine, population
from benchmarks.load import Client
from benchmarks.report import Row, Values, judge, shown
from benchmarks.systems import System, fresh

REPEATS = 3
PATIENCE = 90.0


async def measure(kind: type[System], scale: float) -> Values:
    values = Values()
    repeats = REPEATS if scale == 1 else 1
    names = population.user_names(repeats + 1)
    with fresh(kind, notebook=environments.NOTEBOOK) as system:
        for name in names:
            (system.folder / "home" / name).mkdir(parents=True)
        await system.up()
        await population.make_users(system, names)
        alone, started = [], []
        for name in names:  # by turns, so that whatever else the machine does meets both
            alone.append(await _alone())
            started.append(await _start(system, name))
        values["alone s"] = statistics.median(alone[1:])  # the first ones warm the disk's cache
        values["started s"] = statistics.median(started[1:])
        client = Client(system.hub, system.token)
        for name in names:
            await client.ask("DELETE", f"/hub/api/users/{name}/server")
        client.close()
    return values


async def _alone() -> float:
    """Seconds from `jupyter lab` to its first page."""
    port = machine.free_ports(1)[0]
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        jupyter = environments.NOTEBOOK / "bin" / "jupyter-lab"
        command = [str(jupyter), "--no-browser", "--allow-root", f"--port={port}", "--IdentityProvider.token=x"]
        begun = time.perf_counter()
        process = machine.Process(
            command, core=machine.SYSTEM_CORE, log=Path(folder) / "log", cwd=Path(folder), environment={"HOME": folder}
        )
        try:
            await _usable(Client(port, "x"), "/lab")
            return time.perf_counter() - begun
        finally:
            process.end(grace=10)


async def _start(system: System, name: str) -> float:
    """Seconds from the request to the first page of that user's JupyterLab, asked for with the user's token."""
    token = await population.make_token(system, name)
    client = Client(system.hub, system.token)
    begun = time.perf_counter()
    asked = asyncio.create_task(population.start_server(client, name))
    await _usable(Client(system.public, token), f"/user/{name}/lab")
    took = time.perf_counter() - begun
    await asked
    client.close()
    return took


async def _usable(client: Client, path: str) -> None:
    deadline = time.monotonic() + PATIENCE
    answer = b""
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            status, answer = await client.ask("GET", path)
            if status == 200 and b"jupyter-config-data" in answer:
                client.close()
                return
        await asyncio.sleep(0.01)
    raise TimeoutError(f"{path} was no JupyterLab within {PATIENCE:.0f} s: {answer[:300]!r}")


def rows(ours: Values, theirs: Values) -> list[Row]:
    us, them = ours["started s"] / ours["alone s"], theirs["started s"] / theirs["alone s"]
    return [
        Row(
            "POST server → JupyterLab usable, against `jupyter lab` started alone",
            f"{shown(us, '{:.2f}')} × ({shown(ours['started s'])} s, alone {shown(ours['alone s'])})",
            f"{shown(them, '{:.2f}')} × ({shown(theirs['started s'])} s)",
            them / us if us == us and them == them else None,
            "≤ 1.4 ×",
            judge(us, us <= 1.4),
        )
    ]
