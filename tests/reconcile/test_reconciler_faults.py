"""What goes wrong around the work on a server: hints, interruptions, the end of a hub, errors of ours."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest

from nbhub.core.lifecycle import Limits, Stop
from nbhub.core.model import Phase
from nbhub.errors import BackendUnavailable, SpawnError
from nbhub.reconcile import Pace
from nbhub.reconcile.steps import Held, LeaseLost
from nbhub.spawners.fake import FakeSpawner
from nbhub.store import servers
from reconcile_house import PACE, House


async def test_a_backend_whose_hints_break_off_is_asked_for_them_again(house: House) -> None:
    broke, again = asyncio.Event(), asyncio.Event()

    class Broken(FakeSpawner):
        async def watch(self) -> AsyncIterator[int]:
            if not broke.is_set():
                broke.set()
                raise RuntimeError("a bug")
            hints = self.backend.subscribe()
            again.set()
            while True:
                yield await hints.get()

    server = await house.ask_start(await house.server())
    rare = Pace(lease=0.5, limits=Limits(poll_interval=3600))
    async with house.running(house.reconciler(kind=Broken, pace=rare)):
        await house.until_phase(server, Phase.RUNNING)
        async with asyncio.timeout(100):
            await again.wait()
        house.backend.kill("alice")
        await house.until_phase(server, Phase.FAILED)


async def test_what_an_interrupted_start_tidies_up_is_not_cut_off(house: House) -> None:
    begun, tidied = asyncio.Event(), asyncio.Event()

    class Tidy(FakeSpawner):
        async def start(self, launch: Any) -> AsyncIterator[Any]:
            if launch.generation > 1:
                async for checkpoint in super().start(launch):
                    yield checkpoint
                return
            try:
                begun.set()
                await asyncio.sleep(3600)
            finally:
                for _ in range(20):
                    house.store.wakeup.ring("servers")  # as others do all the time on a busy hub
                    await asyncio.sleep(0.03)
                tidied.set()

    server = await house.ask_start(await house.server())
    async with house.running(house.reconciler(kind=Tidy)):
        await begun.wait()
        await house.ask_start(server)
        await house.until_phase(server, Phase.RUNNING)
    assert tidied.is_set()


async def test_a_hub_that_ends_lets_go_of_everything_first(house: House) -> None:
    asked: asyncio.Queue[None] = asyncio.Queue()
    answers: asyncio.Queue[None] = asyncio.Queue()

    class Away(FakeSpawner):
        async def start(self, launch: Any) -> AsyncIterator[Any]:
            asked.put_nowait(None)
            await answers.get()
            raise BackendUnavailable("The backend is away.")
            yield

    server = await house.ask_start(await house.server())
    work = asyncio.create_task(house.reconciler(kind=Away, pace=replace(PACE, lease=600.0)).run())
    await asked.get()
    answers.put_nowait(None)
    await asked.get()  # the second time there is nothing new to say, so all that is left is to let go
    async with house.store.write() as tx:
        await servers.update_spec(tx, server.id, display_name="held up by another transaction")
        answers.put_nowait(None)
        await asyncio.sleep(0.1)
        work.cancel()
        await asyncio.wait([work], timeout=0.3)
        assert not work.done()
    with suppress(asyncio.CancelledError):
        await work
    async with house.store.write() as tx:
        free = await servers.claim(tx, holder="next", now=time.time() + PACE.retry, lease=1.0, limit=10)
    assert [row.id for row in free] == [server.id]


async def test_a_hub_that_ends_while_it_looks_at_servers_lets_them_go(house: House) -> None:
    looking = asyncio.Event()

    class Slow(FakeSpawner):
        async def poll(self, handles: Any) -> Any:
            looking.set()
            await asyncio.sleep(3600)

    server = await house.ask_start(await house.server())
    async with house.running(house.reconciler()):
        await house.until_phase(server, Phase.RUNNING)
    work = asyncio.create_task(house.reconciler(kind=Slow, pace=replace(PACE, lease=600.0)).run())
    await looking.wait()
    work.cancel()
    with suppress(asyncio.CancelledError):
        await work
    async with house.store.write() as tx:
        free = await servers.claim(tx, holder="next", now=time.time(), lease=1.0, limit=10)
    assert [row.id for row in free] == [server.id]


async def test_room_for_another_server_is_used_at_once(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nbhub.reconcile.reconciler.IDLE_SECONDS", 3600.0)
    asked = [await house.ask_start(await house.server(user)) for user in ("alice", "bob", "carol")]
    one_by_one = replace(PACE, concurrency=1, limits=Limits(poll_interval=3600.0))
    async with house.running(house.reconciler(pace=one_by_one)):
        for server in asked:
            await house.until_phase(server, Phase.RUNNING)


async def test_a_start_that_fails_and_cannot_be_taken_away_is_tried_again_soon(house: House) -> None:
    class Broken(FakeSpawner):
        stops = 0

        def start(self, launch: Any) -> Any:
            raise RuntimeError("a bug")

        async def stop(self, handle: Any, *, grace: Any) -> None:
            self.stops += 1
            if self.stops < 3:
                raise RuntimeError("another bug")

    server = await house.ask_start(await house.server())
    async with house.running(house.reconciler(kind=Broken, pace=replace(PACE, lease=600.0))):
        found = await house.until_phase(server, Phase.FAILED)
    assert "RuntimeError" in found.message


async def test_a_stop_that_is_refused_is_tried_again_ever_more_rarely(house: House) -> None:
    class Refused(FakeSpawner):
        async def stop(self, handle: Any, *, grace: Any) -> None:
            raise SpawnError("no right to delete")

    await house.ask_start(await house.server())
    async with house.store.write() as tx:
        [row] = await servers.claim(tx, holder="one", now=time.time(), lease=600.0, limit=1)
    steps, held = house.reconciler(kind=Refused, pace=replace(PACE, retry=1.0)).steps, Held(row)
    assert [await steps.perform(held, Stop(Phase.STOPPED)) for _ in range(6)] == [1, 2, 4, 8, 10, 10]


async def test_a_hub_that_was_frozen_takes_nothing_away_that_others_brought_up(house: House) -> None:
    server = await house.ask_start(await house.server())
    async with house.store.write() as tx:
        (frozen,) = await servers.claim(tx, holder="frozen", now=time.time(), lease=0.05, limit=10)
    async with house.running(house.reconciler("alive")):
        await house.until_phase(server, Phase.RUNNING)
    steps = house.reconciler("frozen").steps
    begun = replace(frozen, phase=Phase.STARTING, start_generation=frozen.generation)
    for seen, step in (
        (begun, Stop(Phase.FAILED, "It took too long.")),
        (replace(begun, phase=Phase.STOPPING), Stop(Phase.STOPPED)),
        (begun, Stop(Phase.STOPPED)),
    ):
        with pytest.raises(LeaseLost):
            await steps.perform(Held(seen), step)
    assert house.backend.live == 1
