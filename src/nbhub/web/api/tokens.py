"""Tokens of users: list, make, show, revoke."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from nbhub.authenticators.admission import Admission
from nbhub.authenticators.base import takes_passwords
from nbhub.core import principal, roles, scopes, secrets
from nbhub.core.model import Token, User
from nbhub.errors import BadRequest, Forbidden, NotFound
from nbhub.store import Reading, grants
from nbhub.web import client
from nbhub.web.api import bodies, render
from nbhub.web.api.dispatch import NO_CREDENTIALS
from nbhub.web.api.endpoints import Access, Call, Endpoints, Reply, empty, json, on_user
from nbhub.web.api.users import existing
from nbhub.web.desk import Desk

endpoints = Endpoints()

MAKE = Access("scoped", ("tokens",), "user", or_login=True)
_ID = re.compile(r"a([1-9][0-9]{0,17})")
ISSUER = "JupyterHub"  # how the client of plain API tokens is described


@endpoints(on_user("read:tokens"), "GET", "users/{user}/tokens")
async def list_tokens(call: Call) -> Reply:
    """List a user's tokens, the one used last first."""
    async with call.desk.store.read() as tx:
        owner = await existing(tx, call.user_name)
        found = await grants.list_tokens(tx, user_id=owner.id, now=call.desk.clock())
        items = await _models(tx, call, owner, found)
    items.sort(key=lambda item: item["last_activity"] or "", reverse=True)
    return json({"api_tokens": items})


@endpoints(MAKE, "POST", "users/{user}/tokens")
async def create_token(call: Call) -> Reply:
    """Make a token; its secret is told now and never again."""
    body = await call.body(bodies.NewToken)
    if call.caller is None:
        await _log_in(call, body)
    token, owner, record = await make(call.desk, call.user_name, body)
    async with call.desk.store.read() as tx:
        items = await _models(tx, call, owner, [(record, ISSUER)])
    return json(items[0] | {"token": token}, 201)


async def make(desk: Desk, user_name: str, body: bodies.NewToken) -> tuple[str, User, Token]:
    """Make a token for a user: return its secret, its owner and the record. Raises BadRequest, NotFound."""
    expires_at = _expiry(desk, body)
    scopes.validate(body.scopes or ())
    token, now = secrets.new_code(length=32), desk.clock()
    async with desk.store.write() as tx:
        owner = await existing(tx, user_name)
        granted = await _scopes(tx, body)
        await _check_held(tx, owner, granted)
        record = await grants.create_token(
            tx,
            token_hash=secrets.hash_token(token),
            user_id=owner.id,
            scopes=granted,
            note=body.note or "Requested via the API",
            now=now,
            expires_at=expires_at,
        )
    return token, owner, record


@endpoints(on_user("read:tokens"), "GET", "users/{user}/tokens/{token}")
async def get_token(call: Call) -> Reply:
    """Show one token."""
    async with call.desk.store.read() as tx:
        owner = await existing(tx, call.user_name)
        items = await _models(tx, call, owner, [await _one(tx, call.desk, owner, call.params["token"])])
    return json(items[0])


@endpoints(on_user("tokens"), "DELETE", "users/{user}/tokens/{token}")
async def delete_token(call: Call) -> Reply:
    """Revoke a token; of one that a server got by OAuth, all that it got for this user."""
    await revoke(call.desk, call.user_name, call.params["token"])
    return empty(204)


async def revoke(desk: Desk, user_name: str, token_id: str) -> None:
    """Revoke a token, named as in `a12`. Raises NotFound when the user has no such token."""
    async with desk.store.write() as tx:
        owner = await existing(tx, user_name)
        record, _ = await _one(tx, desk, owner, token_id)
        if record.client_id == grants.API_CLIENT:
            await grants.delete_token(tx, record.id)
        else:
            await grants.delete_tokens_of_client(tx, owner.id, record.client_id)


async def _models(tx: Reading, call: Call, owner: User, found: Sequence[tuple[Token, str]]) -> list[dict[str, Any]]:
    groups, role_scopes = await grants.granted_to(tx, owner.id)
    return [
        render.token(
            record,
            owner=("user", owner.name),
            scopes=principal.build(owner, role_scopes, groups=groups, token=record).scopes,
            issuer=issuer,
            last_activity=call.activity.token_at(record.id, record.last_activity),
        )
        for record, issuer in found
    ]


async def _one(tx: Reading, desk: Desk, owner: User, token_id: str) -> tuple[Token, str]:
    match = _ID.fullmatch(token_id)
    found = await grants.get_token(tx, int(match[1]), desk.clock()) if match else None
    if found is None or found[0].user_id != owner.id:
        raise NotFound(f"{owner.name} has no token {token_id[:20]}.")
    return found


async def _scopes(tx: Reading, body: bodies.NewToken) -> tuple[str, ...]:
    """Return the scopes that are asked for, those of roles included; those of the role `token` when none are."""
    if body.scopes is not None and body.roles is not None:
        raise BadRequest("Give scopes or roles, not both.")
    if body.scopes is not None:
        return tuple(dict.fromkeys(body.scopes))
    granted: dict[str, None] = {}
    for name in (roles.TOKEN,) if body.roles is None else body.roles:
        role = await grants.get_role(tx, name)
        if role is None:
            raise BadRequest(f"There is no role {name[:64]!r} for tokens.")
        granted |= dict.fromkeys(role.scopes)
    return tuple(granted)


def _expiry(desk: Desk, body: bodies.NewToken) -> float | None:
    longest = desk.settings.token_expires_in_max
    if longest and (body.expires_in is None or body.expires_in > longest):
        raise BadRequest(f"Tokens of this hub live at most {longest:.0f} seconds: give expires_in.")
    return None if body.expires_in is None else desk.clock() + body.expires_in


async def _check_held(tx: Reading, owner: User, granted: tuple[str, ...]) -> None:
    """Raise BadRequest unless the owner holds all that the token is to have."""
    groups, role_scopes = await grants.granted_to(tx, owner.id)
    held = principal.build(owner, role_scopes, groups=groups).scopes
    wanted = scopes.expand((scope for scope in granted if scope not in ("inherit", "(no_scope)")), owner=owner)
    lacking = scopes.lacking(wanted, held, {owner.name: groups})
    if lacking:
        raise BadRequest(f"{owner.name} does not have the scopes {', '.join(lacking[:10])}, so no token can have them.")


async def _log_in(call: Call, body: bodies.NewToken) -> None:
    """Let log-in data in the body stand for credentials: of the user in the path, nobody else."""
    authenticator = call.desk.authenticator
    if body.auth is None or not takes_passwords(authenticator):
        raise Forbidden(NO_CREDENTIALS)
    address = client.address(call.request.scope)
    given = body.auth
    identity = await authenticator.log_in(given.username, given.password, given.otp, address=address)
    if identity is None or identity.name != call.user_name:
        raise Forbidden(NO_CREDENTIALS)
    desk = call.desk
    try:
        await Admission(authenticator, desk.store, desk.keys, desk.clock).admit(identity)
    except Forbidden:
        raise Forbidden(NO_CREDENTIALS) from None
