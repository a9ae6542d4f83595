"""Housekeeping: idle servers, temporary users, expired grants."""

import asyncio

from nbhub.core.model import Phase
from nbhub.reconcile.sweep import Habits, run, sweep
from nbhub.store import Store, servers, users

NOW = 1_000_000.0


async def running_server(store: Store, user: str, last_activity: float, *, temporary: bool = False) -> int:
    async with store.write() as tx:
        owner = await users.create(tx, user, now=NOW - 10_000, temporary=temporary)
        server = await servers.create(tx, owner, "", now=NOW - 10_000)
        await servers.ask_start(tx, server.id, options={}, now=NOW - 10_000)
        claimed = (await servers.claim(tx, holder="test", now=NOW - 10_000, lease=1, limit=1))[0]
        await servers.record(
            tx,
            server.id,
            claimed.lease_token,
            phase=Phase.RUNNING,
            start_generation=claimed.generation,
            observed_generation=claimed.generation,
            last_activity=last_activity,
        )
        await servers.release(tx, server.id, claimed.lease_token, due=NOW + 100, seen_generation=claimed.generation)
    return server.id


async def test_only_idle_servers_are_asked_to_stop(store: Store) -> None:
    idle = await running_server(store, "idle", NOW - 700)
    busy = await running_server(store, "busy", NOW - 500)
    notes: list[tuple[str, str]] = []
    await sweep(store, Habits(idle_timeout=600), NOW, lambda handle, note: notes.append((handle.user_name, note.word)))
    assert notes == [("idle", "Culled")]
    async with store.read() as tx:
        first, second = await servers.by_id(tx, idle), await servers.by_id(tx, busy)
    assert first is not None and not first.wanted and first.due is not None and first.due <= NOW
    assert second is not None and second.wanted


async def test_nobody_is_called_idle_who_could_not_report(store: Store) -> None:
    """After the start of the hub, and after a time in which it slept, as on a laptop that was shut."""
    server = await running_server(store, "idle", NOW - 100_000)
    looked, now = asyncio.Event(), NOW

    def clock() -> float:
        looked.set()
        return now

    async def wanted_at(time: float) -> bool:
        nonlocal now
        now = time
        for _ in range(3):  # a whole sweep at that time, whatever was going on
            looked.clear()
            await looked.wait()
        async with store.read() as tx:
            found = await servers.by_id(tx, server)
        return found is not None and found.wanted

    work = asyncio.create_task(run(store, lambda: Habits(every=0.01, idle_timeout=3600), clock))
    try:
        assert all([await wanted_at(NOW + seconds) for seconds in range(0, 600, 50)])
        assert await wanted_at(NOW + 10_000)
        assert all([await wanted_at(NOW + 10_000 + seconds) for seconds in range(0, 600, 50)])
        assert not await wanted_at(NOW + 10_600)
    finally:
        work.cancel()


async def test_idle_timeout_of_zero_stops_nothing(store: Store) -> None:
    server = await running_server(store, "idle", NOW - 1_000_000)
    await sweep(store, Habits(idle_timeout=0), NOW)
    async with store.read() as tx:
        found = await servers.by_id(tx, server)
    assert found is not None and found.wanted


async def test_temporary_users_go_with_their_servers(store: Store) -> None:
    async with store.write() as tx:
        await users.create(tx, "kept", now=NOW - 1_000)
        await users.create(tx, "left", now=NOW - 1_000, temporary=True)
        await users.create(tx, "just-came", now=NOW - 1, temporary=True)
    await running_server(store, "at-work", NOW, temporary=True)
    await sweep(store, Habits(temporary_user_grace=120), NOW)
    async with store.read() as tx:
        names = {user.name for user in (await users.list_page(tx, offset=0, limit=10))[0]}
    assert names == {"kept", "just-came", "at-work"}
