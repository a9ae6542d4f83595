"""Roles that come from the source of identities (manage_roles): at log-in, and at the start of the hub."""

from __future__ import annotations

from typing import Any

import pytest

from nbhub.authenticators.base import Identity
from nbhub.errors import ConfigError
from nbhub.services import apply, declare, declare_managed
from nbhub.store import Store, grants, users
from web_hub import AnyPassword

TUTOR = {"name": "tutor", "description": "Helps.", "scopes": ["list:users"]}


async def roles_of(store: Store, name: str) -> set[str]:
    async with store.read() as tx:
        user = await users.get(tx, name)
        assert user is not None
        return {role.name for role in (await users.roles_of(tx, [user.id]))[user.id]}


async def start(store: Store, *managed: dict[str, Any], reset: bool = False, **settings: Any) -> None:
    """Do what the hub does at its start."""
    declared = declare(**settings)
    known = declare_managed(managed, declared)
    await apply(store, declared, base_url="/", now=5, source_roles=known, reset_source_roles=reset)


async def test_roles_follow_the_source_at_every_log_in(attach: Any, store: Store) -> None:
    let_in = await attach(AnyPassword(allow_all=True, manage_roles=True))
    await let_in.admit(Identity("ann", roles=(TUTOR, {"name": "grader"})))
    assert await roles_of(store, "ann") == {"user", "tutor", "grader"}
    async with store.read() as tx:
        tutor = await grants.get_role(tx, "tutor")
    assert tutor is not None
    assert (tutor.scopes, tutor.description) == (("list:users",), "Helps.")
    await let_in.admit(Identity("ann", roles=({"name": "tutor"},)))  # what it may do stays
    assert await roles_of(store, "ann") == {"user", "tutor"}
    async with store.read() as tx:
        assert await grants.get_role(tx, "tutor") == tutor
    await let_in.admit(Identity("ann"))  # the source says nothing
    assert await roles_of(store, "ann") == {"user", "tutor"}
    await let_in.admit(Identity("ann", roles=()))
    assert await roles_of(store, "ann") == {"user"}


async def test_the_role_admin_makes_administrators(attach: Any, store: Store) -> None:
    source = AnyPassword(allow_all=True, manage_roles=True, admin_users={"root"})
    let_in = await attach(source)
    assert (await let_in.admit(Identity("ann", roles=({"name": "admin"},)))).admin
    assert not (await let_in.admit(Identity("ann", roles=({"name": "tutor"},)))).admin
    assert (await let_in.admit(Identity("root", roles=()))).admin
    assert await roles_of(store, "root") == {"user", "admin"}


async def test_without_the_setting_nothing_follows(attach: Any, store: Store) -> None:
    let_in = await attach(AnyPassword(allow_all=True))
    assert not (await let_in.admit(Identity("ann", roles=({"name": "admin"}, TUTOR)))).admin
    assert await roles_of(store, "ann") == {"user"}


async def test_a_hook_gives_roles(attach: Any, store: Store) -> None:
    def hook(_source: Any, _handler: Any, model: dict[str, Any]) -> dict[str, Any]:
        return {**model, "roles": [TUTOR]}

    let_in = await attach(AnyPassword(allow_all=True, manage_roles=True, post_auth_hook=hook))
    await let_in.admit(Identity("ann"))
    assert await roles_of(store, "ann") == {"user", "tutor"}


async def test_roles_of_the_configuration_keep_their_meaning(attach: Any, store: Store) -> None:
    await start(store, roles=[{"name": "tutor", "scopes": ["read:hub"]}])
    let_in = await attach(AnyPassword(allow_all=True, manage_roles=True))
    await let_in.admit(Identity("ann", roles=({"name": "tutor", "scopes": ["admin:users"]},)))
    async with store.read() as tx:
        tutor = await grants.get_role(tx, "tutor")
    assert tutor is not None and tutor.scopes == ("read:hub",)
    assert await roles_of(store, "ann") == {"user", "tutor"}


@pytest.mark.parametrize(
    ("role", "words"),
    [
        ({}, "has no name"),
        ({"name": "A B"}, "cannot be the name of a role"),
        ({"name": "tutor", "scopes": ["everything"]}, "There is no scope"),
        ({"name": "tutor", "scopes": ["inherit"]}, "without inherit"),
        ({"name": "tutor", "may": "all"}, "unknown key 'may'"),
    ],
)
async def test_a_role_that_is_none_lets_nobody_in(attach: Any, store: Store, role: dict[str, Any], words: str) -> None:
    let_in = await attach(AnyPassword(allow_all=True, manage_roles=True))
    with pytest.raises(ConfigError, match=words):
        await let_in.admit(Identity("ann", roles=(role,)))
    async with store.read() as tx:
        assert await users.get(tx, "ann") is None


async def test_roles_known_at_the_start(attach: Any, store: Store) -> None:
    await start(store, {**TUTOR, "users": ["bob"], "groups": ["staff"]})
    assert await roles_of(store, "bob") == {"user", "tutor"}
    async with store.read() as tx:
        assert await grants.names_holding(tx, "tutor", "group") == ["staff"]
    await start(store)
    assert await roles_of(store, "bob") == {"user", "tutor"}  # stays until it is reset


async def test_what_the_source_no_longer_names_goes_when_it_is_reset(attach: Any, store: Store) -> None:
    let_in = await attach(AnyPassword(allow_all=True, manage_roles=True))
    await let_in.admit(Identity("ann", roles=(TUTOR, {"name": "grader"})))
    async with store.write() as tx:
        await users.create_group(tx, "staff")
        await grants.give_role(tx, "tutor", "group", ["staff"])
    await start(store, TUTOR, reset=True)
    assert await roles_of(store, "ann") == {"user", "tutor"}  # users who log in bring their roles
    async with store.read() as tx:
        assert await grants.get_role(tx, "grader") is None
        assert await grants.names_holding(tx, "tutor", "group") == []
    await start(store, {**TUTOR, "users": ["bob"]}, reset=True)
    assert await roles_of(store, "ann") == {"user"}
    assert await roles_of(store, "bob") == {"user", "tutor"}


async def test_the_configuration_may_not_give_roles_as_well(store: Store) -> None:
    with pytest.raises(ConfigError, match="manage_roles the source of identities says who"):
        await start(store, roles=[{"name": "tutor", "users": ["ann"]}])
    with pytest.raises(ConfigError, match="'tutor' twice"):
        await start(store, TUTOR, roles=[{"name": "tutor", "scopes": []}])
    await start(store, services=[{"name": "web"}], roles=[{"name": "reader", "services": ["web"]}])
