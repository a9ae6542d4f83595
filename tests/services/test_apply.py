"""Services, roles and groups of the configuration in the database, on both kinds of it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from nbhub.core import secrets
from nbhub.errors import BadRequest, ConfigError
from nbhub.services import apply, declare
from nbhub.store import Store, grants, services, users


def lower(name: str) -> str:
    if "/" in name:
        raise BadRequest("no slash")
    return name.lower()


async def put(store: Store, admin_users: tuple[str, ...] = (), **settings: Any) -> None:
    await apply(store, declare(**settings), base_url="/", now=5, normalize=lower, admin_users=admin_users)


async def holders(store: Store, role: str) -> dict[str, list[str]]:
    async with store.read() as tx:
        return {kind: await grants.names_holding(tx, role, kind) for kind in ("user", "group", "service")}


async def admins(store: Store) -> set[str]:
    async with store.read() as tx:
        found, _ = await users.list_page(tx, offset=0, limit=100)
    return {user.name for user in found if user.admin}


async def test_roles_say_it_all_where_they_say_something(store: Store) -> None:
    spec = {"name": "reader", "scopes": ["list:users"], "users": ["Alice"], "groups": ["g"], "services": ["web"]}
    await put(store, services=[{"name": "web"}, {"name": "other"}], roles=[spec])
    assert await holders(store, "reader") == {"user": ["alice"], "group": ["g"], "service": ["web"]}
    async with store.write() as tx:
        await users.create(tx, "bob", now=1)
        await grants.give_role(tx, "reader", "user", ["bob"])
    await put(store, services=[{"name": "web"}], roles=[{"name": "reader", "scopes": ["list:users"]}])
    assert await holders(store, "reader") == {"user": ["alice", "bob"], "group": ["g"], "service": ["web"]}
    await put(store, services=[{"name": "web"}], roles=[{"name": "reader", "users": ["bob"], "services": []}])
    assert await holders(store, "reader") == {"user": ["bob"], "group": ["g"], "service": []}
    await put(store, services=[{"name": "web"}])
    async with store.read() as tx:
        assert await grants.get_role(tx, "reader") is None
        assert await users.get(tx, "alice") is not None


async def test_built_in_roles(store: Store) -> None:
    roles = [{"name": "user", "scopes": ["self", "access:services"]}]
    await put(store, roles=roles, user_scopes=["read:hub"])
    async with store.read() as tx:
        role = await grants.get_role(tx, "user")
    assert role is not None and role.scopes == ("self", "access:services", "read:hub")
    await put(store)
    async with store.read() as tx:
        role = await grants.get_role(tx, "user")
    assert role is not None and role.scopes == ("self",) and role.description.startswith("Every user")


async def test_administrators(store: Store) -> None:
    async with store.write() as tx:
        await users.create(tx, "old", admin=True, now=1)
        await users.create(tx, "named", admin=True, now=1)
    await put(store, roles=[{"name": "admin", "services": []}], services=[{"name": "s", "admin": True}])
    assert await admins(store) == {"old", "named"}
    assert (await holders(store, "admin"))["service"] == ["s"]
    await put(store, ("named",), roles=[{"name": "admin", "users": ["New"]}])
    assert await admins(store) == {"named", "new"}
    assert (await holders(store, "admin"))["user"] == ["named", "new"]


async def test_groups_only_grow(store: Store) -> None:
    await put(store, groups={"g": {"users": ["A", "b"], "properties": {"x": 1}}})
    await put(store, groups={"g": {"users": ["c"]}, "h": ["a"]})
    async with store.read() as tx:
        found = {group.name: group for group in (await users.list_groups(tx))[0]}
        members = await users.members_of(tx, [group.id for group in found.values()])
    assert {name: members[group.id] for name, group in found.items()} == {"g": ("a", "b", "c"), "h": ("a",)}
    assert found["g"].properties == {"x": 1}


async def test_services_and_their_tokens(store: Store) -> None:
    one = {"name": "one", "api_token": "first-token", "url": "http://127.0.0.1:1"}
    await put(store, services=[one, {"name": "two"}])
    async with store.write() as tx:
        made = await services.put(tx, "made-by-the-api")
        found = await grants.find_token(tx, secrets.hash_token("first-token"), 9)
        assert found is not None and found.owner.name == "one"
        client = await grants.get_client(tx, "service-one")
        assert client is not None and client.secret_hash == secrets.hash_token("first-token")
        assert client.allowed_scopes == ("access:services!service=one",)
        assert await grants.get_client(tx, "service-two") is None
    await put(store, services=[one | {"api_token": "second-token"}])
    async with store.read() as tx:
        assert await grants.find_token(tx, secrets.hash_token("first-token"), 9) is None
        assert await grants.find_token(tx, secrets.hash_token("second-token"), 9) is not None
        assert {entry.name for entry in await services.list_all(tx)} == {"one", made.name}
    await put(store, services=[{"name": "one"}])
    async with store.read() as tx:
        assert await grants.find_token(tx, secrets.hash_token("second-token"), 9) is None
        assert await grants.get_client(tx, "service-one") is None


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"roles": [{"name": "reader", "services": ["nobody"]}]}, "there is no service 'nobody'"),
        ({"roles": [{"name": "reader", "users": ["a/b"]}]}, "'reader': no slash"),
        ({"groups": {"g": ["a/b"]}}, "group 'g': no slash"),
        (
            {"services": [{"name": "a", "api_token": "the-same-token"}, {"name": "b", "api_token": "the-same-token"}]},
            "'b': This token belongs to somebody else already",
        ),
    ],
)
async def test_what_is_wrong_changes_nothing(store: Store, settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        await put(store, **{"groups": {"first": ["x"]}, **settings})
    assert words in caught.value.message
    async with store.read() as tx:
        assert await users.count(tx) == 0
        assert await services.list_all(tx) == []


async def test_the_same_again_and_at_once(store: Store) -> None:
    settings: dict[str, Any] = {
        "services": [{"name": "web", "api_token": "a-long-token", "url": "http://127.0.0.1:1"}],
        "roles": [{"name": "reader", "scopes": ["list:users"], "users": ["a"], "services": ["web"]}],
        "groups": {"g": ["a", "b"]},
    }
    await asyncio.gather(*(put(store, **settings) for _ in range(5)))
    assert await holders(store, "reader") == {"user": ["a"], "group": [], "service": ["web"]}
