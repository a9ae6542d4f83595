"""`kill -9` of the hub, of Envoy and of servers at random moments during hundreds of starts and stops.

NBHUB_SEED chooses the moments, NBHUB_LONG=1 makes it ten times as long with another seed each time.
"""

from __future__ import annotations

import os
import random
import time
from pathlib import Path
from typing import Any

import pytest

from hub.chaos import FakeGround, ProcessGround, Storm, Weather, check_rows
from nbhub.spawners.fake_folder import FolderBackend
from servers import notebooks
from servers.hub import HubProcess
from servers.machine import processes_of

LONG = os.environ.get("NBHUB_LONG") == "1"
SEED = os.environ.get("NBHUB_SEED") or (str(time.time_ns()) if LONG else "1")
TIMES = 10 if LONG else 1

pytestmark = [pytest.mark.timeout(900 * TIMES), pytest.mark.xdist_group("kill")]


async def weather_the(storm: Storm) -> None:
    """Let it rage, and find everything in order afterwards, and nothing once the hub has stopped."""
    print(f"seed {storm.seed}")
    hub = storm.hub
    await hub.start()
    begun = time.monotonic()
    try:
        await storm.rage()
        print(f"after {time.monotonic() - begun:.0f} s: {dict(storm.strikes)}")
        await storm.settle()
        check_rows(hub.data_dir / "nbhub.sqlite", {user for user, wanted in storm.wanted.items() if wanted})
    finally:
        await storm.close()
        if hub.alive:
            status = await hub.stop()
    assert status == 0
    assert "Traceback" not in hub.text(), hub.text()
    assert not processes_of(hub.folder)


def delays(chance: random.Random) -> dict[str, Any]:
    """Fake servers that take their time, so that kills come at every stage."""
    return {"delay": chance.choice([0, 0.05, 0.2]), "ready_after": chance.choice([0, 0.1, 0.5])}


async def test_fake_servers(folder: Path) -> None:
    backend = FolderBackend(folder / "fakes")
    await backend.listen()  # answers while no hub lives
    hub = HubProcess(
        folder / "hub",
        "c.Hub.authenticator_class = 'dummy'\n"
        "c.Hub.spawner_class = 'fake'\n"
        f"c.FakeSpawner.folder = {str(folder / 'fakes')!r}\n"
        "c.FakeSpawner.stop_seconds = 0.1\n"
        "c.Spawner.poll_interval = 1\n",
    )
    storm = Storm(hub, FakeGround(backend), await hub.token(), SEED, Weather(200 * TIMES, options=delays))
    await weather_the(storm)
    backend.close()
    assert storm.strikes["hub"] and storm.strikes["envoy"] and storm.strikes["server"]


async def test_processes(folder: Path, small_servers: str, journal: Path) -> None:
    hub = HubProcess(folder / "hub", small_servers)
    storm = Storm(hub, ProcessGround(folder, journal), await hub.token(), SEED, Weather(80 * TIMES))
    await weather_the(storm)


async def test_real_notebook_servers(folder: Path) -> None:
    commands = notebooks.commands()
    hub = HubProcess(
        folder / "hub",
        "c.Hub.authenticator_class = 'dummy'\nc.Hub.spawner_class = 'simple'\nc.Spawner.poll_interval = 2\n",
        env={"PATH": f"{commands}{os.pathsep}{os.environ['PATH']}"},
    )
    weather = Weather(20 * TIMES, users=3, calm=(2, 6), thinking=2)
    await weather_the(Storm(hub, ProcessGround(folder), await hub.token(), SEED, weather))
