"""The doorbell inside one process."""

from __future__ import annotations

import asyncio

from nbhub.store import Wakeup


async def test_nothing_rung_between_entering_and_waiting_is_lost() -> None:
    wakeup = Wakeup()
    async with wakeup.listen("servers", "server:*") as bell:
        wakeup.ring("servers", "server:7", "routes", "serve")
        wakeup.ring("servers")
        assert await bell.wait(100) == {"servers", "server:7"}
        assert await bell.wait(0) == set()


async def test_a_ring_ends_the_wait() -> None:
    wakeup = Wakeup()
    async with wakeup.listen("server:7") as bell:
        asyncio.get_running_loop().call_soon(wakeup.ring, "server:7")
        assert await asyncio.wait_for(bell.wait(), 100) == {"server:7"}


async def test_the_wait_ends_by_itself() -> None:
    async with Wakeup().listen("servers") as bell:
        assert await bell.wait(0.01) == set()


async def test_every_listener_hears_resync() -> None:
    wakeup = Wakeup()
    async with wakeup.listen("server:7") as one, wakeup.listen("grants:*") as two:
        wakeup.ring("resync")
        assert (await one.wait(0), await two.wait(0)) == ({"resync"}, {"resync"})


async def test_who_left_hears_nothing_and_leaves_nothing() -> None:
    wakeup = Wakeup()
    async with wakeup.listen("servers", "grants:*") as bell:
        pass
    wakeup.ring("servers", "grants:all", "resync")
    assert await bell.wait(0) == set()
    assert (wakeup._exact, wakeup._prefixes) == ({}, {})


async def test_a_wait_that_is_cancelled_loses_nothing() -> None:
    wakeup = Wakeup()
    async with wakeup.listen("servers") as bell:
        waiting = asyncio.create_task(bell.wait())
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        wakeup.ring("servers")
        assert await bell.wait(0) == {"servers"}
