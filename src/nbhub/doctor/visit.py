"""One examination, from the settings to the last finding."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing

from nbhub import config, notebooks
from nbhub.app import Hub
from nbhub.core import findings
from nbhub.core.findings import Finding
from nbhub.doctor import front, machine
from nbhub.errors import NbhubError
from nbhub.spawners.base import Spawner
from nbhub.spawners.process import SimpleLocalProcessSpawner


async def examine(hub: Hub, *, quick: bool, image: str) -> AsyncIterator[Finding]:
    """Look at everything. `quick` starts nothing for it; `image` is tried instead of the one of the settings."""
    async for finding in machine.examine(hub):
        yield finding
    async for finding in front.examine(hub):
        yield finding
    async for finding in _spawner(hub, quick=quick, image=image):
        yield finding


def _not_installed(hub: Hub) -> Finding:
    """Say when a hub that runs servers as its own user gets what they need."""
    folder = hub.folder / notebooks.FOLDER
    if folder.exists():
        return findings.ok("command of servers", f"{notebooks.COMMAND} is installed in {folder}")
    return findings.ok("command of servers", f"{notebooks.COMMAND} is not installed; the first start installs it")


async def _spawner(hub: Hub, *, quick: bool, image: str) -> AsyncIterator[Finding]:
    about = f"spawner {hub.spawner_class.__name__}"
    try:
        spawner: Spawner = config.build(hub.spawner_class, hub.config, parent=hub)
    except NbhubError as error:
        yield findings.split(about, error.message)
        return
    if isinstance(spawner, SimpleLocalProcessSpawner) and notebooks.needed(spawner.cmd):
        yield _not_installed(hub)
        return
    try:
        address = hub.hub_address(hub.hub_port)
        async with aclosing(spawner.examine(address, quick=quick, image=image)) as found:  # type: ignore[type-var]
            async for finding in found:
                yield finding
    except NbhubError as error:
        yield findings.split(about, error.message)
    finally:
        await spawner.close()
