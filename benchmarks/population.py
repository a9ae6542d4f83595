"""Users and running servers, made through the REST API as any client would."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any

from benchmarks.load import Client

if TYPE_CHECKING:
    from benchmarks.systems import System


def user_names(count: int, *, first: int = 0) -> list[str]:
    return [f"user{number:05d}" for number in range(first, first + count)]


async def make_users(system: System, names: Sequence[str]) -> None:
    """Create users, a hundred per request."""
    client = Client(system.hub, system.token)
    for start in range(0, len(names), 100):
        await client.json("POST", "/hub/api/users", {"usernames": list(names[start : start + 100])}, seconds=120)
    client.close()


async def make_token(system: System, name: str) -> str:
    """Return a new API token of a user."""
    client = Client(system.hub, system.token)
    token = await client.json("POST", f"/hub/api/users/{name}/tokens", {"note": "bench"})
    client.close()
    return str(token["token"])


async def start_server(client: Client, name: str, options: Any = None) -> None:
    """Start a user's server and wait until it is ready; a start that is merely accepted is asked about."""
    status, answer = await client.ask("POST", f"/hub/api/users/{name}/server", options)
    if status == 202:
        await wait_ready(client, name)
    elif status != 201:
        raise RuntimeError(f"start of {name}: {status} {answer[:300].decode(errors='replace')}")


async def is_ready(client: Client, name: str) -> bool:
    """Ask the API whether a user's default server is ready."""
    model = await client.json("GET", f"/hub/api/users/{name}")
    return bool(model["servers"].get("", {}).get("ready"))


async def wait_ready(client: Client, name: str, *, every: float = 0.25, seconds: float = 240.0) -> None:
    """Ask `1 / every` times a second until the server is ready."""
    deadline = time.monotonic() + seconds
    while not await is_ready(client, name):
        if time.monotonic() > deadline:
            raise TimeoutError(f"server of {name} not ready after {seconds:.0f} s")
        await asyncio.sleep(every)


async def for_each(
    system: System,
    names: Sequence[str],
    work: Callable[[Client, str], Awaitable[None]],
    *,
    at_once: int,
    seconds: float = 900.0,
) -> int:
    """Do `work` for every name, `at_once` at a time, on a connection each; return how many were done in time."""
    queue = list(reversed(names))
    done = 0

    async def lane() -> None:
        nonlocal done
        async with _client(system) as client:
            while queue and time.monotonic() < deadline:
                await work(client, queue.pop())
                done += 1

    deadline = time.monotonic() + seconds
    await asyncio.gather(*(lane() for _ in range(min(at_once, len(names)))))
    return done


@contextlib.asynccontextmanager
async def _client(system: System) -> AsyncIterator[Client]:
    client = Client(system.hub, system.token)
    try:
        yield client
    finally:
        client.close()
