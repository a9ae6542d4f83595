"""The queue: claims, fencing, renewals, releases."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from nbhub.core.model import Phase, ProgressEvent, Server
from nbhub.store import Store, Writing, servers, users


async def asked(tx: Writing, *names: str, now: float = 1000) -> list[Server]:
    found = []
    for name in names:
        user = await users.create(tx, name, now=1)
        found.append(await servers.ask_start(tx, (await servers.create(tx, user, "", now=1)).id, now=now))
    return found


async def claim(tx: Writing, *, now: float = 1000, limit: int = 10, holder: str = "one") -> list[Server]:
    return await servers.claim(tx, holder=holder, now=now, lease=30, limit=limit)


async def row(store: Store, server_id: int) -> Server:
    async with store.read() as tx:
        found = await servers.by_id(tx, server_id)
    assert found is not None
    return found


async def test_claim_takes_what_is_due_oldest_first_up_to_the_limit(store: Store) -> None:
    async with store.write() as tx:
        await asked(tx, "c", now=1003)
        await asked(tx, "a", now=1001)
        await asked(tx, "b", now=1002)
        await asked(tx, "later", now=5000)
        first = await claim(tx, now=1010, limit=2)
        assert {server.user_name for server in first} == {"a", "b"}
        assert [server.user_name for server in await claim(tx, now=1010)] == ["c"]
        assert await claim(tx, now=1010) == []


async def test_a_lease_that_ran_out_is_claimed_by_another_and_the_old_token_changes_nothing(store: Store) -> None:
    async with store.write() as tx:
        await asked(tx, "a")
        (old,) = await claim(tx)
        assert await claim(tx, now=1029) == []
        (new,) = await claim(tx, now=1030, holder="two")
    assert new.lease_token > old.lease_token
    before = await row(store, old.id)
    async with store.write() as tx:
        token = old.lease_token
        assert not await servers.record(tx, old.id, token, phase=Phase.RUNNING, url="http://10.0.0.9:1")
        assert await servers.renew(tx, {old.id: token}, now=1031, lease=30) == {}
        assert not await servers.release(tx, old.id, token, due=None, seen_generation=1)
        assert not await servers.delete(tx, old.id, token, seen_generation=99)
    assert await row(store, old.id) == before
    async with store.write() as tx:
        assert await servers.record(tx, new.id, new.lease_token, phase=Phase.STARTING)


async def test_who_gave_the_lease_back_changes_nothing(store: Store) -> None:
    async with store.write() as tx:
        await asked(tx, "a")
        (held,) = await claim(tx)
        assert await servers.release(tx, held.id, held.lease_token, due=None, seen_generation=1)
        assert not await servers.record(tx, held.id, held.lease_token, message="late")
        assert not await servers.release(tx, held.id, held.lease_token, due=5, seen_generation=1)


async def test_record_writes_every_kind_of_status(store: Store) -> None:
    async with store.write() as tx:
        await asked(tx, "a")
        (held,) = await claim(tx)
        status = {
            "phase": Phase.RUNNING, "observed_generation": 1, "start_generation": 1, "launched": True,
            "state": {"pid": 7, "deep": {"ü": None}}, "url": "http://10.0.0.1:8888", "message": "m", "log_tail": "l",
            "events": (ProgressEvent(1.5, 10, "Ä"),), "started": 1.5, "ready": 2.5, "stopped": None, "deadline": 3.0,
            "last_activity": 4.0,
        }  # fmt: skip
        assert await servers.record(tx, held.id, held.lease_token, **status)
    found = await row(store, held.id)
    assert {key: getattr(found, key) for key in status} == status
    with pytest.raises(TypeError, match="wanted"):
        async with store.write() as tx:
            await servers.record(tx, held.id, held.lease_token, wanted=True)


async def test_renew_keeps_the_lease_and_tells_the_current_generation(store: Store) -> None:
    async with store.write() as tx:
        await asked(tx, "a", "b")
        one, two = sorted(await claim(tx), key=lambda server: server.id)
        await servers.ask_stop(tx, two.id, now=1005)
        held = {one.id: one.lease_token, two.id: two.lease_token, 999: 1}
        assert await servers.renew(tx, held, now=1020, lease=30) == {one.id: 1, two.id: 2}
        assert await servers.renew(tx, {}, now=1020, lease=30) == {}
        assert await claim(tx, now=1049) == []
        assert len(await claim(tx, now=1050)) == 2


async def test_release_after_a_newer_ask_is_due_at_once(store: Store) -> None:
    async with store.write() as tx:
        await asked(tx, "a")
        (held,) = await claim(tx)
        await servers.ask_stop(tx, held.id, now=1003)
        assert await servers.release(tx, held.id, held.lease_token, due=1500, seen_generation=1)
        (again,) = await claim(tx, now=1004)
        assert (again.id, again.generation, again.wanted) == (held.id, 2, False)


async def test_a_nudge_during_the_lease_outlives_the_release(store: Store) -> None:
    async with store.write() as tx:
        await asked(tx, "a")
        (held,) = await claim(tx)
        await servers.nudge(tx, [held.id], 1002)
        assert await servers.release(tx, held.id, held.lease_token, due=1500, seen_generation=1)
        assert await servers.next_due(tx, 1002) == 1002


async def test_nudge_brings_the_look_forward(store: Store) -> None:
    async with store.write() as tx:
        (server,) = await asked(tx, "a", now=2000)
        await servers.nudge(tx, [server.id, 999], 1500)
        assert await servers.next_due(tx, 1500) == 1500
        await servers.nudge(tx, [server.id], 1600)
        assert await servers.next_due(tx, 1600) == 1500
        await servers.nudge(tx, [], 1)


async def test_next_due_is_the_earliest_due_or_end_of_lease(store: Store) -> None:
    async with store.write() as tx:
        assert await servers.next_due(tx, 1000) is None
        await asked(tx, "a", now=1100)
        assert await servers.next_due(tx, 1000) == 1100
        await asked(tx, "b", now=1000)
        await claim(tx, now=1000)
        assert await servers.next_due(tx, 1000) == 1030


async def test_an_address_belongs_to_the_last_server_that_took_it(store: Store) -> None:
    async with store.write() as tx:
        await asked(tx, "a", "b")
        one, two = sorted(await claim(tx), key=lambda server: server.id)
        await servers.record(tx, one.id, one.lease_token, phase=Phase.RUNNING, url="http://10.0.0.1:1")
    async with store.wakeup.listen("routes", f"server:{one.id}") as bell:
        async with store.write() as tx:
            await servers.record(tx, two.id, two.lease_token, url="http://10.0.0.1:1")
            assert await servers.routes(tx, "/") == []
        assert await bell.wait(0) == {"routes", f"server:{one.id}"}
    loser = await row(store, one.id)
    assert loser.url is None and loser.due is not None, "it is looked at as soon as it can be"
    assert (await row(store, two.id)).url == "http://10.0.0.1:1"
    async with store.read() as tx:
        assert await servers.is_others(tx, "http://10.0.0.1:1", one.id)
        assert not await servers.is_others(tx, "http://10.0.0.1:1", two.id)


@pytest.mark.parametrize(
    ("before", "status", "rings"),
    [
        ({}, {"phase": Phase.STARTING}, False),
        ({}, {"message": "x"}, False),
        ({"phase": Phase.STARTING}, {"url": "http://10.0.0.1:1"}, False),
        ({"phase": Phase.STARTING, "url": "http://10.0.0.1:1"}, {"phase": Phase.RUNNING}, True),
        ({"phase": Phase.RUNNING, "url": "http://10.0.0.1:1"}, {"phase": Phase.RUNNING}, False),
        ({"phase": Phase.RUNNING, "url": "http://10.0.0.1:1"}, {"url": "http://10.0.0.1:2"}, True),
        ({"phase": Phase.RUNNING, "url": "http://10.0.0.1:1"}, {"phase": Phase.STOPPING}, True),
    ],
)
async def test_routes_ring_when_and_only_when_one_changes(
    store: Store, before: dict[str, object], status: dict[str, object], rings: bool
) -> None:
    async with store.write() as tx:
        await asked(tx, "a")
        (held,) = await claim(tx)
        if before:
            await servers.record(tx, held.id, held.lease_token, **before)
    async with store.wakeup.listen("routes", "server:*") as bell:
        async with store.write() as tx:
            await servers.record(tx, held.id, held.lease_token, **status)
        assert await bell.wait(0) == {f"server:{held.id}"} | ({"routes"} if rings else set())


async def test_release_rings_only_for_what_is_due_soon(store: Store, clock: Any) -> None:
    clock.now = 1000
    for due, rings in [(1000.5, True), (1030.0, False), (None, False)]:
        async with store.write() as tx:
            (server,) = await asked(tx, f"user-{due}")
            (held,) = await claim(tx)
        async with store.wakeup.listen("servers") as bell:
            async with store.write() as tx:
                await servers.release(tx, held.id, held.lease_token, due=due, seen_generation=server.generation)
            assert bool(await bell.wait(0)) is rings
        async with store.write() as tx:
            await users.delete(tx, held.user_id)


async def test_delete_takes_the_row_away(store: Store) -> None:
    async with store.write() as tx:
        await asked(tx, "a")
        (held,) = await claim(tx)
        assert await servers.delete(tx, held.id, held.lease_token, seen_generation=held.generation)
        assert await servers.by_id(tx, held.id) is None
        assert not await servers.release(tx, held.id, held.lease_token, due=None, seen_generation=1)


async def test_delete_leaves_a_server_that_was_asked_for_meanwhile(store: Store) -> None:
    async with store.write() as tx:
        (server,) = await asked(tx, "a")
        (held,) = await claim(tx)
        await servers.ask_start(tx, server.id, now=1)
        assert not await servers.delete(tx, held.id, held.lease_token, seen_generation=held.generation)
        assert await servers.by_id(tx, held.id) is not None


async def test_two_hubs_never_claim_the_same_server(postgresql_url: str) -> None:
    one, two = await Store.open(postgresql_url), await Store.open(postgresql_url)
    async with one.write() as tx:
        for number in range(60):
            await asked(tx, f"user-{number}")
    taken: list[tuple[str, int]] = []
    both = asyncio.Barrier(2)

    async def take(store: Store, holder: str) -> None:
        first = holder.endswith("-0")
        while True:
            async with store.write() as tx:
                got = await claim(tx, now=1000, limit=3, holder=holder)
                assert len(got) <= 3
                if first:
                    await both.wait()  # each hub has claimed, and neither has committed
                    first = False
            if not got:
                return
            taken.extend((holder, server.id) for server in got)

    await asyncio.gather(*(take(store, f"{name}-{n}") for n in range(3) for name, store in (("1", one), ("2", two))))
    ids = [server_id for _, server_id in taken]
    assert len(ids) == len(set(ids))
    async with one.write() as tx:
        rest = await claim(tx, now=1000, limit=100)
    assert len(ids) + len(rest) == 60
    assert len({holder[0] for holder, _ in taken}) == 2
    await one.close()
    await two.close()


async def test_two_hubs_keep_a_limit_between_them(postgresql_url: str) -> None:
    stores = [await Store.open(postgresql_url) for _ in range(2)]
    async with stores[0].write() as tx:
        made = []
        for number in range(12):
            user = await users.create(tx, f"user-{number}", now=1)
            made.append(await servers.create(tx, user, "", now=1))

    async def start(number: int) -> bool:
        async with stores[number % 2].write() as tx:
            if await servers.count_active(tx) >= 5:
                return False
            await servers.ask_start(tx, made[number].id, now=1)
            return True

    results = await asyncio.gather(*(start(number) for number in range(12)))
    assert sum(results) == 5
    for store in stores:
        await store.close()
