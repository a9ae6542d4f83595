"""Routes as the store has them: in force after a ring, withdrawn when a server does not answer."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest_asyncio

from nbhub.core.model import Phase, Server
from nbhub.proxy import Proxy
from nbhub.store import Store, leases, servers, users
from proxy.edges import HOST, Upstream, get, make_proxy, started, until
from servers.ports import free_port


@dataclass(frozen=True)
class House:
    """A store that a running proxy follows."""

    store: Store
    proxy: Proxy

    async def create(self, name: str) -> Server:
        async with self.store.write() as tx:
            user = await users.create(tx, name, now=time.time())
            server = await servers.create(tx, user, "", now=time.time())
            return await servers.ask_start(tx, server.id, options={}, now=time.time())

    async def record(self, **status: Any) -> None:
        """Write the status of the one server that is due, as a reconciler does."""
        async with self.store.write() as tx:
            [server] = await leases.claim(tx, holder="test", now=time.time(), lease=30, limit=10)
            assert await leases.record(tx, server.id, server.lease_token, **status)
            await leases.release(tx, server.id, server.lease_token, due=None, seen_generation=server.generation)

    async def who(self, path: str) -> str | None:
        return (await get(self.proxy.port, path)).who


@pytest_asyncio.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    store = await Store.open(f"sqlite:///{tmp_path / 'nbhub.sqlite'}")
    async with Upstream("hub").serving() as hub:
        proxy = make_proxy(tmp_path / "proxy", hub)
        async with started(proxy):
            following = asyncio.create_task(proxy.run(store))
            yield House(store, proxy)
            following.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await following
    await store.close()


async def test_a_server_that_runs_is_reachable_until_it_stops(house: House) -> None:
    async with Upstream("alice").serving() as alice:
        await house.create("alice")
        await house.record(phase=Phase.RUNNING, url=alice.target)
        await until(lambda: _is(house, "/user/alice/", "alice"), "the route is in force")
        async with house.store.write() as tx:
            server = await servers.get(tx, "alice", "")
            assert server is not None
            await servers.ask_stop(tx, server.id, now=time.time())
        await house.record(phase=Phase.STOPPED, url=None)
        await until(lambda: _is(house, "/user/alice/", "hub"), "the route is withdrawn")


async def test_what_rings_while_routes_are_replaced_is_not_lost(house: House) -> None:
    async with Upstream("last").serving() as last:
        for number in range(20):
            await house.create(f"u{number}")
            await house.record(phase=Phase.RUNNING, url=f"http://{HOST}:{free_port()}")
        await house.create("last")
        await house.record(phase=Phase.RUNNING, url=last.target)
        await until(lambda: _is(house, "/user/last/", "last"), "the last route is in force")


async def test_routes_that_came_while_envoy_was_down_are_known_to_be_in_force_soon_after(house: House) -> None:
    server = await house.create("alice")
    for _ in range(4):  # the more often it dies, the longer it is left alone
        pid = await until(lambda: house.proxy.pid, "it runs")
        os.kill(pid, signal.SIGKILL)
        await until(lambda pid=pid: house.proxy.pid != pid, "its end is noticed")
    await house.record(phase=Phase.RUNNING, url="http://127.0.0.1:9")
    async with house.store.read() as tx:
        found = await servers.by_id(tx, server.id)
    assert found is not None
    await until(lambda: house.store.reach.leads_to(found), "the proxy has told")


async def test_a_server_that_does_not_answer_is_looked_at_at_once(house: House) -> None:
    await house.create("carol")
    await house.record(phase=Phase.RUNNING, url=f"http://{HOST}:{free_port()}")
    async with house.store.write() as tx:
        assert await leases.claim(tx, holder="test", now=time.time(), lease=1, limit=10) == []
    await until(lambda: _status(house, "/user/carol/", 503), "the route is in force")
    async with house.store.wakeup.listen("servers") as bell:
        await get(house.proxy.port, "/user/carol/")
        assert await bell.wait(10) or await _due(house)
    await until(lambda: _due(house), "the reconciler is asked to look")
    await house.record(phase=Phase.FAILED, url=None)
    await until(lambda: _is(house, "/user/carol/", "hub"), "the hub's own page")


async def _is(house: House, path: str, name: str) -> bool:
    return await house.who(path) == name


async def _status(house: House, path: str, status: int) -> bool:
    return (await get(house.proxy.port, path)).status == status


async def _due(house: House) -> bool:
    async with house.store.read() as tx:
        server = await servers.get(tx, "carol", "")
    return server is not None and server.due is not None and server.due <= time.time()
