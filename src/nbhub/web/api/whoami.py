"""Who a credential belongs to: the question that servers and services ask most."""

from __future__ import annotations

from typing import Any

from nbhub.core.model import User
from nbhub.core.principal import Principal
from nbhub.errors import NotFound
from nbhub.store import servers, users
from nbhub.web.api.endpoints import KNOWN, KNOWN_TOKEN, OPEN, Call, Endpoints, Reply, json
from nbhub.web.api.render import Reader

endpoints = Endpoints()


@endpoints(KNOWN, "GET", "user")
async def get_self(call: Call) -> Reply:
    """Show the caller, and what the caller may do."""
    asking = call.principal
    model = await _model(call, asking)
    model["token_id"] = None if asking.token is None else f"a{asking.token.id}"
    model["session_id"] = None if asking.token is None else asking.session_id
    model["scopes"] = sorted(asking.scopes)
    return json(model)


@endpoints(KNOWN_TOKEN, "GET", "authorizations/token/{token}")
async def get_owner(call: Call) -> Reply:
    """Show whose token this is; the way in which servers of 1.x learn who visits them."""
    found = await call.identities.of_token(call.params["token"])
    if found is None:
        raise NotFound("There is no such token.")
    if found.user is None:
        return json(_service(found))
    model = {"kind": "user", "name": found.name, "admin": found.user.admin, "groups": list(found.groups)}
    reader = Reader(call.principal, call.desk.settings, call.activity)
    async with call.desk.store.read() as tx:
        return json(await _of_user(tx, reader, found.user, found.groups) | model)


@endpoints(OPEN, "POST", "authorizations/token")
async def make_token(call: Call) -> Reply:
    """Say where this went."""
    raise NotFound("Tokens are made at /users/NAME/tokens.")


async def _model(call: Call, asking: Principal) -> dict[str, Any]:
    if asking.user is None:
        return _service(asking)
    reader = Reader(asking, call.desk.settings, call.activity)
    async with call.desk.store.read() as tx:
        return await _of_user(tx, reader, asking.user, asking.groups)


async def _of_user(tx: Any, reader: Reader, record: User, groups: tuple[str, ...]) -> dict[str, Any]:
    ids = [record.id]
    return reader.user(
        record,
        groups=groups,
        roles=(await users.roles_of(tx, ids)).get(record.id, ()) if reader.wants_roles else (),
        servers=(await servers.of_users(tx, ids)).get(record.id, ()) if reader.wants_servers else (),
    )


def _service(asking: Principal) -> dict[str, Any]:
    admin = asking.service is not None and asking.service.admin
    return {"kind": "service", "name": asking.name, "admin": admin}
