"""Who a credential belongs to: the question that servers and services ask most."""

from __future__ import annotations

from typing import Any

from nbhub.core.principal import Principal
from nbhub.errors import NotFound
from nbhub.web.api.endpoints import KNOWN, KNOWN_TOKEN, OPEN, Call, Endpoints, Reply, encode, encoded, json
from nbhub.web.api.render import Reader

endpoints = Endpoints()


@endpoints(KNOWN, "GET", "user")
async def get_self(call: Call) -> Reply:
    """Show the caller, and what the caller may do."""
    asking = call.principal
    seen = await call.recent.of(asking.name) if asking.user is not None else None
    if seen is not None and (known := seen.answer_for(asking)) is not None:
        return encoded(known)
    model = await _of_user(call, call.reader, asking)
    model["token_id"] = None if asking.token is None else f"a{asking.token.id}"
    model["session_id"] = None if asking.token is None else asking.session_id
    model["scopes"] = call.reader.scopes
    body = encode(model)
    if seen is not None:
        seen.answers[id(asking)] = (asking, body)
    return encoded(body)


@endpoints(KNOWN_TOKEN, "GET", "authorizations/token/{token}")
async def get_owner(call: Call) -> Reply:
    """Show whose token this is; the way in which servers of 1.x learn who visits them."""
    found = await call.identities.of_token(call.params["token"])
    if found is None:
        raise NotFound("There is no such token.")
    if found.user is None:
        return json(_service(found))
    model = {"kind": "user", "name": found.name, "admin": found.user.admin, "groups": list(found.groups)}
    return json(await _of_user(call, call.reader, found) | model)


@endpoints(OPEN, "POST", "authorizations/token")
async def make_token(call: Call) -> Reply:
    """Say where this went."""
    raise NotFound("Tokens are made at /users/NAME/tokens.")


async def _of_user(call: Call, reader: Reader, whose: Principal) -> dict[str, Any]:
    """Return the user whose credential it is, as the reader's owner may see it."""
    if whose.user is None:
        return _service(whose)
    seen = await call.recent.of(whose.name)
    if seen is None:
        raise NotFound("The user is gone.")
    roles = await call.identities.roles_of([seen.user.id]) if reader.wants_roles else {}
    return reader.user(seen.user, groups=whose.groups, roles=roles.get(seen.user.id, ()), servers=seen.servers)


def _service(asking: Principal) -> dict[str, Any]:
    admin = asking.service is not None and asking.service.admin
    return {"kind": "service", "name": asking.name, "admin": admin}
