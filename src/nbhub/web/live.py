"""What a page tells of running servers beyond their rows: where they are and what they take."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable

from nbhub.core.model import Server
from nbhub.errors import NbhubError
from nbhub.spawners.base import Handle
from nbhub.spawners.details import Details
from nbhub.web.desk import Desk

log = logging.getLogger("nbhub.web")

PATIENCE = 2.0  # seconds that a page waits for it


async def details(desk: Desk, found: Iterable[Server]) -> dict[int, Details]:
    """Return what the backend says of the active ones among these servers, by id; nothing if it does not answer."""
    there = [server for server in found if server.active]
    if not there:
        return {}
    try:
        async with asyncio.timeout(PATIENCE):
            said = await desk.spawner.details([Handle.of(server) for server in there])
    except (NbhubError, TimeoutError) as error:
        log.info("details of %d servers are not to be had: %s", len(there), error or "too slow")
        return {}
    return {server.id: each for server, each in zip(there, said, strict=True)}
