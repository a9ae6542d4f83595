"""Bounds on what clients may hold."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

from proxy.edges import HOST, PATIENCE, Upstream, get, make_proxy, started, until


async def test_connections_are_bounded_and_places_become_free_again(tmp_path: Path) -> None:
    async with Upstream("hub").serving() as hub, started(make_proxy(tmp_path, hub, max_connections=5)) as port:
        held = [await asyncio.open_connection(HOST, port) for _ in range(5)]
        for _, writer in held:
            writer.write(b"GET /hub/slow?seconds=300 HTTP/1.1\r\nHost: h\r\n\r\n")
        await until(lambda: hub.requests == 5, "five requests under way")
        reader, writer = await asyncio.open_connection(HOST, port)
        with contextlib.suppress(ConnectionError):
            writer.write(b"GET /hub/ HTTP/1.1\r\nHost: h\r\n\r\n")
            assert await asyncio.wait_for(reader.read(), PATIENCE) == b""
        assert hub.requests == 5
        for _, writer in held:
            writer.close()
        await until(lambda: _answers(port), "a place for others")


async def test_idle_connections_are_closed(tmp_path: Path) -> None:
    async with Upstream("hub").serving() as hub, started(make_proxy(tmp_path, hub, keep_alive=0.5)) as port:
        silent, writer = await asyncio.open_connection(HOST, port)
        assert await asyncio.wait_for(silent.read(), PATIENCE) == b""
        writer.close()
        await until(lambda: _until_closed(port), "one that was used ends by itself too")


async def test_envoy_may_open_as_many_files_as_the_machine_allows(tmp_path: Path) -> None:
    async with Upstream("hub").serving() as hub:
        proxy = make_proxy(tmp_path, hub)
        async with started(proxy):
            limits = Path(f"/proc/{proxy.pid}/limits").read_text()  # noqa: ASYNC240 - /proc does not block
            soft, hard = next(line for line in limits.splitlines() if line.startswith("Max open files")).split()[3:5]
            assert soft == hard


async def _until_closed(port: int) -> bool:
    """Ask once and say nothing more; True when the answer came and the connection ended."""
    reader, writer = await asyncio.open_connection(HOST, port)
    with contextlib.suppress(ConnectionError):  # whoever is slow to ask finds it closed already
        writer.write(b"GET /hub/ HTTP/1.1\r\nHost: h\r\n\r\n")
        return (await asyncio.wait_for(reader.read(), PATIENCE)).startswith(b"HTTP/1.1 200")
    return False


async def _answers(port: int) -> bool:
    with contextlib.suppress(OSError, asyncio.IncompleteReadError):
        return (await get(port, "/hub/")).who == "hub"
    return False
