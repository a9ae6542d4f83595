"""Users, groups, passwords, invitations, failed log-ins."""

from __future__ import annotations

import pytest

from nbhub.core.model import Phase, User
from nbhub.core.principal import UserFilter
from nbhub.errors import BadRequest, Conflict, NotFound
from nbhub.store import Store, Writing, grants, servers, users


async def test_create_get_and_conflict(store: Store) -> None:
    async with store.write() as tx:
        alice = await users.create(tx, "alice", admin=True, now=5)
        assert alice == User(id=alice.id, name="alice", admin=True, created=5)
        with pytest.raises(Conflict, match="There is a user alice already"):
            await users.create(tx, "alice", now=6)
        visit = await users.create(tx, "visit", temporary=True, now=6)
    async with store.read() as tx:
        assert await users.get(tx, "alice") == alice
        assert await users.by_id(tx, visit.id) == visit
        assert visit.temporary
        assert await users.get(tx, "Alice") is None
        assert await users.count(tx) == 2
        roles = await users.roles_of(tx, [alice.id, visit.id])
        assert [[role.name for role in roles[user.id]] for user in (alice, visit)] == [["user", "admin"], ["user"]]
        assert roles[visit.id][0].scopes == ("self",)


async def test_a_failed_transaction_leaves_nothing(store: Store) -> None:
    with pytest.raises(ZeroDivisionError):
        async with store.write() as tx:
            await users.create(tx, "alice", now=5)
            tx.ring("never")
            raise ZeroDivisionError
    async with store.read() as tx:
        assert await users.get(tx, "alice") is None


async def test_a_transaction_inside_another_is_a_mistake_that_is_told(store: Store) -> None:
    async with store.write():
        with pytest.raises(RuntimeError, match="inside another"):
            async with store.write():
                pass


async def test_admin_flag_and_role_go_together(store: Store) -> None:
    async with store.write() as tx:
        alice = await users.create(tx, "alice", now=5)
        assert (await users.set_admin(tx, alice.id, True)).admin
        assert [role.name for role in (await users.roles_of(tx, [alice.id]))[alice.id]] == ["user", "admin"]
        await users.set_admin(tx, alice.id, True)
        assert not (await users.set_admin(tx, alice.id, False)).admin
        assert [role.name for role in (await users.roles_of(tx, [alice.id]))[alice.id]] == ["user"]
        with pytest.raises(NotFound):
            await users.set_admin(tx, 999, True)


async def test_rename(store: Store) -> None:
    async with store.write() as tx:
        alice = await users.create(tx, "alice", now=5)
        await users.create(tx, "bob", now=5)
        await users.create_invitation(
            tx, "reset", name="alice", purpose="reset", expires_at=99, created_by="bob", now=1
        )
        assert (await users.rename(tx, alice.id, "alicia")).name == "alicia"
        with pytest.raises(Conflict):
            await users.rename(tx, alice.id, "bob")
        # Whoever is called alice next must not be the one whose password that link sets.
        assert await users.get_invitation(tx, "reset", 2) is None


async def test_activity_only_moves_forward(store: Store) -> None:
    async with store.write() as tx:
        alice = await users.create(tx, "alice", now=5)
        await users.touch_many(tx, {alice.id: 10.5, 999: 1.0})
        await users.touch_many(tx, {alice.id: 9.0})
        found = await users.by_id(tx, alice.id)
        assert found is not None
        assert found.last_activity == 10.5
        assert (await users.count_active(tx, 10), await users.count_active(tx, 11)) == (1, 0)


async def _crowd(tx: Writing) -> None:
    for number, name in enumerate(["bob", "alice", "Carol_1", "carolx1", "100%"]):
        user = await users.create(tx, name, now=1)
        await users.touch_many(tx, {user.id: float(number)} if name != "bob" else {})
        server = await servers.create(tx, user, "", now=1)
        if name in ("alice", "bob"):
            await servers.ask_start(tx, server.id, now=1)
        if name == "alice":
            (held,) = (s for s in await servers.claim(tx, holder="h", now=1, lease=1, limit=9) if s.user_name == name)
            status = {"phase": Phase.RUNNING, "start_generation": 1, "observed_generation": 1}
            await servers.record(tx, held.id, held.lease_token, url="http://h:1", **status)
    group = await users.create_group(tx, "class")
    await users.add(tx, group.id, ["carolx1"])


@pytest.mark.parametrize(
    ("asked", "names", "total"),
    [
        ({}, ["bob", "alice", "Carol_1", "carolx1", "100%"], 5),
        ({"limit": 2, "offset": 1}, ["alice", "Carol_1"], 5),
        ({"limit": 2, "offset": 10}, [], 5),
        ({"sort": "name"}, ["100%", "Carol_1", "alice", "bob", "carolx1"], 5),
        ({"sort": "name", "descending": True}, ["carolx1", "bob", "alice", "Carol_1", "100%"], 5),
        ({"descending": True, "limit": 1}, ["100%"], 5),
        ({"sort": "last_activity"}, ["bob", "alice", "Carol_1", "carolx1", "100%"], 5),
        ({"sort": "last_activity", "descending": True}, ["100%", "carolx1", "Carol_1", "alice", "bob"], 5),
        ({"name_filter": "CAROL"}, ["Carol_1", "carolx1"], 2),
        ({"name_filter": "l_1"}, ["Carol_1"], 1),
        ({"name_filter": "%"}, ["100%"], 1),
        ({"state": "active"}, ["bob", "alice"], 2),
        ({"state": "ready"}, ["alice"], 1),
        ({"state": "inactive", "limit": 1}, ["Carol_1"], 3),
        ({"only": UserFilter(frozenset({"bob", "nobody"}), frozenset({"class"}))}, ["bob", "carolx1"], 2),
        ({"only": UserFilter(frozenset(), frozenset())}, [], 0),
        ({"only": UserFilter(frozenset({"bob", "alice"}), frozenset()), "state": "ready"}, ["alice"], 1),
    ],
)
async def test_pages(store: Store, asked: dict[str, object], names: list[str], total: int) -> None:
    async with store.write() as tx:
        await _crowd(tx)
    async with store.read() as tx:
        found, count = await users.list_page(tx, **asked)  # type: ignore[arg-type]
    assert ([user.name for user in found], count) == (names, total)


async def test_what_cannot_be_sorted_by_is_refused(store: Store) -> None:
    async with store.read() as tx:
        for asked in ({"sort": "name; DROP TABLE users"}, {"state": "sleepy"}):
            with pytest.raises(BadRequest):
                await users.list_page(tx, **asked)  # type: ignore[arg-type]


async def test_groups(store: Store) -> None:
    async with store.write() as tx:
        alice, bob = await users.create(tx, "alice", now=1), await users.create(tx, "bob", now=1)
        group = await users.create_group(tx, "class", {"room": [1, "ü"]})
        with pytest.raises(Conflict):
            await users.create_group(tx, "class")
        await users.create_group(tx, "empty")
        await users.add(tx, group.id, ["alice", "bob", "alice"])
        await users.add(tx, group.id, ["alice"])
        with pytest.raises(BadRequest, match="no user 'carol'"):
            await users.add(tx, group.id, ["bob", "carol"])
        assert await users.groups_of(tx, [alice.id, bob.id, 999]) == {alice.id: ("class",), bob.id: ("class",), 999: ()}
        assert await users.members_of(tx, [group.id]) == {group.id: ("alice", "bob")}
        await users.remove(tx, group.id, ["bob", "carol"])
        assert await users.members_of(tx, [group.id]) == {group.id: ("alice",)}
        changed = await users.set_properties(tx, group.id, {"room": 2})
        assert await users.get_group(tx, "class") == changed
        assert changed.properties == {"room": 2}
        listed, total = await users.list_groups(tx, limit=1)
        assert ([found.name for found in listed], total) == (["class"], 2)
        only, count = await users.list_groups(tx, only=["empty", "none"])
        assert ([found.name for found in only], count) == (["empty"], 1)
        await users.delete_group(tx, group.id)
        assert await users.groups_of(tx, [alice.id]) == {alice.id: ()}


async def test_whoever_is_deleted_leaves_nothing_behind(store: Store) -> None:
    async with store.write() as tx:
        alice = await users.create(tx, "alice", now=1)
        server = await servers.create(tx, alice, "", now=1)
        group = await users.create_group(tx, "class")
        await users.add(tx, group.id, ["alice"])
        await users.set_password(tx, alice.id, "$argon2$")
        await grants.create_token(tx, "hash", user_id=alice.id, scopes=["inherit"], now=1)
        await grants.create_session(tx, alice.id, cookie_hash="cookie", session_id="public", now=1, expires_at=99)
        await users.create_invitation(
            tx, "reset", name="alice", purpose="reset", expires_at=99, created_by="root", now=1
        )
        await users.delete(tx, alice.id)
        await users.delete(tx, alice.id)
        assert await servers.by_id(tx, server.id) is None
        assert await users.get_password(tx, alice.id) is None
        assert await grants.find_token(tx, "hash", 2) is None
        assert await grants.find_session(tx, "cookie", 2) is None
        assert await users.members_of(tx, [group.id]) == {group.id: ()}
        assert await users.get_invitation(tx, "reset", 2) is None


async def test_passwords(store: Store) -> None:
    async with store.write() as tx:
        alice = await users.create(tx, "alice", now=1)
        assert await users.get_password(tx, alice.id) is None
        await users.set_password(tx, alice.id, "one", must_change=True)
        assert await users.get_password(tx, alice.id) == users.PasswordRecord(alice.id, "one", True)
        await users.set_password(tx, alice.id, "two")
        assert await users.get_password(tx, alice.id) == users.PasswordRecord(alice.id, "two", False)
    with pytest.raises(Conflict):
        async with store.write() as tx:
            await users.set_password(tx, 999, "nobody's")


async def test_invitations_work_once_and_in_time(store: Store) -> None:
    async with store.write() as tx:
        made = await users.create_invitation(tx, "a", admin=True, expires_at=50, created_by="setup", now=1)
        later = await users.create_invitation(tx, "b", name="bob", expires_at=500, created_by="alice", now=1)
        assert await users.get_invitation(tx, "a", 2) == made
        assert await users.list_invitations(tx, 2) == [made, later]
        assert await users.list_invitations(tx, 60) == [later]
        assert await users.take_invitation(tx, "a", 50) is None
        assert await users.take_invitation(tx, "a", 49) == made
        assert await users.take_invitation(tx, "a", 49) is None
        assert await users.delete_invitation(tx, later.id)
        assert not await users.delete_invitation(tx, later.id)


async def test_failed_logins_are_counted_within_their_window(store: Store) -> None:
    odd = "x" * 10_000 + "\x00\ud800"  # what strangers type
    async with store.write() as tx:
        for key in ("alice", odd):
            assert await users.note_failure(tx, "account", key, 10, window=60) == users.LoginFailures(1, 10, 10)
            assert await users.note_failure(tx, "account", key, 60, window=60) == users.LoginFailures(2, 10, 60)
            assert await users.note_failure(tx, "account", key, 200, window=60) == users.LoginFailures(1, 200, 200)
            assert await users.get_failures(tx, "address", key) is None
            assert await users.get_failures(tx, "account", key) == users.LoginFailures(1, 200, 200)
        await users.clear_failures(tx, "account", "alice")
        assert await users.get_failures(tx, "account", "alice") is None
        await users.delete_old_failures(tx, 300)
        assert await users.get_failures(tx, "account", odd) is None


@pytest.mark.parametrize("name", ["ü", "a'b\"c;--", "a%2fb", "日本", "💥", "a" * 1000, "..", " "])
async def test_odd_names_come_back_as_they_are(store: Store, name: str) -> None:
    async with store.write() as tx:
        user = await users.create(tx, name, now=1)
        await servers.create(tx, user, name, now=1)
    async with store.read() as tx:
        assert await users.get(tx, name) == user
        found = await servers.get(tx, name, name)
        assert found is not None
        assert (found.user_name, found.name) == (name, name)


async def test_what_the_database_cannot_keep_is_the_askers_mistake(store: Store) -> None:
    for name in ["\ud800", "nul\x00"] if "postgresql" in type(store._database).__name__.lower() else ["\ud800"]:
        async with store.read() as tx:
            with pytest.raises(BadRequest):
                await users.get(tx, name)
    async with store.read() as tx:
        with pytest.raises(BadRequest):
            await users.by_id(tx, 10**30)
        assert await users.count(tx) == 0
