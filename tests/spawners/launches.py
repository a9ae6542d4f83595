"""Launches and handles for tests of spawners."""

from __future__ import annotations

import asyncio
import time
import urllib.request
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from nbhub.core import launch as launches
from nbhub.core import names
from nbhub.core.launch import HubAddress, Launch
from nbhub.core.lifecycle import Observation
from nbhub.core.model import Server, User
from nbhub.spawners.base import Checkpoint, Handle, Spawner

GRACE = timedelta(seconds=4)
PATIENCE = 100.0  # seconds for whatever is waited for: no test fails because the machine is slow


def a_launch(
    spawner: Spawner,
    user: str = "alice",
    server: str = "",
    *,
    server_id: int = 1,
    generation: int = 1,
    options: Mapping[str, Any] | None = None,
) -> Launch:
    """Build the launch that the reconciler would build for this server."""
    owner = User(id=server_id, name=user)
    row = Server(
        id=server_id,
        user_id=owner.id,
        user_name=user,
        name=server,
        wanted=True,
        generation=generation,
        options=dict(options or {}),
    )
    return launches.build(row, owner, (), HubAddress(), spawner.template(), f"token-of-{user}-{server}-{generation}")


def a_handle(launch: Launch, state: Mapping[str, Any] | None = None) -> Handle:
    """Return what the reconciler would hand to poll and stop."""
    return Handle(
        server_id=launch.server_id,
        object_name=names.object_name(launch.user.name, launch.server_name),
        user_name=launch.user.name,
        generation=launch.generation,
        state=state or {},
    )


async def bring_up(spawner: Spawner, launch: Launch) -> list[Checkpoint]:
    """Run a start to its end."""
    return [checkpoint async for checkpoint in spawner.start(launch)]


def url_of(checkpoints: list[Checkpoint]) -> str:
    """Return the address that the checkpoints told."""
    return next(c.url for c in reversed(checkpoints) if c.url)


def answers(url: str, timeout: float = 60.0) -> bool:
    """Whether a server answers at the address now."""
    try:
        with urllib.request.urlopen(f"{url}/user/alice/api", timeout=timeout) as answer:
            return answer.status == 200 and bool(answer.headers["X-JupyterHub-Version"])
    except OSError:
        return False


async def until_answering(url: str, seconds: float = PATIENCE) -> None:
    """Wait until a server answers at the address."""
    async with asyncio.timeout(seconds):
        while not await asyncio.to_thread(answers, url):  # noqa: ASYNC110 - nothing tells us but asking
            await asyncio.sleep(0.02)


async def until_dead(spawner: Spawner, handle: Handle, seconds: float = PATIENCE) -> Observation:
    """Wait until a server is seen dead, and return how it was seen."""
    async with asyncio.timeout(seconds):
        while (seen := (await spawner.poll([handle]))[0]).alive:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    return seen


async def until(condition: Callable[[], bool], seconds: float = PATIENCE) -> None:
    """Wait for a condition; fail when it does not come true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        await asyncio.sleep(0.01)
