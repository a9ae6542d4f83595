"""When something does not answer: servers that refuse requests, and an Envoy that does not start."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from nbhub.core.model import Route
from nbhub.errors import NbhubError
from nbhub.proxy import discovery, paths
from nbhub.store import Store, servers

log = logging.getLogger(__name__)

_INTERVAL = 0.5  # seconds between looks at what Envoy noted
_PATIENCE = 5.0  # seconds until the same server is asked about again


Tell = Callable[[Sequence[Route]], Awaitable[None]]


async def watch(noted: Path, in_force: Callable[[], Sequence[Route]], tell: Tell) -> None:
    """Tell at once of the route to each server that did not answer a request, until cancelled.

    So the route of a server that died is withdrawn long before the reconciler would have polled it.
    """
    asked: dict[str, float] = {}
    while True:
        await asyncio.sleep(_INTERVAL)
        now = time.monotonic()
        asked = {target: since for target, since in asked.items() if now - since < _PATIENCE}
        try:
            silent = set(discovery.take_lines(noted)) - asked.keys()
            if silent:
                asked |= dict.fromkeys(silent, now)
                await tell([route for route in in_force() if route.user and paths.address(route.target) in silent])
        except (NbhubError, OSError) as error:
            log.warning("servers that do not answer are left to the next poll: %s", error)


async def nudge(store: Store, silent: Sequence[Route]) -> None:
    """Have the reconciler look at the servers of these routes."""
    async with store.write() as tx:
        count = await servers.nudge_named(tx, [(route.user, route.server) for route in silent], store.clock())
    if count:
        log.info("servers=%d do not answer, to be looked at", count)


def explain_exit(words: str, status: int | None, address: str, envoy_log: Path) -> str:
    """Say why Envoy did not start, in its own words, and what to do."""
    if "Address already in use" in words:
        return f"The public address {address} is in use by another program. Stop that one, or choose another port."
    if "Permission denied" in words and "bind" in words:
        return (
            f"The public address {address} may not be listened on: {words}. Ports below 1024 need a right of their own."
        )
    if "annot assign requested address" in words:
        return f"The public address {address} is not one of this machine. Set ip to one that is, or to 0.0.0.0."
    ended = "did not get ready in time" if status is None else f"ended with status {status}"
    return (
        f"Envoy {ended}: {words or 'it said nothing'}. Its log is {envoy_log}. If you changed settings of Proxy, take"
        " them back; if Proxy.command is set, check that it is a recent Envoy (1.35 or later)."
    )
