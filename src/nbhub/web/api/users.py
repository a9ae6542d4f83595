"""Users: list, make, show, change, delete."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from msgspec import UNSET

from nbhub.authenticators.base import check_name
from nbhub.core.model import Server, User
from nbhub.core.principal import Principal
from nbhub.errors import BadRequest, Conflict, Forbidden, NotFound
from nbhub.spawners.base import Handle
from nbhub.store import Reading, Writing, servers, users
from nbhub.web import noting
from nbhub.web.api import bodies, paging
from nbhub.web.api.endpoints import Call, Endpoints, Reply, empty, json, listing, on_hub, on_user
from nbhub.web.desk import Desk

endpoints = Endpoints()

READ = on_user(
    "read:users",
    "read:users:name",
    "read:servers",
    "read:users:groups",
    "read:users:activity",
    "read:roles:users",
)


@endpoints(listing("list:users"), "GET", "users")
async def list_users(call: Call) -> Reply:
    """List the users that the caller may list, page by page."""
    page = paging.asked(call)
    sort = call.query("sort") or "id"
    async with call.desk.store.read() as tx:
        found, total = await users.list_page(
            tx,
            offset=page.offset,
            limit=page.limit,
            sort=sort.removeprefix("-"),  # type: ignore[arg-type]  # checked there
            descending=sort.startswith("-"),
            name_filter=call.query("name_filter") or "",
            state=call.query("state"),  # type: ignore[arg-type]
            only=call.principal.filter_of("list:users"),
        )
        items = await models(tx, call, found, include_stopped=call.flag("include_stopped_servers"))
    return paging.answer(call, page, items, total)


@endpoints(on_hub("admin:users"), "POST", "users")
async def create_users(call: Call) -> Reply:
    """Make users; names that exist already are skipped."""
    body = await call.body(bodies.NewUsers)
    names = list(dict.fromkeys(call.desk.authenticator.normalize(name) for name in body.usernames))
    if not names:
        raise BadRequest("Name the users to make: usernames is empty.")
    if body.admin:
        _require_admin(call.principal)
    async with call.desk.store.write() as tx:
        taken = {record.name for name in names if (record := await users.get(tx, name)) is not None}
        if len(taken) == len(names):
            raise Conflict("All of these users exist already.")
        now = call.desk.clock()
        made = [await users.create(tx, name, admin=body.admin, now=now) for name in names if name not in taken]
        items = await models(tx, call, made)
    return json(items, 201)


@endpoints(READ, "GET", "users/{user}")
async def get_user(call: Call) -> Reply:
    """Show one user."""
    seen = await call.recent.of(call.user_name)
    if seen is None:
        raise NotFound(f"There is no user {call.user_name}.")
    reader, ids = call.reader, [seen.user.id]
    groups: dict[int, tuple[str, ...]] = {}
    if reader.wants_groups or reader.depends_on_groups:
        if call.principal.user is not None and call.principal.user.id == seen.user.id:
            groups = {seen.user.id: call.principal.groups}
        else:
            async with call.desk.store.read() as tx:
                groups = await users.groups_of(tx, ids)
    roles = await call.identities.roles_of(ids) if reader.wants_roles else {}
    model = reader.user(
        seen.user,
        groups=groups.get(seen.user.id, ()),
        roles=roles.get(seen.user.id, ()),
        servers=seen.servers,
        include_stopped=call.flag("include_stopped_servers"),
    )
    return json(model)


@endpoints(on_user("admin:users"), "POST", "users/{user}")
async def create_user(call: Call) -> Reply:
    """Make one user, with the name as it is given."""
    check_name(call.user_name)
    body = await call.body(bodies.NewUser)
    if body.admin:
        _require_admin(call.principal)
    async with call.desk.store.write() as tx:
        if await users.get(tx, call.user_name) is not None:
            raise Conflict(f"The user {call.user_name} exists already.")
        record = await users.create(tx, call.user_name, admin=body.admin, now=call.desk.clock())
        items = await models(tx, call, [record])
    return json(items[0], 201)


@endpoints(on_user("admin:users"), "PATCH", "users/{user}")
async def change_user(call: Call) -> Reply:
    """Rename a user, or make one an administrator or no longer one."""
    body = await call.body(bodies.UserChange)
    if body.name is UNSET and body.admin is UNSET and body.auth_state is UNSET:
        raise BadRequest("Say what to change: name or admin.")
    if body.auth_state is not UNSET and body.auth_state is not None:
        raise BadRequest("This hub keeps no auth_state that could be changed here.")
    if body.name is not UNSET:
        await _hand_over(call.desk, call.principal, call.user_name, body.name)
    async with call.desk.store.write() as tx:
        record = await existing(tx, call.user_name)
        if record.admin or body.admin is True:
            _require_admin(call.principal)
        if body.name is not UNSET:
            record = await _rename(tx, call.desk, record, body.name)
        if body.admin is not UNSET and body.admin != record.admin:
            await users.set_admin(tx, record.id, body.admin)
        record = await existing(tx, record.name)
        items = await models(tx, call, [record])
    return json(items[0])


@endpoints(on_user("delete:users"), "DELETE", "users/{user}")
async def delete_user(call: Call) -> Reply:
    """Stop and remove all servers of a user, then the user."""
    await remove(call.desk, call.principal, call.user_name)
    return empty(204)


# -- parts that other resources use ----------------------------------------------------------------------------------


async def remove(desk: Desk, asking: Principal, name: str) -> None:
    """Stop and remove all servers of a user, then the user. Raises NotFound, BadRequest for what cannot be now."""
    async with desk.store.write() as tx:
        record = await existing(tx, name)
        if asking.user is not None and asking.user.id == record.id:
            raise BadRequest("Nobody can delete themselves. Ask another administrator.")
        if record.admin:
            _require_admin(asking)
        owned = await _servers_of(tx, record)
        for server in owned:
            await servers.ask_stop(tx, server.id, remove=True, now=desk.clock())
    for server in owned:
        if server.active:
            noting.stop_asked(desk, server, asking)
    if owned:
        await _await_removal(desk, record, owned)
    async with desk.store.write() as tx:
        await users.hold(tx, record.id)
        if await _servers_of(tx, record):
            raise BadRequest(f"Servers of {record.name} are still stopping. Try again when they have stopped.")
        await users.delete(tx, record.id)


async def rename(desk: Desk, asking: Principal, current: str, given: str) -> User:
    """Give a user another name, in its normal form. Raises BadRequest when it is taken or their servers are active."""
    await _hand_over(desk, asking, current, given)
    async with desk.store.write() as tx:
        record = await existing(tx, current)
        if record.admin:
            _require_admin(asking)
        return await _rename(tx, desk, record, given)


async def existing(tx: Reading, name: str) -> User:
    """Return the user; raises NotFound."""
    record = await users.get(tx, name)
    if record is None:
        raise NotFound(f"There is no user {name}.")
    return record


async def models(
    tx: Reading, call: Call, records: Sequence[User], *, include_stopped: bool = False
) -> list[dict[str, Any]]:
    """Return users as the caller may see them."""
    reader = call.reader
    ids = [record.id for record in records]
    if not ids:
        return []
    groups = await users.groups_of(tx, ids) if reader.wants_groups or reader.depends_on_groups else {}
    roles = await call.identities.roles_of(ids, tx) if reader.wants_roles else {}
    owned = await servers.of_users(tx, ids, include_stopped=include_stopped) if reader.wants_servers else {}
    return [
        reader.user(
            record,
            groups=groups.get(record.id, ()),
            roles=roles.get(record.id, ()),
            servers=owned.get(record.id, ()),
            include_stopped=include_stopped,
        )
        for record in records
    ]


def _require_admin(asking: Principal) -> None:
    """Only administrators make administrators or touch them."""
    if asking.user is not None and asking.user.admin:
        return
    if asking.service is not None and asking.service.admin:
        return
    raise Forbidden("Only administrators may make administrators or change them.")


async def _hand_over(desk: Desk, asking: Principal, current: str, given: str) -> None:
    """Have the new name written on what the user's servers leave behind, before anybody can get the old one."""
    async with desk.store.read() as tx:
        record = await existing(tx, current)
        if record.admin:
            _require_admin(asking)
        name, owned = await _new_name(tx, desk, record, given)
    if name != record.name:
        if name in desk.authenticator.admin_users:
            _require_admin(asking)  # whoever logs in under such a name becomes one
        for server in owned:
            await desk.spawner.rename(Handle.of(server), name)


async def _rename(tx: Writing, desk: Desk, record: User, given: str) -> User:
    await users.hold(tx, record.id)  # a server that another hub starts now would start under the old name
    name, _ = await _new_name(tx, desk, record, given)
    if name == record.name:
        return record
    await users.rename(tx, record.id, name)
    return await existing(tx, name)


async def _new_name(tx: Reading, desk: Desk, record: User, given: str) -> tuple[str, Sequence[Server]]:
    """Return the name that a user gets, and the user's servers; raises BadRequest if that cannot be now."""
    name, owned = desk.authenticator.normalize(given), await _servers_of(tx, record)
    if name != record.name and await users.get(tx, name) is not None:
        raise BadRequest(f"The name {name} is taken.")
    if name != record.name and any(server.active for server in owned):
        raise BadRequest(f"Servers of {record.name} are active. Stop them before renaming the user.")
    return name, owned


async def _servers_of(tx: Reading, record: User) -> Sequence[Server]:
    return (await servers.of_users(tx, [record.id], include_stopped=True)).get(record.id, ())


async def _await_removal(desk: Desk, record: User, owned: Sequence[Server]) -> None:
    """Wait until the rows of the servers are gone, as long as a slow stop may take."""
    loop = asyncio.get_running_loop()
    until = loop.time() + desk.settings.slow_stop_timeout
    async with desk.store.wakeup.listen(*(f"server:{server.id}" for server in owned), "resync") as bell:
        while True:
            async with desk.store.read() as tx:
                if not await _servers_of(tx, record):
                    return
            if not await bell.wait(until - loop.time()):
                return
