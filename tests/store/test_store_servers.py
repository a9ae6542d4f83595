"""Servers: what is asked of them, and what lists show."""

from __future__ import annotations

import pytest

from nbhub.core.model import Phase, Route, Server, User
from nbhub.errors import Conflict, NotFound
from nbhub.store import Store, Writing, servers, users


async def made(tx: Writing, user: str = "alice", name: str = "") -> Server:
    owner = await users.get(tx, user) or await users.create(tx, user, now=1)
    return await servers.create(tx, owner, name, now=1)


async def running(tx: Writing, user: str, url: str, name: str = "", *, activity: float | None = None) -> Server:
    """A server that was asked for, claimed, started and let go."""
    asked = await servers.ask_start(tx, (await made(tx, user, name)).id, now=1)
    (held,) = await servers.claim(tx, holder="h", now=1, lease=30, limit=1)
    assert held.id == asked.id
    status = {"observed_generation": 1, "start_generation": 1, "last_activity": activity}
    assert await servers.record(tx, held.id, held.lease_token, phase=Phase.RUNNING, url=url, **status)
    assert await servers.release(tx, held.id, held.lease_token, due=500, seen_generation=1)
    found = await servers.by_id(tx, held.id)
    assert found is not None
    return found


async def test_create_get_and_conflict(store: Store) -> None:
    async with store.write() as tx:
        first = await made(tx)
        assert first == Server(id=first.id, user_id=first.user_id, user_name="alice", name="")
        owner = await users.get(tx, "alice")
        assert owner is not None
        named = await servers.create(tx, owner, "gpu", display_name="The big one", now=1)
        with pytest.raises(Conflict, match="alice has a server 'gpu' already"):
            await servers.create(tx, owner, "gpu", now=1)
    async with store.read() as tx:
        assert await servers.get(tx, "alice", "") == first
        assert await servers.get(tx, "alice", "gpu") == named
        assert await servers.get(tx, "alice", "other") is None
        assert await servers.get(tx, "bob", "") is None
        assert await servers.by_id(tx, 12345) is None
        assert await servers.count_named(tx, first.user_id) == 1


async def test_ask_start_forgets_the_last_story_and_keeps_options(store: Store) -> None:
    async with store.write() as tx:
        server = await made(tx)
        first = await servers.ask_start(tx, server.id, options={"image": "a"}, now=5)
        assert (first.wanted, first.generation, first.due, first.options) == (True, 1, 5, {"image": "a"})
        (held,) = await servers.claim(tx, holder="h", now=5, lease=30, limit=5)
        token = held.lease_token
        await servers.record(
            tx, server.id, token, phase=Phase.FAILED, message="No.", log_tail="x", observed_generation=1
        )
        again = await servers.ask_start(tx, server.id, now=6)
        assert (again.generation, again.options, again.message, again.log_tail, again.events) == (
            2, {"image": "a"}, "", "", (),
        )  # fmt: skip
        cleared = await servers.ask_start(tx, server.id, options=None, now=7)
        assert cleared.options is None


async def test_ask_stop_and_remove(store: Store) -> None:
    async with store.write() as tx:
        server = await running(tx, "alice", "http://10.0.0.1:1")
        asked = await servers.ask_stop(tx, server.id, now=9)
        assert (asked.wanted, asked.generation, asked.removing, asked.due) == (False, 2, False, 9)
        assert (await servers.ask_stop(tx, server.id, remove=True, now=9)).removing
        assert (await servers.ask_stop(tx, server.id, now=9)).removing  # another stop does not call the removal off
        assert not (await servers.ask_start(tx, server.id, now=9)).removing
        with pytest.raises(NotFound):
            await servers.ask_start(tx, 999, now=9)


async def test_counts(store: Store) -> None:
    async with store.write() as tx:
        await made(tx, "idle")
        await running(tx, "alice", "http://10.0.0.1:1")
        await servers.ask_start(tx, (await made(tx, "bob")).id, now=1)
        assert (await servers.count_active(tx), await servers.count_starting(tx)) == (2, 1)
    async with store.read() as tx:
        assert (await servers.count_active(tx), await servers.count_starting(tx)) == (2, 1)


async def test_of_users(store: Store) -> None:
    async with store.write() as tx:
        one = await running(tx, "alice", "http://10.0.0.1:1")
        two = await made(tx, "alice", "second")
        bob = await users.create(tx, "bob", now=1)
    async with store.read() as tx:
        assert await servers.of_users(tx, [one.user_id, bob.id], include_stopped=False) == {
            one.user_id: [one],
            bob.id: [],
        }
        assert await servers.of_users(tx, [one.user_id], include_stopped=True) == {one.user_id: [one, two]}
        assert await servers.of_users(tx, [], include_stopped=True) == {}


async def test_routes_follow_running_servers(store: Store) -> None:
    async with store.write() as tx:
        await running(tx, "alice", "http://10.0.0.1:1")
        await running(tx, "ü/x", "http://10.0.0.2:1", "gpu")
        await made(tx, "bob")
        assert sorted(await servers.routes(tx, "/hub-base/"), key=lambda route: route.target) == [
            Route("/hub-base/user/alice/", "http://10.0.0.1:1", "alice", ""),
            Route("/hub-base/user/%C3%BC%2Fx/gpu/", "http://10.0.0.2:1", "ü/x", "gpu"),
        ]


async def test_update_spec(store: Store) -> None:
    async with store.write() as tx:
        server = await made(tx, "alice", "one")
        await made(tx, "alice", "two")
        changed = await servers.update_spec(tx, server.id, display_name="Eins", options={"a": [1]}, name="eins")
        assert (changed.display_name, changed.options, changed.name) == ("Eins", {"a": [1]}, "eins")
        assert (await servers.update_spec(tx, server.id, options=None)).options is None
        assert (await servers.update_spec(tx, server.id)).name == "eins"
        with pytest.raises(Conflict):
            await servers.update_spec(tx, server.id, name="two")
        with pytest.raises(NotFound):
            await servers.update_spec(tx, 999, name="three")


async def test_touch_many_only_moves_forward(store: Store) -> None:
    async with store.write() as tx:
        server = await made(tx)
        await servers.touch_many(tx, {server.id: 50.0, 999: 1.0})
        await servers.touch_many(tx, {server.id: 40.0})
        await servers.touch_many(tx, {})
        found = await servers.by_id(tx, server.id)
        assert found is not None
        assert found.last_activity == 50


async def test_idle_servers_are_asked_to_stop_once(store: Store) -> None:
    async with store.write() as tx:
        idle = await running(tx, "idle", "http://10.0.0.1:1", activity=10)
        await running(tx, "busy", "http://10.0.0.2:1", activity=90)
    async with store.wakeup.listen("servers", f"server:{idle.id}") as bell:
        async with store.write() as tx:
            assert await servers.ask_stop_idle(tx, 50, 100) == [(idle.id, "idle", "")]
            assert await servers.ask_stop_idle(tx, 50, 100) == []
        assert await bell.wait(0) == {"servers", f"server:{idle.id}"}


async def test_ask_stop_all(store: Store) -> None:
    async with store.write() as tx:
        one = await running(tx, "alice", "http://10.0.0.1:1")
        two = await servers.ask_start(tx, (await made(tx, "bob")).id, now=1)
        await made(tx, "idle")
        assert sorted(await servers.ask_stop_all(tx, 9)) == [one.id, two.id]
        found = await servers.by_id(tx, two.id)
        assert found is not None
        assert (found.wanted, found.generation) == (False, 2)


async def test_temporary_users_go_with_their_servers(store: Store) -> None:
    async with store.write() as tx:
        visitor = await users.create(tx, "visitor", temporary=True, now=1)
        gone = await users.create(tx, "gone", temporary=True, now=1)
        await users.create(tx, "fresh", temporary=True, now=99)
        await users.create(tx, "stays", now=1)
        server = await servers.create(tx, visitor, "", now=1)
        await servers.create(tx, gone, "", now=1)
        await servers.ask_start(tx, server.id, now=1)
        assert await users.delete_abandoned(tx, 50) == ["gone"]
        assert await users.delete_abandoned(tx, 50) == []
        assert await users.get(tx, "visitor") is not None


async def test_ids_are_never_given_out_twice(store: Store) -> None:
    """The tokens of servers are derived from their ids: a new server must not inherit the token of a deleted one."""
    ids: set[int] = set()
    for _ in range(3):
        async with store.write() as tx:
            user: User = await users.create(tx, "alice", now=1)
            server = await servers.create(tx, user, "", now=1)
            ids |= {server.id}
            await users.delete(tx, user.id)
    assert len(ids) == 3
