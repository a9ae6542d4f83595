"""Groups: list, make, show, fill, delete."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from nbhub.authenticators import base
from nbhub.core.model import Group
from nbhub.errors import BadRequest, Conflict, NotFound
from nbhub.store import Reading, Writing, grants, groups
from nbhub.web.api import bodies, paging
from nbhub.web.api.endpoints import Call, Endpoints, Reply, empty, json, listing, on_group, on_hub
from nbhub.web.desk import Desk

endpoints = Endpoints()

READ = on_group("read:groups", "read:groups:name", "read:roles:groups")


@endpoints(listing("list:groups"), "GET", "groups")
async def list_groups(call: Call) -> Reply:
    """List the groups that the caller may list."""
    page = paging.asked(call)
    limits = call.principal.filter_of("list:groups")
    async with call.desk.store.read() as tx:
        found, total = await groups.list_groups(
            tx, offset=page.offset, limit=page.limit, only=None if limits == "all" else limits.groups
        )
        items = await _models(tx, call, found)
    return paging.answer(call, page, items, total)


@endpoints(on_hub("admin:groups"), "POST", "groups")
async def create_groups(call: Call) -> Reply:
    """Make groups; names that exist already are skipped. All get the same users."""
    check_managed(call.desk)
    body = await call.body(bodies.NewGroups)
    names = list(dict.fromkeys(body.groups))
    for name in names:
        check_name(name)
    async with call.desk.store.write() as tx:
        taken = {name for name in names if await groups.get_group(tx, name) is not None}
        if len(taken) == len(names):
            raise Conflict("All of these groups exist already.")
        made = [await groups.create_group(tx, name) for name in names if name not in taken]
        for group in made:
            await groups.add(tx, group.id, normalized(call.desk, body.users))
        items = await _models(tx, call, made)
    return json(items, 201)


@endpoints(READ, "GET", "groups/{group}")
async def get_group(call: Call) -> Reply:
    """Show one group."""
    async with call.desk.store.read() as tx:
        items = await _models(tx, call, [await existing(tx, call.params["group"])])
    return json(items[0])


@endpoints(on_group("admin:groups"), "POST", "groups/{group}")
async def create_group(call: Call) -> Reply:
    """Make one group."""
    check_managed(call.desk)
    body = await call.body(bodies.NewGroup)
    check_name(call.params["group"])
    async with call.desk.store.write() as tx:
        group = await groups.create_group(tx, call.params["group"])
        await groups.add(tx, group.id, normalized(call.desk, body.users))
        items = await _models(tx, call, [group])
    return json(items[0], 201)


@endpoints(on_group("delete:groups"), "DELETE", "groups/{group}")
async def delete_group(call: Call) -> Reply:
    """Delete a group; its members stay."""
    check_managed(call.desk)
    async with call.desk.store.write() as tx:
        await groups.delete_group(tx, (await existing(tx, call.params["group"])).id)
    return empty(204)


@endpoints(on_group("groups"), "POST", "groups/{group}/users")
async def add_users(call: Call) -> Reply:
    """Put users into a group."""
    return await _change_members(call, groups.add)


@endpoints(on_group("groups"), "DELETE", "groups/{group}/users")
async def remove_users(call: Call) -> Reply:
    """Take users out of a group."""
    return await _change_members(call, groups.remove)


@endpoints(on_group("groups"), "PUT", "groups/{group}/properties")
async def set_properties(call: Call) -> Reply:
    """Replace the properties of a group."""
    properties = await call.body(dict[str, Any])
    async with call.desk.store.write() as tx:
        group = await groups.set_properties(tx, (await existing(tx, call.params["group"])).id, properties)
        items = await _models(tx, call, [group])
    return json(items[0])


def check_managed(desk: Desk) -> None:
    """Raise BadRequest where groups are not changed here."""
    if desk.authenticator.manage_groups:
        raise BadRequest("Groups of this hub follow those of the authenticator (manage_groups). Change them there.")


async def existing(tx: Reading, name: str) -> Group:
    """Return the group; raises NotFound."""
    group = await groups.get_group(tx, name)
    if group is None:
        raise NotFound(f"There is no group {name}.")
    return group


async def _models(tx: Reading, call: Call, found: Sequence[Group]) -> list[dict[str, Any]]:
    """Return groups as the caller may see them."""
    ids = [group.id for group in found]
    members = await groups.members_of(tx, ids)
    held = await grants.held_by(tx, "group", ids)
    return [_model(call, group, members[group.id], held[group.id]) for group in found]


def _model(call: Call, group: Group, members: Sequence[str], roles: Sequence[str]) -> dict[str, Any]:
    holds = call.principal.holds
    model: dict[str, Any] = {"kind": "group", "name": group.name}
    if holds("read:groups", group=group.name):
        model |= {"users": list(members), "properties": group.properties}
    if holds("read:roles:groups", group=group.name):
        model["roles"] = list(roles)
    return model


def normalized(desk: Desk, names: Sequence[str]) -> list[str]:
    """Return names of users as they are kept; raises BadRequest for what cannot be one."""
    return [desk.authenticator.normalize(name) for name in names]


def check_name(name: str) -> None:
    """Raise BadRequest unless `name` can be the name of a group."""
    try:
        base.check_name(name)
    except BadRequest:
        raise BadRequest(
            f"{name[:64]!r} cannot be the name of a group: 1 to 255 printable characters, no slash, not only dots."
        ) from None


async def _change_members(call: Call, change: Callable[[Writing, int, Sequence[str]], Awaitable[None]]) -> Reply:
    """Add or remove the users that the body names, and show the group as it is then."""
    check_managed(call.desk)
    body = await call.body(bodies.GroupUsers)
    async with call.desk.store.write() as tx:
        group = await existing(tx, call.params["group"])
        await change(tx, group.id, normalized(call.desk, body.users))
        items = await _models(tx, call, [group])
    return json(items[0])
